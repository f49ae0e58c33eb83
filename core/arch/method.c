/* The API's names of methods, matrices and training settings, and the bytes that each setting costs
 * per parameter. What those bytes add up to for a model lives in core/finetune. */
#include "core/arch/method.h"

#include <string.h>

#include <stddef.h>

const char *const LQ_TARGET_NAMES[] = {
    [LQ_TARGET_Q] = "q",
    [LQ_TARGET_K] = "k",
    [LQ_TARGET_V] = "v",
    [LQ_TARGET_O] = "o",
    [LQ_TARGET_GATE] = "gate",
    [LQ_TARGET_UP] = "up",
    [LQ_TARGET_DOWN] = "down",
    [LQ_TARGET_EXPERT_GATE] = "expert_gate",
    [LQ_TARGET_EXPERT_UP] = "expert_up",
    [LQ_TARGET_EXPERT_DOWN] = "expert_down",
    [LQ_TARGET_ROUTER] = "router",
    [LQ_TARGET_EMBEDDING] = "embedding",
    [LQ_TARGET_HEAD] = "head",
    [LQ_TARGET_MAMBA_IN] = "in_proj",
    [LQ_TARGET_MAMBA_X] = "x_proj",
    [LQ_TARGET_MAMBA_DT] = "dt_proj",
    [LQ_TARGET_MAMBA_OUT] = "out_proj",
    [LQ_TARGET_COUNT] = NULL,
};

const struct lq_target_group LQ_TARGET_GROUPS[] = {
    {"all-linear", LQ_TARGETS_ALL_LINEAR},
    {"attention", LQ_TARGETS_ATTENTION},
    {"mlp", LQ_TARGETS_DENSE_MLP | LQ_TARGETS_EXPERTS},
    {"experts", LQ_TARGETS_EXPERTS},
    {"gate", LQ_TARGET_BIT(LQ_TARGET_GATE) | LQ_TARGET_BIT(LQ_TARGET_EXPERT_GATE)},
    {"up", LQ_TARGET_BIT(LQ_TARGET_UP) | LQ_TARGET_BIT(LQ_TARGET_EXPERT_UP)},
    {"down", LQ_TARGET_BIT(LQ_TARGET_DOWN) | LQ_TARGET_BIT(LQ_TARGET_EXPERT_DOWN)},
    {NULL, 0},
};

uint32_t lq_targets_named(const char *name)
{
    for (const struct lq_target_group *group = LQ_TARGET_GROUPS; group->name != NULL; group++) {
        if (strcmp(group->name, name) == 0) {
            return group->bits;
        }
    }
    for (int i = 0; i < LQ_TARGET_COUNT; i++) {
        if (strcmp(LQ_TARGET_NAMES[i], name) == 0) {
            return LQ_TARGET_BIT(i);
        }
    }
    return 0;
}

const char *const LQ_METHOD_NAMES[] = {
    [LQ_METHOD_FULL] = "full", [LQ_METHOD_LORA] = "lora", [LQ_METHOD_QLORA] = "qlora", NULL};

const char *const LQ_QUANTIZATION_NAMES[] = {
    [LQ_QUANTIZATION_NONE] = "none", [LQ_QUANTIZATION_NF4_DQ] = "nf4-dq",
    [LQ_QUANTIZATION_NF4] = "nf4",   [LQ_QUANTIZATION_INT4] = "int4",
    [LQ_QUANTIZATION_INT8] = "int8", NULL};

const char *const LQ_PRECISION_NAMES[] = {[LQ_PRECISION_BF16] = "bf16",
                                          [LQ_PRECISION_FP16] = "fp16",
                                          [LQ_PRECISION_FP32] = "fp32",
                                          [LQ_PRECISION_FP8] = "fp8",
                                          NULL};

const char *const LQ_OPTIMIZER_NAMES[] = {[LQ_OPTIMIZER_ADAMW] = "adamw",
                                          [LQ_OPTIMIZER_ADAMW_8BIT] = "adamw-8bit",
                                          [LQ_OPTIMIZER_PAGED_ADAMW_8BIT] = "paged-adamw-8bit",
                                          [LQ_OPTIMIZER_ADAFACTOR] = "adafactor",
                                          [LQ_OPTIMIZER_SGD] = "sgd",
                                          NULL};

const char *const LQ_ATTENTION_NAMES[] = {
    [LQ_ATTENTION_FLASH] = "flash", [LQ_ATTENTION_EAGER] = "eager", NULL};

const char *const LQ_CHECKPOINTING_NAMES[] = {[LQ_CHECKPOINTING_NONE] = "none",
                                              [LQ_CHECKPOINTING_FULL] = "full",
                                              [LQ_CHECKPOINTING_SELECTIVE] = "selective",
                                              NULL};
const char *const LQ_OPTION_NAMES[] = {
    [LQ_OPTION_COMPILE] = "compile",
    [LQ_OPTION_CHUNKED_LOSS] = "chunked-loss",
    [LQ_OPTION_OPTIMIZER_IN_BACKWARD] = "optimizer-in-backward",
    [LQ_OPTION_OFFLOAD_ACTIVATIONS] = "offload-activations",
    [LQ_OPTION_OFFLOAD_OPTIMIZER] = "offload-optimizer",
    [LQ_OPTION_COUNT] = NULL,
};

double lq_quantization_bytes(enum lq_quantization quantization)
{
    switch (quantization) {
    case LQ_QUANTIZATION_NONE:
        return 0.0;
    case LQ_QUANTIZATION_NF4_DQ:
        return 0.5 + 1.0 / 64.0 + 4.0 / (64.0 * 256.0);
    case LQ_QUANTIZATION_NF4:
        return 0.5 + 4.0 / 64.0;
    case LQ_QUANTIZATION_INT4:
        /* A 16-bit scale and a 4-bit zero point per group of 128. Source: GPTQ (arXiv 2210.17323)
         * section 4 for the grouping, the common checkpoint format for the widths. */
        return 0.5 + 2.5 / 128.0;
    case LQ_QUANTIZATION_INT8:
        /* One fp32 scale per row, which a matrix of thousands of columns does not feel.
         * Source: LLM.int8 (arXiv 2208.07339) section 3. */
        return 1.0;
    }
    return 0.0;
}

double lq_precision_bytes(enum lq_precision precision)
{
    switch (precision) {
    case LQ_PRECISION_FP32:
        return 4.0;
    case LQ_PRECISION_BF16:
    case LQ_PRECISION_FP16:
    case LQ_PRECISION_FP8:
        return 2.0;
    }
    return 2.0;
}

double lq_optimizer_bytes(enum lq_optimizer optimizer, double weight_bytes)
{
    switch (optimizer) {
    case LQ_OPTIMIZER_ADAMW:
        return 2.0 * weight_bytes;
    case LQ_OPTIMIZER_ADAMW_8BIT:
    case LQ_OPTIMIZER_PAGED_ADAMW_8BIT:
        /* Two bytes and two fp32 scales per block of 256 (bitsandbytes since 0.44; 2048 before).
         * Source: arXiv 2110.02861 section 2 for the scheme. */
        return 2.0 + 2.0 * 4.0 / 256.0;
    case LQ_OPTIMIZER_ADAFACTOR:
        /* fp32 sums of rows and columns in place of a second moment, no first moment: for a matrix
         * of 4096 x 4096. Source: arXiv 1804.04235 section 3. */
        return 4.0 * (4096.0 + 4096.0) / (4096.0 * 4096.0);
    case LQ_OPTIMIZER_SGD:
        return 0.0; /* without momentum */
    }
    return 0.0;
}
