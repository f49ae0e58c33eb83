/* RMSNorm and its gradients: a block of threads takes a row at a time. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/reduce.h"

/* The threads of a block that has a row: no more than there are packs. */
template <typename T> static unsigned threads_for(int64_t width)
{
    const int64_t packs = width / lq_pack<T>::COUNT + 1;
    const int64_t warps = (packs + LQ_WARP - 1) / LQ_WARP;
    return LQ_WARP * (unsigned)(warps < LQ_THREADS / LQ_WARP ? warps : LQ_THREADS / LQ_WARP);
}

/* Packs of a row: none where one of the rows would not be aligned. */
template <typename T> static int64_t count_packs(const struct lq_op_norm *op)
{
    const bool aligned = lq_aligned(op->x) && lq_aligned(op->weight) && lq_aligned(op->y) &&
                         lq_aligned(op->d_y) && lq_aligned(op->d_x) &&
                         op->width % lq_pack<T>::COUNT == 0;
    return aligned ? op->width / lq_pack<T>::COUNT : 0;
}

/* One of the row's numbers at a time: packs, or elements where there are no packs. */
template <typename T>
static __device__ inline float sum_squares(const T *x, int64_t width, int64_t packs)
{
    float sum = 0.0F;
    for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
        const lq_pack<T> p = lq_load_pack(x, i);
        for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
            sum += lq_float(p.at[lane]) * lq_float(p.at[lane]);
        }
    }
    for (int64_t i = packs * lq_pack<T>::COUNT + threadIdx.x; i < width; i += blockDim.x) {
        sum += lq_load(x + i) * lq_load(x + i);
    }
    return sum;
}

/* The factor that a row is multiplied with. */
template <typename T>
static __device__ inline float inverse_root(const T *x, const struct lq_op_norm &op, int64_t packs,
                                            float *room)
{
    const float squares = lq_block_sum(sum_squares(x, op.width, packs), room);
    return 1.0F / sqrtf(squares / (float)op.width + (float)op.epsilon);
}

template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS)
    norm_forward(struct lq_op_norm op, int64_t packs)
{
    __shared__ float room[LQ_WARPS_MAX];
    const T *weight = (const T *)op.weight;
    for (int64_t t = blockIdx.x; t < op.tokens; t += gridDim.x) {
        const T *x = (const T *)op.x + t * op.width;
        T *y = (T *)op.y + t * op.width;
        const float factor = inverse_root(x, op, packs, room);
        for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
            lq_pack<T> p = lq_load_pack(x, i);
            const lq_pack<T> w = lq_load_pack(weight, i);
            for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
                lq_store(&p.at[lane], lq_float(p.at[lane]) * factor * lq_float(w.at[lane]));
            }
            lq_store_pack(y, i, p);
        }
        for (int64_t i = packs * lq_pack<T>::COUNT + threadIdx.x; i < op.width; i += blockDim.x) {
            lq_store(y + i, lq_load(x + i) * factor * lq_load(weight + i));
        }
    }
}

/* sum of d_y weight x: what all of a row's gradients share. */
template <typename T>
static __device__ inline float shared_sum(const T *d_y, const T *weight, const T *x, int64_t width,
                                          int64_t packs)
{
    float sum = 0.0F;
    for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
        const lq_pack<T> d = lq_load_pack(d_y, i);
        const lq_pack<T> w = lq_load_pack(weight, i);
        const lq_pack<T> p = lq_load_pack(x, i);
        for (int lane = 0; lane < lq_pack<T>::COUNT; lane++) {
            sum += lq_float(d.at[lane]) * lq_float(w.at[lane]) * lq_float(p.at[lane]);
        }
    }
    for (int64_t i = packs * lq_pack<T>::COUNT + threadIdx.x; i < width; i += blockDim.x) {
        sum += lq_load(d_y + i) * lq_load(weight + i) * lq_load(x + i);
    }
    return sum;
}

/* What all of a row's gradients are made of. */
struct factors {
    float of_y;
    float of_x;
};

static __device__ inline float gradient(const factors &by, float d_y, float weight, float x)
{
    return by.of_y * (d_y * weight) - by.of_x * x;
}

/* Adds 16 bytes' worth of a row to d_x and, unless NULL, to the block's part of d_weight. */
template <typename T>
static __device__ inline void add_pack(const struct lq_op_norm &op, int64_t row, int64_t i,
                                       const factors &by, float *part)
{
    constexpr int COUNT = lq_pack<T>::COUNT;
    constexpr int FLOATS = lq_pack<float>::COUNT;
    const lq_pack<T> x = lq_load_pack((const T *)op.x + row, i);
    const lq_pack<T> d_y = lq_load_pack((const T *)op.d_y + row, i);
    const lq_pack<T> weight = lq_load_pack((const T *)op.weight, i);
    lq_pack<T> d_x = lq_load_pack((const T *)op.d_x + row, i);
    for (int lane = 0; lane < COUNT; lane++) {
        const float added =
            gradient(by, lq_float(d_y.at[lane]), lq_float(weight.at[lane]), lq_float(x.at[lane]));
        lq_store(&d_x.at[lane], lq_float(d_x.at[lane]) + added);
    }
    lq_store_pack((T *)op.d_x + row, i, d_x);
    for (int first = 0; part != NULL && first < COUNT; first += FLOATS) {
        lq_pack<float> sum = lq_load_pack(part, (i * COUNT + first) / FLOATS);
        for (int lane = 0; lane < FLOATS; lane++) {
            sum.at[lane] += lq_float(d_y.at[first + lane]) * lq_float(x.at[first + lane]) * by.of_y;
        }
        lq_store_pack(part, (i * COUNT + first) / FLOATS, sum);
    }
}

/* The same for one element. */
template <typename T>
static __device__ inline void add_element(const struct lq_op_norm &op, int64_t row, int64_t i,
                                          const factors &by, float *part)
{
    T *d_x = (T *)op.d_x + row + i;
    const float x = lq_load((const T *)op.x + row + i);
    const float d_y = lq_load((const T *)op.d_y + row + i);
    lq_store(d_x, lq_load(d_x) + gradient(by, d_y, lq_load((const T *)op.weight + i), x));
    if (part != NULL) {
        part[i] += d_y * x * by.of_y;
    }
}

/* `parts` [grid, width], or NULL: each block's part of d_weight. A thread always has the same
 * columns, so that it alone adds to them, row after row; a row's sums stand between their zeros,
 * which others write, and the first row. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS, 4)
    norm_backward(struct lq_op_norm op, int64_t packs, float *parts)
{
    __shared__ float room[LQ_WARPS_MAX];
    const T *weight = (const T *)op.weight;
    float *part = parts == NULL ? NULL : parts + blockIdx.x * op.width;
    for (int64_t i = threadIdx.x; part != NULL && i < op.width; i += blockDim.x) {
        part[i] = 0.0F;
    }
    for (int64_t t = blockIdx.x; t < op.tokens; t += gridDim.x) {
        const int64_t row = t * op.width;
        const T *x = (const T *)op.x + row;
        const float root = inverse_root(x, op, packs, room);
        const float sum =
            lq_block_sum(shared_sum((const T *)op.d_y + row, weight, x, op.width, packs), room);
        const factors by = {root, root * root * root * sum / (float)op.width};
        for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
            add_pack<T>(op, row, i, by, part);
        }
        for (int64_t i = packs * lq_pack<T>::COUNT + threadIdx.x; i < op.width; i += blockDim.x) {
            add_element<T>(op, row, i, by, part);
        }
    }
}

template <typename T>
static __global__ void norm_add_parts(T *to, const float *parts, int64_t width, int64_t count)
{
    for (int64_t i = lq_thread(); i < width; i += lq_thread_count()) {
        float sum = 0.0F;
        for (int64_t part = 0; part < count; part++) {
            sum += parts[part * width + i];
        }
        lq_store(to + i, lq_load(to + i) + sum);
    }
}

template <typename T>
static enum lq_code run_forward(struct lq_device *device, const struct lq_op_norm *op,
                                struct lq_error *err)
{
    const struct lq_op_norm copy = *op;
    const int64_t packs = count_packs<T>(op);
    const unsigned grid = lq_cuda_grid(device, op->tokens, 1);
    return LQ_LAUNCH(device, err, norm_forward<T>, grid, threads_for<T>(copy.width), 0, copy,
                     packs);
}

template <typename T>
static enum lq_code run_backward(struct lq_device *device, const struct lq_op_norm *op,
                                 struct lq_error *err)
{
    const struct lq_op_norm copy = *op;
    const int64_t packs = count_packs<T>(op);
    const int64_t width = op->width;
    const unsigned grid = lq_cuda_grid(device, op->tokens, 1);
    void *scratch = NULL;
    if (op->d_weight != NULL) {
        LQ_TRY(
            lq_cuda_scratch(device, (size_t)grid * (size_t)width * sizeof(float), &scratch, err));
    }
    float *parts = (float *)scratch;
    LQ_TRY(LQ_LAUNCH(device, err, norm_backward<T>, grid, threads_for<T>(width), 0, copy, packs,
                     parts));
    if (parts == NULL) {
        return LQ_OK;
    }
    T *d_weight = (T *)op->d_weight;
    return LQ_LAUNCH(device, err, norm_add_parts<T>, lq_cuda_grid(device, width, LQ_THREADS),
                     LQ_THREADS, 0, d_weight, parts, width, (int64_t)grid);
}

enum lq_code lq_cuda_norm(struct lq_device *device, const struct lq_op_norm *op, enum lq_pass pass,
                          struct lq_error *err)
{
    assert(op->tokens >= 0 && op->width >= 1);
    const double elements = (double)op->tokens * (double)op->width;
    if (pass == LQ_PASS_FORWARD) {
        LQ_TRY(LQ_BY_ELEMENT(device, run_forward, device, op, err));
        lq_cuda_count_traffic(device, 2.0, elements);
    } else {
        LQ_TRY(LQ_BY_ELEMENT(device, run_backward, device, op, err));
        lq_cuda_count_traffic(device, 4.0, elements);
    }
    return LQ_OK;
}
