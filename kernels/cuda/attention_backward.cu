/* Backward of attention: scores are computed again, a tile at a time (arXiv 2205.14135, algorithm
 * 4). One kernel sums for a tile of keys over queries and one for a tile of queries over keys, so
 * that every sum has its order. */
#include "kernels/cuda/attention.h"
#include "kernels/cuda/reduce.h"

/* Shared memory of either kernel: tiles of all operands, probabilities, scores' gradients. */
template <typename T> struct backward_room {
    float *scores;
    float *d_scores;
    float *first_sums;  /* d_k, or d_q */
    float *second_sums; /* d_v */
    T *q;
    T *k;
    T *v;
    T *d_out;
    T *weights;
    T *d_weights;
    float *log_sum; /* of each query */
    float *inner;
};

/* Where a block is: a head's queries from token `t` on and keys from token `u` on. */
struct place {
    int64_t row;
    int64_t head;
    int64_t group;
    int64_t t;
    int64_t u;
};

/* Bytes of everything but the sums. */
static size_t bytes_of_operands(const struct lq_attention *a, size_t element_bytes)
{
    const int operands = (a->queries + a->keys) * (a->head_stride + a->value_stride) +
                         2 * a->queries * a->weight_stride;
    const int sums = 2 * a->queries * (a->score_stride + 1);
    return (size_t)operands * element_bytes + (size_t)sums * sizeof(float);
}

static size_t bytes_for_keys(const struct lq_attention *a, size_t element_bytes)
{
    return bytes_of_operands(a, element_bytes) +
           (size_t)(a->keys * (a->head_sum_stride + a->value_sum_stride)) * sizeof(float);
}

static size_t bytes_for_queries(const struct lq_attention *a, size_t element_bytes)
{
    return bytes_of_operands(a, element_bytes) +
           (size_t)(a->queries * a->head_sum_stride) * sizeof(float);
}

/* The sums have `first` and `second` numbers. */
template <typename T>
static __device__ __forceinline__ backward_room<T>
lay_out(const struct lq_attention &a, unsigned char *memory, int first, int second)
{
    backward_room<T> room;
    room.scores = (float *)memory;
    room.d_scores = room.scores + a.queries * a.score_stride;
    room.first_sums = room.d_scores + a.queries * a.score_stride;
    room.second_sums = room.first_sums + first;
    room.q = (T *)(room.second_sums + second);
    room.k = room.q + a.queries * a.head_stride;
    room.v = room.k + a.keys * a.head_stride;
    room.d_out = room.v + a.keys * a.value_stride;
    room.weights = room.d_out + a.queries * a.value_stride;
    room.d_weights = room.weights + a.queries * a.weight_stride;
    room.log_sum = (float *)(room.d_weights + a.queries * a.weight_stride);
    room.inner = room.log_sum + a.queries;
    return room;
}

template <typename T>
static __device__ __forceinline__ void
load_queries(const struct lq_attention &a, const backward_room<T> &room, const struct place &at)
{
    const struct lq_op_attention &op = a.op;
    lq_tile_load(room.q, a.head_stride, a.queries, a.head,
                 lq_attention_rows<T>(a, op.q, at.row, at.head, op.heads, op.head_size, at.t));
    lq_tile_load(room.d_out, a.value_stride, a.queries, a.value,
                 lq_attention_rows<T>(a, op.d_out, at.row, at.head, op.heads, op.value_size, at.t));
    const int64_t first = (at.row * op.heads + at.head) * op.tokens + at.t;
    for (int i = (int)threadIdx.x; i < a.queries; i += LQ_ATTENTION_THREADS) {
        const bool inside = at.t + i < op.tokens;
        room.log_sum[i] = inside ? op.log_sum[first + i] : 0.0F;
        room.inner[i] = inside ? a.inner[first + i] : 0.0F;
    }
}

template <typename T>
static __device__ __forceinline__ void
load_keys(const struct lq_attention &a, const backward_room<T> &room, const struct place &at)
{
    const struct lq_op_attention &op = a.op;
    lq_tile_load(room.k, a.head_stride, a.keys, a.head,
                 lq_attention_rows<T>(a, op.k, at.row, at.group, op.kv_heads, op.head_size, at.u));
    lq_tile_load(room.v, a.value_stride, a.keys, a.value,
                 lq_attention_rows<T>(a, op.v, at.row, at.group, op.kv_heads, op.value_size, at.u));
}

/* Probabilities of the tile's pairs, and the gradients of their scores less the factor `scale`. */
template <typename T>
static __device__ __forceinline__ void
find_gradients(const struct lq_attention &a, const backward_room<T> &room, const struct place &at)
{
    lq_tile_multiply({room.scores, a.score_stride, a.queries, a.keys, a.head, false},
                     lq_as_stored<T>(room.q, a.head_stride),
                     lq_transposed<T>(room.k, a.head_stride));
    lq_tile_multiply({room.d_scores, a.score_stride, a.queries, a.keys, a.value, false},
                     lq_as_stored<T>(room.d_out, a.value_stride),
                     lq_transposed<T>(room.v, a.value_stride));
    __syncthreads();
    for (int n = (int)threadIdx.x; n < a.queries * a.keys; n += LQ_ATTENTION_THREADS) {
        const int i = n / a.keys;
        const int j = n % a.keys;
        const float score = (float)a.op.scale * room.scores[i * a.score_stride + j];
        const bool visible = lq_is_visible(a.op, at.t + i, at.u + j);
        const float weight = visible ? expf(score - room.log_sum[i]) : 0.0F;
        const float slope = room.d_scores[i * a.score_stride + j] - room.inner[i];
        lq_store(room.weights + i * a.weight_stride + j, weight);
        lq_store(room.d_weights + i * a.weight_stride + j, visible ? weight * slope : 0.0F);
    }
    __syncthreads();
}

/* What the queries of one head from token at.t on add to the gradients of a tile of keys. */
template <typename T>
static __device__ __forceinline__ void
add_queries(const struct lq_attention &a, const backward_room<T> &room, const struct place &at)
{
    load_queries(a, room, at);
    __syncthreads();
    find_gradients(a, room, at);
    lq_tile_multiply({room.second_sums, a.value_sum_stride, a.keys, a.value, a.queries, true},
                     lq_transposed<T>(room.weights, a.weight_stride),
                     lq_as_stored<T>(room.d_out, a.value_stride));
    lq_tile_multiply({room.first_sums, a.head_sum_stride, a.keys, a.head, a.queries, true},
                     lq_transposed<T>(room.d_weights, a.weight_stride),
                     lq_as_stored<T>(room.q, a.head_stride));
    __syncthreads();
}

/* The tile after the last one with a query that sees keys before `end`. */
static __device__ __forceinline__ int64_t end_of_queries(const struct lq_attention &a, int64_t end)
{
    const int64_t last = a.op.window == 0 ? a.op.tokens : end - 1 + a.op.window;
    return ((last < a.op.tokens ? last : a.op.tokens) - 1) / a.queries + 1;
}

/* d_k and d_v of one tile, a block; the first keys, which most queries see, come first. */
template <typename T>
static __global__ void __launch_bounds__(LQ_ATTENTION_THREADS, 2) sum_queries(struct lq_attention a)
{
    LQ_DYNAMIC_SHARED(unsigned char, memory);
    const struct lq_op_attention &op = a.op;
    const int head_sums = a.keys * a.head_sum_stride;
    const int value_sums = a.keys * a.value_sum_stride;
    const backward_room<T> room = lay_out<T>(a, memory, head_sums, value_sums);
    const int64_t groups = op.rows * op.kv_heads;
    const int64_t members = op.heads / op.kv_heads;
    for (int64_t item = blockIdx.x; item < groups * a.key_tiles; item += gridDim.x) {
        struct place at = {item % groups / op.kv_heads, 0, item % op.kv_heads, 0,
                           item / groups * a.keys};
        load_keys(a, room, at);
        lq_tile_clear(room.first_sums, head_sums + value_sums);
        const int64_t end = end_of_queries(a, at.u + a.keys);
        for (int64_t member = 0; member < members; member++) {
            at.head = at.group * members + member;
            for (int64_t tile = at.u / a.queries; tile < end; tile++) {
                at.t = tile * a.queries;
                add_queries(a, room, at);
            }
        }
        const int64_t first = (at.row * op.tokens + at.u) * op.kv_heads + at.group;
        const int64_t left = op.tokens - at.u < a.keys ? op.tokens - at.u : a.keys;
        lq_tile_store((T *)op.d_k + first * op.head_size, op.kv_heads * op.head_size, left,
                      op.head_size, room.first_sums, a.head_sum_stride, (float)op.scale);
        lq_tile_store((T *)op.d_v + first * op.value_size, op.kv_heads * op.value_size, left,
                      op.value_size, room.second_sums, a.value_sum_stride, 1.0F);
        __syncthreads();
    }
}

/* d_q of one tile, a block; the last queries come first. */
template <typename T>
static __global__ void __launch_bounds__(LQ_ATTENTION_THREADS, 2) sum_keys(struct lq_attention a)
{
    LQ_DYNAMIC_SHARED(unsigned char, memory);
    const struct lq_op_attention &op = a.op;
    const int sums = a.queries * a.head_sum_stride;
    const backward_room<T> room = lay_out<T>(a, memory, sums, 0);
    const int64_t heads = op.rows * op.heads;
    for (int64_t item = blockIdx.x; item < heads * a.query_tiles; item += gridDim.x) {
        const int64_t head = item % op.heads;
        struct place at = {item % heads / op.heads, head, head / (op.heads / op.kv_heads),
                           (a.query_tiles - 1 - item / heads) * a.queries, 0};
        load_queries(a, room, at);
        lq_tile_clear(room.first_sums, sums);
        const int64_t end = lq_end_key_tile(a, at.t + a.queries);
        for (int64_t tile = lq_first_key_tile(a, at.t); tile < end; tile++) {
            at.u = tile * a.keys;
            load_keys(a, room, at);
            __syncthreads();
            find_gradients(a, room, at);
            lq_tile_multiply({room.first_sums, a.head_sum_stride, a.queries, a.head, a.keys, true},
                             lq_as_stored<T>(room.d_weights, a.weight_stride),
                             lq_as_stored<T>(room.k, a.head_stride));
            __syncthreads();
        }
        const int64_t left = op.tokens - at.t < a.queries ? op.tokens - at.t : a.queries;
        lq_tile_store((T *)op.d_q +
                          ((at.row * op.tokens + at.t) * op.heads + at.head) * op.head_size,
                      op.heads * op.head_size, left, op.head_size, room.first_sums,
                      a.head_sum_stride, (float)op.scale);
        __syncthreads();
    }
}

/* inner = d_out . out of each query, a warp each. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS)
    multiply_outs(struct lq_op_attention op, float *inner)
{
    const int lane = (int)threadIdx.x % LQ_WARP;
    const int64_t warps = lq_thread_count() / LQ_WARP;
    const int64_t queries = op.rows * op.tokens * op.heads;
    for (int64_t i = lq_thread() / LQ_WARP; i < queries; i += warps) {
        const T *out = (const T *)op.out + i * op.value_size;
        const T *d_out = (const T *)op.d_out + i * op.value_size;
        float sum = 0.0F;
        for (int64_t d = lane; d < op.value_size; d += LQ_WARP) {
            sum += lq_load(out + d) * lq_load(d_out + d);
        }
        sum = lq_warp_sum(sum);
        if (lane == 0) {
            const int64_t token = i / op.heads;
            const int64_t first = (token / op.tokens * op.heads + i % op.heads) * op.tokens;
            inner[first + token % op.tokens] = sum;
        }
    }
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_op_attention *op, float *inner,
                        struct lq_error *err)
{
    const int64_t queries = op->rows * op->tokens * op->heads;
    const dim3 warps(lq_cuda_grid(device, queries, LQ_THREADS / LQ_WARP));
    LQ_TRY(LQ_LAUNCH(device, err, multiply_outs<T>, warps, dim3(LQ_THREADS), 0, *op, inner));
    struct lq_attention a;
    LQ_TRY(lq_attention_cut(device, op, bytes_for_keys, &a, err));
    a.inner = inner;
    const dim3 keys(lq_cuda_grid(device, op->rows * op->kv_heads * a.key_tiles, 1));
    LQ_TRY(LQ_LAUNCH(device, err, sum_queries<T>, keys, dim3(LQ_ATTENTION_THREADS),
                     bytes_for_keys(&a, sizeof(T)), a));
    LQ_TRY(lq_attention_cut(device, op, bytes_for_queries, &a, err));
    a.inner = inner;
    const dim3 tiles(lq_cuda_grid(device, op->rows * op->heads * a.query_tiles, 1));
    return LQ_LAUNCH(device, err, sum_keys<T>, tiles, dim3(LQ_ATTENTION_THREADS),
                     bytes_for_queries(&a, sizeof(T)), a);
}

enum lq_code lq_attention_backward(struct lq_device *device, const struct lq_op_attention *op,
                                   struct lq_error *err)
{
    void *inner = NULL;
    const size_t queries = (size_t)(op->rows * op->tokens * op->heads);
    LQ_TRY(lq_cuda_scratch(device, queries * sizeof(float), &inner, err));
    return LQ_BY_ELEMENT(device, run, device, op, (float *)inner, err);
}
