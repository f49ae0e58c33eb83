/* Posted points that are off everything else: told by fits that have not seen them. */
#include "server/jobs/outliers.h"
#include "server/jobs/refit.h"
#include "tests/unit/check_main.h"
#include "tests/unit/refit_fixture.h"

#include <stdlib.h>
#include <string.h>

static void refit(void)
{
    struct lq_fit *fits = NULL;
    size_t n = 0;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit(&catalog, &fits, &n, &err), LQ_OK);
    free(fits);
}

/* The i-th run as if somebody had posted it, `times` as fast as it was. */
static struct lq_point *post(int i, double times)
{
    points[i].shipped = false;
    points[i].queries_per_s *= times;
    points[i].step_time_s /= times;
    return &points[i];
}

static size_t count_outliers(void)
{
    size_t count = 0;
    for (size_t i = 0; i < catalog.point_count; i++) {
        count += points[i].outlier;
    }
    return count;
}

START_TEST(posted_points_that_fit_are_no_outliers)
{
    for (int i = 0; i < RUNS; i++) {
        (void)post(i, 1.0);
    }
    refit();
    ck_assert_uint_eq(count_outliers(), 0);
}
END_TEST

START_TEST(a_point_off_by_more_than_three_is_an_outlier_in_either_direction)
{
    const struct lq_point *slow = post(3, 1.0 / 3.5);
    const struct lq_point *fast = post(RUNS + 5, 3.5);
    const struct lq_point *passable = post(7, 1.0 / 2.5);
    refit();
    ck_assert(slow->outlier && fast->outlier && !passable->outlier);
    ck_assert(!lq_point_counts(slow) && !lq_point_is_fitted(fast));
    ck_assert_uint_eq(count_outliers(), 2);
}
END_TEST

START_TEST(shipped_and_confirmed_points_are_never_outliers)
{
    struct lq_point *confirmed = post(3, 0.1);
    strcpy(confirmed->confirmed_at, "2026-07-20T10:00:00Z");
    points[9].shipped = true;
    points[9].queries_per_s *= 0.1;
    refit();
    ck_assert_uint_eq(count_outliers(), 0);
    ck_assert(lq_point_counts(confirmed));
}
END_TEST

START_TEST(what_is_excluded_does_not_count_however_confirmed)
{
    struct lq_point point = {.excluded = true, .confirmed_at = "2026-07-20T10:00:00Z"};
    ck_assert(!lq_point_counts(&point));
    point.excluded = false;
    ck_assert(lq_point_counts(&point));
    point.implausible = true;
    ck_assert(lq_point_counts(&point));
    point.confirmed_at[0] = '\0';
    ck_assert(!lq_point_counts(&point));
    point.implausible = false;
    point.outlier = true;
    ck_assert(!lq_point_counts(&point));
}
END_TEST

START_TEST(a_marked_outlier_changes_no_fit)
{
    struct lq_fit *with = NULL;
    struct lq_fit *without = NULL;
    size_t n = 0;
    size_t m = 0;
    struct lq_error err = {0};
    struct lq_point *odd = post(3, 0.05);
    ck_assert_int_eq(lq_refit(&catalog, &with, &n, &err), LQ_OK);
    ck_assert(odd->outlier);
    odd->excluded = true;
    odd->outlier = false;
    ck_assert_int_eq(lq_refit(&catalog, &without, &m, &err), LQ_OK);
    ck_assert_uint_eq(n, m);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(with[i].id, without[i].id);
        ck_assert_mem_eq(with[i].coefficient, without[i].coefficient, sizeof with[i].coefficient);
    }
    free(with);
    free(without);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outliers");
    TCase *tests = tcase_create("outliers");
    tcase_add_checked_fixture(tests, fill_catalog, NULL);
    tcase_add_test(tests, posted_points_that_fit_are_no_outliers);
    tcase_add_test(tests, a_point_off_by_more_than_three_is_an_outlier_in_either_direction);
    tcase_add_test(tests, shipped_and_confirmed_points_are_never_outliers);
    tcase_add_test(tests, what_is_excluded_does_not_count_however_confirmed);
    tcase_add_test(tests, a_marked_outlier_changes_no_fit);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
