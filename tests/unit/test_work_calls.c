/* What the host issues, and what an optimizer touches, of models that were counted by hand. */
#include "core/finetune/work.h"
#include "core/finetune/work_traffic.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

static const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
static const struct lq_method LORA = {
    .kind = LQ_METHOD_LORA, .rank = 2, .targets = LQ_TARGETS_ATTENTION};
static const struct lq_method QLORA = {.kind = LQ_METHOD_QLORA,
                                       .rank = 2,
                                       .targets = LQ_TARGETS_EXPERTS,
                                       .quantization = LQ_QUANTIZATION_NF4};
static const struct lq_training PLAIN = {.accumulation_steps = 1};

static struct lq_work_table count_with(const struct lq_method *method,
                                       const struct lq_training *training)
{
    const struct lq_model model = tiny_moe();
    const struct lq_work_job job = {.model = &model,
                                    .method = method,
                                    .training = training,
                                    .stack = &TINY_STACK,
                                    .layout = &LQ_LAYOUT_SINGLE};
    return lq_work_count(&job);
}

#define FORWARD(table, name) ((table).term[LQ_TERM_##name][LQ_STAGE_FORWARD])
#define AGAIN(table, name) ((table).term[LQ_TERM_##name][LQ_STAGE_RECOMPUTATION])
#define BACKWARD(table, name) ((table).term[LQ_TERM_##name][LQ_STAGE_BACKWARD])
#define STEP(table) ((table).term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER])

enum { LAYERS = 5, PARAMETERS = 4728 };

START_TEST(the_host_issues_calls_for_each_operation)
{
    const struct lq_calls *k = &EAGER_CALLS;
    struct lq_training recomputing = PLAIN;
    recomputing.checkpointing = LQ_CHECKPOINTING_FULL;
    const struct lq_work_table w = count_with(&LORA, &recomputing);
    /* attention with four adapted matrices; two norms; three dense MLPs of three matrices; two
     * routers' matrices; the head */
    const double layer = k->attention + 4.0 * (k->linear + k->lora) + 2.0 * k->norm;
    const double layers = LAYERS * layer + 3.0 * (k->mlp + 3.0 * k->linear) + 2.0 * k->linear;
    assert_close("forward", FORWARD(w, OVERHEAD).calls, layers + k->head, 1e-12);
    assert_close("again", AGAIN(w, OVERHEAD).calls, layers, 1e-12);
    assert_close("backward", BACKWARD(w, OVERHEAD).calls, BACKWARD_CALLS * (layers + k->head),
                 1e-12);
    const double experts = 2.0 * (4.0 * (k->expert + 3.0 * k->linear) + k->router);
    assert_close("experts", FORWARD(w, EXPERT_OVERHEAD).calls, experts, 1e-12);
    /* quantised: every matrix is dequantised; adapters sit on the experts */
    const struct lq_work_table q = count_with(&QLORA, &PLAIN);
    assert_close("quantised", FORWARD(q, OVERHEAD).calls,
                 layers + k->head - LAYERS * 4.0 * k->lora + (20.0 + 9.0 + 2.0) * k->quantized,
                 1e-12);
    assert_close("quantised experts", FORWARD(q, EXPERT_OVERHEAD).calls,
                 experts + 24.0 * (k->lora + k->quantized), 1e-12);
}
END_TEST

START_TEST(compiled_stacks_touch_less_and_call_less)
{
    struct lq_training compiled = PLAIN;
    compiled.options = LQ_OPTION_BIT(LQ_OPTION_COMPILE);
    const struct lq_work_table slow = count_with(&LORA, &PLAIN);
    const struct lq_work_table fast = count_with(&LORA, &compiled);
    ck_assert_double_eq(FORWARD(fast, NORM).token_bytes,
                        2.0 * 2.0 * 8.0 * (FUSED_ACCESSES.norm + FUSED_ACCESSES.residual) * LAYERS);
    ck_assert_double_lt(FORWARD(fast, OVERHEAD).calls, FORWARD(slow, OVERHEAD).calls);
    ck_assert_double_lt(FORWARD(fast, EXPERT_OVERHEAD).calls, FORWARD(slow, EXPERT_OVERHEAD).calls);
    ck_assert_double_eq(FORWARD(fast, MLP).token_flop, FORWARD(slow, MLP).token_flop);
    ck_assert_double_lt(STEP(fast).stream_bytes, STEP(slow).stream_bytes);
}
END_TEST

START_TEST(the_optimizer_streams_weights_gradients_and_states)
{
    /* full, 16 bit: weights read and written, gradients read, two moments read and written; an
     * eager one touches 20 elements where 7 would do */
    const struct lq_work_table full = count_with(&FULL, &PLAIN);
    assert_close("full", STEP(full).stream_bytes, PARAMETERS * (3.0 * 2.0 + 2.0 * 4.0) * 20.0 / 7.0,
                 1e-12);
    const struct lq_work_table lora = count_with(&LORA, &PLAIN);
    assert_close("adapters", STEP(lora).stream_bytes, 560.0 * (3.0 * 4.0 + 2.0 * 8.0) * 20.0 / 7.0,
                 1e-12);
    const uint32_t compile = LQ_OPTION_BIT(LQ_OPTION_COMPILE);
    const struct lq_training fused[] = {
        {.optimizer = LQ_OPTIMIZER_ADAMW, .options = compile, .accumulation_steps = 1},
        {.optimizer = LQ_OPTIMIZER_ADAMW_8BIT, .accumulation_steps = 1},
        {.optimizer = LQ_OPTIMIZER_PAGED_ADAMW_8BIT, .accumulation_steps = 1}};
    const double state_bytes[] = {4.0, 2.03125, 2.03125};
    for (int i = 0; i < 3; i++) {
        const struct lq_work_table w = count_with(&FULL, &fused[i]);
        assert_close("fused", STEP(w).stream_bytes, PARAMETERS * (3.0 * 2.0 + 2.0 * state_bytes[i]),
                     1e-12);
    }
    ck_assert_double_eq(full.term[LQ_TERM_OPTIMIZER][LQ_STAGE_FORWARD].stream_bytes, 0.0);
}
END_TEST

START_TEST(the_optimizer_steps_through_every_trained_tensor)
{
    /* matrices: 5 * 4 of attention, 3 * 3 of MLPs, 2 routers, 2 * 4 * 3 of experts */
    const struct lq_work_table full = count_with(&FULL, &PLAIN);
    ck_assert_double_eq(STEP(full).calls, 55.0 * EAGER_CALLS.tensor);
    const struct lq_work_table lora = count_with(&LORA, &PLAIN);
    ck_assert_double_eq(STEP(lora).calls, 2.0 * 20.0 * EAGER_CALLS.tensor);
    const struct lq_work_table experts = count_with(&QLORA, &PLAIN);
    ck_assert_double_eq(STEP(experts).calls, 2.0 * 24.0 * EAGER_CALLS.tensor);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("work_calls");
    TCase *tests = tcase_create("work_calls");
    tcase_add_test(tests, the_host_issues_calls_for_each_operation);
    tcase_add_test(tests, compiled_stacks_touch_less_and_call_less);
    tcase_add_test(tests, the_optimizer_streams_weights_gradients_and_states);
    tcase_add_test(tests, the_optimizer_steps_through_every_trained_tensor);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
