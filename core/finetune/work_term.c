/* The terms of a step by name and kind. What each does is counted in work.c. */
#include "core/finetune/work.h"

const char *const LQ_TERM_NAMES[] = {
    [LQ_TERM_INPUT] = "input",
    [LQ_TERM_EMBEDDING] = "embedding",
    [LQ_TERM_NORM] = "norm",
    [LQ_TERM_ATTENTION] = "attention",
    [LQ_TERM_ATTENTION_SCORES] = "attention_scores",
    [LQ_TERM_MAMBA] = "mamba",
    [LQ_TERM_MAMBA_SCAN] = "mamba_scan",
    [LQ_TERM_MLP] = "mlp",
    [LQ_TERM_ROUTER] = "router",
    [LQ_TERM_EXPERT_DEQUANTIZATION] = "expert_dequantization",
    [LQ_TERM_EXPERT_MATMUL] = "expert_matmul",
    [LQ_TERM_EXPERT_PERMUTATION] = "expert_permutation",
    [LQ_TERM_EXPERT_LORA] = "expert_lora",
    [LQ_TERM_SHARED_EXPERT] = "shared_expert",
    [LQ_TERM_DEQUANTIZATION] = "dequantization",
    [LQ_TERM_LORA] = "lora",
    [LQ_TERM_HEAD] = "head",
    [LQ_TERM_OVERHEAD] = "overhead",
    [LQ_TERM_EXPERT_OVERHEAD] = "expert_overhead",
    [LQ_TERM_OPTIMIZER] = "optimizer",
    [LQ_TERM_ALL_REDUCE] = "all_reduce",
    [LQ_TERM_WEIGHT_GATHER] = "weight_gather",
    [LQ_TERM_TENSOR_PARALLEL] = "tensor_parallel",
    [LQ_TERM_EXPERT_EXCHANGE] = "expert_exchange",
    [LQ_TERM_CONTEXT_EXCHANGE] = "context_exchange",
    [LQ_TERM_HOST_TRANSFER] = "host_transfer",
    [LQ_TERM_PIPELINE] = "pipeline",
    [LQ_TERM_COUNT] = NULL,
};

bool lq_term_is_routed(enum lq_term term)
{
    return term == LQ_TERM_EXPERT_MATMUL || term == LQ_TERM_EXPERT_DEQUANTIZATION ||
           term == LQ_TERM_EXPERT_OVERHEAD || term == LQ_TERM_EXPERT_LORA ||
           term == LQ_TERM_EXPERT_PERMUTATION;
}

bool lq_term_is_moe(enum lq_term term)
{
    return lq_term_is_routed(term) || term == LQ_TERM_ROUTER || term == LQ_TERM_SHARED_EXPERT ||
           term == LQ_TERM_EXPERT_EXCHANGE;
}

bool lq_term_is_network(enum lq_term term)
{
    return term >= LQ_TERM_ALL_REDUCE && term < LQ_TERM_COUNT;
}

enum lq_term lq_matrix_term(const struct lq_matrix *matrix)
{
    const uint32_t bit = LQ_TARGET_BIT(matrix->target);
    if (matrix->routed) {
        return LQ_TERM_EXPERT_MATMUL;
    }
    if ((bit & LQ_TARGETS_EXPERTS) != 0) {
        return LQ_TERM_SHARED_EXPERT;
    }
    if ((bit & LQ_TARGETS_ATTENTION) != 0) {
        return LQ_TERM_ATTENTION;
    }
    if ((bit & LQ_TARGETS_MAMBA) != 0) {
        return LQ_TERM_MAMBA;
    }
    return matrix->target == LQ_TARGET_ROUTER ? LQ_TERM_ROUTER : LQ_TERM_MLP;
}
