/* The second half of the scan's backward pass: shares of gradients, which blocks of threads have
 * left behind, are summed in the order of their parts and rows. */
#include "kernels/cuda/scan.h"

/* d_b and d_c of a token and state. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS) join_parts(struct lq_scan_work w)
{
    const int64_t n = w.s.op.rows * w.s.op.tokens * w.s.op.states;
    for (int64_t i = lq_thread(); i < n; i += lq_thread_count()) {
        float d_b = 0.0F;
        float d_c = 0.0F;
        for (int64_t part = 0; part < w.parts; part++) {
            d_b += w.d_b[part * n + i];
            d_c += w.d_c[part * n + i];
        }
        lq_store((T *)w.s.op.d_b + i, d_b);
        lq_store((T *)w.s.op.d_c + i, d_c);
    }
}

static __device__ __forceinline__ float sum_rows(const float *shares, int64_t rows, int64_t n,
                                                 int64_t i)
{
    float sum = 0.0F;
    for (int64_t row = 0; row < rows; row++) {
        sum += shares[row * n + i];
    }
    return sum;
}

/* Adds to d_a_log; d a / d a_log = a. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS) join_decays(struct lq_scan_work w)
{
    const int64_t n = w.s.op.channels * w.s.op.states;
    for (int64_t i = lq_thread(); i < n; i += lq_thread_count()) {
        T *to = (T *)w.s.op.d_a_log + i;
        const float a = -expf(lq_load((const T *)w.s.op.a_log + i));
        lq_store(to, lq_load(to) + a * sum_rows(w.d_a, w.s.op.rows, n, i));
    }
}

/* Adds to d_skip or d_bias. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS)
    join_channels(const float *shares, int64_t rows, int64_t channels, T *gradient)
{
    for (int64_t i = lq_thread(); i < channels; i += lq_thread_count()) {
        T *to = gradient + i;
        lq_store(to, lq_load(to) + sum_rows(shares, rows, channels, i));
    }
}

template <typename T>
static enum lq_code join(struct lq_device *device, const struct lq_scan_work *w,
                         struct lq_error *err)
{
    const struct lq_op_scan *op = &w->s.op;
    const dim3 block(LQ_THREADS);
    const dim3 states(
        lq_cuda_grid(device, op->rows * op->tokens * op->states, (int64_t)LQ_THREADS));
    const dim3 decays(lq_cuda_grid(device, op->channels * op->states, (int64_t)LQ_THREADS));
    const dim3 channels(lq_cuda_grid(device, op->channels, (int64_t)LQ_THREADS));
    LQ_TRY(LQ_LAUNCH(device, err, join_parts<T>, states, block, 0, *w));
    if (op->d_a_log != NULL) {
        LQ_TRY(LQ_LAUNCH(device, err, join_decays<T>, decays, block, 0, *w));
    }
    if (op->d_skip != NULL) {
        LQ_TRY(LQ_LAUNCH(device, err, join_channels<T>, channels, block, 0, w->d_skip, op->rows,
                         op->channels, (T *)op->d_skip));
    }
    if (op->d_bias != NULL) {
        LQ_TRY(LQ_LAUNCH(device, err, join_channels<T>, channels, block, 0, w->d_bias, op->rows,
                         op->channels, (T *)op->d_bias));
    }
    return LQ_OK;
}

enum lq_code lq_scan_join(struct lq_device *device, const struct lq_scan_work *w,
                          struct lq_error *err)
{
    return LQ_BY_ELEMENT(device, join, device, w, err);
}
