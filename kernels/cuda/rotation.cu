/* Rotary positions, in place. Angles are counted in 2^-64 turns as whole numbers: a position's
 * angle is exact however far it is, and takes no double precision on the device. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

enum { PAIRS_MAX = 512 }; /* of a head: published models have at most 128 (Gemma, head size 256) */

/* How far each pair turns from one position to the next. */
struct turns {
    uint64_t step[PAIRS_MAX];
};

/* The cosine and sine of each pair at a position, for the block. */
static __device__ inline void turn_to(const uint64_t *step, uint64_t position, int pairs,
                                      float *cosine, float *sine)
{
    for (int i = (int)threadIdx.x; i < pairs; i += (int)blockDim.x) {
        const int64_t turn = (int64_t)(step[i] * position); /* whole turns fall off */
        /* half turns, in [-1, 1] */
        sincospif((float)(int32_t)(turn >> 32) * 0x1p-31F, &sine[i], &cosine[i]);
    }
}

template <typename T>
static __device__ inline void rotate_packs(T *low, T *high, const float *cosine, const float *sine)
{
    lq_pack<T> a = lq_load_pack(low, 0);
    lq_pack<T> b = lq_load_pack(high, 0);
    for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
        const float x = lq_float(a.at[lane]);
        const float y = lq_float(b.at[lane]);
        lq_store(&a.at[lane], x * cosine[lane] - y * sine[lane]);
        lq_store(&b.at[lane], y * cosine[lane] + x * sine[lane]);
    }
    lq_store_pack(low, 0, a);
    lq_store_pack(high, 0, b);
}

template <typename T>
static __device__ inline void rotate_pair(T *low, T *high, float cosine, float sine)
{
    const float x = lq_load(low);
    const float y = lq_load(high);
    lq_store(low, x * cosine - y * sine);
    lq_store(high, y * cosine + x * sine);
}

/* A block takes a token at a time, all of its heads. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS)
    rotate(struct lq_op_rotation op, const __grid_constant__ struct turns turns, bool packed)
{
    __shared__ uint64_t step[PAIRS_MAX];
    __shared__ float cosine[PAIRS_MAX];
    __shared__ float sine[PAIRS_MAX];
    const int pairs = (int)(op.head_size / 2);
    for (int i = (int)threadIdx.x; i < pairs; i += (int)blockDim.x) {
        step[i] = turns.step[i];
    }
    const int at_once = packed ? lq_pack<T>::COUNT : 1;
    const int64_t items = op.heads * (pairs / at_once);
    for (int64_t t = blockIdx.x; t < op.rows * op.tokens; t += gridDim.x) {
        __syncthreads(); /* the steps are there; the last token's angles are done with */
        turn_to(step, (uint64_t)(t % op.tokens), pairs, cosine, sine);
        __syncthreads();
        T *x = (T *)op.x + t * op.heads * op.stride;
        for (int64_t item = threadIdx.x; item < items; item += blockDim.x) {
            const int64_t head = item / (pairs / at_once);
            const int pair = (int)(item % (pairs / at_once)) * at_once;
            T *low = x + head * op.stride + pair;
            if (packed) {
                rotate_packs(low, low + pairs, cosine + pair, sine + pair);
            } else {
                rotate_pair(low, low + pairs, cosine[pair], sine[pair]);
            }
        }
    }
}

/* base^(-2 i / head_size) radians, as turns; backwards where `sign` is -1. */
static struct turns make_turns(const struct lq_op_rotation *op, double sign)
{
    struct turns turns = {};
    for (int64_t i = 0; i < op->head_size / 2; i++) {
        const double exponent = -2.0 * (double)i / (double)op->head_size;
        const double turn = pow(op->base, exponent) / (2.0 * M_PI); /* at most 1 / (2 pi) */
        const int64_t step = (int64_t)(turn * 0x1p63);
        turns.step[i] = (uint64_t)step * (sign < 0.0 ? (uint64_t)-2 : 2U);
    }
    return turns;
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_op_rotation *op,
                        const struct turns *steps, struct lq_error *err)
{
    const struct lq_op_rotation copy = *op;
    const struct turns turns = *steps;
    const int64_t mixed = op->head_size / 2 | op->stride;
    const bool packed = lq_aligned(op->x) && mixed % lq_pack<T>::COUNT == 0;
    const unsigned grid = lq_cuda_grid(device, op->rows * op->tokens, 1);
    return LQ_LAUNCH(device, err, rotate<T>, grid, LQ_THREADS, 0, copy, turns, packed);
}

enum lq_code lq_cuda_rotation(struct lq_device *device, const struct lq_op_rotation *op,
                              enum lq_pass pass, struct lq_error *err)
{
    assert(op->rows >= 0 && op->tokens >= 0 && op->heads >= 0 && op->stride >= op->head_size);
    assert(op->head_size >= 2 && op->head_size % 2 == 0 && op->head_size / 2 <= PAIRS_MAX);
    const struct turns turns = make_turns(op, pass == LQ_PASS_FORWARD ? 1.0 : -1.0);
    LQ_TRY(LQ_BY_ELEMENT(device, run, device, op, &turns, err));
    const double width = (double)(op->heads * op->head_size);
    lq_cuda_count_traffic(device, 2.0, (double)(op->rows * op->tokens) * width);
    return LQ_OK;
}
