/* Fits of laws over threads: the same with any number of them, and what settings do. */
#include "server/jobs/law_fits.h"
#include "server/jobs/queue.h"
#include "tests/unit/check_main.h"
#include "tests/unit/law_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { A, B, E, ALPHA, BETA, COUNT };

static const double TRUE_VALUES[COUNT] = {482.01, 2085.43, 1.8172, 0.3478, 0.3658};

/* A fit of `count` runs with further members of the document ("" or ", 'starts': 3"). */
static struct lq_law_fits *make(int count, double noise, const char *members, struct lq_error *err)
{
    struct lq_law_document posted;
    struct lq_law_fit_document document;
    struct lq_faults faults;
    struct lq_law_fits *fits = NULL;
    char *runs = dense_runs(count, noise);
    char *text = NULL;
    ck_assert_int_gt(
        asprintf(&text, "{'name':'x','form':'besiroglu2024','runs':[%s]%s}", runs, members), 0);
    ck_assert_msg(read_fit(text, &posted, &document, &faults), "%s %s", faults.items[0].pointer,
                  faults.items[0].detail);
    enum lq_code code = lq_law_fits_new(&document, &fits, err);
    ck_assert((code == LQ_OK) == (fits != NULL));
    free(text);
    free(runs);
    return fits;
}

static struct lq_law_fit_outcome solve(int count, double noise, const char *members)
{
    struct lq_error err = {0};
    struct lq_law_fit_outcome outcome;
    struct lq_law_fits *fits = make(count, noise, members, &err);
    ck_assert_msg(fits != NULL, "%s", err.detail);
    ck_assert_msg(lq_law_fits_solve(fits, NULL, &outcome, &err) == LQ_OK, "%s", err.detail);
    outcome.form = lq_law_form_find("besiroglu2024"); /* the fit's own copy goes with it */
    lq_law_fits_free(fits);
    return outcome;
}

START_TEST(runs_without_noise_give_the_law_back)
{
    const struct lq_law_fit_outcome outcome = solve(60, 0.0, ",'starts':60,'bootstrap':0");
    for (int j = 0; j < COUNT; j++) {
        ck_assert_double_eq_tol(outcome.fit.coefficient[j] / TRUE_VALUES[j], 1.0, 1e-3);
    }
    ck_assert_double_lt(outcome.fit.objective, 1e-12);
    ck_assert_uint_eq(outcome.runs, 60);
    ck_assert_uint_eq(outcome.starts, 60);
    ck_assert_uint_gt(outcome.agreeing, 5);
}
END_TEST

START_TEST(intervals_of_either_kind_hold_the_truth_and_narrow_with_confidence)
{
    static const char *const KINDS[] = {"'bootstrap':0", "'bootstrap':200"};
    for (size_t i = 0; i < 2; i++) {
        char members[96];
        double width[2];
        for (int wide = 0; wide < 2; wide++) {
            snprintf(members, sizeof members, ",'starts':40,%s,'confidence':%s", KINDS[i],
                     wide == 1 ? "0.99" : "0.5");
            const struct lq_law_fit_outcome outcome = solve(120, 0.01, members);
            ck_assert_uint_eq(outcome.samples, i == 0 ? 0 : 200);
            width[wide] = outcome.interval[E][1] - outcome.interval[E][0];
            ck_assert_double_gt(width[wide], 0.0);
            for (int j = 0; j < COUNT && wide == 1; j++) {
                ck_assert_double_lt(outcome.interval[j][0], TRUE_VALUES[j]);
                ck_assert_double_gt(outcome.interval[j][1], TRUE_VALUES[j]);
            }
        }
        ck_assert_double_gt(width[1], 2.0 * width[0]);
    }
}
END_TEST

START_TEST(a_fixed_coefficient_stays_and_has_no_error)
{
    const struct lq_law_fit_outcome outcome =
        solve(60, 0.0, ",'starts':40,'fixed':{'A':300,'beta':0.3658},'bootstrap':20");
    ck_assert_double_eq_tol(outcome.fit.coefficient[A], 300.0, 1e-9);
    ck_assert_double_eq_tol(outcome.fit.coefficient[BETA], 0.3658, 1e-12);
    ck_assert_double_lt(outcome.fit.coefficient[ALPHA], 0.34); /* gives way to the smaller A */
    ck_assert_double_gt(outcome.fit.objective, 1e-9);
    ck_assert_double_eq(outcome.fit.standard_error[A], 0.0);
    ck_assert_double_gt(outcome.fit.standard_error[ALPHA], 0.0);
    ck_assert_uint_eq(outcome.held, 1U << A | 1U << BETA);
    ck_assert_double_eq_tol(outcome.interval[A][0], outcome.interval[A][1], 1e-9);
}
END_TEST

START_TEST(bounds_are_kept_and_told)
{
    const struct lq_law_fit_outcome outcome =
        solve(60, 0.0, ",'starts':40,'bounds':{'B':[3000,null],'alpha':[0.1,0.9]},'bootstrap':0");
    ck_assert_double_eq_tol(outcome.fit.coefficient[B], 3000.0, 1e-6);
    ck_assert_uint_eq(outcome.at_bound, 1U << B);
}
END_TEST

START_TEST(own_starts_are_the_only_ones)
{
    const struct lq_law_fit_outcome outcome =
        solve(60, 0.0,
              ",'starts':[{'A':400,'B':2000,'E':1.8,'alpha':0.35,'beta':0.36},"
              "{'A':1,'B':1,'E':1,'alpha':0.1,'beta':0.1}],'bootstrap':0");
    ck_assert_uint_eq(outcome.starts, 2);
    ck_assert_uint_eq(outcome.grid, 0);
    ck_assert_uint_ge(outcome.agreeing, 1);
    ck_assert_double_eq_tol(outcome.fit.coefficient[E], 1.8172, 1e-4);
}
END_TEST

static void expect_refusal(int count, const char *members, enum lq_code code, const char *part)
{
    struct lq_error err = {0};
    ck_assert_ptr_null(make(count, 0.0, members, &err));
    ck_assert_int_eq(err.code, code);
    ck_assert_msg(strstr(err.detail, part) != NULL, "\"%s\" lacks \"%s\"", err.detail, part);
}

START_TEST(fewer_runs_than_coefficients_are_refused)
{
    expect_refusal(4, "", LQ_EFIT, "4 runs do not determine the 5 coefficients");
    struct lq_error err = {0};
    struct lq_law_fits *fits = make(4, 0.0, ",'fixed':{'E':1.8172}", &err);
    ck_assert_msg(fits != NULL, "%s", err.detail);
    lq_law_fits_free(fits);
}
END_TEST

START_TEST(long_fits_are_told_from_short_ones)
{
    struct lq_error err = {0};
    struct lq_law_fits *one = make(240, 0.0, ",'starts':1,'bootstrap':0", &err);
    struct lq_law_fits *grid = make(240, 0.0, ",'bootstrap':0", &err);
    struct lq_law_fits *samples = make(240, 0.0, ",'starts':1,'bootstrap':1000", &err);
    ck_assert_double_lt(lq_law_fits_expected_s(one), 0.01);
    ck_assert_double_gt(lq_law_fits_expected_s(grid), 1.0);
    ck_assert_double_gt(lq_law_fits_expected_s(samples), 20.0 * lq_law_fits_expected_s(one));
    lq_law_fits_free(one);
    lq_law_fits_free(grid);
    lq_law_fits_free(samples);
    lq_law_fits_free(NULL);
}
END_TEST

/* ---- in a queue ---- */

struct order {
    struct lq_law_fits *fits;
    struct lq_law_fit_outcome outcome;
};

static enum lq_code run(void *context, struct lq_control *control, char **result,
                        struct lq_error *err)
{
    (void)result;
    struct order *order = context;
    return lq_law_fits_solve(order->fits, control, &order->outcome, err);
}

static struct lq_queue *start_queue(int threads)
{
    struct lq_queue *queue = NULL;
    const struct lq_queue_limits limits = {threads, 4, 4, 60};
    ck_assert_int_eq(lq_queue_start(&limits, &queue, &(struct lq_error){0}), LQ_OK);
    return queue;
}

static struct lq_task_status status_of(struct lq_queue *queue, const char *id)
{
    struct lq_task_status status;
    ck_assert_int_eq(lq_queue_get(queue, id, &status, &(struct lq_error){0}), LQ_OK);
    return status;
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static enum lq_task_state wait_for_end(struct lq_queue *queue, const char *id)
{
    enum lq_task_state state = LQ_TASK_QUEUED;
    for (int i = 0; i < 20000 && (state == LQ_TASK_QUEUED || state == LQ_TASK_RUNNING); i++) {
        pause_ms(1);
        state = status_of(queue, id).state;
    }
    return state;
}

START_TEST(threads_do_not_change_the_outcome)
{
    static const char MEMBERS[] = ",'starts':60,'bootstrap':50";
    const struct lq_law_fit_outcome alone = solve(60, 0.01, MEMBERS);
    struct lq_error err = {0};
    struct order order = {.fits = make(60, 0.01, MEMBERS, &err)};
    const struct lq_task task = {"law-fit", run, NULL, &order};
    char id[LQ_TASK_ID_SIZE];
    struct lq_queue *queue = start_queue(3);
    ck_assert_int_eq(lq_queue_post(queue, &task, "owner", id, &err), LQ_OK);
    ck_assert_int_eq(wait_for_end(queue, id), LQ_TASK_DONE);
    lq_queue_stop(queue);
    ck_assert_uint_eq(order.outcome.agreeing, alone.agreeing);
    for (int j = 0; j < COUNT; j++) {
        ck_assert(order.outcome.fit.coefficient[j] == alone.fit.coefficient[j]);
        ck_assert(order.outcome.interval[j][0] == alone.interval[j][0]);
        ck_assert(order.outcome.interval[j][1] == alone.interval[j][1]);
    }
    lq_law_fits_free(order.fits);
}
END_TEST

START_TEST(the_whole_grid_shows_progress_and_stops_when_it_is_cancelled)
{
    struct lq_error err = {0};
    struct order order = {.fits = make(240, 0.01, "", &err)};
    const struct lq_task task = {"law-fit", run, NULL, &order};
    char id[LQ_TASK_ID_SIZE];
    struct lq_queue *queue = start_queue(2);
    ck_assert_int_eq(lq_queue_post(queue, &task, "owner", id, &err), LQ_OK);
    for (int i = 0; i < 5000 && !(status_of(queue, id).progress > 0.01); i++) {
        pause_ms(1);
    }
    const double progress = status_of(queue, id).progress;
    ck_assert_double_gt(progress, 0.01);
    ck_assert_double_lt(progress, 1.0);
    ck_assert_int_eq(status_of(queue, id).state, LQ_TASK_RUNNING);
    ck_assert_int_eq(lq_queue_cancel(queue, id, "owner", &err), LQ_OK);
    for (int i = 0; i < 5000 && status_of(queue, id).state == LQ_TASK_RUNNING; i++) {
        pause_ms(1);
    }
    ck_assert_int_eq(status_of(queue, id).state, LQ_TASK_CANCELLED);
    ck_assert_double_lt(status_of(queue, id).progress, 1.0); /* it did not run to its end */
    lq_queue_stop(queue);
    lq_law_fits_free(order.fits);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("law_fits");
    TCase *cases = tcase_create("law_fits");
    tcase_add_test(cases, runs_without_noise_give_the_law_back);
    tcase_add_test(cases, intervals_of_either_kind_hold_the_truth_and_narrow_with_confidence);
    tcase_add_test(cases, a_fixed_coefficient_stays_and_has_no_error);
    tcase_add_test(cases, bounds_are_kept_and_told);
    tcase_add_test(cases, own_starts_are_the_only_ones);
    tcase_add_test(cases, fewer_runs_than_coefficients_are_refused);
    tcase_add_test(cases, long_fits_are_told_from_short_ones);
    tcase_add_test(cases, threads_do_not_change_the_outcome);
    tcase_add_test(cases, the_whole_grid_shows_progress_and_stops_when_it_is_cancelled);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
