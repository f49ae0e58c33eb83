/* What devices reach of their catalog entries. */
#include "core/finetune/device.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>

static struct lq_gpu of_generation(const char *capability)
{
    struct lq_gpu gpu = tiny_gpu();
    snprintf(gpu.compute_capability, sizeof gpu.compute_capability, "%s", capability);
    return gpu;
}

START_TEST(a_missing_rate_falls_back_and_says_so)
{
    struct lq_gpu gpu = tiny_gpu();
    bool fallback = true;
    ck_assert_double_eq(lq_peak_flop_per_s(&gpu, LQ_PRECISION_BF16, &fallback), 100.0);
    ck_assert(!fallback);
    ck_assert_double_eq(lq_peak_flop_per_s(&gpu, LQ_PRECISION_FP8, &fallback), 100.0);
    ck_assert(fallback);
    ck_assert_double_eq(lq_peak_flop_per_s(&gpu, LQ_PRECISION_FP32, &fallback), 50.0);
    ck_assert(!fallback);
    gpu.tf32_flop_per_s = 70.0;
    gpu.fp8_flop_per_s = 200.0;
    ck_assert_double_eq(lq_peak_flop_per_s(&gpu, LQ_PRECISION_FP32, &fallback), 50.0);
    ck_assert_double_eq(lq_peak_flop_per_s(&gpu, LQ_PRECISION_FP8, &fallback), 200.0);
    ck_assert(!fallback);
    gpu.fp16_flop_per_s = 0.0;
    gpu.fp8_flop_per_s = 0.0;
    ck_assert_double_eq(lq_peak_flop_per_s(&gpu, LQ_PRECISION_FP16, &fallback), 50.0);
    ck_assert(fallback);
    ck_assert_double_eq(lq_peak_flop_per_s(&gpu, LQ_PRECISION_FP8, &fallback), 50.0);
    ck_assert(fallback);
    gpu.fp16_flop_per_s = 100.0;
    gpu.fp32_flop_per_s = 0.0;
    ck_assert_double_eq(lq_peak_flop_per_s(&gpu, LQ_PRECISION_FP32, &fallback), 100.0);
    ck_assert(fallback);
}
END_TEST

START_TEST(generations_reach_the_share_that_was_measured_on_them)
{
    /* ML Engineering's table of the largest matmuls; FlashAttention-2's forward and backward */
    const struct {
        const char *capability;
        double matmul;
        double attention;
    } measured[] = {{"8.0", 0.86, 190.0 / 312.0},
                    {"9.0", 0.79, 335.0 / 989.0},
                    {"10.0", 0.77, -1.0},
                    {"gfx942", 0.51, -1.0}};
    for (int i = 0; i < 4; i++) {
        const struct lq_gpu gpu = of_generation(measured[i].capability);
        assert_close("matmul", lq_achievable_share(&gpu, LQ_PRECISION_BF16), measured[i].matmul,
                     1e-12);
        if (measured[i].attention > 0.0) { /* kept to two digits */
            ck_assert_double_eq_tol(lq_attention_share(&gpu), measured[i].attention, 0.01);
        }
    }
}
END_TEST

START_TEST(every_share_is_one_and_attention_reaches_less_than_matmuls)
{
    const char *const known[] = {"7.0", "7.5", "8.0",  "8.6",    "8.7",    "8.9",
                                 "9.0", "10.", "12.0", "gfx942", "gfx90a", ""};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct lq_gpu gpu = of_generation(known[i]);
        const double share = lq_achievable_share(&gpu, LQ_PRECISION_BF16);
        ck_assert_double_gt(share, 0.0);
        ck_assert_double_lt(share, 1.0);
        ck_assert_double_gt(lq_attention_share(&gpu), 0.0);
        ck_assert_double_lt(lq_attention_share(&gpu), share);
    }
    /* B300 is of the family of B200; an unknown one is like none of the table */
    const struct lq_gpu b200 = of_generation("10.0");
    const struct lq_gpu b300 = of_generation("10.3");
    const struct lq_gpu unknown = of_generation("12.0");
    ck_assert_double_eq(lq_achievable_share(&b200, LQ_PRECISION_FP16),
                        lq_achievable_share(&b300, LQ_PRECISION_FP16));
    assert_close("unknown", lq_achievable_share(&unknown, LQ_PRECISION_FP16), 0.75, 1e-12);
}
END_TEST

START_TEST(eight_bit_reaches_less_of_its_higher_peak)
{
    struct lq_gpu gpu = of_generation("9.0");
    const double wide = lq_achievable_share(&gpu, LQ_PRECISION_BF16);
    /* without an 8-bit rate the 16-bit one is taken, and reached as ever */
    ck_assert_double_eq(lq_achievable_share(&gpu, LQ_PRECISION_FP8), wide);
    gpu.fp8_flop_per_s = 200.0;
    ck_assert_double_eq(lq_achievable_share(&gpu, LQ_PRECISION_BF16), wide);
    const double narrow = lq_achievable_share(&gpu, LQ_PRECISION_FP8);
    ck_assert_double_lt(narrow, wide);
    assert_close("still 1.3 times as fast", 2.0 * narrow / wide, 1.3, 1e-9);
}
END_TEST

START_TEST(less_power_makes_a_slower_chip)
{
    struct lq_gpu gpu = of_generation("9.0");
    const double matmul = lq_achievable_share(&gpu, LQ_PRECISION_BF16);
    const double attention = lq_attention_share(&gpu);
    gpu.tdp_w = 700.0; /* of the module it was measured on */
    ck_assert_double_eq(lq_achievable_share(&gpu, LQ_PRECISION_BF16), matmul);
    gpu.tdp_w = 1000.0; /* more makes none faster than its peak rate says */
    ck_assert_double_eq(lq_achievable_share(&gpu, LQ_PRECISION_BF16), matmul);
    gpu.tdp_w = 350.0;
    assert_close("PCIe card", lq_achievable_share(&gpu, LQ_PRECISION_BF16), matmul * sqrt(0.5),
                 1e-12);
    assert_close("attention", lq_attention_share(&gpu), attention * sqrt(0.5), 1e-12);
    struct lq_gpu other = of_generation("8.9"); /* measured on none in particular */
    const double any = lq_achievable_share(&other, LQ_PRECISION_BF16);
    other.tdp_w = 72.0;
    ck_assert_double_eq(lq_achievable_share(&other, LQ_PRECISION_BF16), any);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device");
    TCase *tests = tcase_create("device");
    tcase_add_test(tests, a_missing_rate_falls_back_and_says_so);
    tcase_add_test(tests, generations_reach_the_share_that_was_measured_on_them);
    tcase_add_test(tests, every_share_is_one_and_attention_reaches_less_than_matmuls);
    tcase_add_test(tests, eight_bit_reaches_less_of_its_higher_peak);
    tcase_add_test(tests, less_power_makes_a_slower_chip);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
