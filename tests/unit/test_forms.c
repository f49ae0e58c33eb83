/* The paper's forms, as fitted and as printed, and the memory model's fitted factor. */
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

/* 10 bytes are held and lost, and rows of one token take 2 each; what is lost is 4. */
static const struct lq_memory COUNTED = {.weights_bytes = 6.0,
                                         .saved_token_bytes = 2.0,
                                         .context_bytes = 4.0,
                                         .scope = LQ_MEMORY_DEVICE};

/* The largest batch on a device of `capacity` bytes where factors are what they are. */
static struct lq_memory_observation largest_batch(double activation, double overhead,
                                                  double capacity)
{
    struct lq_memory_factors truth = LQ_MEMORY_FACTORS_ONE;
    truth.activation = activation;
    truth.overhead = overhead;
    return (struct lq_memory_observation){
        .memory = COUNTED,
        .kind = LQ_MEMORY_LARGEST,
        .batch_size = (double)lq_memory_max_batch(&COUNTED, &truth, capacity, 1),
        .row_tokens = 1.0,
        .held_bytes = capacity};
}

static struct lq_memory_observation peak(double batch, double bytes)
{
    return (struct lq_memory_observation){.memory = COUNTED,
                                          .kind = LQ_MEMORY_PEAK,
                                          .batch_size = batch,
                                          .row_tokens = 1.0,
                                          .held_bytes = bytes};
}

static struct lq_fit fit_memory(const struct lq_memory_observation *o, size_t n)
{
    struct lq_fit fit = {.coefficients = 0};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_fit_memory(o, n, &fit, &err), LQ_OK);
    return fit;
}

START_TEST(largest_batches_tell_activations_from_overhead)
{
    const double capacity[] = {40.0, 48.0, 80.0, 21.0, 241.0};
    struct lq_memory_observation o[5];
    for (int i = 0; i < 5; i++) {
        o[i] = largest_batch(1.3, 1.8, capacity[i]);
    }
    const struct lq_fit fit = fit_memory(o, 5);
    const struct lq_memory_factors factors = lq_fit_memory_factors(&fit);
    for (int i = 0; i < 5; i++) { /* clean data are all reproduced, within what is allowed */
        const double batch = (double)lq_memory_max_batch(&COUNTED, &factors, o[i].held_bytes, 1);
        ck_assert_double_eq_tol(batch, o[i].batch_size, 1.0);
    }
    ck_assert_int_eq(fit.kind, LQ_FIT_MEMORY);
    ck_assert_int_eq(fit.objective, LQ_OBJECTIVE_MINIMAX);
    ck_assert_int_eq(fit.coefficients, 3);
    ck_assert_uint_eq(fit.points, 5);
    ck_assert_double_eq(fit.prior[0], 1.0);
    ck_assert_double_eq(fit.prior[2], 1.0);
    ck_assert_double_lt(fit.mape, 0.05);
}
END_TEST

START_TEST(one_largest_batch_is_met)
{
    for (double activation = 0.5; activation < 3.0; activation += 0.1) {
        const struct lq_memory_observation o = largest_batch(activation, 1.0, 60.0);
        const struct lq_fit fit = fit_memory(&o, 1);
        const struct lq_memory_factors factors = lq_fit_memory_factors(&fit);
        const double batch = (double)lq_memory_max_batch(&COUNTED, &factors, 60.0, 1);
        ck_assert_msg(fabs(batch - o.batch_size) <= fmax(1.0, 0.15 * o.batch_size),
                      "batch %g: factors %g and %g give %g", o.batch_size, factors.activation,
                      factors.overhead, batch);
    }
}
END_TEST

START_TEST(a_peak_is_met_exactly)
{
    const struct lq_memory_observation o = peak(4.0, 21.0);
    const struct lq_fit fit = fit_memory(&o, 1);
    const struct lq_memory_factors factors = lq_fit_memory_factors(&fit);
    assert_close("peak", lq_memory_total_bytes(&COUNTED, &factors, 4.0, 1.0), 21.0, 1e-4);
    ck_assert_double_gt(factors.activation, 1.1); /* both move, neither alone */
    ck_assert_double_gt(factors.overhead, 1.1);
}
END_TEST

START_TEST(contradicting_peaks_are_missed_by_the_same_ratio)
{
    const struct lq_memory_observation o[] = {peak(10.0, 30.0), peak(10.0, 50.0)};
    const struct lq_fit fit = fit_memory(o, 2);
    assert_close("residual", fit.residual_log, 0.5 * log(5.0 / 3.0), 1e-2);
    ck_assert_double_gt(fit.belief.covariance[0], 0.0);
    ck_assert_double_gt(fit.belief.covariance[LQ_FACTORS_MAX + 1], 0.0);
    ck_assert_double_eq_tol(fit.bias, 0.0, 1e-2);
}
END_TEST

START_TEST(a_batch_that_did_not_fit_bounds_from_one_side)
{
    struct lq_memory_observation o = peak(20.0, 60.0);
    o.kind = LQ_MEMORY_TOO_LARGE; /* counted at 50: it took more */
    const struct lq_fit more = fit_memory(&o, 1);
    struct lq_memory_factors factors = lq_fit_memory_factors(&more);
    ck_assert_double_ge(lq_memory_total_bytes(&COUNTED, &factors, 20.0, 1.0), 60.0 * 0.98);
    o.held_bytes = 40.0; /* as counted: nothing to learn */
    const struct lq_fit same = fit_memory(&o, 1);
    factors = lq_fit_memory_factors(&same);
    ck_assert_double_eq_tol(factors.activation, 1.0, 1e-3);
    ck_assert_double_eq_tol(factors.overhead, 1.0, 1e-3);
}
END_TEST

START_TEST(observations_that_say_nothing_are_left_out)
{
    struct lq_memory_observation o[] = {peak(4.0, 5.0), peak(4.0, 20.0), peak(0.0, 20.0),
                                        peak(4.0, 21.0)};
    o[1].row_tokens = 0.0;
    struct lq_fit fit = {.coefficients = 0};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_fit_memory(o, 3, &fit, &err), LQ_EFIT);
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_fit_memory(o, 0, &fit, &err), LQ_EFIT);
    ck_assert_uint_eq(fit_memory(o, 4).points, 1);
    ck_assert_double_eq(lq_fit_memory_factors(NULL).activation, 1.0);
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
    tcase_add_test(tests, largest_batches_tell_activations_from_overhead);
    tcase_add_test(tests, one_largest_batch_is_met);
    tcase_add_test(tests, a_peak_is_met_exactly);
    tcase_add_test(tests, contradicting_peaks_are_missed_by_the_same_ratio);
    tcase_add_test(tests, a_batch_that_did_not_fit_bounds_from_one_side);
    tcase_add_test(tests, observations_that_say_nothing_are_left_out);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
