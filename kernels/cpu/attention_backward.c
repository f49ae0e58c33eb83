/* Backward of attention: scores are computed again, a tile at a time (arXiv 2205.14135,
 * algorithm 4). */
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/vector.h"

/* Probabilities in place of `scores`, the scores' gradients (less the factor `scale`) in place of
 * the probabilities' gradients `d_scores`. `inner` is d_out . out of each query. */
static void find_gradients(const struct lq_op_attention *op, const struct lq_head *head,
                           const struct lq_tile *tile, const float *inner, float *scores,
                           float *d_scores)
{
    for (int64_t i = 0; i < tile->queries; i++) {
        float *p = scores + i * LQ_SCORES_STRIDE;
        float *d = d_scores + i * LQ_SCORES_STRIDE;
        int64_t from;
        int64_t to;
        lq_attention_mask(op, tile, i, p, &from, &to);
        lq_attention_mask(op, tile, i, d, &from, &to);
        const float log_sum = head->log_sum[tile->query + i];
        const float share = inner[i];
        for (int64_t j = from; j < to; j++) {
            p[j] = lq_exp(p[j] - log_sum);
            d[j] = p[j] * (d[j] - share);
        }
    }
}

/* gradient += scale scores^T x for the tile's keys. */
static void add_to_keys(const struct lq_tile *tile, const float *scores, float scale,
                        const float *x, int64_t x_stride, int64_t size, float *gradient,
                        int64_t stride)
{
    lq_cpu_product(&(struct lq_cpu_product){.a_transposed = true,
                                            .accumulate = true,
                                            .m = tile->keys,
                                            .n = size,
                                            .k = tile->queries,
                                            .scale = scale,
                                            .a = scores,
                                            .a_stride = LQ_SCORES_STRIDE,
                                            .b = x + tile->query * x_stride,
                                            .b_stride = x_stride,
                                            .c = gradient + tile->key * stride,
                                            .c_stride = stride});
}

static void backward_tile(const struct lq_op_attention *op, const struct lq_head *head,
                          const struct lq_tile *tile, const float *inner, float *scores,
                          float *d_scores)
{
    const float scale = (float)op->scale;
    lq_attention_scores(tile, op->head_size, scale, head->q, head->q_stride, head->k,
                        head->k_stride, scores);
    lq_attention_scores(tile, op->value_size, 1.0F, head->d_out, head->out_stride, head->v,
                        head->v_stride, d_scores);
    find_gradients(op, head, tile, inner, scores, d_scores);
    add_to_keys(tile, scores, 1.0F, head->d_out, head->out_stride, op->value_size, head->d_v,
                head->v_stride);
    add_to_keys(tile, d_scores, scale, head->q, head->q_stride, op->head_size, head->d_k,
                head->k_stride);
    lq_attention_gather(tile, op->head_size, scale, d_scores, head->k, head->k_stride, head->d_q,
                        head->q_stride);
}

static void backward_block(const struct lq_op_attention *op, const struct lq_head *head,
                           int64_t block)
{
    float scores[LQ_QUERIES_MAX * LQ_SCORES_STRIDE];
    float d_scores[LQ_QUERIES_MAX * LQ_SCORES_STRIDE];
    float inner[LQ_QUERIES_MAX];
    struct lq_tile tile = lq_attention_first(op, block);
    for (int64_t i = 0; i < tile.queries; i++) {
        const int64_t row = (tile.query + i) * head->out_stride;
        inner[i] = 0.0F;
        for (int64_t d = 0; d < op->value_size; d++) {
            inner[i] += head->d_out[row + d] * head->out[row + d];
        }
    }
    lq_attention_clear(head->d_q + tile.query * head->q_stride, tile.queries, op->head_size,
                       head->q_stride);
    for (; tile.keys > 0; tile = lq_attention_next(&tile)) {
        backward_tile(op, head, &tile, inner, scores, d_scores);
    }
}

void lq_attention_run_backward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_attention *op = context;
    const int64_t group = op->heads / op->kv_heads;
    for (int64_t item = begin; item < end; item++) {
        for (int64_t h = 0; h < group; h++) {
            const struct lq_head head =
                lq_attention_head(op, item / op->kv_heads, item % op->kv_heads * group + h);
            if (h == 0) {
                lq_attention_clear(head.d_k, op->tokens, op->head_size, head.k_stride);
                lq_attention_clear(head.d_v, op->tokens, op->value_size, head.v_stride);
            }
            for (int64_t block = 0; block < lq_attention_blocks(op); block++) {
                backward_block(op, &head, block);
            }
        }
    }
}
