/* SwiGLU and GELU, element by element. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

static __device__ inline float sigmoid(float x)
{
    return 1.0F / (1.0F + expf(-x));
}

/* 2 sqrt(2 / pi) (x + 0.044715 x^3): (1 + tanh(u)) / 2 is sigmoid(2 u). */
static __device__ inline float twice_inner(float x)
{
    return 2.0F * 0.797884561F * (x + 0.044715F * x * x * x);
}

static __device__ inline float twice_inner_slope(float x)
{
    return 2.0F * 0.797884561F * (1.0F + 3.0F * 0.044715F * x * x);
}

static __device__ inline float activate(bool gated, float gate, float up)
{
    return gated ? gate * sigmoid(gate) * up : gate * sigmoid(twice_inner(gate));
}

struct gradients {
    float gate;
    float up;
};

static __device__ inline gradients activate_back(bool gated, float gate, float up, float d_out)
{
    const float s = sigmoid(gated ? gate : twice_inner(gate));
    const float slope = gated ? 1.0F : twice_inner_slope(gate);
    const float d_gate = s + gate * s * (1.0F - s) * slope;
    return {gated ? d_out * up * d_gate : d_out * d_gate, d_out * gate * s};
}

template <typename T>
static __global__ void activation_forward(struct lq_op_activation op, int64_t packs)
{
    const bool gated = op.kind == LQ_ACTIVATION_SWIGLU;
    const T *gate = (const T *)op.gate;
    const T *up = gated ? (const T *)op.up : gate;
    T *out = (T *)op.out;
    for (int64_t i = lq_thread(); i < packs; i += lq_thread_count()) {
        const lq_pack<T> g = lq_load_pack(gate, i);
        lq_pack<T> u = lq_load_pack(up, i);
        for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
            lq_store(&u.at[lane], activate(gated, lq_float(g.at[lane]), lq_float(u.at[lane])));
        }
        lq_store_pack(out, i, u);
    }
    for (int64_t i = packs * lq_pack<T>::COUNT + lq_thread(); i < op.n; i += lq_thread_count()) {
        lq_store(out + i, activate(gated, lq_load(gate + i), lq_load(up + i)));
    }
}

template <typename T>
static __global__ void activation_backward(struct lq_op_activation op, int64_t packs)
{
    const bool gated = op.kind == LQ_ACTIVATION_SWIGLU;
    const T *gate = (const T *)op.gate;
    const T *up = gated ? (const T *)op.up : gate;
    const T *d_out = (const T *)op.d_out;
    T *d_gate = (T *)op.d_gate;
    T *d_up = (T *)op.d_up;
    for (int64_t i = lq_thread(); i < packs; i += lq_thread_count()) {
        lq_pack<T> g = lq_load_pack(gate, i);
        lq_pack<T> u = lq_load_pack(up, i);
        const lq_pack<T> d = lq_load_pack(d_out, i);
        for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
            const gradients back = activate_back(gated, lq_float(g.at[lane]), lq_float(u.at[lane]),
                                                 lq_float(d.at[lane]));
            lq_store(&g.at[lane], back.gate);
            lq_store(&u.at[lane], back.up);
        }
        lq_store_pack(d_gate, i, g);
        if (gated) {
            lq_store_pack(d_up, i, u);
        }
    }
    for (int64_t i = packs * lq_pack<T>::COUNT + lq_thread(); i < op.n; i += lq_thread_count()) {
        const gradients back =
            activate_back(gated, lq_load(gate + i), lq_load(up + i), lq_load(d_out + i));
        lq_store(d_gate + i, back.gate);
        if (gated) {
            lq_store(d_up + i, back.up);
        }
    }
}

template <typename T>
static enum lq_code run_forward(struct lq_device *device, const struct lq_op_activation *op,
                                struct lq_error *err)
{
    const struct lq_op_activation copy = *op;
    const bool aligned = lq_aligned(op->gate) && lq_aligned(op->up) && lq_aligned(op->out);
    const int64_t packs = aligned ? op->n / lq_pack<T>::COUNT : 0;
    const unsigned grid = lq_cuda_grid(device, packs > 0 ? packs : op->n, LQ_THREADS);
    return LQ_LAUNCH(device, err, activation_forward<T>, grid, LQ_THREADS, 0, copy, packs);
}

template <typename T>
static enum lq_code run_backward(struct lq_device *device, const struct lq_op_activation *op,
                                 struct lq_error *err)
{
    const struct lq_op_activation copy = *op;
    const bool aligned = lq_aligned(op->gate) && lq_aligned(op->up) && lq_aligned(op->d_out) &&
                         lq_aligned(op->d_gate) && lq_aligned(op->d_up);
    const int64_t packs = aligned ? op->n / lq_pack<T>::COUNT : 0;
    const unsigned grid = lq_cuda_grid(device, packs > 0 ? packs : op->n, LQ_THREADS);
    return LQ_LAUNCH(device, err, activation_backward<T>, grid, LQ_THREADS, 0, copy, packs);
}

enum lq_code lq_cuda_activation(struct lq_device *device, const struct lq_op_activation *op,
                                enum lq_pass pass, struct lq_error *err)
{
    assert(op->n >= 0);
    const bool gated = op->kind == LQ_ACTIVATION_SWIGLU;
    double accesses = gated ? 3.0 : 2.0;
    if (pass == LQ_PASS_FORWARD) {
        LQ_TRY(LQ_BY_ELEMENT(device, run_forward, device, op, err));
    } else {
        LQ_TRY(LQ_BY_ELEMENT(device, run_backward, device, op, err));
        accesses = gated ? 5.0 : 3.0;
    }
    lq_cuda_count_traffic(device, accesses, (double)op->n);
    return LQ_OK;
}
