/* A planned size as layers, widths, heads and experts that can be built. */
#pragma once

#include <stdint.h>

/* All MoE layers are alike; the others have one dense MLP. */
struct lq_plan_shape {
    int64_t layers;
    int64_t moe_layers;
    int64_t hidden_size;
    int64_t intermediate_size; /* of a gated MLP, and of each expert */
    int64_t heads;
    int64_t head_size;
    int64_t experts;
    double parameters;       /* N as built, without embeddings */
    double total_parameters; /* with all experts */
};

/* What decides a shape besides N. */
struct lq_plan_proportions {
    double experts;         /* 1 = dense */
    double mlp_share;       /* of N, below 1 */
    double moe_layer_share; /* of the layers */
};

/* The shape nearest to N in the proportions of LLaMA-7B: 32 layers, 4096 wide, heads of 128; depth
 * and width both grow as N^(1/3). Attention has four square matrices, the gated MLP three; their
 * shares of N fix its width. Widths are multiples of 128 (64 where N is below 2e8), so that N comes
 * out within a few percent; it is given as built. Source: arXiv 2302.13971, Table 2. */
struct lq_plan_shape lq_plan_shape_of(double parameters,
                                      const struct lq_plan_proportions *proportions);
