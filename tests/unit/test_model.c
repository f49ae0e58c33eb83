/* What follows from a model's shape: its matrices, LoRA's parameters, the names and costs of
 * methods, and the limits that keep every count within int64_t. */
#include "core/arch/method.h"
#include "core/arch/model.h"
#include "core/arch/model_limits.h"
#include "tests/unit/check_main.h"

#include <string.h>

/* Two layers of a small mixture of experts with shared experts, grouped queries and no ties. */
static struct lq_model small_moe(void)
{
    return (struct lq_model){
        .hidden_size = 64,
        .vocab_size = 100,
        .embedding_parameters = 6400,
        .head_parameters = 6400,
        .final_norm_parameters = 64,
        .layer_kinds = 1,
        .layers = {
            {.count = 2,
             .mixer = {.kind = LQ_MIXER_ATTENTION, .heads = 4, .kv_heads = 2, .head_size = 8},
             .ffn = {.kind = LQ_FFN_MOE,
                     .gated = true,
                     .intermediate_size = 16,
                     .experts = 8,
                     .active_experts = 2,
                     .shared_size = 48,
                     .bias_parameters = 5,
                     .router_parameters = 8},
             .norm_parameters = 128}}};
}

static const struct lq_matrix *find(const struct lq_matrix *list, int n, enum lq_target target,
                                    bool routed)
{
    for (int i = 0; i < n; i++) {
        if (list[i].target == target && list[i].routed == routed) {
            return &list[i];
        }
    }
    ck_abort_msg("no matrix of target %d", (int)target);
    return NULL;
}

START_TEST(matrices_have_output_rows_and_input_columns)
{
    struct lq_model model = small_moe();
    struct lq_matrix list[LQ_MATRICES_MAX];
    int n = lq_layer_matrices(&model, &model.layers[0], list);
    ck_assert_int_eq(n, 4 + 1 + 3 + 3);
    const struct lq_matrix *k = find(list, n, LQ_TARGET_K, false);
    ck_assert_int_eq(k->rows, 16);
    ck_assert_int_eq(k->cols, 64);
    const struct lq_matrix *down = find(list, n, LQ_TARGET_EXPERT_DOWN, true);
    ck_assert_int_eq(down->rows, 64);
    ck_assert_int_eq(down->cols, 16);
    ck_assert_int_eq(down->count, 8);
    const struct lq_matrix *shared = find(list, n, LQ_TARGET_EXPERT_UP, false);
    ck_assert_int_eq(shared->rows, 48);
    ck_assert_int_eq(shared->count, 1);
}
END_TEST

START_TEST(mla_has_five_projections_or_four_with_a_full_query)
{
    struct lq_model model = {.hidden_size = 64, .vocab_size = 10};
    struct lq_layer layer = {.count = 1,
                             .mixer = {.kind = LQ_MIXER_MLA,
                                       .heads = 4,
                                       .q_rank = 12,
                                       .kv_rank = 10,
                                       .nope_size = 6,
                                       .rope_size = 2,
                                       .value_size = 5}};
    struct lq_matrix list[LQ_MATRICES_MAX];
    ck_assert_int_eq(lq_layer_matrices(&model, &layer, list), 5);
    ck_assert_int_eq(find(list, 5, LQ_TARGET_K, false)->rows, 10 + 2);
    ck_assert_int_eq(find(list, 5, LQ_TARGET_V, false)->rows, 4 * (6 + 5));
    ck_assert_int_eq(find(list, 5, LQ_TARGET_O, false)->cols, 4 * 5);
    layer.mixer.q_rank = 0;
    ck_assert_int_eq(lq_layer_matrices(&model, &layer, list), 4);
    ck_assert_int_eq(find(list, 4, LQ_TARGET_Q, false)->rows, 4 * (6 + 2));
}
END_TEST

START_TEST(parts_add_up_to_the_total_and_idle_experts_are_not_active)
{
    struct lq_model model = small_moe();
    struct lq_parameters p = lq_model_parameters(&model, 0);
    int64_t expert = 3 * 64 * 16;
    int64_t attention = 2 * 64 * 32 + 2 * 64 * 16;
    ck_assert_int_eq(p.experts, 2 * 8 * expert);
    ck_assert_int_eq(p.router, 2LL * 8 * 64);
    ck_assert_int_eq(p.linear, 2 * (attention + 8LL * 64 + 8 * expert + 3LL * 64 * 48));
    ck_assert_int_eq(p.rest, 2LL * (128 + 8 + 8 * 5) + 64);
    ck_assert_int_eq(p.total, p.linear + p.rest + 2 * 6400);
    ck_assert_int_eq(p.total - p.active, 2 * 6 * (expert + 5));
    ck_assert_int_eq(lq_model_parameters(&model, 1000).active, p.total);
}
END_TEST

START_TEST(lora_adds_rank_times_rows_and_columns_of_each_target)
{
    struct lq_model model = small_moe();
    struct lq_method method = {.kind = LQ_METHOD_LORA, .rank = 16};
    method.targets = LQ_TARGET_BIT(LQ_TARGET_Q) | LQ_TARGET_BIT(LQ_TARGET_V);
    ck_assert_int_eq(lq_lora_parameters(&model, &method), 16 * 2 * ((32 + 64) + (16 + 64)));
    method.targets = LQ_TARGET_BIT(LQ_TARGET_EXPERT_UP);
    ck_assert_int_eq(lq_lora_parameters(&model, &method), 16 * 2 * (8 * (16 + 64) + (48 + 64)));
    method.targets = LQ_TARGET_BIT(LQ_TARGET_EMBEDDING) | LQ_TARGET_BIT(LQ_TARGET_HEAD);
    ck_assert_int_eq(lq_lora_parameters(&model, &method), 16 * 2 * (100 + 64));
    method.targets = 0;
    ck_assert_int_eq(lq_lora_parameters(&model, &method), 0);
}
END_TEST

/* All linear layers of a plain Llama 2 7B at rank 16: 39,976,960, as PEFT prints it. */
START_TEST(all_linear_lora_of_llama_2_7b_has_39976960_parameters)
{
    struct lq_model model = {
        .hidden_size = 4096,
        .vocab_size = 32000,
        .layer_kinds = 1,
        .layers = {
            {.count = 32,
             .mixer = {.kind = LQ_MIXER_ATTENTION, .heads = 32, .kv_heads = 32, .head_size = 128},
             .ffn = {.kind = LQ_FFN_DENSE, .gated = true, .intermediate_size = 11008}}}};
    struct lq_method method = {
        .kind = LQ_METHOD_LORA, .rank = 16, .targets = LQ_TARGETS_ALL_LINEAR};
    ck_assert_int_eq(lq_lora_parameters(&model, &method), 39976960);
}
END_TEST

static void expect_refused(const struct lq_model *model, const char *pointer)
{
    struct lq_error err = {0};
    ck_assert_int_eq(lq_model_check(model, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, pointer);
}

START_TEST(a_sound_model_passes_the_check)
{
    struct lq_model model = small_moe();
    struct lq_error err = {0};
    ck_assert_int_eq(lq_model_check(&model, &err), LQ_OK);
    ck_assert_int_eq(err.code, LQ_OK);
}
END_TEST

START_TEST(sizes_out_of_range_are_refused_by_name)
{
    struct lq_model model = small_moe();
    model.hidden_size = LQ_MODEL_HIDDEN_MAX + 1;
    expect_refused(&model, "/hidden_size");
    model = small_moe();
    model.vocab_size = 0;
    expect_refused(&model, "/vocab_size");
    model = small_moe();
    model.layer_kinds = 0;
    expect_refused(&model, "/num_hidden_layers");
    model = small_moe();
    model.layers[0].count = LQ_MODEL_LAYERS_MAX + 1;
    expect_refused(&model, "/num_hidden_layers");
    model = small_moe();
    model.layers[0].mixer.kv_heads = 5;
    expect_refused(&model, "/num_key_value_heads");
    model = small_moe();
    model.layers[0].mixer.kv_heads = 3;
    expect_refused(&model, "/num_key_value_heads");
    model = small_moe();
    model.layers[0].ffn.active_experts = 9;
    expect_refused(&model, "/num_experts_per_tok");
    model = small_moe();
    model.layers[0].ffn.experts = 0;
    expect_refused(&model, "/num_experts");
}
END_TEST

START_TEST(a_model_too_large_to_count_is_refused)
{
    struct lq_model model = small_moe();
    model.hidden_size = LQ_MODEL_HIDDEN_MAX;
    model.layers[0].count = LQ_MODEL_LAYERS_MAX;
    model.layers[0].ffn.intermediate_size = LQ_MODEL_INTERMEDIATE_MAX;
    model.layers[0].ffn.experts = LQ_MODEL_EXPERTS_MAX;
    expect_refused(&model, "");
}
END_TEST

static int length_of(const char *const *names)
{
    int n = 0;
    while (names[n] != NULL) {
        n++;
    }
    return n;
}

START_TEST(every_enumerator_has_a_name)
{
    ck_assert_int_eq(length_of(LQ_TARGET_NAMES), LQ_TARGET_COUNT);
    ck_assert_str_eq(LQ_TARGET_NAMES[LQ_TARGET_ROUTER], "router");
    ck_assert_int_eq(length_of(LQ_METHOD_NAMES), LQ_METHOD_QLORA + 1);
    ck_assert_int_eq(length_of(LQ_QUANTIZATION_NAMES), LQ_QUANTIZATION_INT8 + 1);
    ck_assert_int_eq(length_of(LQ_PRECISION_NAMES), LQ_PRECISION_FP8 + 1);
    ck_assert_int_eq(length_of(LQ_OPTIMIZER_NAMES), LQ_OPTIMIZER_SGD + 1);
    ck_assert_int_eq(length_of(LQ_ATTENTION_NAMES), LQ_ATTENTION_EAGER + 1);
    ck_assert_int_eq(length_of(LQ_CHECKPOINTING_NAMES), LQ_CHECKPOINTING_SELECTIVE + 1);
}
END_TEST

/* QLoRA (arXiv 2305.14314) section 3: double quantisation saves 0.373 bits of 0.5 per parameter. */
START_TEST(double_quantisation_takes_4_127_bits_per_parameter)
{
    double bits = 8.0 * lq_quantization_bytes(LQ_QUANTIZATION_NF4_DQ);
    ck_assert_double_eq_tol(bits, 4.127, 0.0005);
    ck_assert_double_eq_tol(8.0 * lq_quantization_bytes(LQ_QUANTIZATION_NF4) - bits, 0.373, 0.0005);
    ck_assert_double_eq(lq_quantization_bytes(LQ_QUANTIZATION_NONE), 0.0);
}
END_TEST

START_TEST(adam_keeps_two_moments_and_8_bit_adam_two_bytes)
{
    ck_assert_double_eq(lq_optimizer_bytes(LQ_OPTIMIZER_ADAMW, 2.0), 4.0);
    ck_assert_double_eq(lq_optimizer_bytes(LQ_OPTIMIZER_ADAMW, 4.0), 8.0);
    ck_assert_double_eq_tol(lq_optimizer_bytes(LQ_OPTIMIZER_ADAMW_8BIT, 2.0), 2.0, 0.05);
    ck_assert_double_eq(lq_optimizer_bytes(LQ_OPTIMIZER_SGD, 2.0), 0.0);
    ck_assert_double_eq(lq_precision_bytes(LQ_PRECISION_FP32), 4.0);
    ck_assert_double_eq(lq_precision_bytes(LQ_PRECISION_FP8), 2.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tests = tcase_create("model");
    tcase_add_test(tests, matrices_have_output_rows_and_input_columns);
    tcase_add_test(tests, mla_has_five_projections_or_four_with_a_full_query);
    tcase_add_test(tests, parts_add_up_to_the_total_and_idle_experts_are_not_active);
    tcase_add_test(tests, lora_adds_rank_times_rows_and_columns_of_each_target);
    tcase_add_test(tests, all_linear_lora_of_llama_2_7b_has_39976960_parameters);
    tcase_add_test(tests, a_sound_model_passes_the_check);
    tcase_add_test(tests, sizes_out_of_range_are_refused_by_name);
    tcase_add_test(tests, a_model_too_large_to_count_is_refused);
    tcase_add_test(tests, every_enumerator_has_a_name);
    tcase_add_test(tests, double_quantisation_takes_4_127_bits_per_parameter);
    tcase_add_test(tests, adam_keeps_two_moments_and_8_bit_adam_two_bytes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
