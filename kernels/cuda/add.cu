/* Sums of tensors. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

/* The first `packs` packs together, the rest one by one. */
template <typename T> static __global__ void add(struct lq_op_add op, int64_t packs)
{
    const T *a = (const T *)op.a;
    const T *b = (const T *)op.b;
    T *out = (T *)op.out;
    for (int64_t i = lq_thread(); i < packs; i += lq_thread_count()) {
        lq_pack<T> x = lq_load_pack(a, i);
        const lq_pack<T> y = lq_load_pack(b, i);
        for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
            lq_store(&x.at[lane], lq_float(x.at[lane]) + lq_float(y.at[lane]));
        }
        lq_store_pack(out, i, x);
    }
    for (int64_t i = packs * lq_pack<T>::COUNT + lq_thread(); i < op.n; i += lq_thread_count()) {
        lq_store(out + i, lq_load(a + i) + lq_load(b + i));
    }
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_op_add *op, struct lq_error *err)
{
    const struct lq_op_add copy = *op;
    const bool aligned = lq_aligned(op->a) && lq_aligned(op->b) && lq_aligned(op->out);
    const int64_t packs = aligned ? op->n / lq_pack<T>::COUNT : 0;
    const unsigned grid = lq_cuda_grid(device, packs > 0 ? packs : op->n, LQ_THREADS);
    return LQ_LAUNCH(device, err, add<T>, grid, LQ_THREADS, 0, copy, packs);
}

enum lq_code lq_cuda_add(struct lq_device *device, const struct lq_op_add *op, struct lq_error *err)
{
    assert(op->n >= 0);
    LQ_TRY(LQ_BY_ELEMENT(device, run, device, op, err));
    lq_cuda_count_traffic(device, 3.0, (double)op->n);
    return LQ_OK;
}
