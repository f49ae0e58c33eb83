/* The seconds that counted work makes of a device, before factors. What factors make of them is in
 * test_step_evaluate.c. */
#include "core/finetune/step_time.h"
#include "core/finetune/work_traffic.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>

/* What tiny_gpu and TINY_STACK make of each other, the generation being unknown: 0.75 of the matrix
 * rate is reached by matmuls and 0.45 by scores. */
static const double MATMUL = 100.0 * 0.75 * 0.5;
static const double SCORES = 100.0 * 0.45;
static const double SCANS = 50.0 * 0.10; /* of the vector rate */
static const double BYTES = 5.0;
static const double DEQUANTIZED_BYTES = 2.5;

static const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
static const struct lq_method QLORA = {.kind = LQ_METHOD_QLORA,
                                       .rank = 2,
                                       .targets = LQ_TARGETS_EXPERTS,
                                       .quantization = LQ_QUANTIZATION_NF4};

/* Two rows of ten tokens that visit two experts each. */
static const struct lq_step_shape SHAPE = {
    .tokens = 20.0, .rows = 2.0, .keys = 10.0, .active_experts = 2.0};

static struct lq_training training;
static struct lq_layout layout;
static struct lq_gpu gpu;
static struct lq_work_table work;

static void setup(void)
{
    training = (struct lq_training){.accumulation_steps = 1};
    layout = LQ_LAYOUT_SINGLE;
    gpu = tiny_gpu();
}

static struct lq_step_parts count_loaded(const struct lq_model *model,
                                         const struct lq_method *method,
                                         const struct lq_step_shape *shape,
                                         const struct lq_expert_load *load)
{
    const struct lq_work_job job = {.model = model,
                                    .method = method,
                                    .training = &training,
                                    .stack = &TINY_STACK,
                                    .layout = &layout};
    const struct lq_step_device device = {.gpu = &gpu,
                                          .stack = &TINY_STACK,
                                          .model = model,
                                          .method = method,
                                          .training = &training,
                                          .layout = &layout,
                                          .expert_load = load};
    work = lq_work_count(&job);
    return lq_step_count(&work, &device, shape);
}

static struct lq_step_parts count(const struct lq_method *method)
{
    const struct lq_model model = tiny_moe();
    return count_loaded(&model, method, &SHAPE, NULL);
}

#define CELL(parts, name) ((parts).cell[LQ_TERM_##name][LQ_STAGE_FORWARD])
#define WORK(name) (work.term[LQ_TERM_##name][LQ_STAGE_FORWARD])

START_TEST(seconds_are_work_over_what_the_stack_gets_out_of_the_device)
{
    const struct lq_step_parts p = count(&FULL);
    assert_close("FLOPs", CELL(p, MLP).compute_s, 20.0 * WORK(MLP).token_flop / MATMUL, 1e-12);
    assert_close("operands", CELL(p, MLP).operands_s, WORK(MLP).weight_bytes / BYTES, 1e-12);
    assert_close("traffic", CELL(p, MLP).traffic_s, 20.0 * WORK(MLP).token_bytes / BYTES, 1e-12);
    assert_close("scores", CELL(p, ATTENTION_SCORES).compute_s,
                 20.0 * 11.0 * WORK(ATTENTION_SCORES).score_flop / SCORES, 1e-12);
    assert_close("permutation", CELL(p, EXPERT_PERMUTATION).traffic_s,
                 20.0 * 2.0 * WORK(EXPERT_PERMUTATION).expert_token_bytes / BYTES, 1e-12);
    assert_close("calls", CELL(p, OVERHEAD).call_s, WORK(OVERHEAD).calls, 1e-12);
    assert_close("rows", CELL(p, INPUT).call_s, 2.0 * 2.0, 1e-12);
    const struct lq_step_cell *optimizer = &p.cell[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER];
    assert_close("states", optimizer->stream_s,
                 work.term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER].stream_bytes / BYTES, 1e-12);
    ck_assert_double_eq(p.peak_flop_per_s, 100.0);
    ck_assert_double_eq(p.bytes_per_s, 10.0);
    ck_assert_double_eq(p.pipeline_stretch, 1.0);
    ck_assert_double_eq(p.accumulation_steps, 1.0);
}
END_TEST

START_TEST(flops_and_bytes_are_kept_beside_the_seconds)
{
    const struct lq_step_parts p = count(&FULL);
    assert_close("flop", CELL(p, MLP).flop, 20.0 * WORK(MLP).token_flop, 1e-12);
    assert_close("bytes", CELL(p, MLP).bytes, 20.0 * WORK(MLP).token_bytes + WORK(MLP).weight_bytes,
                 1e-12);
    assert_close("scores", CELL(p, ATTENTION_SCORES).flop,
                 220.0 * WORK(ATTENTION_SCORES).score_flop, 1e-12);
}
END_TEST

START_TEST(dequantisation_has_a_rate_of_its_own)
{
    const struct lq_step_parts p = count(&QLORA);
    assert_close("dequantisation", CELL(p, DEQUANTIZATION).stream_s,
                 WORK(DEQUANTIZATION).stream_bytes / DEQUANTIZED_BYTES, 1e-12);
    const double hit = 1.0 - pow(0.5, 20.0); /* that a token visits it: 2 of 4 */
    assert_close("experts", CELL(p, EXPERT_DEQUANTIZATION).stream_s,
                 hit * WORK(EXPERT_DEQUANTIZATION).stream_bytes / DEQUANTIZED_BYTES, 1e-12);
    assert_close("matmul", CELL(p, MLP).operands_s, WORK(MLP).weight_bytes / BYTES, 1e-12);
}
END_TEST

START_TEST(eager_scores_move_bytes_for_every_pair)
{
    training.attention = LQ_ATTENTION_EAGER;
    const struct lq_step_parts p = count(&FULL);
    assert_close("scores", CELL(p, ATTENTION_SCORES).traffic_s,
                 200.0 * WORK(ATTENTION_SCORES).score_bytes / BYTES, 1e-12);
    assert_close("FLOPs", CELL(p, ATTENTION_SCORES).flop, 200.0 * WORK(ATTENTION_SCORES).score_flop,
                 1e-12);
}
END_TEST

START_TEST(a_scan_runs_at_a_share_of_the_vector_rate)
{
    const struct lq_model model = tiny_mamba();
    const struct lq_step_parts p = count_loaded(&model, &FULL, &SHAPE, NULL);
    assert_close("scan", CELL(p, MAMBA_SCAN).compute_s, 20.0 * WORK(MAMBA_SCAN).token_flop / SCANS,
                 1e-12);
    assert_close("projections", CELL(p, MAMBA).compute_s, 20.0 * WORK(MAMBA).token_flop / MATMUL,
                 1e-12);
}
END_TEST

START_TEST(a_window_bounds_what_scores_see)
{
    struct lq_model model = tiny_dense();
    const int64_t windows[] = {0, 4, 40};
    /* twice the pairs a row of 10 computes over its tokens: 55, with the window 10 + 6 * 4 */
    const double keys[] = {11.0, 6.8, 11.0};
    for (int i = 0; i < 3; i++) {
        model.layers[0].mixer.window_tokens = windows[i];
        const struct lq_step_parts p = count_loaded(&model, &FULL, &SHAPE, NULL);
        assert_close("keys", CELL(p, ATTENTION_SCORES).flop,
                     20.0 * keys[i] * WORK(ATTENTION_SCORES).score_flop, 1e-12);
    }
    model.layer_kinds = 2; /* three layers with a window of 4, one without */
    model.layers[1] = model.layers[0];
    model.layers[0].mixer.window_tokens = 4;
    model.layers[1].mixer.window_tokens = 0;
    model.layers[1].count = 1;
    const struct lq_step_parts p = count_loaded(&model, &FULL, &SHAPE, NULL);
    assert_close("mean", CELL(p, ATTENTION_SCORES).flop,
                 20.0 * (3.0 * 6.8 + 11.0) / 4.0 * WORK(ATTENTION_SCORES).score_flop, 1e-12);
}
END_TEST

START_TEST(scores_run_at_16_bit_where_matmuls_run_at_8)
{
    gpu.fp8_flop_per_s = 200.0;
    training.precision = LQ_PRECISION_FP8;
    const struct lq_step_parts p = count(&FULL);
    assert_close("scores", CELL(p, ATTENTION_SCORES).compute_s,
                 220.0 * WORK(ATTENTION_SCORES).score_flop / SCORES, 1e-12);
    assert_close("matmul", CELL(p, MLP).compute_s,
                 20.0 * WORK(MLP).token_flop / (2.0 * MATMUL * 0.65), 1e-12);
    ck_assert_double_eq(p.peak_flop_per_s, 200.0);
}
END_TEST

START_TEST(every_expert_hit_computes_half_a_tile_more)
{
    const struct lq_step_parts p = count(&QLORA);
    const double hit = 4.0 * (1.0 - pow(0.5, 20.0)); /* of four experts, two by each token */
    assert_close("experts", CELL(p, EXPERT_MATMUL).compute_s,
                 (40.0 + 64.0 * hit) * WORK(EXPERT_MATMUL).expert_token_flop / MATMUL, 1e-12);
    assert_close("FLOPs", CELL(p, EXPERT_MATMUL).flop, 40.0 * WORK(EXPERT_MATMUL).expert_token_flop,
                 1e-12);
    assert_close("adapters", CELL(p, EXPERT_LORA).compute_s,
                 40.0 * WORK(EXPERT_LORA).expert_token_flop / MATMUL, 1e-12);
    const struct lq_model dense = tiny_dense();
    const struct lq_step_shape shape = {.tokens = 20.0, .rows = 2.0, .keys = 10.0};
    const struct lq_step_parts none = count_loaded(&dense, &FULL, &shape, NULL);
    ck_assert_double_eq(CELL(none, EXPERT_MATMUL).compute_s, 0.0);
}
END_TEST

START_TEST(the_routers_kernels_take_their_time_however_few_the_tokens)
{
    const struct lq_step_parts p = count(&QLORA);
    assert_close("latency", CELL(p, ROUTER).stream_s, WORK(ROUTER).latency_s, 1e-12);
    ck_assert_double_gt(WORK(ROUTER).latency_s, 0.0);
}
END_TEST

START_TEST(only_the_experts_hit_are_read_and_called)
{
    const struct lq_model model = tiny_moe();
    const struct lq_step_shape one = {.tokens = 1.0, .rows = 1.0, .keys = 1.0, .active_experts = 1};
    const struct lq_step_parts p = count_loaded(&model, &QLORA, &one, NULL);
    assert_close("read", CELL(p, EXPERT_MATMUL).operands_s,
                 0.25 * WORK(EXPERT_MATMUL).weight_bytes / BYTES, 1e-12);
    assert_close("dequantised", CELL(p, EXPERT_DEQUANTIZATION).stream_s,
                 0.25 * WORK(EXPERT_DEQUANTIZATION).stream_bytes / DEQUANTIZED_BYTES, 1e-12);
    assert_close("called", CELL(p, EXPERT_OVERHEAD).call_s, 0.25 * WORK(EXPERT_OVERHEAD).calls,
                 1e-12);
    assert_close("bytes", CELL(p, EXPERT_DEQUANTIZATION).bytes,
                 0.25 * WORK(EXPERT_DEQUANTIZATION).stream_bytes, 1e-12);
    assert_close("all of the rest", CELL(p, MLP).operands_s, WORK(MLP).weight_bytes / BYTES, 1e-12);
}
END_TEST

START_TEST(the_tokens_of_an_expert_group_meet_at_its_experts)
{
    const struct lq_model model = tiny_moe();
    const struct lq_step_shape one = {.tokens = 1.0, .rows = 1.0, .keys = 1.0, .active_experts = 1};
    layout.data = 2;
    layout.expert = 2;
    const struct lq_step_parts p = count_loaded(&model, &FULL, &one, NULL);
    const double hit = 1.0 - 0.75 * 0.75; /* two tokens */
    assert_close("read", CELL(p, EXPERT_MATMUL).operands_s,
                 hit * WORK(EXPERT_MATMUL).weight_bytes / BYTES, 1e-12);
}
END_TEST

START_TEST(the_busiest_rank_sets_the_pace)
{
    const struct lq_model model = tiny_moe();
    struct lq_expert_load load;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_expert_load_set((const double[]){4.0, 2.0, 1.0, 1.0}, 4, 4, &load, &err),
                     LQ_OK);
    const struct lq_step_shape many = {
        .tokens = 1e4, .rows = 10.0, .keys = 1e3, .active_experts = 1.0};
    layout.data = 2;
    layout.expert = 2;
    const struct lq_step_parts even = count_loaded(&model, &FULL, &many, NULL);
    const struct lq_step_parts p = count_loaded(&model, &FULL, &many, &load);
    /* the first two experts get 6 of 8; as many of them are hit */
    assert_close("busiest", CELL(p, EXPERT_MATMUL).compute_s,
                 (1.5e4 + 64.0 * 4.0 / 2.0) * WORK(EXPERT_MATMUL).expert_token_flop / MATMUL,
                 1e-12);
    assert_close("its FLOPs", CELL(p, EXPERT_MATMUL).flop, 1.5 * CELL(even, EXPERT_MATMUL).flop,
                 1e-12);
    assert_close("its bytes", CELL(p, EXPERT_PERMUTATION).bytes,
                 1.5 * CELL(even, EXPERT_PERMUTATION).bytes, 1e-12);
    assert_close("its traffic", CELL(p, EXPERT_PERMUTATION).traffic_s,
                 1.5 * CELL(even, EXPERT_PERMUTATION).traffic_s, 1e-12);
    ck_assert_double_eq(CELL(p, MLP).compute_s, CELL(even, MLP).compute_s);
}
END_TEST

/* Two halves of the experts, one deviation above and below the mean, each a kernel bound by its own
 * tokens or by its weights. */
START_TEST(uneven_experts_take_longer_than_their_mean)
{
    const struct lq_model model = tiny_moe();
    struct lq_expert_load load;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_expert_load_vary(156.25, 4, &load, &err), LQ_OK); /* 12.5 of 25 percent */
    const struct lq_step_parts even = count(&FULL);
    const struct lq_step_parts p = count_loaded(&model, &FULL, &SHAPE, &load);
    const double c = CELL(even, EXPERT_MATMUL).compute_s;
    const double o = CELL(even, EXPERT_MATMUL).operands_s;
    const double kernel = 0.5 * (hypot(1.5 * c, o) + hypot(0.5 * c, o));
    ck_assert_double_eq(CELL(p, EXPERT_MATMUL).compute_s, c);
    assert_close("kernel", hypot(c, CELL(p, EXPERT_MATMUL).operands_s), kernel, 1e-12);
    ck_assert_double_gt(kernel, hypot(c, o));
    ck_assert_double_eq(CELL(p, EXPERT_LORA).operands_s, CELL(even, EXPERT_LORA).operands_s);
}
END_TEST

static struct lq_flow flow(enum lq_flow_kind kind, bool per_step, double time_s, double overlap)
{
    return (struct lq_flow){
        .kind = kind, .per_step = per_step, .time_s = time_s, .overlap = overlap};
}

START_TEST(flows_become_the_terms_of_their_kind)
{
    static const enum lq_term TERMS[] = {
        [LQ_FLOW_TENSOR] = LQ_TERM_TENSOR_PARALLEL,
        [LQ_FLOW_CONTEXT] = LQ_TERM_CONTEXT_EXCHANGE,
        [LQ_FLOW_EXPERT] = LQ_TERM_EXPERT_EXCHANGE,
        [LQ_FLOW_PIPELINE] = LQ_TERM_PIPELINE,
        [LQ_FLOW_WEIGHT_GATHER] = LQ_TERM_WEIGHT_GATHER,
        [LQ_FLOW_GRADIENT_SCATTER] = LQ_TERM_ALL_REDUCE,
        [LQ_FLOW_GRADIENT_REDUCE] = LQ_TERM_ALL_REDUCE,
        [LQ_FLOW_UPDATE_GATHER] = LQ_TERM_WEIGHT_GATHER,
        [LQ_FLOW_HOST] = LQ_TERM_HOST_TRANSFER,
    };
    for (int kind = 0; kind < LQ_FLOW_KIND_COUNT; kind++) {
        struct lq_step_parts parts = {.accumulation_steps = 1.0};
        const struct lq_communication c = {
            .flow_count = 1, .flows = {flow((enum lq_flow_kind)kind, false, 3.0, 0.0)}};
        lq_step_add_flows(&parts, &c);
        for (int t = 0; t < LQ_TERM_COUNT; t++) {
            ck_assert_double_eq(parts.flow[t].exposed_s, t == (int)TERMS[kind] ? 3.0 : 0.0);
        }
        ck_assert(lq_term_is_network(TERMS[kind]));
    }
}
END_TEST

START_TEST(flows_of_a_term_add_up_by_when_they_may_hide)
{
    struct lq_step_parts parts = {.accumulation_steps = 4.0};
    const struct lq_communication c = {.flow_count = 3,
                                       .flows = {flow(LQ_FLOW_GRADIENT_SCATTER, false, 8.0, 0.75),
                                                 flow(LQ_FLOW_GRADIENT_REDUCE, true, 4.0, 0.5),
                                                 flow(LQ_FLOW_GRADIENT_REDUCE, true, 16.0, 0.0)},
                                       .stretch = 1.25};
    lq_step_add_flows(&parts, &c);
    const struct lq_step_flow *sum = &parts.flow[LQ_TERM_ALL_REDUCE];
    /* what happens once a step is a quarter of each of four micro-batches' */
    assert_close("exposed", sum->exposed_s, 2.0 + 0.5 + 4.0, 1e-12);
    assert_close("hideable", sum->hideable_s, 6.0, 1e-12);
    assert_close("once", sum->hideable_once_s, 0.5, 1e-12);
    ck_assert_double_eq(parts.pipeline_stretch, 1.25);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("step_time");
    TCase *tests = tcase_create("step_time");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, seconds_are_work_over_what_the_stack_gets_out_of_the_device);
    tcase_add_test(tests, flops_and_bytes_are_kept_beside_the_seconds);
    tcase_add_test(tests, dequantisation_has_a_rate_of_its_own);
    tcase_add_test(tests, eager_scores_move_bytes_for_every_pair);
    tcase_add_test(tests, a_scan_runs_at_a_share_of_the_vector_rate);
    tcase_add_test(tests, a_window_bounds_what_scores_see);
    tcase_add_test(tests, scores_run_at_16_bit_where_matmuls_run_at_8);
    tcase_add_test(tests, every_expert_hit_computes_half_a_tile_more);
    tcase_add_test(tests, the_routers_kernels_take_their_time_however_few_the_tokens);
    tcase_add_test(tests, only_the_experts_hit_are_read_and_called);
    tcase_add_test(tests, the_tokens_of_an_expert_group_meet_at_its_experts);
    tcase_add_test(tests, the_busiest_rank_sets_the_pace);
    tcase_add_test(tests, uneven_experts_take_longer_than_their_mean);
    tcase_add_test(tests, flows_become_the_terms_of_their_kind);
    tcase_add_test(tests, flows_of_a_term_add_up_by_when_they_may_hide);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
