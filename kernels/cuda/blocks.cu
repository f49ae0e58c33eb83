/* Blocks copied, repeated or summed between layouts: a warp takes a block of a token at a time. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

enum { ROWS = 8 }; /* warps of a thread block */

/* Where a token's block of a head lies. */
template <typename T> struct place {
    const T *source;
    T *target;
};

template <typename T>
static __device__ inline place<T> find_block(const struct lq_op_blocks &op, int64_t token,
                                             int64_t head)
{
    place<T> at;
    at.source = (const T *)op.source + token * op.source_stride + head * op.source_head_stride;
    at.target = (T *)op.target + token * op.target_stride + head * op.target_head_stride;
    return at;
}

/* Blocks that have a target of their own. */
template <typename T> static __global__ void move_blocks(struct lq_op_blocks op, int64_t packs)
{
    const int64_t rows = op.tokens * op.heads;
    const int64_t step = (int64_t)gridDim.x * ROWS;
    for (int64_t row = (int64_t)blockIdx.x * ROWS + threadIdx.y; row < rows; row += step) {
        const place<T> at = find_block<T>(op, row / op.heads, row % op.heads);
        for (int64_t i = threadIdx.x; i < packs; i += LQ_WARP) {
            lq_store_pack(at.target, i, lq_load_pack(at.source, i));
        }
        for (int64_t i = packs * lq_pack<T>::COUNT + threadIdx.x; i < op.width; i += LQ_WARP) {
            at.target[i] = at.source[i];
        }
    }
}

/* Adds `heads` blocks, one after the other, to what is at the target. */
template <typename T>
static __device__ inline void add_heads(const struct lq_op_blocks &op, int64_t token, int64_t head,
                                        int64_t heads)
{
    const place<T> at = find_block<T>(op, token, head);
    for (int64_t i = threadIdx.x; i < op.width; i += LQ_WARP) {
        float sum = lq_load(at.target + i);
        for (int64_t h = 0; h < heads; h++) {
            sum += lq_load(at.source + h * op.source_head_stride + i);
        }
        lq_store(at.target + i, sum);
    }
}

/* A head stride of 0 sums a token's heads where it stands, so one warp takes them all. */
template <typename T> static __global__ void add_blocks(struct lq_op_blocks op)
{
    const bool summed = op.target_head_stride == 0;
    const int64_t heads = summed ? 1 : op.heads;
    const int64_t rows = op.tokens * heads;
    const int64_t step = (int64_t)gridDim.x * ROWS;
    for (int64_t row = (int64_t)blockIdx.x * ROWS + threadIdx.y; row < rows; row += step) {
        add_heads<T>(op, row / heads, row % heads, summed ? op.heads : 1);
    }
}

/* Packs of every block: none where one of them would not be aligned. */
template <typename T> static int64_t count_packs(const struct lq_op_blocks *op)
{
    const int64_t mixed =
        op->source_stride | op->source_head_stride | op->target_stride | op->target_head_stride;
    const bool aligned =
        lq_aligned(op->source) && lq_aligned(op->target) && mixed % lq_pack<T>::COUNT == 0;
    return aligned ? op->width / lq_pack<T>::COUNT : 0;
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_op_blocks *op,
                        struct lq_error *err)
{
    const struct lq_op_blocks copy = *op;
    const int64_t packs = count_packs<T>(op);
    const unsigned grid = lq_cuda_grid(device, op->tokens * op->heads, ROWS);
    const dim3 block(LQ_WARP, ROWS);
    if (op->accumulate) {
        return LQ_LAUNCH(device, err, add_blocks<T>, grid, block, 0, copy);
    }
    return LQ_LAUNCH(device, err, move_blocks<T>, grid, block, 0, copy, packs);
}

enum lq_code lq_cuda_blocks(struct lq_device *device, const struct lq_op_blocks *op,
                            struct lq_error *err)
{
    assert(op->tokens >= 0 && op->heads >= 1 && op->width >= 1);
    assert(op->accumulate || op->heads == 1 || op->target_head_stride != 0);
    LQ_TRY(LQ_BY_ELEMENT(device, run, device, op, err));
    const double elements = (double)op->tokens * (double)op->heads * (double)op->width;
    lq_cuda_count_traffic(device, op->accumulate ? 3.0 : 2.0, elements);
    return LQ_OK;
}
