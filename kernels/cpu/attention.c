/* Causal attention, a tile of queries and keys at a time with an online softmax (arXiv 2205.14135,
 * algorithm 1): scores are kept for one tile only. Backward is in attention_backward.c. */
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/vector.h"

#include <assert.h>
#include <math.h>

/* Running maximum and sum of exponentials of each query. */
struct softmax {
    float most[LQ_QUERIES_MAX];
    float sum[LQ_QUERIES_MAX];
};

/* Scores of query i to exponentials below the running maximum; what was summed for smaller maxima
 * shrinks with it. */
static void update_softmax(const struct lq_op_attention *op, const struct lq_tile *tile,
                           struct softmax *softmax, int64_t i, float *scores, float *out)
{
    int64_t from;
    int64_t to;
    lq_attention_mask(op, tile, i, scores, &from, &to);
    if (from == to) {
        return;
    }
    const float before = softmax->most[i];
    const float here = lq_maximum(scores + from, to - from);
    const float most = before > here ? before : here;
    for (int64_t j = from; j < to; j++) {
        scores[j] = lq_exp(scores[j] - most);
    }
    softmax->most[i] = most;
    if (most == before) {
        softmax->sum[i] += lq_sum(scores + from, to - from);
        return;
    }
    const float shrink = expf(before - most);
    softmax->sum[i] = softmax->sum[i] * shrink + lq_sum(scores + from, to - from);
    for (int64_t d = 0; d < op->value_size; d++) {
        out[d] *= shrink;
    }
}

static void forward_tile(const struct lq_op_attention *op, const struct lq_head *head,
                         const struct lq_tile *tile, struct softmax *softmax, float *scores)
{
    lq_attention_scores(tile, op->head_size, (float)op->scale, head->q, head->q_stride, head->k,
                        head->k_stride, scores);
    for (int64_t i = 0; i < tile->queries; i++) {
        update_softmax(op, tile, softmax, i, scores + i * LQ_SCORES_STRIDE,
                       head->out + (tile->query + i) * head->out_stride);
    }
    lq_attention_gather(tile, op->value_size, 1.0F, scores, head->v, head->v_stride, head->out,
                        head->out_stride);
}

static void forward_block(const struct lq_op_attention *op, const struct lq_head *head,
                          int64_t block)
{
    float scores[LQ_QUERIES_MAX * LQ_SCORES_STRIDE];
    struct softmax softmax;
    struct lq_tile tile = lq_attention_first(op, block);
    float *out = head->out + tile.query * head->out_stride;
    lq_attention_clear(out, tile.queries, op->value_size, head->out_stride);
    for (int64_t i = 0; i < tile.queries; i++) {
        softmax.most[i] = -HUGE_VALF;
        softmax.sum[i] = 0.0F;
    }
    for (; tile.keys > 0; tile = lq_attention_next(&tile)) {
        forward_tile(op, head, &tile, &softmax, scores);
    }
    for (int64_t i = 0; i < tile.queries; i++) {
        const float share = 1.0F / softmax.sum[i];
        for (int64_t d = 0; d < op->value_size; d++) {
            out[i * head->out_stride + d] *= share;
        }
        head->log_sum[tile.query + i] = softmax.most[i] + logf(softmax.sum[i]);
    }
}

/* Items are query blocks of heads. The first and the last block of a head, the second and the
 * second to last, ... follow each other: any range of items has early queries, which see few keys,
 * and late ones. */
static void run_forward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_attention *op = context;
    const int64_t blocks = lq_attention_blocks(op);
    for (int64_t item = begin; item < end; item++) {
        const int64_t turn = item % blocks;
        const int64_t h = item / blocks;
        const struct lq_head head = lq_attention_head(op, h / op->heads, h % op->heads);
        forward_block(op, &head, turn % 2 == 0 ? turn / 2 : blocks - 1 - turn / 2);
    }
}

/* Pairs of a query and a key it sees, in one row of one head. */
static double count_pairs(const struct lq_op_attention *op)
{
    const double tokens = (double)op->tokens;
    const double window = op->window > 0 ? fmin((double)op->window, tokens) : tokens;
    return window * (window + 1.0) / 2.0 + (tokens - window) * window;
}

static struct lq_tally count(const struct lq_op_attention *op, enum lq_pass pass)
{
    const double tokens = (double)(op->rows * op->tokens);
    const double queries = tokens * (double)(op->heads * op->head_size);
    const double keys = tokens * (double)(op->kv_heads * op->head_size);
    const double values = tokens * (double)(op->kv_heads * op->value_size);
    const double outs = tokens * (double)(op->heads * op->value_size);
    const bool forward = pass == LQ_PASS_FORWARD;
    const double products = forward ? (double)(op->head_size + op->value_size)
                                    : (double)(3 * op->head_size + 2 * op->value_size);
    return (struct lq_tally){
        .flop = 2.0 * products * (double)(op->rows * op->heads) * count_pairs(op),
        .traffic_bytes = (forward ? 1.0 : 2.0) * (queries + keys + values + outs) * sizeof(float)};
}

enum lq_code lq_cpu_attention(struct lq_device *device, const struct lq_op_attention *op,
                              enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    assert(op->kv_heads > 0 && op->heads % op->kv_heads == 0 && op->window >= 0);
    struct lq_op_attention copy = *op;
    if (pass == LQ_PASS_FORWARD) {
        lq_parallel(device, op->rows * op->heads * lq_attention_blocks(op), 1, run_forward, &copy);
    } else {
        lq_parallel(device, op->rows * op->kv_heads, 1, lq_attention_run_backward, &copy);
    }
    lq_cpu_count(device, count(op, pass));
    return LQ_OK;
}
