/* Memory of the fullest device of a layout, counted by hand; the arithmetic stands with each case.
 */
#include "core/finetune/memory.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

/* tiny_moe: matrices 3 * 576 + 2 * 1376 = 4480, embedding 80, head 80, norms 5 * 16 + 8 = 88. */
enum { ALL = 4480 + 80 + 80 + 88 };
/* LoRA on attention: (8 + 8) + (4 + 8) + (4 + 8) + (8 + 8) = 56 features in each of five layers. */
enum { ADAPTED = 2 * 5 * 56 }; /* of rank 2 */

static const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
static const struct lq_method LORA = {
    .kind = LQ_METHOD_LORA, .rank = 2, .targets = LQ_TARGETS_ATTENTION};

static struct lq_memory count_on(const struct lq_model *model, const struct lq_method *method,
                                 struct lq_training training, const struct lq_stack *stack,
                                 const struct lq_layout *layout)
{
    const struct lq_memory_job job = {.model = model,
                                      .method = method,
                                      .training = &training,
                                      .stack = stack,
                                      .layout = layout,
                                      .active_experts = 2};
    return lq_memory_count(&job);
}

static struct lq_memory count(const struct lq_model *model, const struct lq_method *method,
                              struct lq_training training)
{
    return count_on(model, method, training, &TINY_STACK, NULL);
}

/* Two ranks of each kind in turn; FULL in bf16 with AdamW. */
START_TEST(zero_shards_states_then_gradients_then_weights)
{
    const struct lq_model model = tiny_moe();
    const struct lq_training training = {.accumulation_steps = 1};
    for (int stage = 0; stage <= 3; stage++) {
        struct lq_layout layout = LQ_LAYOUT_SINGLE;
        layout.data = 4;
        layout.zero_stage = stage;
        const struct lq_memory m = count_on(&model, &FULL, training, &TINY_STACK, &layout);
        assert_close("states", m.optimizer_bytes, 4.0 * ALL / (stage >= 1 ? 4.0 : 1.0), 1e-12);
        assert_close("gradients", m.gradient_bytes, 2.0 * ALL / (stage >= 2 ? 4.0 : 1.0), 1e-12);
        assert_close("weights", m.weights_bytes, 2.0 * ALL / (stage >= 3 ? 4.0 : 1.0), 1e-12);
        /* gathered from three others: both ends and two layers of 1376, and a layer's gradients */
        const double gathered =
            stage == 3 ? 0.75 * 2.0 * (160.0 + 2.0 * 1376.0) + 2.0 * 1376.0 : 0.0;
        ck_assert_double_eq(m.communication_bytes, gathered);
        layout.zero_group = 2; /* hybrid: shards within two, replicas between */
        assert_close("half", count_on(&model, &FULL, training, &TINY_STACK, &layout).weights_bytes,
                     2.0 * ALL / (stage >= 3 ? 2.0 : 1.0), 1e-12);
    }
}
END_TEST

START_TEST(fp32_shards_are_gathered_in_16_bit)
{
    const struct lq_model model = tiny_moe();
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.data = 2;
    layout.zero_stage = 3;
    const struct lq_training training = {.master_weights = true, .accumulation_steps = 1};
    const struct lq_memory m = count_on(&model, &FULL, training, &TINY_STACK, &layout);
    ck_assert_double_eq(m.weights_bytes, 0.0);
    ck_assert_double_eq(m.optimizer_bytes, 12.0 * ALL / 2.0);
    ck_assert_double_eq(m.gradient_bytes, 4.0 * ALL / 2.0);
}
END_TEST

START_TEST(flat_parameters_give_frozen_weights_gradients)
{
    const struct lq_model model = tiny_moe();
    struct lq_stack stack = TINY_STACK;
    stack.flat_gradients = true;
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.data = 2;
    layout.zero_stage = 3;
    struct lq_training training = {.accumulation_steps = 1};
    const struct lq_memory once = count_on(&model, &LORA, training, &stack, &layout);
    assert_close("sharded", once.gradient_bytes, (4.0 * ADAPTED + 2.0 * ALL) / 2.0, 1e-12);
    training.accumulation_steps = 8;
    const struct lq_memory more = count_on(&model, &LORA, training, &stack, &layout);
    assert_close("whole", more.gradient_bytes, 4.0 * ADAPTED / 2.0 + 2.0 * ALL, 1e-12);
}
END_TEST

START_TEST(tensor_and_context_ranks_share_tokens_and_matrices)
{
    const struct lq_model model = tiny_dense();
    const struct lq_training training = {.checkpointing = LQ_CHECKPOINTING_FULL,
                                         .accumulation_steps = 1};
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.tensor = 2;
    const struct lq_memory one = count(&model, &FULL, training);
    const struct lq_memory t = count_on(&model, &FULL, training, &TINY_STACK, &layout);
    /* norms (3 * 16 + 8) stay whole */
    assert_close("weights", t.weights_bytes, 0.5 * (one.weights_bytes + 2.0 * 56.0), 1e-12);
    ck_assert_double_eq(t.saved_token_bytes, 0.5 * one.saved_token_bytes);
    /* half of the logits, and the head's gathered input with its gradient, 32, from the other */
    ck_assert_double_eq(t.logit_token_bytes, 25.0 + 16.0);
    layout = LQ_LAYOUT_SINGLE;
    layout.context = 2;
    const struct lq_memory c = count_on(&model, &FULL, training, &TINY_STACK, &layout);
    ck_assert_double_eq(c.weights_bytes, one.weights_bytes);
    ck_assert_double_eq(c.saved_token_bytes, 0.5 * one.saved_token_bytes);
    ck_assert_double_eq(c.work_token_bytes, 0.5 * one.work_token_bytes);
    ck_assert_double_eq(c.logit_token_bytes, 0.5 * one.logit_token_bytes);
}
END_TEST

START_TEST(the_fullest_stage_holds_an_end_and_the_rounded_share_of_layers)
{
    const struct lq_model model = tiny_dense();
    struct lq_training training = {.checkpointing = LQ_CHECKPOINTING_FULL, .accumulation_steps = 4};
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.pipeline = 2;
    layout.data = 2;
    layout.zero_stage = 2;
    const struct lq_memory m = count_on(&model, &FULL, training, &TINY_STACK, &layout);
    /* two of three layers of 576, two thirds of 56 norm weights, embedding or head of 80 */
    const double stage = 2.0 * 576.0 + 80.0 + 56.0 * 2.0 / 3.0;
    assert_close("weights", m.weights_bytes, 2.0 * stage, 1e-12);
    assert_close("gradients", m.gradient_bytes, 2.0 * stage, 1e-12); /* scattered once, at last */
    /* two micro-batches are under way on the first stage */
    assert_close("inputs", m.saved_token_bytes, 2.0 * 2.0 * 16.0, 1e-12);
}
END_TEST

START_TEST(expert_ranks_share_the_experts)
{
    const struct lq_model model = tiny_moe();
    const struct lq_training training = {.accumulation_steps = 1};
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.data = 4;
    layout.expert = 2;
    const struct lq_memory one = count(&model, &FULL, training);
    const struct lq_memory m = count_on(&model, &FULL, training, &TINY_STACK, &layout);
    const double experts = 2.0 * 4.0 * 288.0;
    assert_close("weights", m.weights_bytes, 2.0 * (ALL - 0.5 * experts), 1e-12);
    /* what two experts are sent and send back: 2 * 2 * 8 elements */
    ck_assert_double_eq(m.layer_token_bytes, one.layer_token_bytes + 64.0);
    layout.zero_stage = 1; /* their states are shared by the two ranks that hold the same ones */
    assert_close("states", count_on(&model, &FULL, training, &TINY_STACK, &layout).optimizer_bytes,
                 4.0 * ALL / 4.0, 1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_layout");
    TCase *tests = tcase_create("memory_layout");
    tcase_add_test(tests, zero_shards_states_then_gradients_then_weights);
    tcase_add_test(tests, fp32_shards_are_gathered_in_16_bit);
    tcase_add_test(tests, flat_parameters_give_frozen_weights_gradients);
    tcase_add_test(tests, tensor_and_context_ranks_share_tokens_and_matrices);
    tcase_add_test(tests, the_fullest_stage_holds_an_end_and_the_rounded_share_of_layers);
    tcase_add_test(tests, expert_ranks_share_the_experts);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
