/* Inside of the CPU backend's selective scan: channels side by side, one token onward. */
#pragma once

#include "kernels/cpu/cpu.h"

/* Channels of a block: a cache line of every activation. */
enum { LQ_SCAN_LANES = 16, LQ_SCAN_STATES_MAX = 256 };

/* One number per channel of a block, or that for each state. */
struct lq_lanes {
    float at[LQ_SCAN_LANES];
};

/* The weights of a block of channels; channels past the last are all zero. */
struct lq_scan_block {
    const struct lq_op_scan *op;
    int64_t channel;
    int64_t channels;
    struct lq_lanes a[LQ_SCAN_STATES_MAX];
    struct lq_lanes bias;
    struct lq_lanes skip;
};

/* What a token brings to a block. */
struct lq_scan_token {
    struct lq_lanes x;
    struct lq_lanes step; /* with its bias */
    struct lq_lanes dt;
    struct lq_lanes input; /* dt x */
};

int64_t lq_scan_blocks(const struct lq_op_scan *op);
/* The weights of block `number`. */
void lq_scan_block(const struct lq_op_scan *op, int64_t number, struct lq_scan_block *block);
/* Tokens are counted over all rows. */
void lq_scan_token(const struct lq_scan_block *block, int64_t index, struct lq_scan_token *token);

/* after = decay before + input b; `after` may be `before`. All are [states]. */
void lq_scan_advance(const struct lq_scan_block *block, const struct lq_scan_token *token,
                     int64_t index, const struct lq_lanes *before, struct lq_lanes *after,
                     struct lq_lanes *decay);

/* The block's channels of a token in [tokens, channels]; those past the last read 0. */
void lq_scan_load(const struct lq_scan_block *block, const void *from, int64_t token,
                  struct lq_lanes *to);
void lq_scan_store(const struct lq_scan_block *block, void *to, int64_t token,
                   const struct lq_lanes *from);

/* Errors: LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_scan_backward(struct lq_device *device, const struct lq_op_scan *op,
                                          struct lq_error *err);
