/* What of a model's work is left to one device of several. The work itself is in test_work.c. */
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

static struct lq_work_table count(const struct lq_model *model, const struct lq_method *method,
                                  const struct lq_layout *layout)
{
    const struct lq_training training = {.checkpointing = LQ_CHECKPOINTING_FULL,
                                         .accumulation_steps = 1};
    const struct lq_work_job job = {.model = model,
                                    .method = method,
                                    .training = &training,
                                    .stack = &TINY_STACK,
                                    .layout = layout};
    return lq_work_count(&job);
}

#define FORWARD(table, name) ((table).term[LQ_TERM_##name][LQ_STAGE_FORWARD])
#define STEP(table) ((table).term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER])

START_TEST(tensor_parallelism_divides_matrices_but_not_routers_norms_or_calls)
{
    const struct lq_model model = tiny_moe();
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.tensor = 2;
    const struct lq_work_table one = count(&model, &LORA, &LQ_LAYOUT_SINGLE);
    const struct lq_work_table two = count(&model, &LORA, &layout);
    ck_assert_double_eq(2.0 * FORWARD(two, ATTENTION).token_flop,
                        FORWARD(one, ATTENTION).token_flop);
    ck_assert_double_eq(2.0 * FORWARD(two, ATTENTION).token_bytes,
                        FORWARD(one, ATTENTION).token_bytes);
    ck_assert_double_eq(2.0 * FORWARD(two, ATTENTION_SCORES).score_flop,
                        FORWARD(one, ATTENTION_SCORES).score_flop);
    ck_assert_double_eq(2.0 * FORWARD(two, MLP).weight_bytes, FORWARD(one, MLP).weight_bytes);
    ck_assert_double_eq(2.0 * FORWARD(two, EXPERT_MATMUL).expert_token_flop,
                        FORWARD(one, EXPERT_MATMUL).expert_token_flop);
    ck_assert_double_eq(2.0 * FORWARD(two, HEAD).token_flop, FORWARD(one, HEAD).token_flop);
    ck_assert_double_eq(2.0 * FORWARD(two, LORA).token_flop, FORWARD(one, LORA).token_flop);
    ck_assert_double_eq(2.0 * STEP(two).stream_bytes, STEP(one).stream_bytes);
    ck_assert_double_eq(FORWARD(two, ROUTER).token_flop, FORWARD(one, ROUTER).token_flop);
    ck_assert_double_eq(FORWARD(two, NORM).token_bytes, FORWARD(one, NORM).token_bytes);
    ck_assert_double_eq(FORWARD(two, OVERHEAD).calls, FORWARD(one, OVERHEAD).calls);
}
END_TEST

START_TEST(pipeline_stages_have_an_even_share_of_the_layers)
{
    struct lq_model model = tiny_dense();
    model.layers[0].count = 4;
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    const struct lq_work_table one = count(&model, &FULL, &layout);
    layout.pipeline = 2;
    const struct lq_work_table two = count(&model, &FULL, &layout);
    ck_assert_double_eq(2.0 * FORWARD(two, MLP).token_flop, FORWARD(one, MLP).token_flop);
    ck_assert_double_eq(2.0 * FORWARD(two, NORM).token_bytes, FORWARD(one, NORM).token_bytes);
    ck_assert_double_eq(2.0 * (FORWARD(two, OVERHEAD).calls - EAGER_CALLS.head),
                        FORWARD(one, OVERHEAD).calls - EAGER_CALLS.head);
    ck_assert_double_eq(FORWARD(two, HEAD).token_flop, FORWARD(one, HEAD).token_flop);
    ck_assert_double_eq(2.0 * STEP(two).stream_bytes, STEP(one).stream_bytes);
    ck_assert_double_eq(2.0 * STEP(two).calls, STEP(one).calls);
}
END_TEST

START_TEST(expert_parallelism_divides_what_routed_experts_hold)
{
    const struct lq_model model = tiny_moe();
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.data = 2;
    layout.expert = 2;
    const struct lq_work_table one = count(&model, &QLORA, &LQ_LAYOUT_SINGLE);
    const struct lq_work_table two = count(&model, &QLORA, &layout);
    ck_assert_double_eq(2.0 * FORWARD(two, EXPERT_MATMUL).weight_bytes,
                        FORWARD(one, EXPERT_MATMUL).weight_bytes);
    ck_assert_double_eq(2.0 * FORWARD(two, EXPERT_DEQUANTIZATION).stream_bytes,
                        FORWARD(one, EXPERT_DEQUANTIZATION).stream_bytes);
    const double routers = 2.0 * EAGER_CALLS.router;
    ck_assert_double_eq(2.0 * (FORWARD(two, EXPERT_OVERHEAD).calls - routers),
                        FORWARD(one, EXPERT_OVERHEAD).calls - routers);
    ck_assert_double_eq(2.0 * STEP(two).calls, STEP(one).calls);
    /* each rank sends as many tokens away as it gets */
    ck_assert_double_eq(FORWARD(two, EXPERT_MATMUL).expert_token_flop,
                        FORWARD(one, EXPERT_MATMUL).expert_token_flop);
    ck_assert_double_eq(FORWARD(two, MLP).weight_bytes, FORWARD(one, MLP).weight_bytes);
}
END_TEST

START_TEST(sharded_states_are_stepped_by_their_owner)
{
    const struct lq_model model = tiny_moe();
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.data = 8;
    const double whole = STEP(count(&model, &FULL, &layout)).stream_bytes;
    for (int stage = 1; stage <= 3; stage++) {
        layout.zero_stage = stage;
        const struct lq_work_table w = count(&model, &FULL, &layout);
        assert_close("eighth", STEP(w).stream_bytes, whole / 8.0, 1e-12);
        assert_close("gathering calls", FORWARD(w, OVERHEAD).calls,
                     FORWARD(count(&model, &FULL, &LQ_LAYOUT_SINGLE), OVERHEAD).calls +
                         (stage == 3 ? 5.0 * EAGER_CALLS.shard : 0.0),
                     1e-12);
    }
    layout.zero_group = 2;
    assert_close("half", STEP(count(&model, &FULL, &layout)).stream_bytes, whole / 2.0, 1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("work_layout");
    TCase *tests = tcase_create("work_layout");
    tcase_add_test(tests, tensor_parallelism_divides_matrices_but_not_routers_norms_or_calls);
    tcase_add_test(tests, pipeline_stages_have_an_even_share_of_the_layers);
    tcase_add_test(tests, expert_parallelism_divides_what_routed_experts_hold);
    tcase_add_test(tests, sharded_states_are_stepped_by_their_owner);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
