/* Reading nf4 weights back: 32 codes with one load of 16 bytes, handed on within the warp so that
 * what is written is contiguous too. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

enum {
    BLOCK = 64,         /* weights of one scale */
    SCALES_BLOCK = 256, /* 8-bit scales of one scale's scale */
    CODES = 16,
    LANE_CODES = 32,                  /* of one load */
    WARP_CODES = LANE_CODES * LQ_WARP /* of a warp's */
};

/* What codes stand for. */
struct tables {
    float nf4[CODES];
    float code8[256];
};

static __device__ inline float scale_of(const struct lq_op_dequantization &op, const float *code8,
                                        int64_t block)
{
    if (op.absmax == NULL) {
        return op.scales[block];
    }
    return code8[op.absmax[block]] * op.absmax_scale[block / SCALES_BLOCK] + op.offset;
}

/* Code i of a word as it lies in memory: bytes rising, each byte's high half first. */
static __device__ inline int code_of(unsigned word, int i)
{
    return (int)(word >> (8 * (i / 2) + (i % 2 == 0 ? 4 : 0)) & 15U);
}

/* Word `number` of what another lane has loaded; every lane may ask for another one. */
static __device__ inline unsigned word_of(const lq_pack<unsigned> &mine, int lane, int number)
{
    unsigned word = 0;
    for (int i = 0; i < lq_pack<unsigned>::COUNT; i++) {
        const unsigned offered = __shfl_sync(0xffffffffU, mine.at[i], lane);
        word = i == number ? offered : word;
    }
    return word;
}

/* One load of each lane of a warp: WARP_CODES weights from `first` on. */
template <typename T>
static __device__ inline void read_codes(const struct lq_op_dequantization &op, const float *nf4,
                                         const float *code8, int64_t first)
{
    constexpr int COUNT = lq_pack<T>::COUNT;
    const int lane = (int)threadIdx.x % LQ_WARP;
    const lq_pack<unsigned> mine =
        lq_load_pack((const unsigned *)op.packed, first / LANE_CODES + lane);
    for (int step = 0; step < LANE_CODES / COUNT; step++) {
        const int at = (step * LQ_WARP + lane) * COUNT; /* of the warp's codes */
        const unsigned word = word_of(mine, at / LANE_CODES, at % LANE_CODES / 8);
        const float scale = scale_of(op, code8, (first + at) / BLOCK);
        lq_pack<T> pack;
        for (int i = 0; i < COUNT; i++) {
            lq_store(&pack.at[i], nf4[code_of(word, at % 8 + i)] * scale);
        }
        lq_store_pack((T *)op.out, (first + at) / COUNT, pack);
    }
}

/* The first `whole` weights by warps, the rest one by one. */
template <typename T>
static __global__ void __launch_bounds__(LQ_THREADS)
    dequantize(struct lq_op_dequantization op, const __grid_constant__ struct tables tables,
               int64_t whole)
{
    __shared__ float nf4[CODES];
    __shared__ float code8[256];
    static_assert(LQ_THREADS >= 256, "a thread for each code");
    if (threadIdx.x < CODES) {
        nf4[threadIdx.x] = tables.nf4[threadIdx.x];
    }
    code8[threadIdx.x] = tables.code8[threadIdx.x];
    __syncthreads();
    const int64_t warps = lq_thread_count() / LQ_WARP;
    for (int64_t warp = lq_thread() / LQ_WARP; warp * WARP_CODES < whole; warp += warps) {
        read_codes<T>(op, nf4, code8, warp * WARP_CODES);
    }
    for (int64_t i = whole + lq_thread(); i < op.n; i += lq_thread_count()) {
        const float scale = scale_of(op, code8, i / BLOCK);
        lq_store((T *)op.out + i, nf4[code_of(op.packed[i / 2], (int)(i % 2))] * scale);
    }
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_op_dequantization *op,
                        struct lq_error *err)
{
    const struct lq_op_dequantization copy = *op;
    struct tables tables;
    for (int i = 0; i < CODES; i++) {
        tables.nf4[i] = LQ_NF4[i];
    }
    lq_code8(tables.code8);
    const bool aligned = lq_aligned(op->packed) && lq_aligned(op->out);
    const int64_t whole = aligned ? op->n / WARP_CODES * WARP_CODES : 0;
    const int64_t items = whole > 0 ? whole / LANE_CODES : op->n;
    const unsigned grid = lq_cuda_grid(device, items, LQ_THREADS);
    return LQ_LAUNCH(device, err, dequantize<T>, grid, LQ_THREADS, 0, copy, tables, whole);
}

/* Bytes read and written. */
static double bytes_per_weight(const struct lq_device *device,
                               const struct lq_op_dequantization *op)
{
    const double scale = op->absmax == NULL ? 4.0 : 1.0 + 4.0 / (double)SCALES_BLOCK;
    return 0.5 + scale / (double)BLOCK + (double)lq_cuda_size(device);
}

enum lq_code lq_cuda_dequantize(struct lq_device *device, const struct lq_op_dequantization *op,
                                struct lq_error *err)
{
    assert(op->n >= 0);
    LQ_TRY(LQ_BY_ELEMENT(device, run, device, op, err));
    struct lq_tally work = {};
    work.stream_bytes = bytes_per_weight(device, op) * (double)op->n;
    lq_cuda_count(device, work);
    return LQ_OK;
}
