/* Rows moved to their experts' slots and back, and the gradients of both. Slots are found in
 * sort.cu. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/reduce.h"

/* Rows are moved in packs where they all begin and end with one. */
template <typename T> static bool is_packed(const struct lq_op_permutation *op)
{
    return op->hidden % lq_pack<T>::COUNT == 0 && lq_aligned(op->x) && lq_aligned(op->sorted) &&
           lq_aligned(op->y) && lq_aligned(op->d_y) && lq_aligned(op->d_sorted) &&
           lq_aligned(op->d_x);
}

/* A block reads a token's row once and writes it to each of its slots. `hidden` counts units of
 * type U: packs or elements. */
template <typename U>
static __global__ void __launch_bounds__(LQ_THREADS)
    scatter_rows(struct lq_op_permutation op, int64_t hidden)
{
    const U *x = (const U *)op.x;
    U *sorted = (U *)op.sorted;
    for (int64_t t = blockIdx.x; t < op.tokens; t += gridDim.x) {
        for (int64_t h = threadIdx.x; h < hidden; h += blockDim.x) {
            const U value = x[t * hidden + h];
            for (int64_t k = 0; k < op.active; k++) {
                sorted[op.slots[t * op.active + k] * hidden + h] = value;
            }
        }
    }
}

template <typename T>
static enum lq_code gather(struct lq_device *device, const struct lq_op_permutation *op,
                           struct lq_error *err)
{
    const dim3 grid(lq_cuda_grid(device, op->tokens, 1));
    if (is_packed<T>(op)) {
        return LQ_LAUNCH(device, err, scatter_rows<lq_pack<T>>, grid, dim3(LQ_THREADS), 0, *op,
                         op->hidden / lq_pack<T>::COUNT);
    }
    return LQ_LAUNCH(device, err, scatter_rows<T>, grid, dim3(LQ_THREADS), 0, *op, op->hidden);
}

/* out[token] = sum of weight * its rows of `sorted`; weights NULL are 1. */
struct row_sum {
    struct lq_op_permutation op;
    const void *sorted;
    const float *weights;
    void *out;
};

static __device__ inline float weight_of(const struct row_sum *s, int64_t choice)
{
    return s->weights == NULL ? 1.0F : s->weights[choice];
}

template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS) add_packs(struct row_sum s)
{
    constexpr int COUNT = lq_pack<T>::COUNT;
    const int64_t packs = s.op.hidden / COUNT;
    for (int64_t i = lq_thread(); i < s.op.tokens * packs; i += lq_thread_count()) {
        const int64_t first = i / packs * s.op.active;
        float sum[COUNT] = {};
        for (int64_t k = 0; k < s.op.active; k++) {
            const float weight = weight_of(&s, first + k);
            const lq_pack<T> row =
                lq_load_pack((const T *)s.sorted, s.op.slots[first + k] * packs + i % packs);
            for (int j = 0; j < COUNT; j++) {
                sum[j] += weight * lq_float(row.at[j]);
            }
        }
        lq_pack<T> out;
        for (int j = 0; j < COUNT; j++) {
            lq_store(&out.at[j], sum[j]);
        }
        lq_store_pack((T *)s.out, i, out);
    }
}

template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS) add_elements(struct row_sum s)
{
    const int64_t hidden = s.op.hidden;
    for (int64_t i = lq_thread(); i < s.op.tokens * hidden; i += lq_thread_count()) {
        const int64_t first = i / hidden * s.op.active;
        float sum = 0.0F;
        for (int64_t k = 0; k < s.op.active; k++) {
            const int64_t at = s.op.slots[first + k] * hidden + i % hidden;
            sum += weight_of(&s, first + k) * lq_load((const T *)s.sorted + at);
        }
        lq_store((T *)s.out + i, sum);
    }
}

template <typename T>
static enum lq_code add_rows(struct lq_device *device, const struct row_sum *s,
                             struct lq_error *err)
{
    const int64_t n = s->op.tokens * s->op.hidden;
    if (is_packed<T>(&s->op)) {
        const dim3 grid(lq_cuda_grid(device, n / lq_pack<T>::COUNT, LQ_THREADS));
        return LQ_LAUNCH(device, err, add_packs<T>, grid, dim3(LQ_THREADS), 0, *s);
    }
    const dim3 grid(lq_cuda_grid(device, n, LQ_THREADS));
    return LQ_LAUNCH(device, err, add_elements<T>, grid, dim3(LQ_THREADS), 0, *s);
}

/* A warp per choice: d_sorted = weight d_y, d_weight = sorted . d_y. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS) split_rows(struct lq_op_permutation op)
{
    const int64_t warp = lq_thread() / LQ_WARP;
    const int64_t warps = lq_thread_count() / LQ_WARP;
    const int lane = (int)threadIdx.x % LQ_WARP;
    for (int64_t i = warp; i < op.tokens * op.active; i += warps) {
        const T *d_y = (const T *)op.d_y + i / op.active * op.hidden;
        const T *sorted = (const T *)op.sorted + op.slots[i] * op.hidden;
        T *d_sorted = (T *)op.d_sorted + op.slots[i] * op.hidden;
        const float weight = op.weights[i];
        float product = 0.0F;
        for (int64_t h = lane; h < op.hidden; h += LQ_WARP) {
            const float slope = lq_load(d_y + h);
            product += lq_load(sorted + h) * slope;
            lq_store(d_sorted + h, weight * slope);
        }
        product = lq_warp_sum(product);
        if (lane == 0) {
            op.d_weights[i] = product;
        }
    }
}

template <typename T>
static enum lq_code split(struct lq_device *device, const struct lq_op_permutation *op,
                          struct lq_error *err)
{
    const dim3 grid(lq_cuda_grid(device, op->tokens * op->active, LQ_THREADS / LQ_WARP));
    return LQ_LAUNCH(device, err, split_rows<T>, grid, dim3(LQ_THREADS), 0, *op);
}

static void count(struct lq_device *device, const struct lq_op_permutation *op, double accesses)
{
    lq_cuda_count_traffic(device, accesses, (double)op->tokens * (double)op->hidden);
}

enum lq_code lq_cuda_gather(struct lq_device *device, const struct lq_op_permutation *op,
                            enum lq_pass pass, struct lq_error *err)
{
    assert(op->tokens >= 0 && op->hidden >= 1 && op->active >= 1);
    const double active = (double)op->active;
    if (pass == LQ_PASS_FORWARD) {
        LQ_TRY(LQ_BY_ELEMENT(device, gather, device, op, err));
        count(device, op, 2.0 * active);
        return LQ_OK;
    }
    const struct row_sum s = {*op, op->d_sorted, NULL, op->d_x};
    LQ_TRY(LQ_BY_ELEMENT(device, add_rows, device, &s, err));
    count(device, op, active + 1.0);
    return LQ_OK;
}

enum lq_code lq_cuda_combine(struct lq_device *device, const struct lq_op_permutation *op,
                             enum lq_pass pass, struct lq_error *err)
{
    assert(op->tokens >= 0 && op->hidden >= 1 && op->active >= 1);
    const double active = (double)op->active;
    if (pass == LQ_PASS_FORWARD) {
        const struct row_sum s = {*op, op->sorted, op->weights, op->y};
        LQ_TRY(LQ_BY_ELEMENT(device, add_rows, device, &s, err));
        count(device, op, active + 1.0);
        return LQ_OK;
    }
    LQ_TRY(LQ_BY_ELEMENT(device, split, device, op, err));
    count(device, op, 3.0 * active);
    return LQ_OK;
}
