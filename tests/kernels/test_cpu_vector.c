/* The exponential and the sums that the CPU backend's loops are made of. */
#include "kernels/cpu/vector.h"
#include "tests/kernels/reference.h"
#include "tests/unit/check_main.h"

#include <math.h>

static const int64_t LENGTHS[] = {0, 1, 3, 17, 129, 50001};
enum { LENGTH_COUNT = sizeof LENGTHS / sizeof LENGTHS[0] };

START_TEST(exponentials_keep_to_their_error)
{
    double worst = 0.0;
    for (int i = -86999; i <= 86999; i++) {
        const float x = (float)i * 1e-3F;
        worst = fmax(worst, fabs((double)lq_exp(x) / exp((double)x) - 1.0));
    }
    ck_assert_double_le(worst, 1e-7);
    ck_assert(lq_exp(0.0F) == 1.0F);
    ck_assert(isnan(lq_exp((float)NAN)));
    ck_assert(lq_exp(-HUGE_VALF) > 0.0F && lq_exp(-HUGE_VALF) < 1e-37F);
    ck_assert(lq_exp(HUGE_VALF) > 1e37F && isfinite(lq_exp(HUGE_VALF)));
}
END_TEST

START_TEST(sums_of_rows_keep_to_double)
{
    const size_t n = (size_t)LENGTHS[_i];
    const float *a = random_floats(n, 1, 1.0);
    const float *b = random_floats(n, 2, 1.0);
    double sum = 0.0;
    double size = 1e-30;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
        size += fabs((double)a[i] * (double)b[i]);
    }
    ck_assert_double_le(fabs(lq_dot(a, b, (int64_t)n) - sum), 1e-6 * size);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_vector");
    TCase *tests = tcase_create("cpu_vector");
    tcase_add_checked_fixture(tests, NULL, release_all);
    tcase_add_test(tests, exponentials_keep_to_their_error);
    tcase_add_loop_test(tests, sums_of_rows_keep_to_double, 0, LENGTH_COUNT);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
