/* Runs that do not determine a law, the grid of starts, and bootstrap samples. Recovered laws are
 * in tests/property, the published refit in tests/golden. */
#include "core/planning/law_fit.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <string.h>

enum { RUNS = 48, WORKSPACE = 4 * 64 };

static struct lq_law_run runs[RUNS];
static double workspace[WORKSPACE];
static struct lq_law law;
static struct lq_law_fit_problem problem;

/* Exact runs of a shipped law over 6 sizes, 4 token counts and 2 expert counts. */
static void make(const char *id)
{
    const struct lq_law *truth = lq_law_find(id);
    struct lq_error err = {0};
    for (size_t i = 0; i < RUNS; i++) {
        struct lq_law_point *p = &runs[i].point;
        *p = (struct lq_law_point){.parameters = 1e8 * pow(2.0, (double)(i % 6)),
                                   .tokens = 1e9 * pow(4.0, (double)(i / 6 % 4)),
                                   .experts = truth->experts_fixed > 0.0 ? 1.0
                                              : i < RUNS / 2             ? 1.0
                                                                         : 8.0};
        runs[i].value = truth->form->value(truth->coefficient, p);
        runs[i].weight = 0.0;
    }
    ck_assert_int_eq(lq_law_user(truth->form->name, "mine", &law, &err), LQ_OK);
}

static struct lq_error refused(size_t n)
{
    struct lq_error err = {0};
    ck_assert_int_ne(lq_law_fit_prepare(&law, 0, runs, n, workspace, &problem, &err), LQ_OK);
    return err;
}

START_TEST(bad_runs_are_named)
{
    make("hoffmann2022");
    runs[7].value = 0.0;
    ck_assert_str_eq(refused(RUNS).pointer, "/runs/7/loss");
    runs[7].value = -2.0;
    ck_assert_str_eq(refused(RUNS).pointer, "/runs/7/loss");
    make("hoffmann2022");
    runs[3].weight = -1.0;
    ck_assert_str_eq(refused(RUNS).pointer, "/runs/3/weight");
    make("hoffmann2022");
    runs[5].point.tokens = 0.0;
    ck_assert_str_eq(refused(RUNS).pointer, "/runs/5/tokens");
    runs[5].point.tokens = 1e9;
    runs[5].point.experts = 8.0;
    const struct lq_error err = refused(RUNS);
    ck_assert_int_eq(err.code, LQ_EIMPOSSIBLE);
    ck_assert_str_eq(err.pointer, "/runs/5/experts");
}
END_TEST

START_TEST(fewer_runs_than_coefficients_are_refused)
{
    make("hoffmann2022");
    const struct lq_error err = refused(4);
    ck_assert_int_eq(err.code, LQ_EFIT);
    ck_assert_str_eq(err.pointer, "/runs");
    ck_assert_int_eq(refused(0).code, LQ_EFIT);
}
END_TEST

START_TEST(runs_at_one_number_of_tokens_are_refused_by_coefficient)
{
    make("hoffmann2022");
    for (size_t i = 0; i < RUNS; i++) {
        runs[i].point.tokens = 1e10;
    }
    const struct lq_error err = refused(RUNS);
    ck_assert_int_eq(err.code, LQ_EFIT);
    ck_assert_ptr_nonnull(strstr(err.detail, "same tokens"));
    ck_assert_ptr_nonnull(strstr(err.detail, "B, E and beta"));
}
END_TEST

START_TEST(runs_at_one_expert_count_are_refused)
{
    make("yun2024-s3");
    const struct lq_error err = refused(RUNS / 2);
    ck_assert_int_eq(err.code, LQ_EFIT);
    ck_assert_ptr_nonnull(strstr(err.detail, "same experts (1)"));
    ck_assert_ptr_nonnull(strstr(err.detail, "E_max"));
}
END_TEST

/* Two expert counts leave E_start, E_max and beta open, and the fit says so. */
START_TEST(flat_directions_are_told)
{
    double searched[LQ_LAW_COEFFICIENTS_MAX];
    char names[120];
    struct lq_law_fit fit;
    struct lq_error err = {0};
    make("yun2024-s3");
    ck_assert_int_eq(lq_law_fit_prepare(&law, 0, runs, RUNS, workspace, &problem, &err), LQ_OK);
    lq_law_fit_start_at(law.form, lq_law_find("yun2024-s3")->coefficient, searched);
    lq_law_fit_finish(&problem, searched, &fit);
    lq_law_coefficient_names(law.form, fit.flat, names, sizeof names);
    ck_assert_msg(strstr(names, "E_start") != NULL && strstr(names, "E_max") != NULL, "%s", names);
    ck_assert_double_eq(fit.standard_error[8], 0.0);
    ck_assert_double_eq(fit.standard_error[9], 0.0);
    ck_assert_double_eq(fit.range.experts[1], 8.0);
    ck_assert_double_eq(fit.range.tokens[0], 1e9);
}
END_TEST

START_TEST(held_coefficients_keep_their_value)
{
    double searched[LQ_LAW_COEFFICIENTS_MAX];
    double c[LQ_LAW_COEFFICIENTS_MAX];
    struct lq_law_descent descent;
    struct lq_error err = {0};
    make("hoffmann2022");
    law.coefficient[3] = 0.5;
    ck_assert_int_eq(lq_law_fit_prepare(&law, 1U << 3, runs, RUNS, workspace, &problem, &err),
                     LQ_OK);
    lq_law_fit_start(law.form, 2000, searched);
    ck_assert_int_eq(lq_law_fit_descend(&problem, searched, &descent, &err), LQ_OK);
    lq_law_fit_coefficients(law.form, searched, c);
    ck_assert_double_eq(c[3], 0.5);
}
END_TEST

START_TEST(held_amplitudes_keep_their_value)
{
    double searched[LQ_LAW_COEFFICIENTS_MAX];
    double c[LQ_LAW_COEFFICIENTS_MAX];
    struct lq_law_descent descent;
    struct lq_error err = {0};
    make("hoffmann2022");
    law.coefficient[0] = 300.0;
    ck_assert_int_eq(lq_law_fit_prepare(&law, 1U << 0, runs, RUNS, workspace, &problem, &err),
                     LQ_OK);
    lq_law_fit_start_at(law.form, lq_law_find("besiroglu2024")->coefficient, searched);
    ck_assert_int_eq(lq_law_fit_descend(&problem, searched, &descent, &err), LQ_OK);
    lq_law_fit_coefficients(law.form, searched, c);
    ck_assert_double_eq_tol(c[0], 300.0, 1e-9);
    ck_assert_double_lt(c[3], 0.34); /* a smaller amplitude needs a smaller exponent */
}
END_TEST

START_TEST(what_no_run_repeats_keeps_the_published_decay)
{
    struct lq_error err = {0};
    make("muennighoff2023");
    ck_assert_int_eq(lq_law_fit_prepare(&law, 0, runs, RUNS, workspace, &problem, &err), LQ_OK);
    ck_assert_uint_eq(problem.held, (1U << 4) | (1U << 5));
    ck_assert_double_eq(law.coefficient[4], 15.39);
    ck_assert_double_eq(law.coefficient[5], 5.31);
}
END_TEST

/* arXiv 2203.15556, appendix D.2: alpha, beta 0..2; ln A, ln B 0..25; ln E -1..1. */
START_TEST(the_grid_is_the_papers)
{
    const struct lq_law_form *form = lq_law_form_find("hoffmann2022");
    double first[LQ_LAW_COEFFICIENTS_MAX];
    double last[LQ_LAW_COEFFICIENTS_MAX];
    ck_assert_uint_eq(lq_law_fit_start_count(form), 4500);
    lq_law_fit_start(form, 0, first);
    lq_law_fit_start(form, 4499, last);
    static const double FIRST[] = {0, 0, -1, 0, 0};
    static const double LAST[] = {25, 25, 1, 2, 2};
    for (int j = 0; j < 5; j++) {
        ck_assert_double_eq(first[j], FIRST[j]);
        ck_assert_double_eq(last[j], LAST[j]);
    }
}
END_TEST

START_TEST(shuffled_starts_visit_each_once)
{
    static bool seen[4500];
    const struct lq_law_form *form = lq_law_form_find("hoffmann2022");
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < 4500; i++) {
        const size_t index = lq_law_fit_start_shuffled(form, i);
        ck_assert_uint_lt(index, 4500);
        ck_assert(!seen[index]);
        seen[index] = true;
    }
}
END_TEST

START_TEST(coefficients_survive_the_way_to_searched_numbers)
{
    for (size_t i = 0; i < lq_law_count(); i++) {
        const struct lq_law *shipped = lq_law_at(i);
        double searched[LQ_LAW_COEFFICIENTS_MAX];
        double back[LQ_LAW_COEFFICIENTS_MAX];
        lq_law_fit_start_at(shipped->form, shipped->coefficient, searched);
        lq_law_fit_coefficients(shipped->form, searched, back);
        for (int j = 0; j < shipped->form->coefficients; j++) {
            const double c = shipped->coefficient[j];
            ck_assert_double_eq_tol(back[j], c, 1e-12 * fabs(c) + 1e-17);
        }
    }
}
END_TEST

START_TEST(samples_draw_as_many_runs_and_repeat_by_seed)
{
    static double a[64];
    static double b[64];
    struct lq_error err = {0};
    make("hoffmann2022");
    ck_assert_int_eq(lq_law_fit_prepare(&law, 0, runs, RUNS, workspace, &problem, &err), LQ_OK);
    lq_law_fit_resample(&problem, 9, 4, a);
    lq_law_fit_resample(&problem, 9, 4, b);
    ck_assert_mem_eq(a, b, sizeof a);
    lq_law_fit_resample(&problem, 9, 5, b);
    ck_assert_mem_ne(a, b, sizeof a);
    double sum = 0.0;
    for (size_t i = 0; i < 64; i++) {
        sum += a[i];
        ck_assert(i < RUNS || a[i] == 0.0);
    }
    ck_assert_double_eq(sum, RUNS);
}
END_TEST

static Suite *fit_suite(void)
{
    Suite *suite = suite_create("law_fit");
    TCase *tcase = tcase_create("runs");
    tcase_add_test(tcase, bad_runs_are_named);
    tcase_add_test(tcase, fewer_runs_than_coefficients_are_refused);
    tcase_add_test(tcase, runs_at_one_number_of_tokens_are_refused_by_coefficient);
    tcase_add_test(tcase, runs_at_one_expert_count_are_refused);
    tcase_add_test(tcase, flat_directions_are_told);
    tcase_add_test(tcase, held_coefficients_keep_their_value);
    tcase_add_test(tcase, held_amplitudes_keep_their_value);
    tcase_add_test(tcase, what_no_run_repeats_keeps_the_published_decay);
    tcase_add_test(tcase, the_grid_is_the_papers);
    tcase_add_test(tcase, shuffled_starts_visit_each_once);
    tcase_add_test(tcase, coefficients_survive_the_way_to_searched_numbers);
    tcase_add_test(tcase, samples_draw_as_many_runs_and_repeat_by_seed);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return run_suite(fit_suite());
}
