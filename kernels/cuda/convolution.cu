/* Depthwise causal convolution over tokens with SiLU: a warp's lanes are channels side by side. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

enum {
    WIDTH_MAX = 16,
    LANES = LQ_WARP,             /* channels of a block */
    ROWS = LQ_THREADS / LQ_WARP, /* tokens of a block at a time */
    TILE = 64,                   /* tokens of a block in backward */
    AFTER = WIDTH_MAX - 1,       /* later tokens whose gradients reach back into a tile */
    BEFORE = WIDTH_MAX - 1       /* earlier tokens that reach into it */
};

static __device__ inline float sigmoid(float x)
{
    return 1.0F / (1.0F + expf(-x));
}

/* Tap j meets the token j before the current one: the last column of `weight` is tap 0. */
template <typename T>
static __device__ inline float tap(const struct lq_op_convolution &op, int64_t channel, int j)
{
    return lq_load((const T *)op.weight + channel * op.width + op.width - 1 - j);
}

/* grid.x has tokens of all rows, grid.y channels. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS) convolve(struct lq_op_convolution op)
{
    const int64_t channel = (int64_t)blockIdx.y * LANES + threadIdx.x;
    if (channel >= op.channels) {
        return;
    }
    const float bias = lq_load((const T *)op.bias + channel);
    const int64_t step = (int64_t)gridDim.x * ROWS;
    const int64_t first = (int64_t)blockIdx.x * ROWS + threadIdx.y;
    for (int64_t token = first; token < op.rows * op.tokens; token += step) {
        const T *x = (const T *)op.x + token * op.channels + channel;
        const int64_t before = token % op.tokens;
        float z = bias;
        for (int j = 0; j < op.width && j <= before; j++) {
            z += tap<T>(op, channel, j) * lq_load(x - j * op.channels);
        }
        lq_store((T *)op.out + token * op.channels + channel, z * sigmoid(z));
    }
}

/* A tile of a row: its channels' inputs from BEFORE tokens ahead of it, and the gradients of the
 * convolution's result to AFTER tokens behind it. What is outside of the row is 0. */
struct tile {
    float x[BEFORE + TILE + AFTER][LANES];
    float d_z[TILE + AFTER][LANES];
};

/* Which tile a block has. */
struct place {
    int64_t row;
    int64_t first; /* token of the row */
    int64_t channel;
};

template <typename T>
static __device__ inline void load_inputs(const struct lq_op_convolution &op, const place &at,
                                          struct tile *tile)
{
    for (int i = (int)threadIdx.y; i < BEFORE + TILE + AFTER; i += ROWS) {
        const int64_t t = at.first - BEFORE + i;
        const bool there = t >= 0 && t < op.tokens && at.channel < op.channels;
        const int64_t from = (at.row * op.tokens + t) * op.channels + at.channel;
        tile->x[i][threadIdx.x] = there ? lq_load((const T *)op.x + from) : 0.0F;
    }
}

/* d silu(z) / dz = s (1 + z (1 - s)), s = sigmoid(z). */
template <typename T>
static __device__ inline void find_gradients(const struct lq_op_convolution &op, const place &at,
                                             struct tile *tile)
{
    for (int i = (int)threadIdx.y; i < TILE + AFTER; i += ROWS) {
        const int64_t t = at.first + i;
        float d_z = 0.0F;
        if (t < op.tokens && at.channel < op.channels) {
            float z = lq_load((const T *)op.bias + at.channel);
            for (int j = 0; j < op.width; j++) {
                z += tap<T>(op, at.channel, j) * tile->x[BEFORE + i - j][threadIdx.x];
            }
            const float s = sigmoid(z);
            const int64_t from = (at.row * op.tokens + t) * op.channels + at.channel;
            d_z = lq_load((const T *)op.d_out + from) * s * (1.0F + z * (1.0F - s));
        }
        tile->d_z[i][threadIdx.x] = d_z;
    }
}

template <typename T>
static __device__ inline void write_inputs(const struct lq_op_convolution &op, const place &at,
                                           const struct tile *tile)
{
    for (int i = (int)threadIdx.y; i < TILE; i += ROWS) {
        const int64_t t = at.first + i;
        if (t >= op.tokens || at.channel >= op.channels) {
            continue;
        }
        float d_x = 0.0F;
        for (int j = 0; j < op.width; j++) {
            d_x += tap<T>(op, at.channel, j) * tile->d_z[i + j][threadIdx.x];
        }
        lq_store((T *)op.d_x + (at.row * op.tokens + t) * op.channels + at.channel, d_x);
    }
}

/* The tile's part of the gradients of each tap and, as one tap more, of the bias:
 * parts [tiles, width + 1, channels]. */
static __device__ inline void write_parts(const struct lq_op_convolution &op, const place &at,
                                          const struct tile *tile, float *parts)
{
    for (int j = (int)threadIdx.y; j <= op.width && at.channel < op.channels; j += ROWS) {
        float sum = 0.0F;
        for (int i = 0; i < TILE; i++) {
            const float x = j < op.width ? tile->x[BEFORE + i - j][threadIdx.x] : 1.0F;
            sum += tile->d_z[i][threadIdx.x] * x;
        }
        const int64_t number = blockIdx.x;
        parts[(number * (op.width + 1) + j) * op.channels + at.channel] = sum;
    }
}

/* grid.x has the tiles of all rows, grid.y channels. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS)
    convolve_back(struct lq_op_convolution op, int64_t row_tiles, float *parts)
{
    __shared__ struct tile tile;
    const place at = {blockIdx.x / row_tiles, blockIdx.x % row_tiles * TILE,
                      (int64_t)blockIdx.y * LANES + threadIdx.x};
    load_inputs<T>(op, at, &tile);
    __syncthreads();
    find_gradients<T>(op, at, &tile);
    __syncthreads();
    write_inputs<T>(op, at, &tile);
    if (parts != NULL) {
        write_parts(op, at, &tile, parts);
    }
}

/* Sums the tiles' parts in their order. */
template <typename T>
static __global__ void add_tiles(struct lq_op_convolution op, const float *parts, int64_t tiles)
{
    const int64_t size = (op.width + 1) * op.channels;
    for (int64_t item = lq_thread(); item < size; item += lq_thread_count()) {
        const int64_t j = item / op.channels;
        const int64_t channel = item % op.channels;
        float sum = 0.0F;
        for (int64_t i = 0; i < tiles; i++) {
            sum += parts[i * size + item];
        }
        T *to = (T *)op.d_bias + channel;
        const bool wanted = j < op.width ? op.d_weight != NULL : op.d_bias != NULL;
        if (j < op.width) {
            to = (T *)op.d_weight + channel * op.width + op.width - 1 - j;
        }
        if (wanted) {
            lq_store(to, lq_load(to) + sum);
        }
    }
}

static unsigned channel_blocks(const struct lq_op_convolution *op)
{
    return (unsigned)((op->channels + LANES - 1) / LANES);
}

template <typename T>
static enum lq_code run_forward(struct lq_device *device, const struct lq_op_convolution *op,
                                struct lq_error *err)
{
    const struct lq_op_convolution copy = *op;
    const dim3 grid(lq_cuda_grid(device, op->rows * op->tokens, ROWS), channel_blocks(op));
    return LQ_LAUNCH(device, err, convolve<T>, grid, dim3(LANES, ROWS), 0, copy);
}

template <typename T>
static enum lq_code run_backward(struct lq_device *device, const struct lq_op_convolution *op,
                                 struct lq_error *err)
{
    const struct lq_op_convolution copy = *op;
    const int64_t row_tiles = (op->tokens + TILE - 1) / TILE;
    const int64_t tiles = op->rows * row_tiles;
    const int64_t size = (op->width + 1) * op->channels;
    if (tiles == 0) {
        return LQ_OK;
    }
    void *scratch = NULL;
    if (op->d_weight != NULL || op->d_bias != NULL) {
        LQ_TRY(lq_cuda_scratch(device, (size_t)(tiles * size) * sizeof(float), &scratch, err));
    }
    float *parts = (float *)scratch;
    LQ_TRY(LQ_LAUNCH(device, err, convolve_back<T>, dim3((unsigned)tiles, channel_blocks(op)),
                     dim3(LANES, ROWS), 0, copy, row_tiles, parts));
    if (parts == NULL) {
        return LQ_OK;
    }
    return LQ_LAUNCH(device, err, add_tiles<T>, lq_cuda_grid(device, size, LQ_THREADS), LQ_THREADS,
                     0, copy, parts, tiles);
}

enum lq_code lq_cuda_convolution(struct lq_device *device, const struct lq_op_convolution *op,
                                 enum lq_pass pass, struct lq_error *err)
{
    assert(op->width >= 1 && op->width <= WIDTH_MAX);
    assert(op->channels <= (int64_t)LANES * UINT16_MAX); /* of a grid's second dimension */
    const bool forward = pass == LQ_PASS_FORWARD;
    if (forward) {
        LQ_TRY(LQ_BY_ELEMENT(device, run_forward, device, op, err));
    } else {
        LQ_TRY(LQ_BY_ELEMENT(device, run_backward, device, op, err));
    }
    const double elements = (double)op->rows * (double)op->tokens * (double)op->channels;
    struct lq_tally work = {};
    work.flop = (forward ? 2.0 : 4.0) * (double)op->width * elements;
    work.traffic_bytes = (forward ? 2.0 : 3.0) * elements * (double)lq_cuda_size(device);
    lq_cuda_count(device, work);
    return LQ_OK;
}
