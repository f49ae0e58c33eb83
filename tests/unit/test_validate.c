/* How every estimator is held against a catalog of points made of known factors. */
#include "server/jobs/validate.h"
#include "tests/unit/check_main.h"
#include "tests/unit/refit_fixture.h"

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
    Suite *suite = suite_create("validate");
    TCase *tests = tcase_create("validate");
    tcase_add_checked_fixture(tests, fill_catalog, NULL);
    tcase_add_test(tests, every_estimator_is_held_against_every_set);
    tcase_add_test(tests, held_out_sets_are_predicted_not_fitted);
    tcase_add_test(tests, a_batch_is_good_within_15_percent_or_one_query_and_never_at_0);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
