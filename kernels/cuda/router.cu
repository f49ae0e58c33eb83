/* Choosing experts from logits, a warp per token, and the gradient of their weights. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/reduce.h"

/* A lane has the experts lane, lane + 32, ...: at most as many as a word has bits. */
enum { EXPERTS_MAX = 1024, WARPS = 4 };
enum : unsigned { WHOLE_WARP = 0xffffffffU };

/* An expert that may be chosen; the index is EXPERTS_MAX where there is none left. */
struct candidate {
    float logit;
    int index;
};

/* Whether a is chosen before b: it is larger, or as large with the lower index. */
static __device__ bool is_before(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.index < b.index);
}

/* The best of a lane's experts that are not marked as taken. NaN is as good as -infinity. */
static __device__ struct candidate best_of_lane(const float *logits, int experts, uint32_t taken)
{
    struct candidate best = {-INFINITY, EXPERTS_MAX};
    for (int e = (int)threadIdx.x; e < experts; e += LQ_WARP) {
        const float logit = logits[e];
        const struct candidate here = {logit == logit ? logit : -INFINITY, e};
        if ((taken >> (e / LQ_WARP) & 1U) == 0 && is_before(here, best)) {
            best = here;
        }
    }
    return best;
}

static __device__ struct candidate best_of_warp(struct candidate best)
{
    for (int offset = LQ_WARP / 2; offset > 0; offset /= 2) {
        struct candidate other;
        other.logit = __shfl_xor_sync(WHOLE_WARP, best.logit, offset);
        other.index = __shfl_xor_sync(WHOLE_WARP, best.index, offset);
        best = is_before(other, best) ? other : best;
    }
    return best;
}

/* The indices of the `active` largest, in falling order, by as many rounds: a lane looks through
 * its experts again only after one of them was taken. */
static __device__ void select_largest(const float *logits, int experts, int active, int32_t *index)
{
    uint32_t taken = 0;
    struct candidate mine = best_of_lane(logits, experts, taken);
    for (int k = 0; k < active; k++) {
        const struct candidate best = best_of_warp(mine);
        if (best.index == mine.index) {
            index[k] = best.index;
            taken |= 1U << (best.index / LQ_WARP);
            mine = best_of_lane(logits, experts, taken);
        }
    }
    __syncwarp();
}

template <typename T>
static __device__ void load_logits(const struct lq_op_router *op, int64_t t, float *row)
{
    const T *logits = (const T *)op->logits + t * op->experts;
    for (int e = (int)threadIdx.x; e < (int)op->experts; e += LQ_WARP) {
        row[e] = lq_load(logits + e);
    }
    __syncwarp();
}

/* The sum of e^(logit - largest) over all experts, the same in every lane. */
static __device__ float sum_all(const float *logits, float largest, int experts)
{
    float sum = 0.0F;
    for (int e = (int)threadIdx.x; e < experts; e += LQ_WARP) {
        sum += expf(logits[e] - largest);
    }
    return lq_warp_sum(sum);
}

static __device__ float sum_selected(const float *logits, float largest, const int32_t *index,
                                     int active)
{
    float sum = 0.0F;
    for (int k = (int)threadIdx.x; k < active; k += LQ_WARP) {
        sum += expf(logits[index[k]] - largest);
    }
    return lq_warp_sum(sum);
}

template <typename T>
static __global__ void __launch_bounds__(LQ_WARP *WARPS) choose(struct lq_op_router op)
{
    __shared__ float rows[WARPS][EXPERTS_MAX];
    float *row = rows[threadIdx.y];
    const int experts = (int)op.experts;
    const int active = (int)op.active;
    for (int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.y; t < op.tokens;
         t += (int64_t)gridDim.x * WARPS) {
        int32_t *index = op.index + t * active;
        load_logits<T>(&op, t, row);
        select_largest(row, experts, active, index);
        const float largest = row[index[0]];
        const float sum = op.normalized ? sum_selected(row, largest, index, active)
                                        : sum_all(row, largest, experts);
        for (int k = (int)threadIdx.x; k < active; k += LQ_WARP) {
            op.weights[t * active + k] = expf(row[index[k]] - largest) / sum;
        }
        __syncwarp();
    }
}

/* -shared p[e] for all experts, p the softmax that the weights are part of; 0 where that is over
 * the selected alone. */
static __device__ void spread_shared(const struct lq_op_router *op, const int32_t *index,
                                     float shared, float *row)
{
    const int experts = (int)op->experts;
    const float largest = row[index[0]];
    const float sum = op->normalized ? 1.0F : sum_all(row, largest, experts);
    __syncwarp();
    for (int e = (int)threadIdx.x; e < experts; e += LQ_WARP) {
        row[e] = op->normalized ? 0.0F : -shared * expf(row[e] - largest) / sum;
    }
    __syncwarp();
}

/* d weight[k] / d logit[e] = weight[k] ((e is index[k]) - p[e]). */
template <typename T>
static __global__ void __launch_bounds__(LQ_WARP *WARPS) differentiate(struct lq_op_router op)
{
    __shared__ float rows[WARPS][EXPERTS_MAX];
    float *row = rows[threadIdx.y];
    for (int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.y; t < op.tokens;
         t += (int64_t)gridDim.x * WARPS) {
        const int32_t *index = op.index + t * op.active;
        const float *weights = op.weights + t * op.active;
        const float *d_weights = op.d_weights + t * op.active;
        load_logits<T>(&op, t, row);
        float shared = 0.0F;
        for (int k = (int)threadIdx.x; k < (int)op.active; k += LQ_WARP) {
            shared += d_weights[k] * weights[k];
        }
        shared = lq_warp_sum(shared);
        spread_shared(&op, index, shared, row);
        for (int k = (int)threadIdx.x; k < (int)op.active; k += LQ_WARP) {
            const float others = op.normalized ? shared : 0.0F;
            row[index[k]] += weights[k] * (d_weights[k] - others);
        }
        __syncwarp();
        for (int e = (int)threadIdx.x; e < (int)op.experts; e += LQ_WARP) {
            lq_store((T *)op.d_logits + t * op.experts + e, row[e]);
        }
        __syncwarp();
    }
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_op_router *op, enum lq_pass pass,
                        struct lq_error *err)
{
    const dim3 block(LQ_WARP, WARPS);
    const dim3 grid(lq_cuda_grid(device, op->tokens, WARPS));
    if (pass == LQ_PASS_FORWARD) {
        return LQ_LAUNCH(device, err, choose<T>, grid, block, 0, *op);
    }
    return LQ_LAUNCH(device, err, differentiate<T>, grid, block, 0, *op);
}

enum lq_code lq_cuda_router(struct lq_device *device, const struct lq_op_router *op,
                            enum lq_pass pass, struct lq_error *err)
{
    assert(op->tokens >= 0 && op->experts >= 1 && op->experts <= EXPERTS_MAX);
    assert(op->active >= 1 && op->active <= op->experts);
    LQ_TRY(LQ_BY_ELEMENT(device, run, device, op, pass, err));
    lq_cuda_count_traffic(device, pass == LQ_PASS_FORWARD ? 1.0 : 2.0,
                          (double)op->tokens * (double)op->experts);
    return LQ_OK;
}
