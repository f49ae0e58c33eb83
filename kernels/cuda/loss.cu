/* Cross-entropy of each token over a large vocabulary. A token's logits are divided among blocks,
 * each of which reads its part once: the largest so far, and the sum of exponentials under it. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/reduce.h"

#include <float.h>

static const int64_t PART_LEAST = 4096; /* logits that make a block of their own worth its start */
static const int64_t PARTS_MAX = 64;

/* sum of e^(x - most). Nothing yet: -FLT_MAX, which is safe to subtract from itself, and 0. */
struct sum {
    float most;
    float exponentials;
};

static __device__ inline sum add_sums(const sum &a, const sum &b)
{
    const float most = fmaxf(a.most, b.most);
    return {most, a.exponentials * expf(a.most - most) + b.exponentials * expf(b.most - most)};
}

static __device__ inline sum add_logit(const sum &a, float x)
{
    if (x <= a.most) {
        return {a.most, a.exponentials + expf(x - a.most)};
    }
    return {x, a.exponentials * expf(a.most - x) + 1.0F};
}

/* The part of a token's logits that a block has: [begin, end). */
struct part {
    int64_t begin;
    int64_t end;
};

static __device__ inline part part_of(int64_t vocabulary)
{
    /* whole packs of any element, so that all parts are aligned as the first is */
    const int64_t size = ((vocabulary + gridDim.y - 1) / gridDim.y + 7) / 8 * 8;
    const int64_t begin = size * blockIdx.y;
    return {begin < vocabulary ? begin : vocabulary,
            begin + size < vocabulary ? begin + size : vocabulary};
}

template <typename T>
static __device__ inline sum sum_logits(const T *logits, part range, bool packed)
{
    sum total = {-FLT_MAX, 0.0F};
    const int64_t count = packed ? (range.end - range.begin) / lq_pack<T>::COUNT : 0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
        const lq_pack<T> p = lq_load_pack(logits + range.begin, i);
        for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
            total = add_logit(total, lq_float(p.at[lane]));
        }
    }
    const int64_t rest = range.begin + count * lq_pack<T>::COUNT;
    for (int64_t i = rest + threadIdx.x; i < range.end; i += blockDim.x) {
        total = add_logit(total, lq_load(logits + i));
    }
    return total;
}

/* The block's sum, in all of its threads. */
static __device__ inline sum block_sum(const sum &mine, float *room)
{
    const float most = lq_block_max(mine.most, room);
    return {most, lq_block_sum(mine.exponentials * expf(mine.most - most), room)};
}

/* sums [tokens, parts]; blocks are tokens and their parts. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS)
    sum_parts(struct lq_op_loss op, struct sum *sums, bool packed)
{
    __shared__ float room[LQ_WARPS_MAX];
    for (int64_t t = blockIdx.x; t < op.tokens; t += gridDim.x) {
        if (op.targets[t] < 0) {
            continue;
        }
        const T *logits = (const T *)op.logits + t * op.vocabulary;
        const sum total = block_sum(sum_logits(logits, part_of(op.vocabulary), packed), room);
        if (threadIdx.x == 0) {
            sums[t * gridDim.y + blockIdx.y] = total;
        }
    }
}

static __device__ inline sum whole_sum(const struct sum *sums, int parts)
{
    sum total = sums[0];
    for (int i = 1; i < parts; i++) {
        total = add_sums(total, sums[i]);
    }
    return total;
}

template <typename T>
static __global__ void write_losses(struct lq_op_loss op, const struct sum *sums, int parts)
{
    for (int64_t t = lq_thread(); t < op.tokens; t += lq_thread_count()) {
        const int32_t target = op.targets[t];
        if (target < 0) {
            op.losses[t] = 0.0F;
            continue;
        }
        const sum total = whole_sum(sums + t * parts, parts);
        const float logit = lq_load((const T *)op.logits + t * op.vocabulary + target);
        op.losses[t] = logf(total.exponentials) + (total.most - logit);
    }
}

static __device__ inline float slope(float x, const sum &total, float scale, bool hit)
{
    const float share = scale / total.exponentials * expf(x - total.most);
    return hit ? share - scale : share;
}

/* An element is read before it is written, so d_logits may be the logits. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS)
    write_gradients(struct lq_op_loss op, const struct sum *sums, bool packed)
{
    const float scale = (float)op.scale;
    for (int64_t t = blockIdx.x; t < op.tokens; t += gridDim.x) {
        const T *logits = (const T *)op.logits + t * op.vocabulary;
        T *d_logits = (T *)op.d_logits + t * op.vocabulary;
        const int32_t target = op.targets[t];
        const part range = part_of(op.vocabulary);
        if (target < 0) {
            for (int64_t i = range.begin + threadIdx.x; i < range.end; i += blockDim.x) {
                lq_store(d_logits + i, 0.0F);
            }
            continue;
        }
        const sum total = whole_sum(sums + t * gridDim.y, (int)gridDim.y);
        const int64_t count = packed ? (range.end - range.begin) / lq_pack<T>::COUNT : 0;
        for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
            lq_pack<T> p = lq_load_pack(logits + range.begin, i);
            const int64_t at = range.begin + i * lq_pack<T>::COUNT;
            for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
                const bool hit = at + lane == target;
                lq_store(&p.at[lane], slope(lq_float(p.at[lane]), total, scale, hit));
            }
            lq_store_pack(d_logits + range.begin, i, p);
        }
        const int64_t rest = range.begin + count * lq_pack<T>::COUNT;
        for (int64_t i = rest + threadIdx.x; i < range.end; i += blockDim.x) {
            lq_store(d_logits + i, slope(lq_load(logits + i), total, scale, i == target));
        }
    }
}

/* Blocks for tokens and for the parts of each: with many tokens one part is enough. */
static dim3 grid_for(const struct lq_device *device, const struct lq_op_loss *op)
{
    const unsigned tokens = lq_cuda_grid(device, op->tokens, 1);
    const unsigned wished = lq_cuda_grid(device, INT64_MAX, 1) / tokens;
    const int64_t most =
        op->vocabulary / PART_LEAST < PARTS_MAX ? op->vocabulary / PART_LEAST : PARTS_MAX;
    const int64_t parts = most < (int64_t)wished ? most : (int64_t)wished;
    return dim3(tokens, (unsigned)(parts > 1 ? parts : 1));
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_op_loss *op, bool forward,
                        struct lq_error *err)
{
    const struct lq_op_loss copy = *op;
    const dim3 grid = grid_for(device, op);
    const bool packed = lq_aligned(op->logits) && (forward || lq_aligned(op->d_logits)) &&
                        op->vocabulary % lq_pack<T>::COUNT == 0;
    void *scratch = NULL;
    LQ_TRY(
        lq_cuda_scratch(device, (size_t)op->tokens * grid.y * sizeof(struct sum), &scratch, err));
    struct sum *sums = (struct sum *)scratch;
    LQ_TRY(LQ_LAUNCH(device, err, sum_parts<T>, grid, LQ_THREADS, 0, copy, sums, packed));
    if (forward) {
        const unsigned blocks = lq_cuda_grid(device, op->tokens, LQ_THREADS);
        return LQ_LAUNCH(device, err, write_losses<T>, blocks, LQ_THREADS, 0, copy, sums,
                         (int)grid.y);
    }
    return LQ_LAUNCH(device, err, write_gradients<T>, grid, LQ_THREADS, 0, copy, sums, packed);
}

enum lq_code lq_cuda_loss(struct lq_device *device, const struct lq_op_loss *op, enum lq_pass pass,
                          struct lq_error *err)
{
    assert(op->tokens >= 0 && op->vocabulary >= 1);
    const bool forward = pass == LQ_PASS_FORWARD;
    LQ_TRY(LQ_BY_ELEMENT(device, run, device, op, forward, err));
    const double logits = (double)op->tokens * (double)op->vocabulary;
    lq_cuda_count_traffic(device, forward ? 1.0 : 2.0, logits);
    return LQ_OK;
}
