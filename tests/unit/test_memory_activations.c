/* What a token leaves on the device, counted by hand; the arithmetic stands with each case. */
#include "core/finetune/memory.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

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

/* Bytes per token, bf16, LoRA on attention; stack: norms 7 per element, LoRA inputs 3, logits 5.
 * Both kinds of layer: q, k, v and output 8 + 4 + 4 + 8 = 24 elements, 48 bytes; two norms of 8
 * elements 112; four adapters over 8 inputs 96. Dense: gate, activation, up 3 * 16 elements, 96
 * bytes; their gradients 96. Experts (top-2 of 4): 2 * 3 * 12 elements, 144 bytes; gathered, out
 * and weighted 2 * 3 * 8, 96; gradients of one expert with half the tokens 36. */
enum {
    DENSE_SAVED = 48 + 112 + 96 + 96,
    DENSE_AGAIN = 96,
    MOE_SAVED = 48 + 112 + 96 + 144 + 96,
    MOE_AGAIN = 36,
    ALL_SAVED = 3 * DENSE_SAVED + 2 * MOE_SAVED,
    INPUTS = 5 * 8 * 2,
    /* input 16; attention's output 16, half of q, k, v and of o's output 16 + 8; half of the
     * feed-forward matmuls: 2 * 16 + 8, and 24 + 8 for each of two experts */
    SELECTED = 3 * (16 + 16 + 16 + 8 + 40) + 2 * (16 + 16 + 16 + 8 + 64)
};

START_TEST(without_checkpointing_every_layer_is_kept)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m = count(&model, &LORA, (struct lq_training){.accumulation_steps = 1});
    ck_assert_double_eq(m.saved_token_bytes, ALL_SAVED);
    ck_assert_double_eq(m.work_token_bytes, DENSE_AGAIN);
    ck_assert_double_eq(m.layer_token_bytes, MOE_SAVED + MOE_AGAIN);
    ck_assert_double_eq(m.logit_token_bytes, 50.0);
    ck_assert_double_eq(m.saved_square_bytes, 0.0);
    ck_assert_double_eq(m.work_square_bytes, 0.0);
}
END_TEST

START_TEST(full_checkpointing_keeps_inputs_and_the_largest_layer)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m =
        count(&model, &LORA, (struct lq_training){.checkpointing = LQ_CHECKPOINTING_FULL});
    ck_assert_double_eq(m.saved_token_bytes, INPUTS);
    ck_assert_double_eq(m.work_token_bytes, MOE_SAVED + MOE_AGAIN);
}
END_TEST

START_TEST(selective_checkpointing_keeps_every_second_matmul)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m =
        count(&model, &LORA, (struct lq_training){.checkpointing = LQ_CHECKPOINTING_SELECTIVE});
    ck_assert_double_eq(m.saved_token_bytes, SELECTED);
    ck_assert_double_eq(m.work_token_bytes, MOE_SAVED + MOE_AGAIN);
}
END_TEST

START_TEST(a_compiled_layer_recomputes_its_norms_and_activation)
{
    const struct lq_model model = tiny_dense();
    const struct lq_memory m =
        count(&model, &LORA, (struct lq_training){.options = LQ_OPTION_BIT(LQ_OPTION_COMPILE)});
    ck_assert_double_eq(m.saved_token_bytes, 3.0 * (48.0 + 2.0 * 16.0 + 96.0 + 64.0));
}
END_TEST

START_TEST(repeated_key_value_heads_count_as_often_as_they_are_read)
{
    const struct lq_model model = tiny_dense();
    struct lq_stack stack = TINY_STACK;
    stack.repeats_kv_heads = true;
    const struct lq_memory m =
        count_on(&model, &LORA, (struct lq_training){.accumulation_steps = 1}, &stack, NULL);
    ck_assert_double_eq(m.saved_token_bytes, 3.0 * (DENSE_SAVED + 16.0));
}
END_TEST

START_TEST(adapters_without_dropout_share_the_input_of_their_matrix)
{
    const struct lq_model model = tiny_dense();
    struct lq_stack stack = TINY_STACK;
    stack.lora_input_bytes = 0.0;
    const struct lq_training training = {.accumulation_steps = 1};
    /* q, k and v read one, o reads attention's output */
    ck_assert_double_eq(count_on(&model, &LORA, training, &stack, NULL).saved_token_bytes,
                        3.0 * (DENSE_SAVED - 96.0 + 16.0));
    struct lq_method all = LORA;
    all.targets = LQ_TARGETS_ALL_LINEAR; /* gate and up read one of 8, down one of 16 */
    ck_assert_double_eq(count_on(&model, &all, training, &stack, NULL).saved_token_bytes,
                        3.0 * (DENSE_SAVED - 96.0 + 16.0 + 16.0 + 32.0));
}
END_TEST

START_TEST(trained_weights_save_each_input_once)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m = count(&model, &FULL, (struct lq_training){.accumulation_steps = 1});
    /* no adapters; norms' outputs 8 + 8; down's inputs 16, or 12 for each of two experts */
    ck_assert_double_eq(m.saved_token_bytes,
                        ALL_SAVED - 5.0 * 96.0 + 5.0 * 32.0 + 3.0 * 32.0 + 2.0 * 48.0);
}
END_TEST

START_TEST(four_bit_matmuls_keep_inputs_past_checkpointing)
{
    const struct lq_model model = tiny_moe();
    struct lq_stack stack = TINY_STACK;
    stack.holds_quantized_inputs = true;
    struct lq_method method = {.kind = LQ_METHOD_QLORA,
                               .rank = 2,
                               .targets = LQ_TARGETS_ATTENTION,
                               .quantization = LQ_QUANTIZATION_NF4};
    struct lq_training training = {.checkpointing = LQ_CHECKPOINTING_FULL};
    /* of q, k, v and of the feed-forward part 8 + 8; of down 16; gathered 2 * 8, of down 2 * 12 */
    const double held = 3.0 * (16.0 + 16.0 + 32.0) + 2.0 * (16.0 + 16.0 + 32.0 + 48.0);
    ck_assert_double_eq(count_on(&model, &method, training, &stack, NULL).saved_token_bytes,
                        INPUTS + held);
    training.options = LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_ACTIVATIONS);
    ck_assert_double_eq(count_on(&model, &method, training, &stack, NULL).saved_token_bytes,
                        0.4 * INPUTS + held); /* two of five layers at a time */
    method.quantization = LQ_QUANTIZATION_NONE;
    ck_assert_double_eq(count_on(&model, &method, training, &stack, NULL).saved_token_bytes,
                        0.4 * INPUTS);
}
END_TEST

START_TEST(only_adapted_matrices_of_models_with_experts_may_keep_inputs)
{
    const struct lq_model model = tiny_moe();
    struct lq_stack stack = TINY_STACK;
    stack.holds_expert_inputs = true;
    const struct lq_method method = {.kind = LQ_METHOD_QLORA,
                                     .rank = 2,
                                     .targets =
                                         LQ_TARGETS_EXPERTS | LQ_TARGET_BIT(LQ_TARGET_ROUTER),
                                     .quantization = LQ_QUANTIZATION_NF4};
    const struct lq_training training = {.checkpointing = LQ_CHECKPOINTING_FULL};
    ck_assert_double_eq(count_on(&model, &method, training, &stack, NULL).saved_token_bytes,
                        INPUTS + 2.0 * (16.0 + 32.0 + 48.0));
}
END_TEST

START_TEST(logits_grow_with_the_vocabulary_and_shrink_in_chunks)
{
    struct lq_model model = tiny_moe();
    model.vocab_size = 1000;
    struct lq_stack stack = TINY_STACK;
    stack.kept_bytes_per_logit = 2.0;
    struct lq_training training = {.checkpointing = LQ_CHECKPOINTING_FULL};
    ck_assert_double_eq(count_on(&model, &LORA, training, &stack, NULL).logit_token_bytes, 5000.0);
    training.options = LQ_OPTION_BIT(LQ_OPTION_CHUNKED_LOSS);
    /* 2 of all tokens, 4 of an eighth */
    ck_assert_double_eq(count_on(&model, &LORA, training, &stack, NULL).logit_token_bytes, 2500.0);
}
END_TEST

START_TEST(eager_attention_keeps_scores_that_grow_with_the_row)
{
    const struct lq_model model = tiny_moe();
    struct lq_training training = {.attention = LQ_ATTENTION_EAGER};
    /* two heads: 16-bit scores before and after the softmax and their fp32 form, 8 bytes; all
     * layers */
    const struct lq_memory kept = count(&model, &LORA, training);
    ck_assert_double_eq(kept.saved_square_bytes, 5.0 * 2.0 * 8.0);
    training.checkpointing = LQ_CHECKPOINTING_FULL;
    const struct lq_memory m = count(&model, &LORA, training);
    ck_assert_double_eq(m.saved_square_bytes, 0.0);
    ck_assert_double_eq(m.work_square_bytes, 2.0 * 8.0);
    const struct lq_memory_parts parts = lq_memory_at_peak(&m, &LQ_MEMORY_FACTORS_ONE, 3.0, 10.0);
    ck_assert_int_eq(parts.moment, LQ_MEMORY_AT_BACKWARD);
    assert_close("scores", parts.activation_bytes,
                 3.0 * 10.0 * (INPUTS + MOE_SAVED + MOE_AGAIN + 10.0 * 16.0), 1e-12);
}
END_TEST

START_TEST(a_mamba_layer_saves_its_scan)
{
    const struct lq_model model = tiny_mamba();
    const struct lq_memory m = count(&model, &FULL, (struct lq_training){.accumulation_steps = 1});
    /* both halves of in_proj, scan and gate 4 * 16, dt 2, B and C 6 = 72 elements; the norm's
     * output 8; one norm of 56 bytes; two layers */
    ck_assert_double_eq(m.saved_token_bytes, 2.0 * (2.0 * 80.0 + 56.0));
}
END_TEST

START_TEST(latent_attention_saves_its_two_latent_vectors)
{
    struct lq_model model = tiny_dense();
    model.layers[0] = (struct lq_layer){.count = 1,
                                        .mixer = {.kind = LQ_MIXER_MLA,
                                                  .heads = 2,
                                                  .q_rank = 5,
                                                  .kv_rank = 3,
                                                  .nope_size = 4,
                                                  .rope_size = 2,
                                                  .value_size = 6}};
    const struct lq_memory m = count(&model, &FULL, (struct lq_training){.accumulation_steps = 1});
    /* input 8, latents 5 + 3, queries and keys 2 * 2 * 6, values and output 2 * 2 * 6 */
    ck_assert_double_eq(m.saved_token_bytes, 2.0 * (8.0 + 8.0 + 24.0 + 24.0) + 8.0 * 7.0);
}
END_TEST

START_TEST(active_experts_count_up_to_all_of_them)
{
    const struct lq_model model = tiny_moe();
    const struct lq_training training = {.accumulation_steps = 1};
    struct lq_memory_job job = {.model = &model,
                                .method = &LORA,
                                .training = &training,
                                .stack = &TINY_STACK,
                                .active_experts = 4};
    const double all = lq_memory_count(&job).saved_token_bytes;
    /* two more experts in two layers: 3 * 12 and 3 * 8 elements of 2 bytes each */
    ck_assert_double_eq(all, ALL_SAVED + 2.0 * 2.0 * (72.0 + 48.0));
    job.active_experts = 9;
    ck_assert_double_eq(lq_memory_count(&job).saved_token_bytes, all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_activations");
    TCase *tests = tcase_create("memory_activations");
    tcase_add_test(tests, without_checkpointing_every_layer_is_kept);
    tcase_add_test(tests, full_checkpointing_keeps_inputs_and_the_largest_layer);
    tcase_add_test(tests, selective_checkpointing_keeps_every_second_matmul);
    tcase_add_test(tests, a_compiled_layer_recomputes_its_norms_and_activation);
    tcase_add_test(tests, repeated_key_value_heads_count_as_often_as_they_are_read);
    tcase_add_test(tests, adapters_without_dropout_share_the_input_of_their_matrix);
    tcase_add_test(tests, trained_weights_save_each_input_once);
    tcase_add_test(tests, four_bit_matmuls_keep_inputs_past_checkpointing);
    tcase_add_test(tests, only_adapted_matrices_of_models_with_experts_may_keep_inputs);
    tcase_add_test(tests, logits_grow_with_the_vocabulary_and_shrink_in_chunks);
    tcase_add_test(tests, eager_attention_keeps_scores_that_grow_with_the_row);
    tcase_add_test(tests, a_mamba_layer_saves_its_scan);
    tcase_add_test(tests, latent_attention_saves_its_two_latent_vectors);
    tcase_add_test(tests, active_experts_count_up_to_all_of_them);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
