/* A layer over the CPU backend: its work against core's count, its gradients against differences,
 * its routing against what was asked. */
#include "core/finetune/efficiency.h"
#include "core/finetune/step_time.h"
#include "kernels/layer/layer.h"
#include "tests/kernels/reference.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <string.h>

/* Widths are such that every matrix has a whole number of nf4's scales: 16,384 weights each. */
static struct lq_model dense(void)
{
    return (struct lq_model){
        .hidden_size = 128,
        .vocab_size = 256,
        .layer_kinds = 1,
        .layers = {
            {.count = 1,
             .mixer = {.kind = LQ_MIXER_ATTENTION, .heads = 4, .kv_heads = 4, .head_size = 32},
             .ffn = {.kind = LQ_FFN_DENSE, .gated = true, .intermediate_size = 256},
             .norm_parameters = 256}}};
}

static struct lq_model moe(void)
{
    struct lq_model model = dense();
    model.layers[0].ffn = (struct lq_ffn){.kind = LQ_FFN_MOE,
                                          .gated = true,
                                          .intermediate_size = 128,
                                          .experts = 128, /* so that the router is a block, too */
                                          .active_experts = 32,
                                          .shared_size = 128};
    return model;
}

static struct lq_model mamba(void)
{
    struct lq_model model = dense();
    model.layers[0].mixer = (struct lq_mixer){.kind = LQ_MIXER_MAMBA,
                                              .inner_size = 256,
                                              .state_size = 16,
                                              .conv_size = 4,
                                              .dt_rank = 64,
                                              .small_parameters = 256 * (4 + 16 + 3)};
    return model;
}

static struct lq_model mla(void)
{
    struct lq_model model = dense();
    model.layers[0].mixer = (struct lq_mixer){.kind = LQ_MIXER_MLA,
                                              .heads = 4,
                                              .q_rank = 48,
                                              .kv_rank = 40,
                                              .nope_size = 16,
                                              .rope_size = 8,
                                              .value_size = 24};
    return model;
}

static const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
static const struct lq_method LORA = {
    .kind = LQ_METHOD_LORA, .rank = 8, .targets = LQ_TARGETS_ALL_LINEAR};
static const struct lq_method QLORA = {.kind = LQ_METHOD_QLORA,
                                       .rank = 8,
                                       .targets = LQ_TARGETS_ALL_LINEAR,
                                       .quantization = LQ_QUANTIZATION_NF4_DQ};

static struct lq_device *device;
static struct lq_space space;
static struct lq_training_layer *layer;

static void open_layer(const struct lq_model *model, const struct lq_method *method,
                       enum lq_checkpointing checkpointing, int64_t rows, int64_t tokens)
{
    const struct lq_layer_job job = {.model = model,
                                     .method = method,
                                     .checkpointing = checkpointing,
                                     .rows = rows,
                                     .tokens = tokens,
                                     .seed = 11};
    lq_space_open(&space, lq_cpu_backend(), device, LQ_ELEMENT_F32);
    OK(lq_layer_open(&space, &job, 0, &layer, &err));
}

static void close_layer(void)
{
    lq_layer_close(layer);
    layer = NULL;
    lq_space_close(&space);
}

static void set_up(void)
{
    device = open_device(2);
}

static void tear_down(void)
{
    if (layer != NULL) {
        close_layer();
    }
    release_all();
}

/* Core's count of a model's one layer on fp32, under the worker's own stack. */
static struct lq_step_parts counted(const struct lq_model *model, const struct lq_method *method,
                                    enum lq_checkpointing checkpointing, double rows, double tokens)
{
    static const struct lq_gpu GPU = {.memory_bytes = 1e9,
                                      .memory_bandwidth_bytes_per_s = 1e9,
                                      .fp16_flop_per_s = 1e9,
                                      .fp32_flop_per_s = 1e9};
    const struct lq_training training = {
        .precision = LQ_PRECISION_FP32, .checkpointing = checkpointing, .accumulation_steps = 1};
    const struct lq_stack *stack = lq_stack_find("llmquote-worker");
    const struct lq_work_job job = {model, method, &training, stack, &LQ_LAYOUT_SINGLE};
    const struct lq_work_table table = lq_work_count(&job);
    const struct lq_step_device on = {&GPU, stack, model, method, &training, &LQ_LAYOUT_SINGLE,
                                      NULL};
    const struct lq_step_shape shape = {.tokens = rows * tokens,
                                        .rows = rows,
                                        .keys = tokens,
                                        .active_experts = (double)lq_model_active_experts(model)};
    return lq_step_count(&table, &on, &shape);
}

static void compare(const char *name, double got, double want, const char *term, int stage)
{
    ck_assert_msg(fabs(got - want) <= 1e-12 * fabs(want),
                  "%s of %s, stage %d: did %.17g, core %.17g", name, term, stage, got, want);
}

/* Everything the backend did in one training step is what core counts, term by term. */
static void assert_counted(const struct lq_model *model, const struct lq_method *method,
                           enum lq_checkpointing checkpointing)
{
    enum { ROWS = 2, TOKENS = 17 };
    open_layer(model, method, checkpointing, ROWS, TOKENS);
    OK(lq_layer_forward(layer, &err));
    lq_space_restart(&space);
    OK(lq_layer_forward(layer, &err));
    OK(lq_layer_backward(layer, &err));
    OK(lq_layer_step(layer, &err));
    const struct lq_step_parts want = counted(model, method, checkpointing, ROWS, TOKENS);
    for (int t = 0; t < LQ_TERM_ALL_REDUCE; t++) {
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            if (t == LQ_TERM_HEAD || t == LQ_TERM_EMBEDDING) {
                continue; /* the layer has none */
            }
            const struct lq_tally *did = &space.work[t][s];
            const struct lq_step_cell *cell = &want.cell[t][s];
            compare("FLOPs", did->flop, cell->flop, LQ_TERM_NAMES[t], s);
            compare("bytes", did->weight_bytes + did->stream_bytes + did->traffic_bytes,
                    cell->bytes, LQ_TERM_NAMES[t], s);
        }
    }
    close_layer();
}

START_TEST(a_dense_layer_does_the_work_that_core_counts)
{
    const struct lq_model model = dense();
    assert_counted(&model, &FULL, LQ_CHECKPOINTING_NONE);
    assert_counted(&model, &FULL, LQ_CHECKPOINTING_FULL);
    assert_counted(&model, &LORA, LQ_CHECKPOINTING_FULL);
    assert_counted(&model, &QLORA, LQ_CHECKPOINTING_FULL);
}
END_TEST

START_TEST(a_layer_without_gate_and_with_a_window_does_too)
{
    struct lq_model model = dense();
    model.layers[0].ffn.gated = false;
    model.layers[0].mixer.window_tokens = 5;
    model.layers[0].mixer.kv_heads = 2;
    assert_counted(&model, &FULL, LQ_CHECKPOINTING_FULL);
}
END_TEST

/* All experts are active: core counts the experts that are hit on average, a layer those that are.
 */
START_TEST(a_moe_layer_does_the_work_that_core_counts)
{
    struct lq_model all = moe();
    all.layers[0].ffn.active_experts = 128;
    assert_counted(&all, &FULL, LQ_CHECKPOINTING_FULL);
    assert_counted(&all, &LORA, LQ_CHECKPOINTING_NONE);
    assert_counted(&all, &QLORA, LQ_CHECKPOINTING_FULL);
}
END_TEST

START_TEST(a_mamba_layer_does_the_work_that_core_counts)
{
    const struct lq_model model = mamba();
    assert_counted(&model, &FULL, LQ_CHECKPOINTING_FULL);
    assert_counted(&model, &LORA, LQ_CHECKPOINTING_FULL);
    assert_counted(&model, &QLORA, LQ_CHECKPOINTING_NONE);
}
END_TEST

/* sum(r y) after a forward pass with x + epsilon v. */
static double loss_at(const float *x, const float *v, double epsilon, const float *r, size_t n)
{
    const struct lq_layer_ports ports = lq_layer_ports(layer);
    float *moved = copy_floats(x, n);
    for (size_t i = 0; i < n; i++) {
        moved[i] += (float)(epsilon * (double)v[i]);
    }
    memcpy(ports.x, moved, n * sizeof *moved);
    OK(lq_layer_forward(layer, &err));
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)((const float *)ports.y)[i] * (double)r[i];
    }
    return sum;
}

/* The gradient of sum(r y) along a direction, by backward and by differences in fp32. */
static void assert_layer_gradient(const struct lq_model *model, const struct lq_method *method)
{
    enum { ROWS = 2, TOKENS = 9 };
    open_layer(model, method, LQ_CHECKPOINTING_FULL, ROWS, TOKENS);
    const struct lq_layer_ports ports = lq_layer_ports(layer);
    const size_t n = (size_t)(ROWS * TOKENS * model->hidden_size);
    float *x = copy_floats(ports.x, n);
    float *v = random_floats(n, 21, 1.0);
    float *r = random_floats(n, 22, 1.0);
    const double epsilon = 2e-3;
    const double by_difference =
        (loss_at(x, v, epsilon, r, n) - loss_at(x, v, -epsilon, r, n)) / (2.0 * epsilon);
    (void)loss_at(x, v, 0.0, r, n);
    memcpy(ports.d_y, r, n * sizeof *r);
    OK(lq_layer_backward(layer, &err));
    double along = 0.0;
    double scale = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double g = (double)((const float *)ports.d_x)[i];
        along += g * (double)v[i];
        scale += g * g;
    }
    ck_assert_msg(fabs(along - by_difference) <= 1e-2 * sqrt(scale),
                  "backward %.9g, differences %.9g, scale %.9g", along, by_difference, sqrt(scale));
    close_layer();
}

START_TEST(gradients_of_every_kind_of_layer_are_those_of_its_function)
{
    struct lq_model models[] = {dense(), moe(), mamba(), mla()};
    models[1].layers[0].ffn.active_experts = 128; /* a choice of experts has jumps */
    for (int i = 0; i < 4; i++) {
        assert_layer_gradient(&models[i], &FULL);
        assert_layer_gradient(&models[i], &LORA);
        assert_layer_gradient(&models[i], &QLORA);
    }
}
END_TEST

START_TEST(steps_lower_what_they_descend)
{
    const struct lq_model model = dense();
    enum { N = 2 * 9 * 128 };
    open_layer(&model, &FULL, LQ_CHECKPOINTING_NONE, 2, 9);
    const struct lq_layer_ports ports = lq_layer_ports(layer);
    float *x = copy_floats(ports.x, N);
    float *r = random_floats(N, 22, 1.0);
    float *still = zero_floats(N);
    const double before = loss_at(x, still, 0.0, r, N);
    for (int i = 0; i < 20; i++) {
        (void)loss_at(x, still, 0.0, r, N);
        memcpy(ports.d_y, r, N * sizeof *r);
        OK(lq_layer_backward(layer, &err));
        OK(lq_layer_step(layer, &err));
    }
    ck_assert_double_lt(loss_at(x, still, 0.0, r, N), before);
}
END_TEST

START_TEST(steps_without_end_keep_numbers_finite)
{
    struct lq_model model = moe();
    model.layers[0].ffn.active_experts = 2;
    open_layer(&model, &LORA, LQ_CHECKPOINTING_FULL, 1, 9);
    struct lq_expert_load first;
    struct lq_expert_load last;
    OK(lq_layer_forward(layer, &err));
    OK(lq_layer_load(layer, &first, &err));
    for (int i = 0; i < 200; i++) {
        OK(lq_layer_forward(layer, &err));
        OK(lq_layer_backward(layer, &err));
        OK(lq_layer_step(layer, &err));
    }
    OK(lq_layer_forward(layer, &err));
    OK(lq_layer_load(layer, &last, &err));
    const float *y = lq_layer_ports(layer).y;
    for (int i = 0; i < 9 * 128; i++) {
        ck_assert(isfinite(y[i]));
    }
    ck_assert_double_lt(fabs(last.variance - first.variance), 0.5 * first.variance);
}
END_TEST

START_TEST(a_skew_prefers_the_first_experts_and_none_is_even)
{
    struct lq_model model = moe();
    model.layers[0].ffn.experts = 8;
    model.layers[0].ffn.active_experts = 2;
    const double skews[] = {0.0, 0.5, 2.0};
    double variance = -1.0;
    for (int i = 0; i < 3; i++) {
        const struct lq_layer_job job = {.model = &model,
                                         .method = &LORA,
                                         .rows = 4,
                                         .tokens = 128,
                                         .skew = skews[i],
                                         .seed = 5};
        struct lq_expert_load load;
        lq_space_open(&space, lq_cpu_backend(), device, LQ_ELEMENT_F32);
        OK(lq_layer_open(&space, &job, 0, &layer, &err));
        OK(lq_layer_forward(layer, &err));
        OK(lq_layer_load(layer, &load, &err));
        ck_assert_uint_eq(load.experts, 8);
        ck_assert_double_gt(load.variance, variance);
        if (skews[i] > 0.0) {
            ck_assert_double_gt(load.share[0], load.share[7]);
        }
        variance = load.variance;
        close_layer();
    }
}
END_TEST

START_TEST(a_dense_layer_has_no_expert_load)
{
    const struct lq_model model = dense();
    struct lq_expert_load load;
    struct lq_error err = {0};
    open_layer(&model, &FULL, LQ_CHECKPOINTING_NONE, 1, 3);
    ck_assert_int_eq(lq_layer_load(layer, &load, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/expert_load");
}
END_TEST

START_TEST(the_ends_of_a_model_do_the_work_that_core_counts)
{
    const struct lq_model model = dense();
    const struct lq_method *methods[] = {&FULL, &LORA};
    for (int i = 0; i < 2; i++) {
        const struct lq_layer_job job = {
            .model = &model, .method = methods[i], .rows = 2, .tokens = 17, .seed = 5};
        struct lq_training_ends *ends = NULL;
        lq_space_open(&space, lq_cpu_backend(), device, LQ_ELEMENT_F32);
        OK(lq_ends_open(&space, &job, &ends, &err));
        OK(lq_ends_forward(ends, &err));
        OK(lq_ends_backward(ends, &err));
        OK(lq_ends_step(ends, &err));
        const struct lq_step_parts want =
            counted(&model, methods[i], LQ_CHECKPOINTING_NONE, 2.0, 17.0);
        for (int s = 0; s < LQ_STAGE_OPTIMIZER; s++) {
            const struct lq_tally *head = &space.work[LQ_TERM_HEAD][s];
            const struct lq_tally *embedding = &space.work[LQ_TERM_EMBEDDING][s];
            compare("FLOPs", head->flop, want.cell[LQ_TERM_HEAD][s].flop, "head", s);
            compare("bytes", head->weight_bytes + head->traffic_bytes,
                    want.cell[LQ_TERM_HEAD][s].bytes, "head", s);
            compare("bytes", embedding->traffic_bytes + embedding->stream_bytes,
                    want.cell[LQ_TERM_EMBEDDING][s].bytes, "embedding", s);
        }
        lq_ends_close(ends);
        lq_space_close(&space);
    }
}
END_TEST

START_TEST(memory_is_counted_by_use_and_given_back)
{
    const struct lq_model model = dense();
    size_t before = 0;
    size_t now = 0;
    size_t peak = 0;
    lq_cpu_backend()->usage(device, true, &before, &peak);
    open_layer(&model, &FULL, LQ_CHECKPOINTING_NONE, 2, 9);
    const size_t cells = 4 * 128 * 128 + 3 * 128 * 256 + 2 * 128;
    ck_assert_uint_eq(space.bytes[LQ_USE_WEIGHT], cells * 4);
    ck_assert_uint_eq(space.bytes[LQ_USE_GRADIENT], cells * 4);
    ck_assert_uint_eq(space.bytes[LQ_USE_STATE], cells * 8);
    ck_assert_uint_eq(space.bytes[LQ_USE_KEPT], (size_t)(2 * 9 * 128 * 4));
    close_layer();
    lq_cpu_backend()->usage(device, false, &now, &peak);
    ck_assert_uint_eq(now, before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layer");
    TCase *tests = tcase_create("layer");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_dense_layer_does_the_work_that_core_counts);
    tcase_add_test(tests, a_layer_without_gate_and_with_a_window_does_too);
    tcase_add_test(tests, a_moe_layer_does_the_work_that_core_counts);
    tcase_add_test(tests, a_mamba_layer_does_the_work_that_core_counts);
    tcase_add_test(tests, gradients_of_every_kind_of_layer_are_those_of_its_function);
    tcase_add_test(tests, steps_lower_what_they_descend);
    tcase_add_test(tests, steps_without_end_keep_numbers_finite);
    tcase_add_test(tests, a_skew_prefers_the_first_experts_and_none_is_even);
    tcase_add_test(tests, a_dense_layer_has_no_expert_load);
    tcase_add_test(tests, the_ends_of_a_model_do_the_work_that_core_counts);
    tcase_add_test(tests, memory_is_counted_by_use_and_given_back);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
