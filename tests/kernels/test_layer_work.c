/* The work of a layer and of a model's ends over the CPU backend: core's count, term by term. */
#include "core/finetune/efficiency.h"
#include "core/finetune/step_time.h"
#include "kernels/layer/layer.h"
#include "tests/kernels/layer_fixture.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>

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

int main(void)
{
    Suite *suite = suite_create("layer_work");
    TCase *tests = tcase_create("layer_work");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_dense_layer_does_the_work_that_core_counts);
    tcase_add_test(tests, a_layer_without_gate_and_with_a_window_does_too);
    tcase_add_test(tests, a_moe_layer_does_the_work_that_core_counts);
    tcase_add_test(tests, a_mamba_layer_does_the_work_that_core_counts);
    tcase_add_test(tests, the_ends_of_a_model_do_the_work_that_core_counts);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
