/* Causal attention, a tile of queries and keys at a time with an online softmax (arXiv 2205.14135,
 * algorithm 1): scores are kept for one tile only, and backward computes them again. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* A tile of scores takes 136 KiB, two of them fit into a core's second-level cache. Rows are apart
 * by more than a power of two, so that they do not compete for the same lines. */
enum { QUERIES_MAX = 128, KEYS_MAX = 256, SCORES_STRIDE = KEYS_MAX + 16, LANES = 8 };

/* Queries and keys that meet, as positions in their row. */
struct tile {
    int64_t query;
    int64_t queries;
    int64_t key;
    int64_t keys;
};

/* One query head of a row and the key head it looks at: first tokens, and elements between tokens.
 */
struct head {
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

static const float *at(const float *base, int64_t index)
{
    return base == NULL ? NULL : base + index;
}

static float *at_written(float *base, int64_t index)
{
    return base == NULL ? NULL : base + index;
}

static struct head find_head(const struct lq_op_attention *op, int64_t row, int64_t h)
{
    const int64_t group = h / (op->heads / op->kv_heads);
    const int64_t q = (row * op->tokens * op->heads + h) * op->head_size;
    const int64_t k = (row * op->tokens * op->kv_heads + group) * op->head_size;
    const int64_t v = (row * op->tokens * op->kv_heads + group) * op->value_size;
    const int64_t out = (row * op->tokens * op->heads + h) * op->value_size;
    return (struct head){.q = at(op->q, q),
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

static int64_t first_key(const struct lq_op_attention *op, int64_t query)
{
    return op->window > 0 && query >= op->window ? query - op->window + 1 : 0;
}

/* The tile of a query block that begins at a key. */
static struct tile make_tile(const struct lq_op_attention *op, int64_t block, int64_t key)
{
    const int64_t query = block * QUERIES_MAX;
    const int64_t queries = smaller(QUERIES_MAX, op->tokens - query);
    return (struct tile){.query = query,
                         .queries = queries,
                         .key = key,
                         .keys = smaller(KEYS_MAX, query + queries - key)};
}

/* The first of a tile's columns that its query i sees, and the one after the last. */
static int64_t seen_from(const struct lq_op_attention *op, const struct tile *tile, int64_t i)
{
    const int64_t column = first_key(op, tile->query + i) - tile->key;
    return column < 0 ? 0 : smaller(column, tile->keys);
}

static int64_t seen_to(const struct tile *tile, int64_t i)
{
    const int64_t column = tile->query + i - tile->key + 1;
    return column < 0 ? 0 : smaller(column, tile->keys);
}

static void clear_unseen(const struct tile *tile, float *row, int64_t from, int64_t to)
{
    if (from >= to) {
        from = to = 0;
    }
    memset(row, 0, (size_t)from * sizeof *row);
    memset(row + to, 0, (size_t)(tile->keys - to) * sizeof *row);
}

static float maximum(const float *x, int64_t n)
{
    float most[LANES];
    for (int l = 0; l < LANES; l++) {
        most[l] = -HUGE_VALF;
    }
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            most[l] = most[l] > x[i + l] ? most[l] : x[i + l];
        }
    }
    for (; i < n; i++) {
        most[0] = most[0] > x[i] ? most[0] : x[i];
    }
    for (int l = 1; l < LANES; l++) {
        most[0] = most[0] > most[l] ? most[0] : most[l];
    }
    return most[0];
}

static float sum(const float *x, int64_t n)
{
    float sums[LANES] = {0.0F};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            sums[l] += x[i + l];
        }
    }
    for (; i < n; i++) {
        sums[0] += x[i];
    }
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
           ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

/* scores[i][j] = scale a[i] . b[j], over `size` elements. */
static void multiply_tile(const struct tile *tile, int64_t size, float scale, const float *a,
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
                                            .c_stride = SCORES_STRIDE});
}

/* Running maximum and sum of exponentials of each query. */
struct softmax {
    float most[QUERIES_MAX];
    float sum[QUERIES_MAX];
};

/* Scores of query i to exponentials below the running maximum; what was summed for smaller maxima
 * shrinks with it. */
static void update_softmax(const struct lq_op_attention *op, const struct tile *tile,
                           struct softmax *softmax, int64_t i, float *scores, float *out)
{
    const int64_t from = seen_from(op, tile, i);
    const int64_t to = seen_to(tile, i);
    clear_unseen(tile, scores, from, to);
    if (from >= to) {
        return;
    }
    const float before = softmax->most[i];
    const float here = maximum(scores + from, to - from);
    const float most = before > here ? before : here;
    for (int64_t j = from; j < to; j++) {
        scores[j] = lq_exp(scores[j] - most);
    }
    softmax->most[i] = most;
    if (most == before) {
        softmax->sum[i] += sum(scores + from, to - from);
        return;
    }
    const float shrink = expf(before - most);
    softmax->sum[i] = softmax->sum[i] * shrink + sum(scores + from, to - from);
    for (int64_t d = 0; d < op->value_size; d++) {
        out[d] *= shrink;
    }
}

/* out (+)= exponentials v for a tile. */
static void forward_tile(const struct lq_op_attention *op, const struct head *head,
                         const struct tile *tile, struct softmax *softmax, float *scores)
{
    multiply_tile(tile, op->head_size, (float)op->scale, head->q, head->q_stride, head->k,
                  head->k_stride, scores);
    float *out = head->out + tile->query * head->out_stride;
    for (int64_t i = 0; i < tile->queries; i++) {
        update_softmax(op, tile, softmax, i, scores + i * SCORES_STRIDE,
                       out + i * head->out_stride);
    }
    lq_cpu_product(&(struct lq_cpu_product){.accumulate = true,
                                            .m = tile->queries,
                                            .n = op->value_size,
                                            .k = tile->keys,
                                            .scale = 1.0F,
                                            .a = scores,
                                            .a_stride = SCORES_STRIDE,
                                            .b = head->v + tile->key * head->v_stride,
                                            .b_stride = head->v_stride,
                                            .c = out,
                                            .c_stride = head->out_stride});
}

static void clear_rows(float *x, int64_t rows, int64_t width, int64_t stride)
{
    for (int64_t i = 0; i < rows; i++) {
        memset(x + i * stride, 0, (size_t)width * sizeof *x);
    }
}

static void forward_block(const struct lq_op_attention *op, const struct head *head, int64_t block)
{
    float scores[QUERIES_MAX * SCORES_STRIDE];
    struct softmax softmax;
    struct tile tile = make_tile(op, block, first_key(op, block * QUERIES_MAX));
    float *out = head->out + tile.query * head->out_stride;
    clear_rows(out, tile.queries, op->value_size, head->out_stride);
    for (int64_t i = 0; i < tile.queries; i++) {
        softmax.most[i] = -HUGE_VALF;
        softmax.sum[i] = 0.0F;
    }
    for (; tile.keys > 0; tile = make_tile(op, block, tile.key + tile.keys)) {
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

static int64_t count_blocks(const struct lq_op_attention *op)
{
    return (op->tokens + QUERIES_MAX - 1) / QUERIES_MAX;
}

/* Items are query blocks of heads. The first and the last block of a head, the second and the
 * second to last, ... follow each other: any range of items has early queries, which see few keys,
 * and late ones. */
static void run_forward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_attention *op = context;
    const int64_t blocks = count_blocks(op);
    for (int64_t item = begin; item < end; item++) {
        const int64_t turn = item % blocks;
        const int64_t h = item / blocks;
        const struct head head = find_head(op, h / op->heads, h % op->heads);
        forward_block(op, &head, turn % 2 == 0 ? turn / 2 : blocks - 1 - turn / 2);
    }
}

/* Probabilities in place of `scores`, the scores' gradients (less the factor `scale`) in place of
 * the probabilities' gradients `d_scores`. `inner` is d_out . out of each query. */
static void find_gradients(const struct lq_op_attention *op, const struct head *head,
                           const struct tile *tile, const float *inner, float *scores,
                           float *d_scores)
{
    for (int64_t i = 0; i < tile->queries; i++) {
        const int64_t from = seen_from(op, tile, i);
        const int64_t to = seen_to(tile, i);
        float *p = scores + i * SCORES_STRIDE;
        float *d = d_scores + i * SCORES_STRIDE;
        clear_unseen(tile, p, from, to);
        clear_unseen(tile, d, from, to);
        const float log_sum = head->log_sum[tile->query + i];
        const float share = inner[i];
        for (int64_t j = from; j < to; j++) {
            p[j] = lq_exp(p[j] - log_sum);
            d[j] = p[j] * (d[j] - share);
        }
    }
}

/* gradient += scale scores^T x for the tile's keys. */
static void add_to_keys(const struct tile *tile, const float *scores, float scale, const float *x,
                        int64_t x_stride, int64_t size, float *gradient, int64_t stride)
{
    lq_cpu_product(&(struct lq_cpu_product){.a_transposed = true,
                                            .accumulate = true,
                                            .m = tile->keys,
                                            .n = size,
                                            .k = tile->queries,
                                            .scale = scale,
                                            .a = scores,
                                            .a_stride = SCORES_STRIDE,
                                            .b = x + tile->query * x_stride,
                                            .b_stride = x_stride,
                                            .c = gradient + tile->key * stride,
                                            .c_stride = stride});
}

static void backward_tile(const struct lq_op_attention *op, const struct head *head,
                          const struct tile *tile, const float *inner, float *scores,
                          float *d_scores)
{
    const float scale = (float)op->scale;
    multiply_tile(tile, op->head_size, scale, head->q, head->q_stride, head->k, head->k_stride,
                  scores);
    multiply_tile(tile, op->value_size, 1.0F, head->d_out, head->out_stride, head->v,
                  head->v_stride, d_scores);
    find_gradients(op, head, tile, inner, scores, d_scores);
    add_to_keys(tile, scores, 1.0F, head->d_out, head->out_stride, op->value_size, head->d_v,
                head->v_stride);
    add_to_keys(tile, d_scores, scale, head->q, head->q_stride, op->head_size, head->d_k,
                head->k_stride);
    lq_cpu_product(&(struct lq_cpu_product){.accumulate = true,
                                            .m = tile->queries,
                                            .n = op->head_size,
                                            .k = tile->keys,
                                            .scale = scale,
                                            .a = d_scores,
                                            .a_stride = SCORES_STRIDE,
                                            .b = head->k + tile->key * head->k_stride,
                                            .b_stride = head->k_stride,
                                            .c = head->d_q + tile->query * head->q_stride,
                                            .c_stride = head->q_stride});
}

static void backward_block(const struct lq_op_attention *op, const struct head *head, int64_t block)
{
    float scores[QUERIES_MAX * SCORES_STRIDE];
    float d_scores[QUERIES_MAX * SCORES_STRIDE];
    float inner[QUERIES_MAX];
    struct tile tile = make_tile(op, block, first_key(op, block * QUERIES_MAX));
    for (int64_t i = 0; i < tile.queries; i++) {
        const int64_t row = (tile.query + i) * head->out_stride;
        inner[i] = 0.0F;
        for (int64_t d = 0; d < op->value_size; d++) {
            inner[i] += head->d_out[row + d] * head->out[row + d];
        }
    }
    clear_rows(head->d_q + tile.query * head->q_stride, tile.queries, op->head_size,
               head->q_stride);
    for (; tile.keys > 0; tile = make_tile(op, block, tile.key + tile.keys)) {
        backward_tile(op, head, &tile, inner, scores, d_scores);
    }
}

/* Items are key heads: one thread sums all that queries add to a key. */
static void run_backward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_attention *op = context;
    const int64_t group = op->heads / op->kv_heads;
    for (int64_t item = begin; item < end; item++) {
        for (int64_t h = 0; h < group; h++) {
            const struct head head =
                find_head(op, item / op->kv_heads, item % op->kv_heads * group + h);
            if (h == 0) {
                clear_rows(head.d_k, op->tokens, op->head_size, head.k_stride);
                clear_rows(head.d_v, op->tokens, op->value_size, head.v_stride);
            }
            for (int64_t block = 0; block < count_blocks(op); block++) {
                backward_block(op, &head, block);
            }
        }
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
        .traffic_bytes = (forward ? 1.0 : 2.0) * (queries + keys + values + outs) * sizeof(float),
        .calls = 1.0};
}

enum lq_code lq_cpu_attention(struct lq_device *device, const struct lq_op_attention *op,
                              enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    assert(op->kv_heads > 0 && op->heads % op->kv_heads == 0 && op->window >= 0);
    struct lq_op_attention copy = *op;
    if (pass == LQ_PASS_FORWARD) {
        lq_parallel(device, op->rows * op->heads * count_blocks(op), 1, run_forward, &copy);
    } else {
        lq_parallel(device, op->rows * op->kv_heads, 1, run_backward, &copy);
    }
    lq_cpu_count(device, count(op, pass));
    return LQ_OK;
}
