/* Order statistics of known samples, and how many samples are taken. */
#include "kernels/measure/timing.h"
#include "tests/unit/check_main.h"

#include <math.h>

static struct lq_timing of(const double *seconds, int count)
{
    struct lq_samples samples = {.count = 0};
    for (int i = 0; i < count; i++) {
        lq_samples_add(&samples, seconds[i]);
    }
    return lq_samples_summarize(&samples);
}

START_TEST(quantiles_interpolate_between_neighbours_whatever_the_order)
{
    static const double SECONDS[] = {5.0, 1.0, 4.0, 2.0, 3.0};
    const struct lq_timing t = of(SECONDS, 5);
    ck_assert_int_eq(t.samples, 5);
    ck_assert_double_eq(t.median_s, 3.0);
    ck_assert_double_eq(t.least_s, 1.0);
    ck_assert_double_eq_tol(t.p95_s, 4.8, 1e-12);                /* place 3.8 of 0..4 */
    ck_assert_double_eq_tol(t.spread, (4.0 - 2.0) / 3.0, 1e-12); /* quartiles at places 1 and 3 */
}
END_TEST

START_TEST(the_median_of_an_even_number_lies_in_the_middle)
{
    static const double SECONDS[] = {4.0, 1.0, 2.0, 3.0};
    const struct lq_timing t = of(SECONDS, 4);
    ck_assert_double_eq_tol(t.median_s, 2.5, 1e-12);
    ck_assert_double_eq_tol(t.spread, (3.25 - 1.75) / 2.5, 1e-12);
}
END_TEST

START_TEST(one_sample_is_its_own_median_and_not_trusted)
{
    static const double SECONDS[] = {0.25};
    const struct lq_timing t = of(SECONDS, 1);
    ck_assert_double_eq(t.median_s, 0.25);
    ck_assert_double_eq(t.p95_s, 0.25);
    ck_assert_double_eq(t.least_s, 0.25);
    ck_assert_double_eq(t.spread, 0.0);
    ck_assert(lq_timing_is_noisy(&t));
}
END_TEST

START_TEST(no_samples_are_all_zero)
{
    const struct lq_timing t = of(NULL, 0);
    ck_assert_int_eq(t.samples, 0);
    ck_assert_double_eq(t.median_s, 0.0);
    ck_assert_double_eq(t.spread, 0.0);
    ck_assert(lq_timing_is_noisy(&t));
}
END_TEST

START_TEST(times_of_zero_have_no_spread)
{
    static const double SECONDS[] = {0.0, 0.0, 0.0};
    const struct lq_timing t = of(SECONDS, 3);
    ck_assert_double_eq(t.median_s, 0.0);
    ck_assert_double_eq(t.spread, 0.0);
}
END_TEST

START_TEST(a_median_known_to_a_twentieth_is_quiet)
{
    struct lq_timing t = {.median_s = 1.0, .samples = 5, .error = LQ_NOISY_ERROR};
    ck_assert(!lq_timing_is_noisy(&t));
    t.error = 1.01 * LQ_NOISY_ERROR;
    ck_assert(lq_timing_is_noisy(&t));
    static const double OUTLIER[] = {1.0, 1.0, 1.0, 1.0, 50.0};
    t = of(OUTLIER, 5);
    ck_assert(!lq_timing_is_noisy(&t)); /* one hiccup in five changes no median */
}
END_TEST

START_TEST(more_samples_of_the_same_spread_know_the_median_better)
{
    double seconds[48];
    for (int i = 0; i < 48; i++) {
        seconds[i] = 1.0 + 0.05 * (double)(i % 4 - 1);
    }
    const struct lq_timing few = of(seconds, 12);
    const struct lq_timing many = of(seconds, 48);
    ck_assert_double_eq_tol(few.spread, many.spread, 0.01);
    ck_assert_double_eq_tol(few.error, 1.85 * few.spread / sqrt(12.0), 1e-12);
    ck_assert_double_lt(many.error, 0.6 * few.error);
}
END_TEST

START_TEST(timings_agree_within_a_tenth_of_the_smaller)
{
    const struct lq_timing one = {.median_s = 1.0};
    const struct lq_timing near = {.median_s = 1.099};
    const struct lq_timing far = {.median_s = 1.101};
    ck_assert(lq_timings_agree(&one, &near) && lq_timings_agree(&near, &one));
    ck_assert(!lq_timings_agree(&one, &far) && !lq_timings_agree(&far, &one));
}
END_TEST

START_TEST(samples_beyond_the_room_are_dropped)
{
    struct lq_samples samples = {.count = 0};
    for (int i = 0; i < LQ_SAMPLES_MAX + 10; i++) {
        lq_samples_add(&samples, i < LQ_SAMPLES_MAX ? 1.0 : 99.0);
    }
    const struct lq_timing t = lq_samples_summarize(&samples);
    ck_assert_int_eq(t.samples, LQ_SAMPLES_MAX);
    ck_assert_double_eq(t.p95_s, 1.0);
}
END_TEST

START_TEST(samples_fill_the_budget_between_five_and_fifty)
{
    ck_assert_int_eq(lq_sample_count(0.1, 1.05), 10);
    ck_assert_int_eq(lq_sample_count(10.0, 1.0), 5);
    ck_assert_int_eq(lq_sample_count(HUGE_VAL, 1.0), 5);
    ck_assert_int_eq(lq_sample_count(1e-9, 3600.0), 50);
    ck_assert_int_eq(lq_sample_count(0.0, 1.0), 50);
    ck_assert_int_le(lq_sample_count(1e-300, 1e300), LQ_SAMPLES_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_timing");
    TCase *tc = tcase_create("timing");
    tcase_add_test(tc, quantiles_interpolate_between_neighbours_whatever_the_order);
    tcase_add_test(tc, the_median_of_an_even_number_lies_in_the_middle);
    tcase_add_test(tc, one_sample_is_its_own_median_and_not_trusted);
    tcase_add_test(tc, no_samples_are_all_zero);
    tcase_add_test(tc, times_of_zero_have_no_spread);
    tcase_add_test(tc, a_median_known_to_a_twentieth_is_quiet);
    tcase_add_test(tc, more_samples_of_the_same_spread_know_the_median_better);
    tcase_add_test(tc, timings_agree_within_a_tenth_of_the_smaller);
    tcase_add_test(tc, samples_beyond_the_room_are_dropped);
    tcase_add_test(tc, samples_fill_the_budget_between_five_and_fifty);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
