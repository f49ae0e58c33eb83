/* Memory of models that were counted by hand; the arithmetic stands with each case. */
#include "core/finetune/memory.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>

/* tiny_moe: matrices 3 * 576 + 2 * 1376 = 4480, embedding 80, head 80, norms 5 * 16 + 8 = 88. */
enum { LINEAR = 4480, NOT_LINEAR = 80 + 80 + 88, ALL = LINEAR + NOT_LINEAR };
/* LoRA on attention: (8 + 8) + (4 + 8) + (4 + 8) + (8 + 8) = 56 features in each of five layers. */
enum { ADAPTED = 2 * 5 * 56 }; /* of rank 2 */

static const struct lq_method FULL = {.kind = LQ_METHOD_FULL};
static const struct lq_method LORA = {
    .kind = LQ_METHOD_LORA, .rank = 2, .targets = LQ_TARGETS_ATTENTION};

static const struct lq_memory_factors *const ONE = &LQ_MEMORY_FACTORS_ONE;

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

START_TEST(lora_keeps_the_weights_and_trains_the_adapters)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m = count(&model, &LORA, (struct lq_training){.accumulation_steps = 1});
    ck_assert_double_eq(m.weights_bytes, 2.0 * ALL);
    ck_assert_double_eq(m.adapter_bytes, 4.0 * ADAPTED);
    ck_assert_double_eq(m.gradient_bytes, 4.0 * ADAPTED);
    ck_assert_double_eq(m.optimizer_bytes, 2.0 * 4.0 * ADAPTED);
    ck_assert_double_eq(m.context_bytes, 1000.0);
    ck_assert_double_eq(m.scratch_bytes, 0.0);
    ck_assert_double_eq(m.communication_bytes, 0.0);
    ck_assert_double_eq(lq_memory_fixed_bytes(&m), 2.0 * ALL + 16.0 * ADAPTED + 1000.0);
}
END_TEST

START_TEST(trained_embeddings_are_a_second_copy_beside_the_frozen_one)
{
    const struct lq_model model = tiny_moe();
    struct lq_method method = LORA;
    method.train_embeddings = true;
    const struct lq_memory m =
        count(&model, &method, (struct lq_training){.accumulation_steps = 1});
    ck_assert_double_eq(m.weights_bytes, 2.0 * ALL);
    ck_assert_double_eq(m.adapter_bytes, 4.0 * (ADAPTED + 80 + 80));
    ck_assert_double_eq(m.optimizer_bytes, 8.0 * (ADAPTED + 80 + 80));
}
END_TEST

START_TEST(nf4_holds_the_matrices_alone_and_scratch_for_the_largest)
{
    const struct lq_model model = tiny_moe();
    struct lq_method method = LORA;
    method.kind = LQ_METHOD_QLORA;
    method.quantization = LQ_QUANTIZATION_NF4;
    const struct lq_memory m =
        count(&model, &method, (struct lq_training){.accumulation_steps = 1});
    /* half a byte and an fp32 scale per 64 weights; embedding, head and norms stay in 16 bit */
    ck_assert_double_eq(m.weights_bytes, LINEAR * 0.5625 + 2.0 * NOT_LINEAR);
    /* the largest matrix, 16 x 8, in 16 bit */
    ck_assert_double_eq(m.scratch_bytes, 2.0 * 128.0);
}
END_TEST

START_TEST(double_quantisation_stores_8_bit_scales)
{
    const struct lq_model model = tiny_moe();
    struct lq_method method = LORA;
    method.kind = LQ_METHOD_QLORA;
    method.quantization = LQ_QUANTIZATION_NF4_DQ;
    const struct lq_memory m =
        count(&model, &method, (struct lq_training){.accumulation_steps = 1});
    /* 1 byte per 64 weights, 4 bytes per 256 of those */
    assert_close("weights", m.weights_bytes,
                 LINEAR * (0.5 + 1.0 / 64.0 + 4.0 / 16384.0) + 2.0 * NOT_LINEAR, 1e-12);
}
END_TEST

START_TEST(what_is_not_quantised_may_be_cast_to_fp32)
{
    const struct lq_model model = tiny_moe();
    struct lq_stack stack = TINY_STACK;
    stack.upcasts_unquantized = true;
    struct lq_method method = LORA;
    const struct lq_training training = {.checkpointing = LQ_CHECKPOINTING_FULL};
    ck_assert_double_eq(count_on(&model, &method, training, &stack, NULL).weights_bytes, 2.0 * ALL);
    method.kind = LQ_METHOD_QLORA;
    method.quantization = LQ_QUANTIZATION_NF4;
    const struct lq_memory m = count_on(&model, &method, training, &stack, NULL);
    ck_assert_double_eq(m.weights_bytes, LINEAR * 0.5625 + 4.0 * NOT_LINEAR);
    ck_assert_double_eq(m.saved_token_bytes, 5.0 * 8.0 * 4.0); /* so is what passes the layers */
}
END_TEST

static const struct {
    enum lq_optimizer optimizer;
    bool master;
    bool flat;
    enum lq_precision precision;
    double weight; /* bytes per parameter */
    double gradient;
    double optimizer_bytes; /* master copy included */
    double step;
} FULL_CASES[] = {
    {LQ_OPTIMIZER_ADAMW, false, false, LQ_PRECISION_BF16, 2.0, 2.0, 4.0, 2.0},
    /* fp32 parameters, moments and gradients, with 16-bit casts */
    {LQ_OPTIMIZER_ADAMW, true, false, LQ_PRECISION_BF16, 2.0, 4.0, 4.0 + 8.0, 4.0},
    /* 16-bit gradients and an fp32 copy of them beside the master weights */
    {LQ_OPTIMIZER_ADAMW, true, true, LQ_PRECISION_BF16, 2.0, 2.0, 4.0 + 8.0 + 4.0, 4.0 + 2.0},
    {LQ_OPTIMIZER_ADAMW, false, false, LQ_PRECISION_FP32, 4.0, 4.0, 8.0, 4.0},
    {LQ_OPTIMIZER_ADAMW, true, true, LQ_PRECISION_FP32, 4.0, 4.0, 8.0, 4.0}, /* already masters */
    {LQ_OPTIMIZER_ADAMW, false, false, LQ_PRECISION_FP8, 2.0, 2.0, 4.0, 2.0},
    {LQ_OPTIMIZER_ADAMW_8BIT, false, false, LQ_PRECISION_BF16, 2.0, 2.0, 2.0 + 8.0 / 256.0, 0.0},
    {LQ_OPTIMIZER_PAGED_ADAMW_8BIT, false, false, LQ_PRECISION_FP16, 2.0, 2.0, 0.0, 0.0},
    {LQ_OPTIMIZER_SGD, false, false, LQ_PRECISION_BF16, 2.0, 2.0, 0.0, 0.0},
    {LQ_OPTIMIZER_SGD, true, false, LQ_PRECISION_BF16, 2.0, 4.0, 4.0, 0.0},
};

START_TEST(full_tuning_trains_every_parameter)
{
    const struct lq_model model = tiny_moe();
    struct lq_stack stack = TINY_STACK;
    stack.flat_optimizer = FULL_CASES[_i].flat;
    struct lq_training training = {.precision = FULL_CASES[_i].precision,
                                   .optimizer = FULL_CASES[_i].optimizer,
                                   .master_weights = FULL_CASES[_i].master,
                                   .accumulation_steps = 1};
    const struct lq_memory m = count_on(&model, &FULL, training, &stack, NULL);
    assert_close("weights", m.weights_bytes, FULL_CASES[_i].weight * ALL, 1e-12);
    assert_close("gradients", m.gradient_bytes, FULL_CASES[_i].gradient * ALL, 1e-12);
    assert_close("optimizer", m.optimizer_bytes, FULL_CASES[_i].optimizer_bytes * ALL, 1e-12);
    assert_close("step", m.step_bytes, FULL_CASES[_i].step * ALL, 1e-12);
    ck_assert_double_eq(m.adapter_bytes, 0.0);
    stack.fused_optimizer = true;
    ck_assert_double_le(count_on(&model, &FULL, training, &stack, NULL).step_bytes, 2.0 * ALL);
}
END_TEST

START_TEST(gradients_wait_for_the_backward_pass_unless_they_accumulate)
{
    const struct lq_model model = tiny_moe();
    struct lq_training training = {.accumulation_steps = 1};
    const struct lq_memory once = count(&model, &FULL, training);
    ck_assert_double_eq(once.carried_gradient_bytes, 0.0);
    ck_assert_double_eq(once.head_gradient_bytes, 2.0 * 80.0); /* the head's, with the logits */
    training.accumulation_steps = 2;
    const struct lq_memory twice = count(&model, &FULL, training);
    ck_assert_double_eq(twice.carried_gradient_bytes, 2.0 * ALL);
    ck_assert_double_eq(twice.head_gradient_bytes, 0.0);
    ck_assert_double_eq(count(&model, &LORA, training).head_gradient_bytes, 0.0);
}
END_TEST

START_TEST(options_of_the_optimizer)
{
    const struct lq_model model = tiny_moe();
    struct lq_training training = {.options = LQ_OPTION_BIT(LQ_OPTION_OPTIMIZER_IN_BACKWARD),
                                   .accumulation_steps = 1};
    /* one gradient at a time: of the largest layer, 1376 cells */
    const struct lq_memory fused = count(&model, &FULL, training);
    ck_assert_double_eq(fused.gradient_bytes, 2.0 * 1376.0);
    ck_assert_double_eq(fused.step_bytes, 0.0);
    training.options = LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_OPTIMIZER);
    const struct lq_memory away = count(&model, &FULL, training);
    ck_assert_double_eq(away.optimizer_bytes, 0.0);
    ck_assert_double_eq(away.gradient_bytes, 2.0 * ALL);
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.data = 2;
    layout.zero_stage = 3;
    const struct lq_memory shards = count_on(&model, &FULL, training, &TINY_STACK, &layout);
    ck_assert_double_eq(shards.weights_bytes + shards.gradient_bytes + shards.optimizer_bytes, 0.0);
    ck_assert_double_gt(shards.communication_bytes, 0.0);
}
END_TEST

/* 500 bytes are held; rows of 50 tokens save 100 bytes each, their logits take 50, a layer 20. */
static const struct lq_memory ROUND = {.weights_bytes = 300.0,
                                       .adapter_bytes = 50.0,
                                       .optimizer_bytes = 100.0,
                                       .scratch_bytes = 30.0,
                                       .communication_bytes = 20.0,
                                       .gradient_bytes = 400.0,
                                       .head_gradient_bytes = 10.0,
                                       .step_bytes = 60.0,
                                       .saved_token_bytes = 2.0,
                                       .work_token_bytes = 0.4,
                                       .layer_token_bytes = 0.4,
                                       .logit_token_bytes = 1.0,
                                       .context_bytes = 40.0,
                                       .fragmentation = 0.25,
                                       .static_fragmentation = 0.1,
                                       .scope = LQ_MEMORY_DEVICE};

START_TEST(the_peak_is_the_fullest_moment)
{
    const struct {
        double batch;
        enum lq_memory_moment moment;
        double used;
    } cases[] = {{1.0, LQ_MEMORY_AT_OPTIMIZER, 460.0},
                 {2.9, LQ_MEMORY_AT_OPTIMIZER, 460.0},
                 {4.0, LQ_MEMORY_AT_LOSS, 610.0}};
    for (int i = 0; i < 3; i++) {
        const struct lq_memory_parts p = lq_memory_at_peak(&ROUND, ONE, cases[i].batch, 50.0);
        ck_assert_int_eq(p.moment, cases[i].moment);
        assert_close("total", p.total_bytes, 500.0 * 1.1 + cases[i].used * 1.25 + 40.0, 1e-12);
        assert_close("sum", p.total_bytes,
                     p.weights_bytes + p.adapter_bytes + p.gradient_bytes + p.optimizer_bytes +
                         p.activation_bytes + p.logits_bytes + p.communication_bytes +
                         p.overhead_bytes,
                     1e-12);
    }
    struct lq_memory small = ROUND;
    small.logit_token_bytes = 0.1;
    small.head_gradient_bytes = 0.0;
    ck_assert_int_eq(lq_memory_at_peak(&small, ONE, 4.0, 50.0).moment, LQ_MEMORY_AT_BACKWARD);
    small.layer_token_bytes = 1.0;
    ck_assert_int_eq(lq_memory_at_peak(&small, ONE, 2.0, 50.0).moment, LQ_MEMORY_AT_GRADIENTS);
    small.keeps_blocks = true; /* activations stay reserved while the optimizer steps */
    const struct lq_memory_parts kept = lq_memory_at_peak(&small, ONE, 4.0, 50.0);
    ck_assert_int_eq(kept.moment, LQ_MEMORY_AT_OPTIMIZER);
    ck_assert_double_eq(kept.activation_bytes, 400.0);
}
END_TEST

START_TEST(scopes_count_what_their_tools_see)
{
    const double used = 610.0;
    ck_assert_double_eq(lq_memory_peak_bytes(&ROUND, ONE, LQ_MEMORY_ALLOCATED, 4.0, 50.0, NULL),
                        500.0 + used);
    assert_close("reserved", lq_memory_peak_bytes(&ROUND, ONE, LQ_MEMORY_RESERVED, 4.0, 50.0, NULL),
                 500.0 * 1.1 + used * 1.25, 1e-12);
    assert_close("device", lq_memory_peak_bytes(&ROUND, ONE, LQ_MEMORY_DEVICE, 4.0, 50.0, NULL),
                 lq_memory_total_bytes(&ROUND, ONE, 4.0, 50.0), 1e-12);
}
END_TEST

START_TEST(slopes_are_those_of_the_peak)
{
    const struct lq_memory_factors at = {
        .activation = 1.2, .logits = 0.9, .overhead = 1.5, .communication = 2.0};
    for (int scope = LQ_MEMORY_ALLOCATED; scope <= LQ_MEMORY_DEVICE; scope++) {
        double slopes[LQ_MEMORY_FACTORS];
        const double peak =
            lq_memory_peak_bytes(&ROUND, &at, (enum lq_memory_scope)scope, 6.0, 50.0, slopes);
        for (int i = 0; i < LQ_MEMORY_FACTORS; i++) {
            double moved[] = {at.activation, at.logits, at.overhead, at.communication};
            moved[i] *= exp(1e-6);
            const struct lq_memory_factors to = {moved[0], moved[1], moved[2], moved[3]};
            const double there =
                lq_memory_peak_bytes(&ROUND, &to, (enum lq_memory_scope)scope, 6.0, 50.0, NULL);
            ck_assert_double_eq_tol(slopes[i], log(there / peak) / 1e-6, 1e-6);
        }
    }
}
END_TEST

START_TEST(the_largest_batch_is_the_last_that_fits)
{
    const double four = lq_memory_total_bytes(&ROUND, ONE, 4.0, 50.0);
    ck_assert_int_eq(lq_memory_max_batch(&ROUND, ONE, four + 0.01, 50), 4);
    ck_assert_int_eq(lq_memory_max_batch(&ROUND, ONE, four - 0.01, 50), 3);
    assert_close("filling", lq_memory_filling_batch(&ROUND, ONE, four, 50.0), 4.0, 1e-12);
    /* what a step takes however small its batch */
    const double empty = 500.0 * 1.1 + 460.0 * 1.25 + 40.0;
    ck_assert_int_eq(lq_memory_max_batch(&ROUND, ONE, empty + 0.01, 50), 3);
    ck_assert_int_eq(lq_memory_max_batch(&ROUND, ONE, empty - 0.01, 50), 0);
    ck_assert_int_eq(lq_memory_max_batch(&ROUND, ONE, 1.0, 50), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *tests = tcase_create("memory");
    tcase_add_test(tests, lora_keeps_the_weights_and_trains_the_adapters);
    tcase_add_test(tests, trained_embeddings_are_a_second_copy_beside_the_frozen_one);
    tcase_add_test(tests, nf4_holds_the_matrices_alone_and_scratch_for_the_largest);
    tcase_add_test(tests, double_quantisation_stores_8_bit_scales);
    tcase_add_test(tests, what_is_not_quantised_may_be_cast_to_fp32);
    tcase_add_loop_test(tests, full_tuning_trains_every_parameter, 0,
                        (int)(sizeof FULL_CASES / sizeof FULL_CASES[0]));
    tcase_add_test(tests, gradients_wait_for_the_backward_pass_unless_they_accumulate);
    tcase_add_test(tests, options_of_the_optimizer);
    tcase_add_test(tests, the_peak_is_the_fullest_moment);
    tcase_add_test(tests, scopes_count_what_their_tools_see);
    tcase_add_test(tests, slopes_are_those_of_the_peak);
    tcase_add_test(tests, the_largest_batch_is_the_last_that_fits);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
