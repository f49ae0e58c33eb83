/* Matmuls of uneven groups in one launch, by tensor cores: a block finds from the offsets which
 * tile of which group is its own. */
#include "kernels/cuda/element.h"
#include "kernels/cuda/fragment.h"
#include "kernels/cuda/linear.h"

/* A block's tile of the output [ROWS, COLUMNS], and how deep it goes at a time. Four warps compute
 * a quarter each; of 64 rows little is wasted on experts with few. */
enum {
    THREADS = 128,
    ROWS = 64,
    COLUMNS = 128,
    DEPTH = 32,
    GAP = 8,  /* elements between rows in shared memory, so that they begin in different banks */
    PACK = 8, /* elements of 16 bits moved at once */
    OPERAND = 5120, /* elements: the larger of [COLUMNS][DEPTH + GAP] and [DEPTH][COLUMNS + GAP] */
    LEFT = 2560,
    OUT_STRIDE = COLUMNS + 4
};
enum : unsigned { WHOLE_WARP = 0xffffffffU };

/* How a pass reads its operands, as stored or transposed. */
template <typename T> struct forward_pass {
    using element = T;
    using left = lq_left<T>;
    using right = lq_right_transposed<T>;
    static constexpr bool LEFT_TRANSPOSED = false;
    static constexpr bool RIGHT_TRANSPOSED = true;
};
template <typename T> struct input_pass {
    using element = T;
    using left = lq_left<T>;
    using right = lq_right<T>;
    static constexpr bool LEFT_TRANSPOSED = false;
    static constexpr bool RIGHT_TRANSPOSED = false;
};
template <typename T> struct weight_pass {
    using element = T;
    using left = lq_left_transposed<T>;
    using right = lq_right<T>;
    static constexpr bool LEFT_TRANSPOSED = true;
    static constexpr bool RIGHT_TRANSPOSED = false;
};

/* A matrix as stored: `rows` of `columns` elements, dense; whether rows consist of packs. */
template <typename T> struct matrix {
    const T *at;
    int64_t rows;
    int64_t columns;
    bool packed;
};

/* One tile: where it begins in the group's output [m, n], and the product's operands. */
template <typename T> struct job {
    matrix<T> left;
    matrix<T> right;
    T *out;
    int64_t m;
    int64_t n;
    int64_t k;
    int64_t row;
    int64_t column;
};

/* What a thread fetches of both operands while the tiles before are multiplied. */
template <typename T> struct fetched {
    lq_pack<T> left[ROWS * DEPTH / PACK / THREADS];
    lq_pack<T> right[COLUMNS * DEPTH / PACK / THREADS];
};

template <typename T>
static __device__ __forceinline__ matrix<T> matrix_of(const void *at, int64_t offset, int64_t rows,
                                                      int64_t columns)
{
    const T *begin = (const T *)at + offset;
    return {begin, rows, columns, columns % PACK == 0 && (uintptr_t)begin % LQ_PACK_BYTES == 0};
}

/* Eight elements of a row; 0 outside of the matrix. */
template <typename T>
static __device__ __forceinline__ lq_pack<T> fetch_pack(const matrix<T> &from, int64_t row,
                                                        int64_t column)
{
    lq_pack<T> pack = {};
    if (row >= from.rows || column >= from.columns) {
        return pack;
    }
    const T *at = from.at + row * from.columns + column;
    if (from.packed) {
        return lq_load_pack(at, 0);
    }
    for (int j = 0; j < PACK; j++) {
        if (column + j < from.columns) {
            pack.at[j] = at[j];
        }
    }
    return pack;
}

/* The tile as stored has `WIDTH` columns; its first element is (row, column). */
template <typename T, int WIDTH, int COUNT>
static __device__ __forceinline__ void fetch_tile(const matrix<T> &from, int64_t row,
                                                  int64_t column, lq_pack<T> (&packs)[COUNT])
{
    for (int p = 0; p < COUNT; p++) {
        const int i = p * THREADS + (int)threadIdx.x;
        packs[p] = fetch_pack(from, row + i / (WIDTH / PACK), column + i % (WIDTH / PACK) * PACK);
    }
}

template <typename T, int WIDTH, int COUNT>
static __device__ __forceinline__ void put_tile(T *to, const lq_pack<T> (&packs)[COUNT])
{
    for (int p = 0; p < COUNT; p++) {
        const int i = p * THREADS + (int)threadIdx.x;
        lq_store_pack(to + i / (WIDTH / PACK) * (WIDTH + GAP), i % (WIDTH / PACK), packs[p]);
    }
}

template <typename P, typename T>
static __device__ __forceinline__ void fetch(const job<T> &j, int64_t k, fetched<T> &next)
{
    if (P::LEFT_TRANSPOSED) {
        fetch_tile<T, ROWS>(j.left, k, j.row, next.left);
    } else {
        fetch_tile<T, DEPTH>(j.left, j.row, k, next.left);
    }
    if (P::RIGHT_TRANSPOSED) {
        fetch_tile<T, DEPTH>(j.right, j.column, k, next.right);
    } else {
        fetch_tile<T, COLUMNS>(j.right, k, j.column, next.right);
    }
}

template <typename P, typename T>
static __device__ __forceinline__ void put(T *left, T *right, const fetched<T> &next)
{
    put_tile<T, P::LEFT_TRANSPOSED ? ROWS : DEPTH>(left, next.left);
    put_tile<T, P::RIGHT_TRANSPOSED ? DEPTH : COLUMNS>(right, next.right);
}

/* A warp's quarter of the tile: two by four fragments. */
struct quarter {
    lq_sums at[2][4];
};

template <typename P, typename T>
static __device__ __forceinline__ void multiply_step(const T *left, const T *right, int k,
                                                     struct quarter &sums)
{
    const int warp = (int)threadIdx.x / LQ_WARP;
    const int row = warp / 2 * (ROWS / 2);
    const int column = warp % 2 * (COLUMNS / 2);
    typename P::left a[2];
    for (int i = 0; i < 2; i++) {
        const int at = row + i * LQ_FRAGMENT;
        const int stride = P::LEFT_TRANSPOSED ? ROWS + GAP : DEPTH + GAP;
        lq_fragment_load(a[i], left + (P::LEFT_TRANSPOSED ? k * stride + at : at * stride + k),
                         stride);
    }
    for (int j = 0; j < 4; j++) {
        const int at = column + j * LQ_FRAGMENT;
        const int stride = P::RIGHT_TRANSPOSED ? DEPTH + GAP : COLUMNS + GAP;
        typename P::right b;
        lq_fragment_load(b, right + (P::RIGHT_TRANSPOSED ? at * stride + k : k * stride + at),
                         stride);
        lq_fragment_multiply(sums.at[0][j], a[0], b);
        lq_fragment_multiply(sums.at[1][j], a[1], b);
    }
}

/* Two buffers by turns: while one is multiplied, the next tiles are on their way. */
template <typename P, typename T>
static __device__ __forceinline__ void multiply_tile(const job<T> &j, T *memory,
                                                     struct quarter &sums)
{
    fetched<T> next;
    fetch<P>(j, 0, next);
    int turn = 0;
    for (int64_t k = 0; k < j.k; k += DEPTH) {
        T *left = memory + turn * (LEFT + OPERAND);
        T *right = left + LEFT;
        put<P>(left, right, next);
        __syncthreads();
        if (k + DEPTH < j.k) {
            fetch<P>(j, k + DEPTH, next);
        }
        for (int step = 0; step < DEPTH; step += LQ_FRAGMENT) {
            multiply_step<P>(left, right, step, sums);
        }
        turn = 1 - turn;
    }
    __syncthreads();
}

/* Eight elements of the output, scaled, added to what is there with `accumulate`. */
template <typename T>
static __device__ __forceinline__ void store_pack(const job<T> &j, const struct lq_op_linear &op,
                                                  int64_t row, int64_t column, const float *sums)
{
    const float scale = (float)op.scale;
    T *to = j.out + row * j.n + column;
    if (j.n % PACK == 0 && (uintptr_t)j.out % LQ_PACK_BYTES == 0) {
        lq_pack<T> pack = {};
        if (op.accumulate) {
            pack = lq_load_pack((const T *)to, 0);
        }
        for (int e = 0; e < PACK; e++) {
            const float before = op.accumulate ? lq_float(pack.at[e]) : 0.0F;
            lq_store(&pack.at[e], scale * sums[e] + before);
        }
        lq_store_pack(to, 0, pack);
        return;
    }
    for (int e = 0; e < PACK && column + e < j.n; e++) {
        const float before = op.accumulate ? lq_load((const T *)to + e) : 0.0F;
        lq_store(to + e, scale * sums[e] + before);
    }
}

template <typename T>
static __device__ __forceinline__ void store_tile(const job<T> &j, const struct lq_op_linear &op,
                                                  float *out, const struct quarter &sums)
{
    const int warp = (int)threadIdx.x / LQ_WARP;
    float *corner = out + warp / 2 * (ROWS / 2) * OUT_STRIDE + warp % 2 * (COLUMNS / 2);
    for (int i = 0; i < 2; i++) {
        for (int f = 0; f < 4; f++) {
            lq_fragment_store(corner + i * LQ_FRAGMENT * OUT_STRIDE + f * LQ_FRAGMENT,
                              sums.at[i][f], OUT_STRIDE);
        }
    }
    __syncthreads();
    for (int p = (int)threadIdx.x; p < ROWS * (COLUMNS / PACK); p += THREADS) {
        const int row = p / (COLUMNS / PACK);
        const int column = p % (COLUMNS / PACK) * PACK;
        if (j.row + row < j.m && j.column + column < j.n) {
            store_pack(j, op, j.row + row, j.column + column, out + row * OUT_STRIDE + column);
        }
    }
}

/* The group that row tile `tile` belongs to, and the tile's number in it; -1 past the last. A warp
 * looks at 32 groups at a time. */
static __device__ __forceinline__ int find_group(const struct lq_op_linear &op, int64_t tile,
                                                 int64_t *number)
{
    const int lane = (int)threadIdx.x % LQ_WARP;
    const int groups = (int)op.groups;
    int64_t before = 0;
    for (int first = 0; first < groups; first += LQ_WARP) {
        const int g = first + lane;
        const int rows = g < groups ? op.offsets[g + 1] - op.offsets[g] : 0;
        const int tiles = (rows + ROWS - 1) / ROWS;
        int sum = tiles;
        for (int offset = 1; offset < LQ_WARP; offset *= 2) {
            const int lower = __shfl_up_sync(WHOLE_WARP, sum, (unsigned)offset);
            sum += lane >= offset ? lower : 0;
        }
        const unsigned past = __ballot_sync(WHOLE_WARP, before + sum > tile);
        const int source = past != 0 ? __ffs((int)past) - 1 : LQ_WARP - 1;
        const int lower = __shfl_sync(WHOLE_WARP, sum - tiles, source);
        if (past != 0) {
            *number = tile - before - lower;
            return first + source;
        }
        before += __shfl_sync(WHOLE_WARP, sum, LQ_WARP - 1);
    }
    return -1;
}

/* Rows of tokens of a group: tiles of the same columns follow each other, so that those of one
 * group find its weights in the cache. */
template <typename T>
static __device__ __forceinline__ bool find_rows(const struct lq_op_linear &op, bool forward,
                                                 int64_t row_tiles, job<T> &j)
{
    int64_t number = 0;
    const int group = find_group(op, blockIdx.x % row_tiles, &number);
    if (group < 0) {
        return false;
    }
    const int64_t begin = op.offsets[group];
    j.m = op.offsets[group + 1] - begin;
    j.n = forward ? op.outputs : op.inputs;
    j.k = forward ? op.inputs : op.outputs;
    j.left = matrix_of<T>(forward ? op.x : op.y, begin * j.k, j.m, j.k);
    j.right = matrix_of<T>(op.w, group * op.outputs * op.inputs, op.outputs, op.inputs);
    j.out = (T *)(forward ? op.y : op.x) + begin * j.n;
    j.row = number * ROWS;
    j.column = blockIdx.x / row_tiles * COLUMNS;
    return true;
}

/* A tile of a group's weights. Without tokens there is nothing to add. */
template <typename T>
static __device__ __forceinline__ bool find_weights(const struct lq_op_linear &op,
                                                    int64_t row_tiles, job<T> &j)
{
    const int64_t columns = (op.inputs + COLUMNS - 1) / COLUMNS;
    const int64_t group = blockIdx.x / (row_tiles * columns);
    const int64_t tile = blockIdx.x % (row_tiles * columns);
    const int64_t begin = op.offsets[group];
    j.m = op.outputs;
    j.n = op.inputs;
    j.k = op.offsets[group + 1] - begin;
    j.left = matrix_of<T>(op.y, begin * op.outputs, j.k, op.outputs);
    j.right = matrix_of<T>(op.x, begin * op.inputs, j.k, op.inputs);
    j.out = (T *)op.w + group * op.outputs * op.inputs;
    j.row = tile % row_tiles * ROWS;
    j.column = tile / row_tiles * COLUMNS;
    return j.k > 0 || !op.accumulate;
}

/* A block per tile; row_tiles are those of all groups' tokens at most, or of one group's outputs.
 */
template <typename P>
static __global__ void __launch_bounds__(THREADS, 2)
    multiply(struct lq_op_linear op, int64_t row_tiles)
{
    using T = typename P::element;
    LQ_DYNAMIC_SHARED(unsigned char, memory);
    job<T> j;
    const bool found = P::LEFT_TRANSPOSED ? find_weights<T>(op, row_tiles, j)
                                          : find_rows<T>(op, P::RIGHT_TRANSPOSED, row_tiles, j);
    if (!found) {
        return;
    }
    struct quarter sums;
    for (int i = 0; i < 2; i++) {
        for (int f = 0; f < 4; f++) {
            lq_fragment_clear(sums.at[i][f]);
        }
    }
    multiply_tile<P>(j, (T *)memory, sums);
    store_tile(j, op, (float *)memory, sums);
}

static int64_t ceiling(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit;
}

template <typename P>
static enum lq_code launch(struct lq_device *device, const struct lq_op_linear *op,
                           struct lq_error *err)
{
    const bool weight = op->pass == LQ_LINEAR_WEIGHT;
    /* of every group with rows, the last tile may be part of one */
    const int64_t used = op->groups < op->tokens ? op->groups : op->tokens;
    const int64_t row_tiles = weight ? ceiling(op->outputs, ROWS) : op->tokens / ROWS + used;
    const int64_t columns =
        ceiling(op->pass == LQ_LINEAR_FORWARD ? op->outputs : op->inputs, COLUMNS);
    const int64_t blocks = row_tiles * columns * (weight ? op->groups : 1);
    const size_t shared = (size_t)(ROWS * OUT_STRIDE) * sizeof(float); /* > two buffers */
    if (blocks == 0) {
        return LQ_OK;
    }
    if (blocks > INT32_MAX) {
        return lq_fail(err, LQ_EDEVICE, NULL, "a matmul of %lld tiles is more than one launch",
                       (long long)blocks);
    }
    return LQ_LAUNCH(device, err, multiply<P>, dim3((unsigned)blocks), dim3(THREADS), shared, *op,
                     row_tiles);
}

template <typename T>
static enum lq_code run(struct lq_device *device, const struct lq_op_linear *op,
                        struct lq_error *err)
{
    switch (op->pass) {
    case LQ_LINEAR_FORWARD:
        return launch<forward_pass<T>>(device, op, err);
    case LQ_LINEAR_INPUT:
        return launch<input_pass<T>>(device, op, err);
    case LQ_LINEAR_WEIGHT:
        break;
    }
    return launch<weight_pass<T>>(device, op, err);
}

enum lq_code lq_linear_grouped(struct lq_device *device, const struct lq_op_linear *op,
                               struct lq_error *err)
{
    assert(device->element != LQ_ELEMENT_F32);
    return device->element == LQ_ELEMENT_BF16 ? run<__nv_bfloat16>(device, op, err)
                                              : run<__half>(device, op, err);
}
