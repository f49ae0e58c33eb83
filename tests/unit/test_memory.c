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

static struct lq_memory count(const struct lq_model *model, const struct lq_method *method,
                              struct lq_training training)
{
    const struct lq_memory_job job = {.model = model,
                                      .method = method,
                                      .training = &training,
                                      .stack = &TINY_STACK,
                                      .active_experts = 2,
                                      .activation_factor = 1.0};
    return lq_memory_count(&job);
}

START_TEST(lora_keeps_the_weights_and_trains_the_adapters)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m = count(&model, &LORA, (struct lq_training){.accumulation_steps = 1});
    ck_assert_double_eq(m.weights_bytes, 2.0 * ALL);
    ck_assert_double_eq(m.adapter_bytes, 4.0 * ADAPTED);
    ck_assert_double_eq(m.gradient_bytes, 4.0 * ADAPTED);
    ck_assert_double_eq(m.optimizer_bytes, 2.0 * 4.0 * ADAPTED);
    ck_assert_double_eq(m.overhead_bytes, 1000.0);
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
    /* two 16-bit buffers of the largest matrix, 16 x 8 */
    ck_assert_double_eq(m.overhead_bytes, 1000.0 + 2.0 * 2.0 * 128.0);
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

static const struct {
    enum lq_optimizer optimizer;
    bool master;
    enum lq_precision precision;
    double weight;          /* bytes per parameter */
    double optimizer_bytes; /* bytes per parameter, master copy included */
} FULL_CASES[] = {
    {LQ_OPTIMIZER_ADAMW, false, LQ_PRECISION_BF16, 2.0, 4.0},
    {LQ_OPTIMIZER_ADAMW, true, LQ_PRECISION_BF16, 2.0, 4.0 + 8.0},
    {LQ_OPTIMIZER_ADAMW, false, LQ_PRECISION_FP32, 4.0, 8.0},
    {LQ_OPTIMIZER_ADAMW, true, LQ_PRECISION_FP32, 4.0, 8.0}, /* they are their own master */
    {LQ_OPTIMIZER_ADAMW, false, LQ_PRECISION_FP8, 2.0, 4.0},
    {LQ_OPTIMIZER_ADAMW_8BIT, false, LQ_PRECISION_BF16, 2.0, 2.0 + 8.0 / 256.0},
    {LQ_OPTIMIZER_PAGED_ADAMW_8BIT, false, LQ_PRECISION_FP16, 2.0, 2.0 + 8.0 / 256.0},
    {LQ_OPTIMIZER_SGD, false, LQ_PRECISION_BF16, 2.0, 0.0},
    {LQ_OPTIMIZER_SGD, true, LQ_PRECISION_BF16, 2.0, 4.0},
};

START_TEST(full_tuning_trains_every_parameter)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m = count(&model, &FULL,
                                     (struct lq_training){.precision = FULL_CASES[_i].precision,
                                                          .optimizer = FULL_CASES[_i].optimizer,
                                                          .master_weights = FULL_CASES[_i].master,
                                                          .accumulation_steps = 1});
    assert_close("weights", m.weights_bytes, FULL_CASES[_i].weight * ALL, 1e-12);
    assert_close("gradients", m.gradient_bytes, FULL_CASES[_i].weight * ALL, 1e-12);
    assert_close("optimizer", m.optimizer_bytes, FULL_CASES[_i].optimizer_bytes * ALL, 1e-12);
    ck_assert_double_eq(m.adapter_bytes, 0.0);
}
END_TEST

/* Bytes per token, bf16, LoRA on attention; stack: norms 7 per element, LoRA inputs 3, logits 5.
 * Both kinds of layer: attention saves input 8, q and its rotated copy 16, k, v and the rotated k
 * 12, output 8 = 44 elements, 88 bytes; two norms of 8 elements 112; four adapters over 8
 * inputs 96. Dense: gate, up, activation, product 4 * 16, input 8 = 72 elements, 144 bytes; in
 * backward once more 64 elements, 128 bytes. Experts (top-2): 2 * 4 * 12 = 96 elements and,
 * gathered, out and weighted, 8 + 2 * 3 * 8 = 56: 304 bytes; in backward once more 192. Logits: 10
 * * 5. */
enum {
    DENSE_SAVED = 88 + 112 + 96 + 144,
    MOE_SAVED = 88 + 112 + 96 + 304,
    MOE_AGAIN = 192,
    ALL_SAVED = 3 * DENSE_SAVED + 2 * MOE_SAVED,
    INPUTS = 5 * 8 * 2
};

START_TEST(without_checkpointing_every_layer_is_kept)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m = count(&model, &LORA, (struct lq_training){.accumulation_steps = 1});
    ck_assert_double_eq(m.activation_token_bytes, ALL_SAVED + MOE_AGAIN);
    ck_assert_double_eq(m.activation_square_bytes, 0.0);
}
END_TEST

START_TEST(full_checkpointing_keeps_inputs_and_the_largest_layer)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m =
        count(&model, &LORA, (struct lq_training){.checkpointing = LQ_CHECKPOINTING_FULL});
    ck_assert_double_eq(m.activation_token_bytes, INPUTS + MOE_SAVED + MOE_AGAIN);
}
END_TEST

START_TEST(selective_checkpointing_keeps_half_of_what_is_saved_besides)
{
    const struct lq_model model = tiny_moe();
    const struct lq_memory m =
        count(&model, &LORA, (struct lq_training){.checkpointing = LQ_CHECKPOINTING_SELECTIVE});
    ck_assert_double_eq(m.activation_token_bytes, INPUTS + 0.5 * ALL_SAVED + MOE_SAVED + MOE_AGAIN);
}
END_TEST

START_TEST(a_large_vocabulary_makes_the_logits_the_peak)
{
    struct lq_model model = tiny_moe();
    model.vocab_size = 1000;
    const struct lq_memory m =
        count(&model, &LORA, (struct lq_training){.checkpointing = LQ_CHECKPOINTING_FULL});
    ck_assert_double_eq(m.activation_token_bytes, INPUTS + 5.0 * 1000.0);
}
END_TEST

START_TEST(eager_attention_keeps_scores_that_grow_with_the_row)
{
    const struct lq_model model = tiny_moe();
    struct lq_training training = {.attention = LQ_ATTENTION_EAGER};
    /* two heads: 16-bit scores before and after the softmax and their fp32 form, 8 bytes; all
     * layers */
    ck_assert_double_eq(count(&model, &LORA, training).activation_square_bytes, 5.0 * 2.0 * 8.0);
    training.checkpointing = LQ_CHECKPOINTING_FULL;
    const struct lq_memory m = count(&model, &LORA, training);
    ck_assert_double_eq(m.activation_square_bytes, 2.0 * 8.0);
    ck_assert_double_eq(lq_memory_activation_bytes(&m, 3.0, 10.0),
                        3.0 * 10.0 * (m.activation_token_bytes + 10.0 * 16.0));
}
END_TEST

START_TEST(a_mamba_layer_saves_its_scan)
{
    const struct lq_model model = tiny_mamba();
    const struct lq_memory m = count(&model, &FULL, (struct lq_training){.accumulation_steps = 1});
    /* input 8, both halves of in_proj, scan and gate 4 * 16, dt 2, B and C 6 = 80 elements, one
     * norm of 56 bytes; two layers; the logits 50 */
    ck_assert_double_eq(m.activation_token_bytes, 2.0 * (2.0 * 80.0 + 56.0) + 50.0);
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
    /* input 8, latents 5 + 3, queries and keys 3 * 2 * 6, values and output 2 * 2 * 6 */
    ck_assert_double_eq(m.activation_token_bytes,
                        2.0 * (8.0 + 8.0 + 36.0 + 24.0) + 8.0 * 7.0 + 50.0);
}
END_TEST

START_TEST(active_experts_count_up_to_all_of_them)
{
    const struct lq_model model = tiny_moe();
    const struct lq_training training = {.checkpointing = LQ_CHECKPOINTING_FULL};
    struct lq_memory_job job = {.model = &model,
                                .method = &LORA,
                                .training = &training,
                                .stack = &TINY_STACK,
                                .active_experts = 4,
                                .activation_factor = 1.0};
    const double all = lq_memory_count(&job).activation_token_bytes;
    /* two more experts: 2 * 4 * 12 elements, twice, and 2 * 3 * 8 once, of 2 bytes */
    ck_assert_double_eq(all, INPUTS + MOE_SAVED + MOE_AGAIN + 2.0 * (96.0 + 96.0 + 48.0));
    job.active_experts = 9;
    ck_assert_double_eq(lq_memory_count(&job).activation_token_bytes, all);
}
END_TEST

START_TEST(the_factor_scales_activations_alone)
{
    const struct lq_model model = tiny_moe();
    const struct lq_training training = {.attention = LQ_ATTENTION_EAGER};
    struct lq_memory_job job = {.model = &model,
                                .method = &LORA,
                                .training = &training,
                                .stack = &TINY_STACK,
                                .active_experts = 2,
                                .activation_factor = 1.0};
    const struct lq_memory one = lq_memory_count(&job);
    job.activation_factor = 2.5;
    const struct lq_memory more = lq_memory_count(&job);
    ck_assert_double_eq(more.activation_token_bytes, 2.5 * one.activation_token_bytes);
    ck_assert_double_eq(more.activation_square_bytes, 2.5 * one.activation_square_bytes);
    ck_assert_double_eq(lq_memory_fixed_bytes(&more), lq_memory_fixed_bytes(&one));
}
END_TEST

START_TEST(the_largest_batch_is_the_last_that_fits)
{
    const struct lq_memory m = {.weights_bytes = 600.0,
                                .adapter_bytes = 50.0,
                                .gradient_bytes = 100.0,
                                .optimizer_bytes = 150.0,
                                .overhead_bytes = 100.0,
                                .fragmentation = 0.25,
                                .activation_token_bytes = 2.0};
    /* 1000 bytes fixed; rows of 50 tokens take 100 each; a quarter of the device is lost */
    ck_assert_double_eq(lq_memory_fixed_bytes(&m), 1000.0);
    ck_assert_double_eq(lq_memory_activation_bytes(&m, 3.0, 50.0), 300.0);
    assert_close("total", lq_memory_total_bytes(&m, 3.0, 50.0), 1300.0 / 0.75, 1e-12);
    ck_assert_int_eq(lq_memory_max_batch(&m, 1300.0 / 0.75 + 1.0, 50), 3);
    ck_assert_int_eq(lq_memory_max_batch(&m, 1300.0 / 0.75 - 1.0, 50), 2);
    ck_assert_int_eq(lq_memory_max_batch(&m, 1099.0 / 0.75, 50), 0);
    ck_assert_int_eq(lq_memory_max_batch(&m, 1000.0 / 0.75, 50), 0);
    ck_assert_int_eq(lq_memory_max_batch(&m, 1.0, 50), 0);
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
    tcase_add_loop_test(tests, full_tuning_trains_every_parameter, 0,
                        sizeof FULL_CASES / sizeof FULL_CASES[0]);
    tcase_add_test(tests, without_checkpointing_every_layer_is_kept);
    tcase_add_test(tests, full_checkpointing_keeps_inputs_and_the_largest_layer);
    tcase_add_test(tests, selective_checkpointing_keeps_half_of_what_is_saved_besides);
    tcase_add_test(tests, a_large_vocabulary_makes_the_logits_the_peak);
    tcase_add_test(tests, eager_attention_keeps_scores_that_grow_with_the_row);
    tcase_add_test(tests, a_mamba_layer_saves_its_scan);
    tcase_add_test(tests, latent_attention_saves_its_two_latent_vectors);
    tcase_add_test(tests, active_experts_count_up_to_all_of_them);
    tcase_add_test(tests, the_factor_scales_activations_alone);
    tcase_add_test(tests, the_largest_batch_is_the_last_that_fits);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
