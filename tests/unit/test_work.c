/* The work of a step of models that were counted by hand, and the seconds it makes of a device. */
#include "core/finetune/cost.h"
#include "core/finetune/interval.h"
#include "core/finetune/step_time.h"
#include "core/finetune/work.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

static const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
static const struct lq_method LORA = {
    .kind = LQ_METHOD_LORA, .rank = 2, .targets = LQ_TARGETS_ATTENTION};

static struct lq_work_table count(const struct lq_method *method,
                                  enum lq_checkpointing checkpointing)
{
    const struct lq_model model = tiny_moe();
    const struct lq_training training = {.checkpointing = checkpointing, .accumulation_steps = 1};
    return lq_work_count(&model, method, &training, lq_stack_default());
}

#define FORWARD(table, name) ((table).term[LQ_TERM_##name][LQ_STAGE_FORWARD])
#define BACKWARD(table, name) ((table).term[LQ_TERM_##name][LQ_STAGE_BACKWARD])

/* Cells of tiny_moe: attention 5 * 192, dense MLP 3 * 384, router 2 * 32, one expert in both layers
 * 2 * 288, all of them 2 * 4 * 288, head 10 * 8. */
enum { ATTENTION = 960, MLP = 1152, ROUTER = 64, ONE_EXPERT = 576, EXPERTS = 2304, HEAD = 80 };

START_TEST(full_tuning_runs_backward_at_twice_the_forward)
{
    const struct lq_work_table w = count(&FULL, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(FORWARD(w, ATTENTION).token_flop, 2.0 * ATTENTION);
    ck_assert_double_eq(BACKWARD(w, ATTENTION).token_flop, 4.0 * ATTENTION);
    ck_assert_double_eq(FORWARD(w, MLP).token_flop, 2.0 * MLP);
    ck_assert_double_eq(BACKWARD(w, MLP).token_flop, 4.0 * MLP);
    ck_assert_double_eq(FORWARD(w, ROUTER).token_flop, 2.0 * ROUTER);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).expert_token_flop, 2.0 * ONE_EXPERT);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).token_flop, 0.0);
    ck_assert_double_eq(BACKWARD(w, EXPERT_MATMUL).expert_token_flop, 4.0 * ONE_EXPERT);
    ck_assert_double_eq(FORWARD(w, HEAD).token_flop, 2.0 * HEAD);
    ck_assert_double_eq(BACKWARD(w, HEAD).token_flop, 4.0 * HEAD);
    ck_assert_double_eq(FORWARD(w, LORA).token_flop, 0.0);
}
END_TEST

START_TEST(frozen_weights_need_no_weight_gradient)
{
    const struct lq_work_table w = count(&LORA, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(BACKWARD(w, ATTENTION).token_flop, 2.0 * ATTENTION);
    ck_assert_double_eq(BACKWARD(w, EXPERT_MATMUL).expert_token_flop, 2.0 * ONE_EXPERT);
    ck_assert_double_eq(BACKWARD(w, HEAD).token_flop, 2.0 * HEAD);
    /* adapters are trained: 2 FLOPs * rank 2 * 56 features * 5 layers, twice that in backward */
    ck_assert_double_eq(FORWARD(w, LORA).token_flop, 2.0 * 2.0 * 56.0 * 5.0);
    ck_assert_double_eq(BACKWARD(w, LORA).token_flop, 2.0 * FORWARD(w, LORA).token_flop);
}
END_TEST

START_TEST(full_checkpointing_adds_one_forward_of_the_layers)
{
    const struct lq_work_table w = count(&FULL, LQ_CHECKPOINTING_FULL);
    ck_assert_double_eq(FORWARD(w, ATTENTION).token_flop, 2.0 * ATTENTION);
    ck_assert_double_eq(BACKWARD(w, ATTENTION).token_flop, 6.0 * ATTENTION);
    ck_assert_double_eq(BACKWARD(w, EXPERT_MATMUL).expert_token_flop, 6.0 * ONE_EXPERT);
    ck_assert_double_eq(BACKWARD(w, HEAD).token_flop, 4.0 * HEAD); /* lies outside the layers */
    const struct lq_work_table some = count(&FULL, LQ_CHECKPOINTING_SELECTIVE);
    ck_assert_double_gt(BACKWARD(some, MLP).token_flop, 4.0 * MLP);
    ck_assert_double_lt(BACKWARD(some, MLP).token_flop, 6.0 * MLP);
}
END_TEST

START_TEST(causal_scores_cost_half_of_all_pairs)
{
    const struct lq_work_table w = count(&FULL, LQ_CHECKPOINTING_NONE);
    /* scores and their use: 2 * 2 FLOPs * 8 elements per pair, half masked, five layers */
    ck_assert_double_eq(FORWARD(w, ATTENTION).score_flop, 16.0 * 5.0);
    ck_assert_double_eq(BACKWARD(w, ATTENTION).score_flop, 2.5 * 16.0 * 5.0);
}
END_TEST

START_TEST(weights_are_read_whole_in_every_pass)
{
    const struct lq_work_table w = count(&LORA, LQ_CHECKPOINTING_FULL);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).weight_bytes, 2.0 * EXPERTS);
    ck_assert_double_eq(BACKWARD(w, EXPERT_MATMUL).weight_bytes, 2.0 * 2.0 * EXPERTS);
    ck_assert_double_eq(FORWARD(w, ATTENTION).weight_bytes, 2.0 * ATTENTION);
    ck_assert_double_eq(FORWARD(w, DEQUANTIZATION).weight_bytes, 0.0);
}
END_TEST

START_TEST(quantised_weights_are_read_small_and_written_and_read_large)
{
    struct lq_method method = LORA;
    method.kind = LQ_METHOD_QLORA;
    method.quantization = LQ_QUANTIZATION_NF4;
    const struct lq_work_table w = count(&method, LQ_CHECKPOINTING_NONE);
    const double per_cell = 0.5625 + 2.0 * 2.0;
    ck_assert_double_eq(FORWARD(w, EXPERT_DEQUANTIZATION).weight_bytes, EXPERTS * per_cell);
    ck_assert_double_eq(BACKWARD(w, EXPERT_DEQUANTIZATION).weight_bytes, EXPERTS * per_cell);
    ck_assert_double_eq(FORWARD(w, DEQUANTIZATION).weight_bytes,
                        (ATTENTION + MLP + ROUTER) * per_cell);
    ck_assert_double_eq(FORWARD(w, EXPERT_MATMUL).weight_bytes, 0.0);
    ck_assert_double_eq(FORWARD(w, HEAD).weight_bytes, 2.0 * HEAD); /* is not quantised */
}
END_TEST

START_TEST(calls_are_counted_by_what_runs_in_them)
{
    const struct lq_work_table w = count(&LORA, LQ_CHECKPOINTING_FULL);
    ck_assert_double_eq(FORWARD(w, OVERHEAD).lora_calls, 4.0 * 5.0);
    /* MLP 3 * 3, routers 2, head 1 */
    ck_assert_double_eq(FORWARD(w, OVERHEAD).linear_calls, 9.0 + 2.0 + 1.0);
    ck_assert_double_eq(BACKWARD(w, OVERHEAD).linear_calls, 2.0 * (9.0 + 2.0) + 1.0);
    ck_assert_double_eq(FORWARD(w, EXPERT_OVERHEAD).linear_calls, 2.0 * 4.0 * 3.0);
    ck_assert_double_eq(FORWARD(w, EXPERT_OVERHEAD).expert_calls, 2.0 * 4.0);
    ck_assert_double_eq(BACKWARD(w, EXPERT_OVERHEAD).expert_calls, 2.0 * 2.0 * 4.0);
    struct lq_method method = {.kind = LQ_METHOD_QLORA,
                               .rank = 2,
                               .targets = LQ_TARGETS_EXPERTS,
                               .quantization = LQ_QUANTIZATION_NF4};
    const struct lq_work_table q = count(&method, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(FORWARD(q, EXPERT_OVERHEAD).quantized_calls, 2.0 * 4.0 * 3.0);
    ck_assert_double_eq(FORWARD(q, OVERHEAD).quantized_calls, 0.0);
}
END_TEST

START_TEST(the_optimizer_streams_weights_gradients_and_states)
{
    /* full, 16 bit: weights read and written, gradients read, two moments read and written */
    const struct lq_work_table full = count(&FULL, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(full.term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER].weight_bytes,
                        4728.0 * (3.0 * 2.0 + 2.0 * 4.0));
    const struct lq_work_table lora = count(&LORA, LQ_CHECKPOINTING_NONE);
    ck_assert_double_eq(lora.term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER].weight_bytes,
                        560.0 * (3.0 * 4.0 + 2.0 * 8.0));
}
END_TEST

START_TEST(a_mamba_layer_projects_convolves_and_scans)
{
    const struct lq_model model = tiny_mamba();
    const struct lq_training training = {.accumulation_steps = 1};
    const struct lq_work_table w = lq_work_count(&model, &FULL, &training, lq_stack_default());
    /* in 32 x 8, x 8 x 16, dt 16 x 2, out 8 x 16; scan 9 * 3 and convolution 2 * 4 per channel */
    ck_assert_double_eq(FORWARD(w, MAMBA).token_flop,
                        2.0 * (2.0 * (256.0 + 128.0 + 32.0 + 128.0) + 16.0 * (27.0 + 8.0)));
    ck_assert_double_eq(FORWARD(w, ATTENTION).score_flop, 0.0);
}
END_TEST

START_TEST(the_experts_terms_are_the_mixture)
{
    const enum lq_term moe[] = {LQ_TERM_ROUTER, LQ_TERM_EXPERT_MATMUL, LQ_TERM_SHARED_EXPERT,
                                LQ_TERM_EXPERT_DEQUANTIZATION, LQ_TERM_EXPERT_OVERHEAD};
    int found = 0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        found += lq_term_is_moe((enum lq_term)t) ? 1 : 0;
        ck_assert_ptr_nonnull(LQ_TERM_NAMES[t]);
    }
    for (int i = 0; i < 5; i++) {
        ck_assert(lq_term_is_moe(moe[i]));
    }
    ck_assert_int_eq(found, 5);
    ck_assert_ptr_null(LQ_TERM_NAMES[LQ_TERM_COUNT]);
}
END_TEST

static struct lq_step_time prior_on(const struct lq_work_table *w, int64_t gpus, int64_t steps,
                                    int64_t window)
{
    static struct lq_gpu gpu;
    gpu = tiny_gpu();
    const struct lq_step_device device = {.gpu = &gpu,
                                          .stack = &TINY_STACK,
                                          .gpu_count = gpus,
                                          .gradient_bytes = 400.0,
                                          .accumulation_steps = steps,
                                          .row_tokens = 10.0,
                                          .window_tokens = window};
    return lq_step_prior(w, &device);
}

START_TEST(seconds_are_work_over_what_the_stack_gets_out_of_the_device)
{
    const struct lq_work_table w = count(&LORA, LQ_CHECKPOINTING_NONE);
    const struct lq_step_time s = prior_on(&w, 1, 1, 0);
    /* half of 100 FLOP/s and of 10 B/s */
    assert_close("t1", FORWARD(s, MLP).token_s, 2.0 * MLP / 50.0, 1e-12);
    assert_close("t0", FORWARD(s, MLP).fixed_s, 2.0 * MLP / 5.0, 1e-12);
    assert_close("scores", FORWARD(s, ATTENTION).token_s, (2.0 * ATTENTION + 80.0 * 10.0) / 50.0,
                 1e-12);
    assert_close("experts", FORWARD(s, EXPERT_MATMUL).expert_token_s, 2.0 * ONE_EXPERT / 50.0,
                 1e-12);
    assert_close("calls", FORWARD(s, OVERHEAD).fixed_s, 12.0 * 1.0 + 20.0 * 2.0, 1e-12);
    assert_close("expert calls", FORWARD(s, EXPERT_OVERHEAD).fixed_s, 24.0 * 1.0 + 8.0 * 10.0,
                 1e-12);
    struct lq_step_coefficients sum = {0};
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        for (int g = 0; g < LQ_STAGE_COUNT; g++) {
            sum.fixed_s += s.term[t][g].fixed_s;
            sum.token_s += s.term[t][g].token_s;
            sum.expert_token_s += s.term[t][g].expert_token_s;
        }
    }
    assert_close("total t0", s.total.fixed_s, sum.fixed_s, 1e-12);
    assert_close("total t1", s.total.token_s, sum.token_s, 1e-12);
    assert_close("total t1e", s.total.expert_token_s, sum.expert_token_s, 1e-12);
}
END_TEST

START_TEST(a_window_bounds_what_scores_see)
{
    const struct lq_work_table w = count(&FULL, LQ_CHECKPOINTING_NONE);
    const struct lq_step_time narrow = prior_on(&w, 1, 1, 4);
    const struct lq_step_time wide = prior_on(&w, 1, 1, 40);
    assert_close("narrow", FORWARD(narrow, ATTENTION).token_s,
                 (2.0 * ATTENTION + 80.0 * 4.0) / 50.0, 1e-12);
    assert_close("wide", FORWARD(wide, ATTENTION).token_s, (2.0 * ATTENTION + 80.0 * 10.0) / 50.0,
                 1e-12);
}
END_TEST

START_TEST(accumulation_shares_the_optimizer_and_the_reduction)
{
    const struct lq_work_table w = count(&LORA, LQ_CHECKPOINTING_NONE);
    const struct lq_step_time s = prior_on(&w, 4, 8, 0);
    assert_close("optimizer", s.term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER].fixed_s,
                 560.0 * 28.0 / 5.0 / 8.0, 1e-12);
    /* ring: 2 * 3/4 of the gradients over one direction of 4 B/s */
    assert_close("all-reduce", s.term[LQ_TERM_ALL_REDUCE][LQ_STAGE_OPTIMIZER].fixed_s,
                 1.5 * 400.0 / 4.0 / 8.0, 1e-12);
    ck_assert_double_eq(prior_on(&w, 1, 1, 0).term[LQ_TERM_ALL_REDUCE][LQ_STAGE_OPTIMIZER].fixed_s,
                        0.0);
}
END_TEST

START_TEST(scaled_terms_sum_to_the_target)
{
    const struct lq_work_table w = count(&LORA, LQ_CHECKPOINTING_FULL);
    struct lq_step_time s = prior_on(&w, 1, 1, 0);
    const struct lq_step_coefficients target = {7.0, 0.5, 0.25};
    lq_step_scale(&s, &target);
    double seconds = 0.0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        for (int g = 0; g < LQ_STAGE_COUNT; g++) {
            seconds += lq_step_seconds(&s.term[t][g], 20.0, 2.0);
        }
    }
    assert_close("sum", seconds, 7.0 + (0.5 + 2.0 * 0.25) * 20.0, 1e-12);
    assert_close("total", lq_step_seconds(&s.total, 20.0, 2.0), seconds, 1e-12);
    ck_assert_double_eq(FORWARD(s, ROUTER).expert_token_s, 0.0); /* had no such work */
}
END_TEST

START_TEST(the_larger_part_of_a_term_bounds_it)
{
    const struct lq_step_coefficients c = {1.0, 0.1, 0.0};
    ck_assert_int_eq(lq_step_bound(LQ_TERM_MLP, &c, 5.0, 2.0), LQ_BOUND_MEMORY);
    ck_assert_int_eq(lq_step_bound(LQ_TERM_MLP, &c, 20.0, 2.0), LQ_BOUND_COMPUTE);
    ck_assert_int_eq(lq_step_bound(LQ_TERM_OVERHEAD, &c, 20.0, 2.0), LQ_BOUND_OVERHEAD);
    ck_assert_int_eq(lq_step_bound(LQ_TERM_EXPERT_OVERHEAD, &c, 5.0, 2.0), LQ_BOUND_OVERHEAD);
    ck_assert_int_eq(lq_step_bound(LQ_TERM_ALL_REDUCE, &c, 5.0, 2.0), LQ_BOUND_NETWORK);
}
END_TEST

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
    ck_assert_double_eq(lq_peak_flop_per_s(&gpu, LQ_PRECISION_FP16, &fallback), 50.0);
    ck_assert(fallback);
}
END_TEST

START_TEST(whole_instances_are_paid)
{
    const struct lq_offer eight = {8, 16.0};
    const struct lq_cost ten = lq_cost_of(&eight, 10, 1800.0);
    ck_assert_int_eq(ten.instances, 2);
    ck_assert_int_eq(ten.idle_gpus, 6);
    ck_assert_double_eq(ten.usd_per_gpu_h, 2.0);
    ck_assert_double_eq(ten.cost_usd, 16.0); /* two for half an hour */
    const struct lq_offer one = {1, 0.79};
    const struct lq_cost single = lq_cost_of(&one, 1, 3600.0);
    ck_assert_int_eq(single.instances, 1);
    ck_assert_int_eq(single.idle_gpus, 0);
    assert_close("cost", single.cost_usd, 0.79, 1e-12);
}
END_TEST

START_TEST(intervals_are_symmetric_in_logarithms)
{
    ck_assert_double_eq_tol(lq_interval_z(0.9), 1.6448536269514722, 1e-10);
    ck_assert_double_eq_tol(lq_interval_z(0.95), 1.9599639845400545, 1e-10);
    double bounds[2];
    lq_interval_around(10.0, log(2.0), 1.0, bounds);
    assert_close("low", bounds[0], 5.0, 1e-12);
    assert_close("high", bounds[1], 20.0, 1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("work");
    TCase *tests = tcase_create("work");
    tcase_add_test(tests, full_tuning_runs_backward_at_twice_the_forward);
    tcase_add_test(tests, frozen_weights_need_no_weight_gradient);
    tcase_add_test(tests, full_checkpointing_adds_one_forward_of_the_layers);
    tcase_add_test(tests, causal_scores_cost_half_of_all_pairs);
    tcase_add_test(tests, weights_are_read_whole_in_every_pass);
    tcase_add_test(tests, quantised_weights_are_read_small_and_written_and_read_large);
    tcase_add_test(tests, calls_are_counted_by_what_runs_in_them);
    tcase_add_test(tests, the_optimizer_streams_weights_gradients_and_states);
    tcase_add_test(tests, a_mamba_layer_projects_convolves_and_scans);
    tcase_add_test(tests, the_experts_terms_are_the_mixture);
    tcase_add_test(tests, seconds_are_work_over_what_the_stack_gets_out_of_the_device);
    tcase_add_test(tests, a_window_bounds_what_scores_see);
    tcase_add_test(tests, accumulation_shares_the_optimizer_and_the_reduction);
    tcase_add_test(tests, scaled_terms_sum_to_the_target);
    tcase_add_test(tests, the_larger_part_of_a_term_bounds_it);
    tcase_add_test(tests, a_missing_rate_falls_back_and_says_so);
    tcase_add_test(tests, whole_instances_are_paid);
    tcase_add_test(tests, intervals_are_symmetric_in_logarithms);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
