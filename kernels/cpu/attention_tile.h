/* Inside of the CPU backend's attention: tiles of queries and keys, and what both passes do with
 * them. */
#pragma once

#include "kernels/cpu/cpu.h"

/* A tile of scores takes 136 KiB, two of them fit into a core's second-level cache. Rows are apart
 * by more than a power of two, so that they do not compete for the same lines. */
enum { LQ_QUERIES_MAX = 128, LQ_KEYS_MAX = 256, LQ_SCORES_STRIDE = LQ_KEYS_MAX + 16 };

/* Queries and keys that meet, as positions in their row. */
struct lq_tile {
    int64_t query;
    int64_t queries;
    int64_t key;
    int64_t keys;
};

/* One query head of a row and the key head it looks at: first tokens, and elements between tokens.
 */
struct lq_head {
    const float *q;
    const float *k;
    const float *v;
    float *out;
    float *log_sum;
    const float *d_out;
    float *d_q;
    float *d_k;
    float *d_v;
    int64_t q_stride;
    int64_t k_stride;
    int64_t v_stride;
    int64_t out_stride;
};

struct lq_head lq_attention_head(const struct lq_op_attention *op, int64_t row, int64_t h);
/* Blocks of LQ_QUERIES_MAX queries in a row. */
int64_t lq_attention_blocks(const struct lq_op_attention *op);

/* The first tile of a query block, and the one after; no keys where there is none. */
struct lq_tile lq_attention_first(const struct lq_op_attention *op, int64_t block);
struct lq_tile lq_attention_next(const struct lq_tile *tile);

/* Clears what query i of the tile does not see in its row of scores; the columns *from <= j < *to
 * are those it sees. */
void lq_attention_mask(const struct lq_op_attention *op, const struct lq_tile *tile, int64_t i,
                       float *scores, int64_t *from, int64_t *to);

/* scores[i][j] = scale a[i] . b[j] over `size` elements, for the queries' a and the keys' b. */
void lq_attention_scores(const struct lq_tile *tile, int64_t size, float scale, const float *a,
                         int64_t a_stride, const float *b, int64_t b_stride, float *scores);

/* out += scale scores x, for the tile's queries' out and its keys' x of `size` elements. */
void lq_attention_gather(const struct lq_tile *tile, int64_t size, float scale, const float *scores,
                         const float *x, int64_t x_stride, float *out, int64_t out_stride);

/* Items of the backward pass are key heads: one thread sums all that queries add to a key. */
void lq_attention_run_backward(void *context, int64_t begin, int64_t end, int thread);

/* Sets rows of `width` elements, `stride` apart, to 0. */
void lq_attention_clear(float *x, int64_t rows, int64_t width, int64_t stride);
