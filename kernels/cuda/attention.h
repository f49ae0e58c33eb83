/* Inside of attention: how it is cut into tiles, and what a query sees of one. */
#pragma once

#include "kernels/cuda/tile.h"

enum { LQ_ATTENTION_THREADS = 128, LQ_ATTENTION_HEAD_MAX = 256 };

/* One operation, cut into tiles. Strides are elements between rows of tiles in shared memory: of
 * operands (of type T) and of sums (fp32). */
struct lq_attention {
    struct lq_op_attention op;
    float *inner; /* [rows, heads, tokens]: d_out . out; backward alone */
    int queries;  /* of a tile */
    int keys;
    int head; /* head_size, rounded up */
    int value;
    int head_stride;
    int value_stride;
    int weight_stride; /* of [queries, keys] as operand */
    int head_sum_stride;
    int value_sum_stride;
    int score_stride; /* of [queries, keys] as sums */
    int64_t query_tiles;
    int64_t key_tiles;
};

/* Bytes of shared memory that a kernel needs with that cut. */
typedef size_t lq_attention_bytes_fn(const struct lq_attention *cut, size_t element_bytes);

/* Cuts into the largest tiles that leave room for two blocks on a multiprocessor, or for one.
 * Errors: LQ_EDEVICE where not even the smallest fit. */
LQ_MUST_USE enum lq_code lq_attention_cut(const struct lq_device *device,
                                          const struct lq_op_attention *op,
                                          lq_attention_bytes_fn *bytes, struct lq_attention *cut,
                                          struct lq_error *err);

/* Errors: LQ_EDEVICE, LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_attention_backward(struct lq_device *device,
                                               const struct lq_op_attention *op,
                                               struct lq_error *err);

/* The tally that backend.h asks for. */
struct lq_tally lq_attention_count(const struct lq_op_attention *op, enum lq_pass pass,
                                   double element_bytes);

/* Whether query t sees key u; neither does anything past the last token. */
static __device__ __forceinline__ bool lq_is_visible(const struct lq_op_attention &op, int64_t t,
                                                     int64_t u)
{
    return t < op.tokens && u <= t && (op.window == 0 || t - u < op.window);
}

/* The first tile of keys that queries from t on see. */
static __device__ __forceinline__ int64_t lq_first_key_tile(const struct lq_attention &a, int64_t t)
{
    const int64_t unseen = a.op.window == 0 ? 0 : t + 1 - a.op.window;
    return unseen > 0 ? unseen / a.keys : 0;
}

/* The tile after the last one with a key that queries before `end` see. */
static __device__ __forceinline__ int64_t lq_end_key_tile(const struct lq_attention &a, int64_t end)
{
    const int64_t last = end < a.op.tokens ? end : a.op.tokens;
    return (last - 1) / a.keys + 1;
}

/* `tile` of [rows, tokens, heads, size]: its rows from token `first` on. */
template <typename T>
static __device__ __forceinline__ lq_source<T>
lq_attention_rows(const struct lq_attention &a, const void *base, int64_t row, int64_t head,
                  int64_t heads, int64_t size, int64_t first)
{
    const T *at = (const T *)base + ((row * a.op.tokens + first) * heads + head) * size;
    return {at, heads * size, a.op.tokens - first, size};
}
