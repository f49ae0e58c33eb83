/* The serving load of a mixture of experts that is not built yet: the architecture of Yun et al.
 * 2024 given only by its sizes. Concrete models are counted in serving_model.c. */
#pragma once

#include "core/base/error.h"
#include "core/planning/serving.h"

/* The paper's defaults: in one of two layers the MLP, two thirds of the parameters, is replicated
 * into experts of which two are active (arXiv 2404.02852, 2024). */
#define LQ_MOE_MLP_SHARE (2.0 / 3.0)
#define LQ_MOE_LAYER_SHARE 0.5
#define LQ_MOE_ACTIVE_EXPERTS 2.0

struct lq_moe_shape {
    double parameters;      /* of the dense model with the same layers and hidden size; 1e3..1e16 */
    double experts;         /* >= 1; 1 is dense */
    double active_experts;  /* 1..experts; not read where experts is 1 */
    double mlp_share;       /* 0..1 */
    double moe_layer_share; /* 0..1 */
};

/* Parameters of all experts together, and those that a token passes through. */
double lq_moe_total_parameters(const struct lq_moe_shape *shape);
double lq_moe_active_parameters(const struct lq_moe_shape *shape);

/* Counts the load. Layers times hidden size is mu N^(2/3) and each of the two grows as N^(1/3), mu
 * from LLaMA-7B (32 layers, 4096 wide, 6.738e9 parameters; arXiv 2302.13971); full K and V, as the
 * paper has it. Every parameter counts as part of a quantised matrix.
 * Errors: LQ_EFIELD at /parameters, /experts, /active_experts, /mlp_share or /moe_layer_share. */
LQ_MUST_USE enum lq_code lq_serving_count_moe(const struct lq_moe_shape *shape,
                                              const struct lq_serving_format *format,
                                              const struct lq_serving_stack *stack,
                                              const struct lq_traffic *traffic,
                                              struct lq_serving_load *out, struct lq_error *err);
