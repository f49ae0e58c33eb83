/* The numerical parts that laws stand on: block exponentials and logarithms against libm, searches
 * along a line, the bounded descent. */
#include "core/base/lbfgs.h"
#include "core/base/search.h"
#include "core/base/vector_math.h"
#include "tests/unit/check_main.h"

#include <math.h>

enum { BLOCKS = 2000 };

/* Distance in units of the last place of `want`. */
static double places(double got, long double want)
{
    int exponent;
    frexp((double)want, &exponent);
    return (double)fabsl((long double)got - want) / ldexp(1.0, exponent - 53);
}

START_TEST(block_exponentials_keep_their_bound)
{
    double x[LQ_BLOCK];
    double got[LQ_BLOCK];
    double worst = 0.0;
    for (int block = 0; block < BLOCKS; block++) {
        for (int i = 0; i < LQ_BLOCK; i++) {
            /* every other block near zero; the rest to the ends of the range */
            const double share = (double)(block * LQ_BLOCK + i) / (BLOCKS * LQ_BLOCK - 1);
            x[i] = (block % 2 == 0 ? 708.0 : 2.0) * (2.0 * share - 1.0);
        }
        lq_block_exp(x, got);
        for (int i = 0; i < LQ_BLOCK; i++) {
            worst = fmax(worst, places(got[i], expl((long double)x[i])));
        }
    }
    ck_assert_msg(worst <= 1.5, "%g places", worst);
    ck_assert_msg(worst > 0.5, "%g places: better than rounding, not believable", worst);
}
END_TEST

START_TEST(block_logarithms_keep_their_bound)
{
    double x[LQ_BLOCK];
    double got[LQ_BLOCK];
    double worst = 0.0;
    for (int block = 0; block < BLOCKS; block++) {
        for (int i = 0; i < LQ_BLOCK; i++) {
            const double share = (double)(block * LQ_BLOCK + i) / (BLOCKS * LQ_BLOCK - 1);
            x[i] = block % 2 == 0 ? exp(1400.0 * (share - 0.5)) : 0.5 + 1.5 * share;
        }
        lq_block_log(x, got);
        for (int i = 0; i < LQ_BLOCK; i++) {
            const long double want = logl((long double)x[i]);
            worst = fmax(worst, want == 0.0L ? fabs(got[i]) : places(got[i], want));
        }
    }
    ck_assert_msg(worst <= 1.5, "%g places", worst);
}
END_TEST

START_TEST(blocks_may_be_worked_in_place)
{
    double x[LQ_BLOCK];
    for (int i = 0; i < LQ_BLOCK; i++) {
        x[i] = 0.1 * i;
    }
    lq_block_exp(x, x);
    lq_block_log(x, x);
    for (int i = 0; i < LQ_BLOCK; i++) {
        ck_assert_double_eq_tol(x[i], 0.1 * i, 1e-15 * (1.0 + 0.1 * i));
    }
}
END_TEST

static double quartic(const void *context, double x)
{
    const double at = *(const double *)context;
    const double d = x - at;
    return 3.0 + d * d + d * d * d * d;
}

static double outside_is_nothing(const void *context, double x)
{
    return x < 1.0 ? (double)NAN : quartic(context, x);
}

START_TEST(minima_are_found_inside_and_at_the_ends)
{
    static const double AT[] = {2.0, -7.5, 20.0};
    static const double WANT[] = {2.0, -5.0, 10.0};
    for (size_t i = 0; i < 3; i++) {
        const struct lq_line line = {quartic, &AT[i]};
        double least;
        ck_assert_double_eq_tol(lq_search_minimum(&line, -5.0, 10.0, &least), WANT[i], 1e-6);
        ck_assert_double_eq_tol(least, quartic(&AT[i], WANT[i]), 1e-2);
    }
    const struct lq_line line = {outside_is_nothing, &AT[0]};
    double least;
    ck_assert_double_eq_tol(lq_search_minimum(&line, -5.0, 10.0, &least), 2.0, 1e-6);
}
END_TEST

static double cubic_less(const void *context, double x)
{
    return x * x * x - *(const double *)context;
}

START_TEST(crossings_are_exact_or_refused)
{
    static const double VALUE = 5.0;
    const struct lq_line line = {cubic_less, &VALUE};
    double x = -1.0;
    ck_assert(lq_search_crossing(&line, 0.0, 1000.0, &x));
    ck_assert_double_eq_tol(x, cbrt(5.0), 1e-12);
    x = -1.0;
    ck_assert(!lq_search_crossing(&line, 2.0, 1000.0, &x));
    ck_assert_double_eq(x, -1.0);
}
END_TEST

/* Rosenbrock's valley in n / 2 pairs. */
static double valley(const void *context, void *scratch, const double *x, double *gradient)
{
    const int n = *(const int *)context;
    double sum = 0.0;
    (void)scratch;
    for (int i = 0; i < n; i += 2) {
        const double bend = x[i + 1] - x[i] * x[i];
        const double rest = 1.0 - x[i];
        sum += 100.0 * bend * bend + rest * rest;
        gradient[i] = -400.0 * x[i] * bend - 2.0 * rest;
        gradient[i + 1] = 200.0 * bend;
    }
    return sum;
}

static struct lq_lbfgs_result descend(int n, double *x, double upper, int evaluations_max,
                                      enum lq_code want)
{
    double low[LQ_LBFGS_VARIABLES_MAX];
    double high[LQ_LBFGS_VARIABLES_MAX];
    struct lq_lbfgs_result result = {0};
    struct lq_error err = {0};
    for (int i = 0; i < n; i++) {
        low[i] = -10.0;
        high[i] = upper;
        x[i] = i % 2 == 0 ? -1.2 : 1.0;
    }
    const struct lq_lbfgs_problem problem = {valley, &n, NULL, n, low, high, evaluations_max};
    ck_assert_int_eq(lq_lbfgs(&problem, x, &result, &err), want);
    return result;
}

START_TEST(descents_reach_the_end_of_the_valley)
{
    double x[LQ_LBFGS_VARIABLES_MAX];
    for (int n = 2; n <= LQ_LBFGS_VARIABLES_MAX; n += 2) {
        const struct lq_lbfgs_result result = descend(n, x, 10.0, 2000, LQ_OK);
        for (int i = 0; i < n; i++) {
            ck_assert_double_eq_tol(x[i], 1.0, 1e-6);
        }
        ck_assert_int_lt(result.evaluations, 200);
    }
}
END_TEST

/* With x <= 0.8 the least of (1 - x)^2 along the valley is at the bound, 0.64 above it. */
START_TEST(descents_stop_at_bounds)
{
    double x[2];
    const struct lq_lbfgs_result result = descend(2, x, 0.8, 2000, LQ_OK);
    ck_assert_double_eq(x[0], 0.8);
    ck_assert_double_eq_tol(x[1], 0.64, 1e-6);
    ck_assert_double_eq_tol(result.value, 0.04, 1e-9);
}
END_TEST

START_TEST(descents_that_do_not_settle_say_so)
{
    double x[2];
    descend(2, x, 10.0, 5, LQ_EFIT);
}
END_TEST

static double nowhere(const void *context, void *scratch, const double *x, double *gradient)
{
    (void)context;
    (void)scratch;
    gradient[0] = x[0];
    return (double)NAN;
}

START_TEST(a_start_without_a_value_is_refused)
{
    double x = 0.0;
    const double low = -1.0;
    const double high = 1.0;
    struct lq_lbfgs_result result;
    struct lq_error err = {0};
    const struct lq_lbfgs_problem problem = {nowhere, NULL, NULL, 1, &low, &high, 100};
    ck_assert_int_eq(lq_lbfgs(&problem, &x, &result, &err), LQ_EFIT);
}
END_TEST

static Suite *numerics_suite(void)
{
    Suite *suite = suite_create("law_numerics");
    TCase *tcase = tcase_create("numerics");
    tcase_add_test(tcase, block_exponentials_keep_their_bound);
    tcase_add_test(tcase, block_logarithms_keep_their_bound);
    tcase_add_test(tcase, blocks_may_be_worked_in_place);
    tcase_add_test(tcase, minima_are_found_inside_and_at_the_ends);
    tcase_add_test(tcase, crossings_are_exact_or_refused);
    tcase_add_test(tcase, descents_reach_the_end_of_the_valley);
    tcase_add_test(tcase, descents_stop_at_bounds);
    tcase_add_test(tcase, descents_that_do_not_settle_say_so);
    tcase_add_test(tcase, a_start_without_a_value_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return run_suite(numerics_suite());
}
