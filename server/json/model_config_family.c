/* The families of config.json that are understood, one row per model_type. Defaults are those of
 * each family's configuration class in Hugging Face Transformers 4.5x, or of the published files
 * where the class comes with the model. */
#include "server/json/model_config_family.h"

#include <stdio.h>
#include <string.h>

#define ALWAYS                                                                                     \
    {                                                                                              \
        .fallback = true                                                                           \
    }

/* clang-format off */
static const struct lq_family FAMILIES[] = {
    {.type = "llama", .decode = lq_decode_transformer, .norms = 2,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .ffn = lq_decode_dense, .gated = true, .mlp_bias = {"mlp_bias", false}},
    {.type = "mistral", .decode = lq_decode_transformer, .norms = 2,
     .window = {.key = "sliding_window", .tokens = 4096},
     .ffn = lq_decode_dense, .gated = true},
    {.type = "mixtral", .decode = lq_decode_transformer, .norms = 2,
     .window = {.key = "sliding_window"},
     .ffn = lq_decode_experts, .gated = true,
     .experts_key = "num_local_experts", .expert_size_key = "intermediate_size"},
    {.type = "qwen2", .decode = lq_decode_transformer, .norms = 2, .qkv_bias = ALWAYS,
     .window = {.key = "sliding_window", .tokens = 4096, .on = {"use_sliding_window", false},
                .full_first_key = "max_window_layers"},
     .ffn = lq_decode_dense, .gated = true},
    {.type = "qwen2_moe", .decode = lq_decode_transformer, .norms = 2,
     .qkv_bias = {"qkv_bias", true},
     .window = {.key = "sliding_window", .tokens = 4096, .on = {"use_sliding_window", false},
                .full_first_key = "max_window_layers"},
     .ffn = lq_decode_qwen_experts, .gated = true, .shared_experts = 1,
     .experts_key = "num_experts", .expert_size_key = "moe_intermediate_size"},
    {.type = "qwen3", .decode = lq_decode_transformer, .norms = 2, .head_size = 128,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .qk_norm = LQ_QK_NORM_HEAD,
     .window = {.key = "sliding_window", .tokens = 4096, .on = {"use_sliding_window", false},
                .full_first_key = "max_window_layers"},
     .ffn = lq_decode_dense, .gated = true},
    {.type = "qwen3_moe", .decode = lq_decode_transformer, .norms = 2,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .qk_norm = LQ_QK_NORM_HEAD,
     .window = {.key = "sliding_window", .tokens = 4096, .on = {"use_sliding_window", false}},
     .ffn = lq_decode_qwen_experts, .gated = true,
     .experts_key = "num_experts", .expert_size_key = "moe_intermediate_size"},
    {.type = "deepseek", .decode = lq_decode_transformer, .norms = 2,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .ffn = lq_decode_deepseek_experts, .gated = true,
     .experts_key = "n_routed_experts", .expert_size_key = "moe_intermediate_size"},
    {.type = "deepseek_v2", .decode = lq_decode_transformer, .norms = 2, .mla = true,
     .q_rank = 1536,
     .ffn = lq_decode_deepseek_experts, .gated = true,
     .experts_key = "n_routed_experts", .expert_size_key = "moe_intermediate_size"},
    {.type = "deepseek_v3", .decode = lq_decode_transformer, .norms = 2, .mla = true,
     .q_rank = 1536,
     .ffn = lq_decode_deepseek_experts, .gated = true, .dense_first = 3, .shared_experts = 1,
     .corrected_router = true,
     .experts_key = "n_routed_experts", .expert_size_key = "moe_intermediate_size"},
    {.type = "kimi_k2", .decode = lq_decode_transformer, .norms = 2, .mla = true,
     .q_rank = 1536,
     .ffn = lq_decode_deepseek_experts, .gated = true, .dense_first = 1, .shared_experts = 1,
     .corrected_router = true,
     .experts_key = "n_routed_experts", .expert_size_key = "moe_intermediate_size"},
    {.type = "glm4_moe", .decode = lq_decode_transformer, .norms = 2, .head_size = 128,
     .qkv_bias = {"attention_bias", false},
     .qk_norm = LQ_QK_NORM_HEAD, .qk_norm_on = {"use_qk_norm", false},
     .ffn = lq_decode_deepseek_experts, .gated = true, .dense_first = 1, .shared_experts = 1,
     .corrected_router = true,
     .experts_key = "n_routed_experts", .expert_size_key = "moe_intermediate_size"},
    {.type = "dbrx", .decode = lq_decode_dbrx},
    {.type = "llama4", .alias = "llama4_text", .nested = true,
     .decode = lq_decode_transformer, .norms = 2,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .window = {.key = "attention_chunk_size", .tokens = 8192, .full_period = 4,
                .full_period_key = "no_rope_layer_interval"},
     .ffn = lq_decode_llama4_experts, .gated = true,
     .experts_key = "num_local_experts", .expert_size_key = "intermediate_size"},
    {.type = "gpt_oss", .decode = lq_decode_transformer, .norms = 2, .head_size = 64,
     .qkv_bias = {"attention_bias", true}, .o_bias = {"attention_bias", true},
     .window = {.key = "sliding_window", .tokens = 128, .full_period = 2},
     .ffn = lq_decode_gpt_oss_experts, .gated = true,
     .experts_key = "num_local_experts", .expert_size_key = "intermediate_size"},
    {.type = "phimoe", .decode = lq_decode_transformer, .norms = 2, .norm_biased = true,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .window = {.key = "sliding_window"},
     .ffn = lq_decode_experts, .gated = true, .head_bias = {"lm_head_bias", false},
     .experts_key = "num_local_experts", .expert_size_key = "intermediate_size"},
    {.type = "olmoe", .decode = lq_decode_transformer, .norms = 2,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .qk_norm = LQ_QK_NORM_FULL,
     .ffn = lq_decode_experts, .gated = true,
     .experts_key = "num_experts", .expert_size_key = "intermediate_size"},
    {.type = "olmo", .decode = lq_decode_transformer, .norms = 0,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .ffn = lq_decode_dense, .gated = true},
    {.type = "olmo2", .decode = lq_decode_transformer, .norms = 2,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .qk_norm = LQ_QK_NORM_FULL,
     .ffn = lq_decode_dense, .gated = true},
    {.type = "jamba", .decode = lq_decode_jamba, .gated = true,
     .experts_key = "num_experts", .expert_size_key = "intermediate_size"},
    {.type = "mamba", .decode = lq_decode_mamba, .tied = true},
    {.type = "blackmamba", .decode = lq_decode_blackmamba, .tied = true},
    {.type = "gemma", .decode = lq_decode_transformer, .norms = 2, .tied = true,
     .head_size = 256,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .ffn = lq_decode_dense, .gated = true},
    {.type = "gemma2", .decode = lq_decode_transformer, .norms = 4, .tied = true,
     .head_size = 256,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .window = {.key = "sliding_window", .tokens = 4096, .full_period = 2},
     .ffn = lq_decode_dense, .gated = true},
    {.type = "gemma3", .alias = "gemma3_text", .nested = true,
     .decode = lq_decode_transformer, .norms = 4, .tied = true,
     .vocab_size = 262208, .heads = 8, .kv_heads = 4, .head_size = 256,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .qk_norm = LQ_QK_NORM_HEAD,
     .window = {.key = "sliding_window", .tokens = 4096, .full_period = 6,
                .full_period_key = "sliding_window_pattern"},
     .ffn = lq_decode_dense, .gated = true},
    {.type = "falcon", .decode = lq_decode_falcon, .tied = true},
    {.type = "mpt", .decode = lq_decode_mpt, .tied = true},
    {.type = "opt", .decode = lq_decode_opt, .tied = true},
    {.type = "gpt2", .decode = lq_decode_gpt2, .tied = true},
    {.type = "gpt_neox", .decode = lq_decode_transformer, .norms = 2, .norm_biased = true,
     .qkv_bias = {"attention_bias", true}, .o_bias = {"attention_bias", true},
     .ffn = lq_decode_dense, .mlp_bias = ALWAYS},
    {.type = "phi", .decode = lq_decode_transformer, .norms = 1, .norm_biased = true,
     .qkv_bias = ALWAYS, .o_bias = ALWAYS,
     .qk_norm = LQ_QK_NORM_HEAD_BIASED, .qk_norm_on = {"qk_layernorm", false},
     .ffn = lq_decode_dense, .mlp_bias = ALWAYS, .head_bias = ALWAYS},
    {.type = "phi3", .decode = lq_decode_transformer, .norms = 2,
     .window = {.key = "sliding_window"},
     .ffn = lq_decode_dense, .gated = true},
    {.type = "starcoder2", .decode = lq_decode_transformer, .norms = 2, .norm_biased = true,
     .tied = true, .qkv_bias = {"use_bias", true}, .o_bias = {"use_bias", true},
     .window = {.key = "sliding_window"},
     .ffn = lq_decode_dense, .mlp_bias = {"use_bias", true}},
    {.type = "cohere", .decode = lq_decode_transformer, .norms = 1, .tied = true,
     .qkv_bias = {"attention_bias", false}, .o_bias = {"attention_bias", false},
     .qk_norm = LQ_QK_NORM_FULL, .qk_norm_on = {"use_qk_norm", false},
     .ffn = lq_decode_dense, .gated = true},
};
/* clang-format on */

enum { FAMILY_COUNT = sizeof FAMILIES / sizeof *FAMILIES };

const struct lq_family *lq_family_find(const char *type)
{
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        const struct lq_family *family = &FAMILIES[i];
        if (strcmp(family->type, type) == 0 ||
            (family->alias != NULL && strcmp(family->alias, type) == 0)) {
            return family;
        }
    }
    return NULL;
}

void lq_family_list(char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < FAMILY_COUNT && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "", FAMILIES[i].type);
        used += n > 0 ? (size_t)n : 0;
    }
}
