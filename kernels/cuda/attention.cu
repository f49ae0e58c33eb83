/* Causal attention, a tile of queries and keys at a time with an online softmax (arXiv 2205.14135,
 * algorithm 1): scores are kept for one tile only. Backward is in attention_backward.cu. */
#include "kernels/cuda/attention.h"
#include "kernels/cuda/reduce.h"

/* Shared memory of the forward kernel. */
template <typename T> struct forward_room {
    T *q;
    T *kv; /* keys, then values */
    T *weights;
    float *scores;
    float *out;
    float *most; /* running maximum and sum of exponentials of each query */
    float *sum;
};

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static size_t bytes_of_forward(const struct lq_attention *a, size_t element_bytes)
{
    const int operands = a->queries * (a->head_stride + a->weight_stride) +
                         a->keys * larger(a->head_stride, a->value_stride);
    const int sums = a->queries * (a->score_stride + a->value_sum_stride + 2);
    return (size_t)operands * element_bytes + (size_t)sums * sizeof(float);
}

template <typename T>
static __device__ forward_room<T> lay_out(const struct lq_attention &a, unsigned char *memory)
{
    const int wide = a.head_stride > a.value_stride ? a.head_stride : a.value_stride;
    forward_room<T> room;
    room.scores = (float *)memory;
    room.out = room.scores + a.queries * a.score_stride;
    room.q = (T *)(room.out + a.queries * a.value_sum_stride);
    room.kv = room.q + a.queries * a.head_stride;
    room.weights = room.kv + a.keys * wide;
    room.most = (float *)(room.weights + a.queries * a.weight_stride);
    room.sum = room.most + a.queries;
    return room;
}

/* Scores of query i to exponentials below the running maximum, by one warp; what was summed for
 * smaller maxima shrinks with it. `t` and `u` are the query's and the tile's first key's token. */
template <typename T>
static __device__ __forceinline__ void
update_row(const struct lq_attention &a, const forward_room<T> &room, int i, int64_t t, int64_t u)
{
    const int lane = (int)threadIdx.x % LQ_WARP;
    const float scale = (float)a.op.scale;
    const float *scores = room.scores + i * a.score_stride;
    const float before = room.most[i];
    float most = before;
    for (int j = lane; j < a.keys; j += LQ_WARP) {
        most = lq_is_visible(a.op, t, u + j) ? fmaxf(most, scale * scores[j]) : most;
    }
    most = lq_warp_max(most);
    float sum = 0.0F;
    for (int j = lane; j < a.keys; j += LQ_WARP) {
        const bool visible = lq_is_visible(a.op, t, u + j);
        const float weight = visible ? expf(scale * scores[j] - most) : 0.0F;
        lq_store(room.weights + i * a.weight_stride + j, weight);
        sum += weight;
    }
    sum = lq_warp_sum(sum);
    const float shrink = most == before ? 1.0F : expf(before - most);
    for (int d = lane; d < a.value && shrink != 1.0F; d += LQ_WARP) {
        room.out[i * a.value_sum_stride + d] *= shrink;
    }
    __syncwarp();
    if (lane == 0) {
        room.most[i] = most;
        room.sum[i] = room.sum[i] * shrink + sum;
    }
}

/* One tile of keys and values, added to the outputs of the queries from token `t` on. */
template <typename T>
static __device__ __forceinline__ void add_tile(const struct lq_attention &a,
                                                const forward_room<T> &room, int64_t row,
                                                int64_t head, int64_t t, int64_t u)
{
    const int64_t group = head / (a.op.heads / a.op.kv_heads);
    lq_tile_load(room.kv, a.head_stride, a.keys, a.head,
                 lq_attention_rows<T>(a, a.op.k, row, group, a.op.kv_heads, a.op.head_size, u));
    __syncthreads();
    lq_tile_multiply({room.scores, a.score_stride, a.queries, a.keys, a.head, false},
                     lq_as_stored<T>(room.q, a.head_stride),
                     lq_transposed<T>(room.kv, a.head_stride));
    __syncthreads();
    for (int i = (int)threadIdx.x / LQ_WARP; i < a.queries; i += LQ_ATTENTION_THREADS / LQ_WARP) {
        update_row(a, room, i, t + i, u);
    }
    lq_tile_load(room.kv, a.value_stride, a.keys, a.value,
                 lq_attention_rows<T>(a, a.op.v, row, group, a.op.kv_heads, a.op.value_size, u));
    __syncthreads();
    lq_tile_multiply({room.out, a.value_sum_stride, a.queries, a.value, a.keys, true},
                     lq_as_stored<T>(room.weights, a.weight_stride),
                     lq_as_stored<T>(room.kv, a.value_stride));
    __syncthreads();
}

/* Outputs and log sums of the queries from token `t` on, a warp per query. */
template <typename T>
static __device__ __forceinline__ void store_rows(const struct lq_attention &a,
                                                  const forward_room<T> &room, int64_t row,
                                                  int64_t head, int64_t t)
{
    const int lane = (int)threadIdx.x % LQ_WARP;
    for (int i = (int)threadIdx.x / LQ_WARP; i < a.queries && t + i < a.op.tokens;
         i += LQ_ATTENTION_THREADS / LQ_WARP) {
        const float share = 1.0F / room.sum[i];
        T *out =
            (T *)a.op.out + ((row * a.op.tokens + t + i) * a.op.heads + head) * a.op.value_size;
        for (int d = lane; d < (int)a.op.value_size; d += LQ_WARP) {
            lq_store(out + d, share * room.out[i * a.value_sum_stride + d]);
        }
        if (lane == 0) {
            a.op.log_sum[(row * a.op.heads + head) * a.op.tokens + t + i] =
                room.most[i] + logf(room.sum[i]);
        }
    }
}

/* A block per tile of queries of a head; the last queries, which see most keys, come first. */
template <typename T>
static __global__ void __launch_bounds__(LQ_ATTENTION_THREADS, 2) attend(struct lq_attention a)
{
    LQ_DYNAMIC_SHARED(unsigned char, memory);
    const forward_room<T> room = lay_out<T>(a, memory);
    const int64_t heads = a.op.rows * a.op.heads;
    for (int64_t item = blockIdx.x; item < heads * a.query_tiles; item += gridDim.x) {
        const int64_t row = item % heads / a.op.heads;
        const int64_t head = item % a.op.heads;
        const int64_t t = (a.query_tiles - 1 - item / heads) * a.queries;
        lq_tile_load(room.q, a.head_stride, a.queries, a.head,
                     lq_attention_rows<T>(a, a.op.q, row, head, a.op.heads, a.op.head_size, t));
        lq_tile_clear(room.out, a.queries * a.value_sum_stride);
        for (int i = (int)threadIdx.x; i < a.queries; i += LQ_ATTENTION_THREADS) {
            room.most[i] = -INFINITY;
            room.sum[i] = 0.0F;
        }
        const int64_t end = lq_end_key_tile(a, t + a.queries);
        for (int64_t tile = lq_first_key_tile(a, t); tile < end; tile++) {
            add_tile(a, room, row, head, t, tile * a.keys);
        }
        store_rows(a, room, row, head, t);
        __syncthreads();
    }
}

template <typename T>
static enum lq_code forward(struct lq_device *device, const struct lq_op_attention *op,
                            struct lq_error *err)
{
    struct lq_attention a;
    LQ_TRY(lq_attention_cut(device, op, bytes_of_forward, &a, err));
    const dim3 grid(lq_cuda_grid(device, op->rows * op->heads * a.query_tiles, 1));
    return LQ_LAUNCH(device, err, attend<T>, grid, dim3(LQ_ATTENTION_THREADS),
                     bytes_of_forward(&a, sizeof(T)), a);
}

enum lq_code lq_cuda_attention(struct lq_device *device, const struct lq_op_attention *op,
                               enum lq_pass pass, struct lq_error *err)
{
    assert(op->kv_heads > 0 && op->heads % op->kv_heads == 0 && op->window >= 0);
    if (op->rows * op->tokens > 0 && pass == LQ_PASS_FORWARD) {
        LQ_TRY(LQ_BY_ELEMENT(device, forward, device, op, err));
    } else if (op->rows * op->tokens > 0) {
        LQ_TRY(lq_attention_backward(device, op, err));
    }
    lq_cuda_count(device, lq_attention_count(op, pass, (double)lq_cuda_size(device)));
    return LQ_OK;
}
