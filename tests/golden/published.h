/* The shares of Figs. 4 to 6 of Xia et al. 2024 from a seeded catalog, one a row, for tests that
 * hold the model's own shares to them. */
#pragma once

#include "server/store/catalog.h"

#include <stddef.h>
#include <stdint.h>

enum { PUBLISHED_SHARES_MAX = 192 };

/* What an item is in the step's terms. The layers of Fig. 5 are sums of terms: attention and Mamba
 * with their projections' dequantisation, adapters and calls, MoE with all of its own. */
enum published_part {
    PART_FORWARD,
    PART_BACKWARD,
    PART_OPTIMIZER,
    PART_ATTENTION,
    PART_MAMBA,
    PART_NORM,
    PART_MOE,
    PART_ROUTER,                /* its matmul and dequantisation, softmax or sigmoid, top-k */
    PART_EXPERT_MATMUL,         /* w1, w2, w3 */
    PART_EXPERT_DEQUANTIZATION, /* of w1, w2, w3 */
    PART_EXPERT_ACTIVATION,     /* activation function and elementwise product */
};

/* Texts are the catalog's. */
struct published_share {
    const char *figure; /* "Fig.4": stages, "Fig.5": layers, "Fig.6": kernels of the MoE layer */
    const char *model;
    int64_t active_experts;
    int64_t batch;
    int64_t sequence;
    const char *item;
    enum published_part part;
    double seconds;
    double share; /* of its bar */
};

/* All shares of a figure (NULL: of all three) in the order of the file; aborts where one is of
 * something unknown. Returns their number, at most `room`. */
size_t published_shares(const struct lq_catalog *catalog, const char *figure,
                        struct published_share *out, size_t room);

/* The share of a part in the bar that `of` stands in: the sum over its items of that part. */
double published_part_share(const struct published_share *shares, size_t n,
                            const struct published_share *of, enum published_part part);
