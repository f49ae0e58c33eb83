/* How attention is cut into tiles by what a multiprocessor's shared memory holds, and what it
 * counts; no kernel. */
#include "kernels/cuda/attention.h"

struct tile_size {
    int queries;
    int keys;
};

/* The last one is for fp32 alone: a fragment has 16 rows. */
static const struct tile_size SIZES[] = {{64, 64}, {64, 32}, {32, 32}, {16, 16}, {8, 8}};
enum { SIZES_COUNT = sizeof SIZES / sizeof SIZES[0], ROWS_WELL_USED = 32 };

static int round_up(int64_t n, int unit)
{
    return (int)((n + unit - 1) / unit * unit);
}

template <typename T> static void cut_into(struct lq_attention *a, const struct tile_size *size)
{
    constexpr int UNIT = lq_tile_unit<T>::SIZE;
    constexpr int GAP = lq_tile_unit<T>::GAP;
    const int sum_gap = 4; /* rows begin in other banks, and at 16 bytes */
    a->queries = size->queries;
    a->keys = size->keys;
    a->head = round_up(a->op.head_size, UNIT);
    a->value = round_up(a->op.value_size, UNIT);
    a->head_stride = a->head + GAP;
    a->value_stride = a->value + GAP;
    a->weight_stride = a->keys + GAP;
    a->head_sum_stride = a->head + sum_gap;
    a->value_sum_stride = a->value + sum_gap;
    a->score_stride = a->keys + sum_gap;
    a->query_tiles = (a->op.tokens + a->queries - 1) / a->queries;
    a->key_tiles = (a->op.tokens + a->keys - 1) / a->keys;
}

/* Whether to try that size: not where most of its rows would be past the last token. */
static bool is_usable(const struct lq_device *device, const struct lq_op_attention *op,
                      const struct tile_size *size)
{
    const bool narrow = size->queries < LQ_FRAGMENT;
    return (!narrow || device->element == LQ_ELEMENT_F32) &&
           (size->queries <= LQ_FRAGMENT || size->queries < 2 * op->tokens);
}

static bool find_size(const struct lq_device *device, lq_attention_bytes_fn *bytes, size_t most,
                      int rows, struct lq_attention *a)
{
    for (int i = 0; i < SIZES_COUNT && SIZES[i].queries >= rows; i++) {
        if (is_usable(device, &a->op, &SIZES[i])) {
            LQ_BY_ELEMENT(device, cut_into, a, &SIZES[i]);
            if (bytes(a, lq_cuda_size(device)) <= most) {
                return true;
            }
        }
    }
    return false;
}

enum lq_code lq_attention_cut(const struct lq_device *device, const struct lq_op_attention *op,
                              lq_attention_bytes_fn *bytes, struct lq_attention *a,
                              struct lq_error *err)
{
    *a = {};
    a->op = *op;
    if (op->head_size > LQ_ATTENTION_HEAD_MAX || op->value_size > LQ_ATTENTION_HEAD_MAX) {
        return lq_fail(err, LQ_EDEVICE, NULL,
                       "heads of %lld and %lld are larger than the %d that the CUDA backend's "
                       "attention is made for",
                       (long long)op->head_size, (long long)op->value_size, LQ_ATTENTION_HEAD_MAX);
    }
    if (find_size(device, bytes, device->shared_bytes / 2, ROWS_WELL_USED, a) ||
        find_size(device, bytes, device->shared_bytes, 0, a)) {
        return LQ_OK;
    }
    return lq_fail(err, LQ_EDEVICE, NULL,
                   "attention with heads of %lld and %lld needs more shared memory than the "
                   "device's %zu bytes",
                   (long long)op->head_size, (long long)op->value_size, device->shared_bytes);
}

/* Pairs of a query and a key it sees, in one row of one head. */
static double count_pairs(const struct lq_op_attention *op)
{
    const double tokens = (double)op->tokens;
    const double window = op->window > 0 ? fmin((double)op->window, tokens) : tokens;
    return window * (window + 1.0) / 2.0 + (tokens - window) * window;
}

struct lq_tally lq_attention_count(const struct lq_op_attention *op, enum lq_pass pass,
                                   double element_bytes)
{
    const double tokens = (double)(op->rows * op->tokens);
    const double queries = tokens * (double)(op->heads * op->head_size);
    const double keys = tokens * (double)(op->kv_heads * op->head_size);
    const double values = tokens * (double)(op->kv_heads * op->value_size);
    const double outs = tokens * (double)(op->heads * op->value_size);
    const bool forward = pass == LQ_PASS_FORWARD;
    const double products = forward ? (double)(op->head_size + op->value_size)
                                    : (double)(3 * op->head_size + 2 * op->value_size);
    struct lq_tally work = {};
    work.flop = 2.0 * products * (double)(op->rows * op->heads) * count_pairs(op);
    work.traffic_bytes = (forward ? 1.0 : 2.0) * (queries + keys + values + outs) * element_bytes;
    return work;
}
