/* Matrices in a block's shared memory: loading them, products of them and storing. bf16 and fp16 go
 * through tensor cores, fp32 through four by four sums per thread. Nothing here waits: callers put
 * barriers between writing and reading a tile. */
#pragma once

#include "kernels/cuda/element.h"
#include "kernels/cuda/fragment.h"
#include "kernels/cuda/launch.h"

/* Sizes of tiles are multiples of this: a fragment's edge, or a thread's four sums. */
template <typename T> struct lq_tile_unit {
    static constexpr int SIZE = LQ_FRAGMENT;
    /* between rows, so that those of a fragment lie in different banks */
    static constexpr int GAP = 8;
};
template <> struct lq_tile_unit<float> {
    static constexpr int SIZE = 4;
    static constexpr int GAP = 1; /* rows beginning in different banks, for products by columns */
};

/* An operand: element (i, j) is at[i * row + j * column], and one of both steps is 1. */
template <typename T> struct lq_tile {
    const T *at;
    int row;
    int column;
};

template <typename T>
static __device__ __forceinline__ lq_tile<T> lq_as_stored(const T *at, int stride)
{
    return {at, stride, 1};
}

template <typename T>
static __device__ __forceinline__ lq_tile<T> lq_transposed(const T *at, int stride)
{
    return {at, 1, stride};
}

/* A product's output in fp32, and its extent [m, n] and depth k. */
struct lq_tile_sums {
    float *at;
    int stride;
    int m;
    int n;
    int k;
    bool accumulate;
};

/* Part of a matrix in device memory: the first `rows` and `columns` of it are there. */
template <typename T> struct lq_source {
    const T *at;
    int64_t stride;
    int64_t rows;
    int64_t columns;
};

/* Whether its rows consist of packs. */
template <typename T> static __device__ __forceinline__ bool lq_is_packed(const lq_source<T> &from)
{
    constexpr int COUNT = lq_pack<T>::COUNT;
    return sizeof(T) < sizeof(float) && (uintptr_t)from.at % LQ_PACK_BYTES == 0 &&
           from.stride % COUNT == 0 && from.columns % COUNT == 0;
}

/* Copies to [rows, columns], the rows `stride` apart; 0 where the source ends. */
template <typename T>
static __device__ __forceinline__ void lq_tile_load(T *to, int stride, int rows, int columns,
                                                    const lq_source<T> &from)
{
    if (lq_is_packed(from)) {
        constexpr int COUNT = lq_pack<T>::COUNT;
        const int packs = columns / COUNT;
        for (int i = (int)threadIdx.x; i < rows * packs; i += (int)blockDim.x) {
            const int row = i / packs;
            const int pack = i % packs;
            lq_pack<T> value = {};
            if (row < from.rows && pack * COUNT < from.columns) {
                value = lq_load_pack(from.at + row * from.stride, pack);
            }
            lq_store_pack(to + row * stride, pack, value);
        }
        return;
    }
    for (int i = (int)threadIdx.x; i < rows * columns; i += (int)blockDim.x) {
        const int row = i / columns;
        const int column = i % columns;
        const bool inside = row < from.rows && column < from.columns;
        lq_store(to + row * stride + column,
                 inside ? lq_load(from.at + row * from.stride + column) : 0.0F);
    }
}

static __device__ __forceinline__ void lq_tile_clear(float *to, int count)
{
    for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) {
        to[i] = 0.0F;
    }
}

/* Writes scale * from [rows, columns] to device memory. */
template <typename T>
static __device__ __forceinline__ void lq_tile_store(T *to, int64_t to_stride, int64_t rows,
                                                     int64_t columns, const float *from, int stride,
                                                     float scale)
{
    for (int i = (int)threadIdx.x; i < (int)(rows * columns); i += (int)blockDim.x) {
        const int row = i / (int)columns;
        const int column = i % (int)columns;
        lq_store(to + row * to_stride + column, scale * from[row * stride + column]);
    }
}

/* A warp's share: every so-many-th fragment of the output. */
template <typename L, typename R, typename T>
static __device__ __forceinline__ void
lq_multiply_fragments(const lq_tile_sums &c, const lq_tile<T> &a, const lq_tile<T> &b)
{
    const int across = c.n / LQ_FRAGMENT;
    const int count = c.m / LQ_FRAGMENT * across;
    for (int f = (int)threadIdx.x / LQ_WARP; f < count; f += (int)blockDim.x / LQ_WARP) {
        const int i = f / across * LQ_FRAGMENT;
        const int j = f % across * LQ_FRAGMENT;
        float *out = c.at + i * c.stride + j;
        lq_sums sums;
        if (c.accumulate) {
            lq_fragment_load(sums, out, c.stride);
        } else {
            lq_fragment_clear(sums);
        }
        for (int k = 0; k < c.k; k += LQ_FRAGMENT) {
            L left;
            R right;
            lq_fragment_load(left, a.at + i * a.row + k * a.column, a.row * a.column);
            lq_fragment_load(right, b.at + k * b.row + j * b.column, b.row * b.column);
            lq_fragment_multiply(sums, left, right);
        }
        lq_fragment_store(out, sums, c.stride);
    }
}

/* c = a b, added to c with `accumulate`. Operands may not both be transposed. */
template <typename T>
static __device__ __forceinline__ void lq_tile_multiply(const lq_tile_sums &c, const lq_tile<T> &a,
                                                        const lq_tile<T> &b)
{
    if (b.column != 1) {
        lq_multiply_fragments<lq_left<T>, lq_right_transposed<T>>(c, a, b);
    } else if (a.column != 1) {
        lq_multiply_fragments<lq_left_transposed<T>, lq_right<T>>(c, a, b);
    } else {
        lq_multiply_fragments<lq_left<T>, lq_right<T>>(c, a, b);
    }
}

/* Adds depth k of a thread's sums: rows i, i + down, ..., columns j, j + across, ... */
static __device__ __forceinline__ void lq_add_products(float (&sums)[4][4], const lq_tile<float> &a,
                                                       const lq_tile<float> &b, int down,
                                                       int across, int k)
{
    float left[4];
    float right[4];
    for (int r = 0; r < 4; r++) {
        left[r] = a.at[r * down * a.row + k * a.column];
        right[r] = b.at[k * b.row + r * across * b.column];
    }
    for (int r = 0; r < 4; r++) {
        for (int s = 0; s < 4; s++) {
            sums[r][s] += left[r] * right[s];
        }
    }
}

static __device__ __forceinline__ void
lq_tile_multiply(const lq_tile_sums &c, const lq_tile<float> &a, const lq_tile<float> &b)
{
    const int down = c.m / 4;
    const int across = c.n / 4;
    for (int item = (int)threadIdx.x; item < down * across; item += (int)blockDim.x) {
        const int i = item / across;
        const int j = item % across;
        const lq_tile<float> left = {a.at + i * a.row, a.row, a.column};
        const lq_tile<float> right = {b.at + j * b.column, b.row, b.column};
        float sums[4][4] = {};
        for (int k = 0; k < c.k; k++) {
            lq_add_products(sums, left, right, down, across, k);
        }
        for (int r = 0; r < 4; r++) {
            for (int s = 0; s < 4; s++) {
                float *out = c.at + (i + r * down) * c.stride + j + s * across;
                *out = sums[r][s] + (c.accumulate ? *out : 0.0F);
            }
        }
    }
}
