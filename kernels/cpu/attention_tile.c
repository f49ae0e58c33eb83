/* Tiles of attention: which there are, what a query sees of one, and the products over one. */
#include "kernels/cpu/attention_tile.h"

#include <string.h>

static const float *at(const float *base, int64_t index)
{
    return base == NULL ? NULL : base + index;
}

static float *at_written(float *base, int64_t index)
{
    return base == NULL ? NULL : base + index;
}

struct lq_head lq_attention_head(const struct lq_op_attention *op, int64_t row, int64_t h)
{
    const int64_t group = h / (op->heads / op->kv_heads);
    const int64_t q = (row * op->tokens * op->heads + h) * op->head_size;
    const int64_t k = (row * op->tokens * op->kv_heads + group) * op->head_size;
    const int64_t v = (row * op->tokens * op->kv_heads + group) * op->value_size;
    const int64_t out = (row * op->tokens * op->heads + h) * op->value_size;
    return (struct lq_head){.q = at(op->q, q),
                            .k = at(op->k, k),
                            .v = at(op->v, v),
                            .out = at_written(op->out, out),
                            .log_sum = op->log_sum + (row * op->heads + h) * op->tokens,
                            .d_out = at(op->d_out, out),
                            .d_q = at_written(op->d_q, q),
                            .d_k = at_written(op->d_k, k),
                            .d_v = at_written(op->d_v, v),
                            .q_stride = op->heads * op->head_size,
                            .k_stride = op->kv_heads * op->head_size,
                            .v_stride = op->kv_heads * op->value_size,
                            .out_stride = op->heads * op->value_size};
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t lq_attention_blocks(const struct lq_op_attention *op)
{
    return (op->tokens + LQ_QUERIES_MAX - 1) / LQ_QUERIES_MAX;
}

static int64_t first_key(const struct lq_op_attention *op, int64_t query)
{
    return op->window > 0 && query >= op->window ? query - op->window + 1 : 0;
}

static struct lq_tile make_tile(int64_t query, int64_t queries, int64_t key)
{
    return (struct lq_tile){.query = query,
                            .queries = queries,
                            .key = key,
                            .keys = smaller(LQ_KEYS_MAX, query + queries - key)};
}

struct lq_tile lq_attention_first(const struct lq_op_attention *op, int64_t block)
{
    const int64_t query = block * LQ_QUERIES_MAX;
    return make_tile(query, smaller(LQ_QUERIES_MAX, op->tokens - query), first_key(op, query));
}

struct lq_tile lq_attention_next(const struct lq_tile *tile)
{
    return make_tile(tile->query, tile->queries, tile->key + tile->keys);
}

void lq_attention_mask(const struct lq_op_attention *op, const struct lq_tile *tile, int64_t i,
                       float *scores, int64_t *from, int64_t *to)
{
    const int64_t first = first_key(op, tile->query + i) - tile->key;
    const int64_t end = tile->query + i + 1 - tile->key;
    *from = first < 0 ? 0 : smaller(first, tile->keys);
    *to = end < *from ? *from : smaller(end, tile->keys);
    memset(scores, 0, (size_t)*from * sizeof *scores);
    memset(scores + *to, 0, (size_t)(tile->keys - *to) * sizeof *scores);
}

void lq_attention_scores(const struct lq_tile *tile, int64_t size, float scale, const float *a,
                         int64_t a_stride, const float *b, int64_t b_stride, float *scores)
{
    lq_cpu_product(&(struct lq_cpu_product){.b_transposed = true,
                                            .m = tile->queries,
                                            .n = tile->keys,
                                            .k = size,
                                            .scale = scale,
                                            .a = a + tile->query * a_stride,
                                            .a_stride = a_stride,
                                            .b = b + tile->key * b_stride,
                                            .b_stride = b_stride,
                                            .c = scores,
                                            .c_stride = LQ_SCORES_STRIDE});
}

void lq_attention_gather(const struct lq_tile *tile, int64_t size, float scale, const float *scores,
                         const float *x, int64_t x_stride, float *out, int64_t out_stride)
{
    lq_cpu_product(&(struct lq_cpu_product){.accumulate = true,
                                            .m = tile->queries,
                                            .n = size,
                                            .k = tile->keys,
                                            .scale = scale,
                                            .a = scores,
                                            .a_stride = LQ_SCORES_STRIDE,
                                            .b = x + tile->key * x_stride,
                                            .b_stride = x_stride,
                                            .c = out + tile->query * out_stride,
                                            .c_stride = out_stride});
}

void lq_attention_clear(float *x, int64_t rows, int64_t width, int64_t stride)
{
    for (int64_t i = 0; i < rows; i++) {
        memset(x + i * stride, 0, (size_t)width * sizeof *x);
    }
}
