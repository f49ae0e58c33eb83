/* Fits made of a whole catalog of points, and how every estimator is held against them. The points
 * are made of known factors; scopes of the step time are in test_refit_step.c. */
#include "server/jobs/refit.h"
#include "server/jobs/validate.h"
#include "tests/unit/check_main.h"
#include "tests/unit/refit_fixture.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lq_fit *refit(size_t *count)
{
    struct lq_fit *fits = NULL;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit(&catalog, &fits, count, &err), LQ_OK);
    return fits;
}

/* The fit of that kind for a GPU ("" for memory: any) and distribution. */
static const struct lq_fit *find(const struct lq_fit *fits, size_t n, enum lq_fit_kind kind,
                                 const char *gpu, const char *lengths)
{
    for (size_t i = 0; i < n; i++) {
        if (fits[i].kind == kind && strcmp(fits[i].identity.gpu, gpu) == 0 &&
            strcmp(fits[i].lengths, lengths) == 0) {
            return &fits[i];
        }
    }
    ck_abort_msg("no fit of kind %d on %s", (int)kind, gpu);
    return NULL;
}

START_TEST(every_identity_and_distribution_gets_its_fits)
{
    size_t n = 0;
    struct lq_fit *fits = refit(&n);
    /* of all, their stack, their model, one per GPU; two forms per set; memory on any GPU */
    ck_assert_uint_eq(n, 3 + 2 + 2 * 4 + 4);
    for (size_t i = 1; i < n; i++) {
        ck_assert_int_lt(strcmp(fits[i - 1].id, fits[i].id), 0);
    }
    const struct lq_fit *s1 = find(fits, n, LQ_FIT_STEP_TIME, "S1", "");
    const struct lq_fit *s2 = find(fits, n, LQ_FIT_STEP_TIME, "S2", "");
    for (int i = 0; i < RUNS; i++) { /* each its own: the prior pulls a little */
        assert_close("S1", lq_fit_predict_point(&catalog, s1, &points[i]), points[i].queries_per_s,
                     1e-2);
        assert_close("S2", lq_fit_predict_point(&catalog, s2, &points[RUNS + i]),
                     points[RUNS + i].queries_per_s, 1e-2);
    }
    ck_assert_double_lt(s1->mape, 5e-3);
    ck_assert_uint_eq(s1->points, RUNS);
    ck_assert_str_eq(s1->sources, "lab,laboratory");
    ck_assert_uint_eq(find(fits, n, LQ_FIT_XIA2024, "S2", "b")->points, RUNS / 2);
    (void)find(fits, n, LQ_FIT_XIA2024_PRINTED, "S1", "a");
    free(fits);
}
END_TEST

START_TEST(the_same_catalog_gives_the_same_fits)
{
    size_t n = 0;
    size_t m = 0;
    struct lq_fit *first = refit(&n);
    struct lq_fit *second = refit(&m);
    ck_assert_uint_eq(n, m);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(first[i].id, second[i].id);
        ck_assert_mem_eq(first[i].coefficient, second[i].coefficient, sizeof first[i].coefficient);
        ck_assert_mem_eq(&first[i].belief, &second[i].belief, sizeof first[i].belief);
    }
    free(first);
    free(second);
}
END_TEST

static void swap_points(size_t i, size_t j)
{
    const struct lq_point other = points[j];
    points[j] = points[i];
    points[i] = other;
}

START_TEST(the_order_of_arrival_moves_nothing)
{
    size_t n = 0;
    size_t m = 0;
    struct lq_fit *first = refit(&n);
    for (size_t i = 0; i < catalog.point_count / 2; i++) {
        swap_points(i, catalog.point_count - 1 - i);
    }
    swap_points(3, 17);
    swap_points(30, 5);
    struct lq_fit *second = refit(&m);
    ck_assert_uint_eq(n, m);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(first[i].id, second[i].id);
        ck_assert_mem_eq(first[i].coefficient, second[i].coefficient, sizeof first[i].coefficient);
    }
    free(first);
    free(second);
}
END_TEST

START_TEST(posted_points_beyond_the_device_are_implausible_shipped_ones_stand)
{
    struct lq_point p = run(7, "S1", 1.3);
    ck_assert(lq_point_is_plausible(&catalog, &p));
    p.step_time_s *= 0.01; /* above the peak rate */
    ck_assert(!lq_point_is_plausible(&catalog, &p));
    p.shipped = true;
    ck_assert(lq_point_is_plausible(&catalog, &p));
    p = run(7, "S1", 1.3);
    p.peak_memory_bytes = gpus[0].gpu.memory_bytes;
    ck_assert(lq_point_is_plausible(&catalog, &p));
    p.peak_memory_bytes += 1e9;
    ck_assert(!lq_point_is_plausible(&catalog, &p));
    p.implausible = true;
    ck_assert(!lq_point_is_fitted(&p));
}
END_TEST

/* The same fits with one point more as without it. */
static void must_move_nothing(const struct lq_point *point)
{
    size_t n = 0;
    size_t m = 0;
    struct lq_fit *first = refit(&n);
    points[2 * RUNS] = *point;
    catalog.point_count++;
    struct lq_fit *second = refit(&m);
    ck_assert_uint_eq(n, m);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(first[i].id, second[i].id);
        ck_assert_mem_eq(first[i].coefficient, second[i].coefficient, sizeof first[i].coefficient);
    }
    free(first);
    free(second);
}

START_TEST(implausible_points_move_nothing)
{
    struct lq_point point = run(3, "S1", 1e-3);
    point.implausible = true;
    point.peak_memory_bytes = 1e12;
    must_move_nothing(&point);
}
END_TEST

static void copy_id(char to[LQ_FIT_ID_MAX], const struct lq_fit *fit)
{
    snprintf(to, LQ_FIT_ID_MAX, "%s", fit->id);
}

START_TEST(another_point_makes_another_id_of_whatever_rests_on_it)
{
    size_t n = 0;
    struct lq_fit *fits = refit(&n);
    char own[LQ_FIT_ID_MAX];
    char sibling[LQ_FIT_ID_MAX];
    char form[LQ_FIT_ID_MAX];
    copy_id(own, find(fits, n, LQ_FIT_STEP_TIME, "S1", ""));
    copy_id(sibling, find(fits, n, LQ_FIT_STEP_TIME, "S2", ""));
    copy_id(form, find(fits, n, LQ_FIT_XIA2024, "S2", "a"));
    free(fits);
    points[0].queries_per_s *= 1.001;
    fits = refit(&n);
    ck_assert_str_ne(find(fits, n, LQ_FIT_STEP_TIME, "S1", "")->id, own);
    ck_assert_str_ne(find(fits, n, LQ_FIT_STEP_TIME, "S2", "")->id, sibling); /* by its prior */
    ck_assert_str_eq(find(fits, n, LQ_FIT_XIA2024, "S2", "a")->id, form);
    free(fits);
}
END_TEST

START_TEST(held_out_points_move_nothing)
{
    struct lq_point point = run(3, "S1", 50.0);
    point.shipped = true;
    snprintf(point.source, sizeof point.source, "xia2024-fig4");
    ck_assert(!lq_point_is_fitted(&point));
    ck_assert(lq_point_is_fitted(&points[0]));
    must_move_nothing(&point);
}
END_TEST

START_TEST(points_of_what_the_catalog_lost_are_passed_over)
{
    snprintf(points[0].identity.gpu, sizeof points[0].identity.gpu, "gone");
    snprintf(points[1].identity.model, sizeof points[1].identity.model, "gone");
    size_t n = 0;
    struct lq_fit *fits = refit(&n);
    ck_assert_uint_eq(find(fits, n, LQ_FIT_STEP_TIME, "S1", "")->points, RUNS - 2);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_ne(fits[i].identity.model, "gone");
    }
    free(fits);
    catalog.point_count = 0;
    catalog.capacity_count = 0;
    fits = refit(&n);
    ck_assert_uint_eq(n, 0);
    free(fits);
}
END_TEST

static const struct lq_validation *find_row(const struct lq_validations *v, const char *dataset,
                                            enum lq_fit_kind kind)
{
    for (size_t i = 0; i < v->set_count; i++) {
        if (strcmp(v->set[i].dataset, dataset) == 0 && v->set[i].estimator == kind) {
            return &v->set[i];
        }
    }
    ck_abort_msg("no row of %s", dataset);
    return NULL;
}

START_TEST(every_estimator_is_held_against_every_set)
{
    struct lq_fit *fits = refit(&catalog.fit_count);
    catalog.fits = fits;
    struct lq_validations v;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_validate(&catalog, &v, &err), LQ_OK);
    ck_assert_uint_eq(v.set_count, 4 * 3);
    const struct lq_validation *own = find_row(&v, "set-b-S2", LQ_FIT_STEP_TIME);
    ck_assert_uint_eq(own->errors.n, RUNS / 2);
    ck_assert_double_lt(own->errors.mape, 5e-3); /* the joint fit over both sets */
    ck_assert(own->has_leave_one_out);
    ck_assert_double_lt(own->leave_one_out.mape, 5e-3);
    ck_assert(!own->held_out);
    const struct lq_validation *paper = find_row(&v, "set-b-S2", LQ_FIT_XIA2024);
    ck_assert_double_gt(paper->errors.rmse, own->errors.rmse);
    ck_assert_double_ge(paper->leave_one_out.rmse, paper->errors.rmse);
    ck_assert_uint_eq(v.batch_count, 3);
    for (size_t i = 0; i < v.batch_count; i++) {
        ck_assert(lq_batch_is_good(v.batch[i].predicted, v.batch[i].capacity->max_batch_size));
        ck_assert_int_eq(v.batch[i].predicted_paper, -1); /* the paper has no pair for it */
    }
    lq_validations_release(&v);
    free(fits);
}
END_TEST

START_TEST(held_out_sets_are_predicted_not_fitted)
{
    points[2 * RUNS] = run(3, "S1", 1.3);
    points[2 * RUNS].shipped = true;
    snprintf(points[2 * RUNS].source, sizeof points[0].source, "xia2024-fig4");
    snprintf(points[2 * RUNS].dataset, sizeof points[0].dataset, "fig4");
    catalog.point_count++;
    struct lq_fit *fits = refit(&catalog.fit_count);
    catalog.fits = fits;
    struct lq_validations v;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_validate(&catalog, &v, &err), LQ_OK);
    const struct lq_validation *row = find_row(&v, "fig4", LQ_FIT_STEP_TIME);
    ck_assert(row->held_out);
    ck_assert(!row->has_leave_one_out);
    ck_assert_double_lt(row->errors.mape, 5e-3);
    lq_validations_release(&v);
    free(fits);
}
END_TEST

START_TEST(a_batch_is_good_within_15_percent_or_one_query_and_never_at_0)
{
    const int64_t cases[][3] = {{4, 4, 1},     {3, 4, 1},     {2, 4, 0},   {0, 1, 0},   {1, 1, 1},
                                {2, 1, 1},     {20, 17, 0},   {19, 17, 1}, {15, 17, 1}, {14, 17, 0},
                                {115, 100, 1}, {116, 100, 0}, {85, 100, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(lq_batch_is_good(cases[i][0], cases[i][1]) == (cases[i][2] == 1),
                      "%lld for %lld", (long long)cases[i][0], (long long)cases[i][1]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refit");
    TCase *tests = tcase_create("refit");
    tcase_add_checked_fixture(tests, fill_catalog, NULL);
    tcase_add_test(tests, every_identity_and_distribution_gets_its_fits);
    tcase_add_test(tests, the_same_catalog_gives_the_same_fits);
    tcase_add_test(tests, the_order_of_arrival_moves_nothing);
    tcase_add_test(tests, posted_points_beyond_the_device_are_implausible_shipped_ones_stand);
    tcase_add_test(tests, implausible_points_move_nothing);
    tcase_add_test(tests, another_point_makes_another_id_of_whatever_rests_on_it);
    tcase_add_test(tests, held_out_points_move_nothing);
    tcase_add_test(tests, points_of_what_the_catalog_lost_are_passed_over);
    tcase_add_test(tests, every_estimator_is_held_against_every_set);
    tcase_add_test(tests, held_out_sets_are_predicted_not_fitted);
    tcase_add_test(tests, a_batch_is_good_within_15_percent_or_one_query_and_never_at_0);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
