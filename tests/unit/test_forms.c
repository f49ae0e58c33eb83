/* The paper's forms, as fitted and as printed. */
#include "core/finetune/fit.h"
#include "core/finetune/xia2024.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

/* Xia et al. 2024: pairs of section V-A and of analytical_capacity/plot.py; model sizes of Table I.
 */
START_TEST(equation_1_gives_the_batches_of_the_code)
{
    const struct lq_xia2024_batch *code = lq_xia2024_batch_find("mixtral-8x7b", false);
    ck_assert_double_eq(code->c0, 62.0);
    ck_assert_double_eq(code->c1, 0.89);
    ck_assert_double_eq(code->model_gb, 23.35);
    const double gpu_gb[] = {40.0, 48.0, 80.0, 24.0, 23.0};
    const int64_t batches[] = {6, 8, 20, 0, 0};
    for (int i = 0; i < 5; i++) {
        const int64_t got = lq_xia2024_max_batch(code, gpu_gb[i], 512.0, 0.25);
        ck_assert_msg(got == batches[i], "%g GB: got %lld, want %lld", gpu_gb[i], (long long)got,
                      (long long)batches[i]);
    }
}
END_TEST

START_TEST(the_printed_pairs_are_kept_apart)
{
    const struct lq_xia2024_batch *printed = lq_xia2024_batch_find("mixtral-8x7b", true);
    ck_assert_double_eq(printed->c0, 82.0);
    ck_assert_double_eq(printed->c1, 0.95);
    const struct lq_xia2024_batch *mamba = lq_xia2024_batch_find("blackmamba-2.8b", true);
    ck_assert_double_eq(mamba->c0, 83.0);
    ck_assert_double_eq(mamba->c1, 0.88);
    ck_assert_ptr_eq(lq_xia2024_batch_find("blackmamba-2.8b", false), mamba); /* it has no other */
    ck_assert_ptr_null(lq_xia2024_batch_find("dbrx", false));
    ck_assert_double_eq(lq_xia2024_c3("mixtral-8x7b"), 1.8);
    ck_assert_double_eq(lq_xia2024_c3("blackmamba-2.8b"), 2.5);
    ck_assert_double_eq(lq_xia2024_c3("dbrx"), 1.0);
}
END_TEST

START_TEST(the_forms_are_as_they_stand_in_code_and_print)
{
    const double c[] = {0.3, 0.4};
    assert_close("fitted", lq_xia2024_rate(c, 1.8, 8.0, 0.25), 0.3 + 0.4 * log(8.0) / (0.25 * 1.8),
                 1e-12);
    assert_close("printed", lq_xia2024_printed_rate(c, 1.8, 8.0, 0.25),
                 0.3 * log(8.0 / (0.25 * 1.8)) + 0.4, 1e-12);
}
END_TEST

enum { POINTS = 8 };

/* Batches 1, 2, 4, 8 with 2 and with 8 of 8 experts, at rates of a form with coefficients a, b. */
static void observe(enum lq_fit_kind kind, double a, double b, struct lq_observation out[POINTS])
{
    const double c[] = {a, b};
    for (int i = 0; i < POINTS; i++) {
        const double batch = (double)(1 << i % 4);
        const double sparsity = i < 4 ? 0.25 : 1.0;
        out[i] = (struct lq_observation){.batch_size = batch, .active_experts = 8.0 * sparsity};
        out[i].queries_per_s = kind == LQ_FIT_XIA2024
                                   ? lq_xia2024_rate(c, 1.8, batch, sparsity)
                                   : lq_xia2024_printed_rate(c, 1.8, batch, sparsity);
    }
}

START_TEST(a_form_gives_back_the_coefficients_of_clean_data)
{
    const enum lq_fit_kind kind = _i == 0 ? LQ_FIT_XIA2024 : LQ_FIT_XIA2024_PRINTED;
    struct lq_observation o[POINTS];
    observe(kind, 0.35, 0.6, o);
    struct lq_fit fit = {.coefficients = 0};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_fit_xia2024(kind, o, POINTS, 8.0, 1.8, &fit, &err), LQ_OK);
    assert_close("first", fit.coefficient[0], 0.35, 1e-9);
    assert_close("second", fit.coefficient[1], 0.6, 1e-9);
    ck_assert_int_eq(fit.kind, kind);
    ck_assert_int_eq(fit.coefficients, 2);
    ck_assert_double_eq(fit.constant, 1.8);
    ck_assert_double_lt(fit.rmse_queries_per_s, 1e-9);
    assert_close("predicted", lq_fit_predict(&fit, &o[3], 8.0), o[3].queries_per_s, 1e-9);
}
END_TEST

START_TEST(a_dense_model_has_sparsity_one)
{
    struct lq_observation o[POINTS];
    observe(LQ_FIT_XIA2024, 0.35, 0.6, o);
    struct lq_fit fit = {.coefficients = 0};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_fit_xia2024(LQ_FIT_XIA2024, &o[4], 4, 0.0, 1.8, &fit, &err), LQ_OK);
    assert_close("slope", fit.coefficient[1], 0.6, 1e-9);
}
END_TEST

START_TEST(one_abscissa_determines_no_slope)
{
    struct lq_observation o[POINTS];
    observe(LQ_FIT_XIA2024, 0.35, 0.6, o);
    o[1].batch_size = o[0].batch_size;
    const enum lq_fit_kind kinds[] = {LQ_FIT_XIA2024, LQ_FIT_XIA2024_PRINTED};
    for (int i = 0; i < 2; i++) {
        for (size_t n = 0; n <= 2; n++) {
            struct lq_fit fit = {.coefficients = 0};
            struct lq_error err = {0};
            ck_assert_int_eq(lq_fit_xia2024(kinds[i], o, n, 8.0, 1.8, &fit, &err), LQ_EFIT);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forms");
    TCase *tests = tcase_create("forms");
    tcase_add_test(tests, equation_1_gives_the_batches_of_the_code);
    tcase_add_test(tests, the_printed_pairs_are_kept_apart);
    tcase_add_test(tests, the_forms_are_as_they_stand_in_code_and_print);
    tcase_add_loop_test(tests, a_form_gives_back_the_coefficients_of_clean_data, 0, 2);
    tcase_add_test(tests, a_dense_model_has_sparsity_one);
    tcase_add_test(tests, one_abscissa_determines_no_slope);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
