/* Error measures against sorting, over random predictions with and without ties. */
#include "core/finetune/validation.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdlib.h>

enum { CASES = 3000, MOST = 60, STREAM = 40 };

static int by_value(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* n pairs; the lists are exactly as long as that, so that nothing beyond them can be read. */
static void check(int number, size_t n)
{
    double *predicted = malloc(n * sizeof *predicted);
    double *measured = malloc(n * sizeof *measured);
    double *scratch = malloc(n * sizeof *scratch);
    double *sorted = malloc(n * sizeof *sorted);
    ck_assert(predicted != NULL && measured != NULL && scratch != NULL && sorted != NULL);
    const bool ties = random_flag();
    double squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        measured[i] = ties ? 4.0 : 0.1 + random_share();
        predicted[i] = ties ? 4.0 + (double)random_between(-2, 2) : 2.0 * random_share();
        sorted[i] = fabs(predicted[i] / measured[i] - 1.0);
        squares += (predicted[i] - measured[i]) * (predicted[i] - measured[i]);
    }
    qsort(sorted, n, sizeof *sorted, by_value);
    const struct lq_errors e = lq_errors_of(predicted, measured, n, scratch);
    const double median = 0.5 * (sorted[n / 2] + sorted[(n - 1) / 2]);
    size_t rank = 1; /* the least whole number of pairs that are 90 % of them */
    while (10 * rank < 9 * n) {
        rank++;
    }
    ck_assert_msg(fabs(e.median - median) <= 1e-15 * median, "case %d: median %.17g, want %.17g",
                  number, e.median, median);
    ck_assert_msg(e.p90 == sorted[rank - 1], "case %d: p90 %.17g, want %.17g", number, e.p90,
                  sorted[rank - 1]);
    ck_assert_msg(fabs(e.rmse * e.rmse * (double)n - squares) <= 1e-12 * squares, "case %d",
                  number);
    ck_assert_msg(fabs(e.bias) <= e.mape * (1.0 + 1e-12), "case %d", number);
    free(predicted);
    free(measured);
    free(scratch);
    free(sorted);
}

START_TEST(medians_and_ninetieth_percentiles_are_those_of_the_sorted_list)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM, i);
        check(i, (size_t)random_between(1, MOST));
    }
}
END_TEST

int main(void)
{
    random_start();
    Suite *suite = suite_create("errors");
    TCase *tests = tcase_create("errors");
    tcase_add_test(tests, medians_and_ninetieth_percentiles_are_those_of_the_sorted_list);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
