/* Fragments on a CPU: what kernels/cuda/fragment.h offers, without tensor cores. Each lane computes
 * half a row of the sums and keeps what of the operands that needs; it reads memory when and where
 * a GPU would, so that races and stray addresses show. */
#pragma once

#include "kernels/cuda/element.h"

enum { LQ_LANE_SUMS = 8 };

/* A lane's row of the left operand, its eight columns of the right one, its sums. */
template <typename T, bool TRANSPOSED> struct lq_shim_left {
    float at[16];
};
template <typename T, bool TRANSPOSED> struct lq_shim_right {
    float at[16][LQ_LANE_SUMS];
};
struct lq_sums {
    float at[LQ_LANE_SUMS];
};

template <typename T> using lq_left = lq_shim_left<T, false>;
template <typename T> using lq_left_transposed = lq_shim_left<T, true>;
template <typename T> using lq_right = lq_shim_right<T, false>;
template <typename T> using lq_right_transposed = lq_shim_right<T, true>;

static inline int lq_shim_row(void)
{
    return (int)(lq_shim_lane() / 2);
}

static inline int lq_shim_column(void)
{
    return (int)(lq_shim_lane() % 2) * LQ_LANE_SUMS;
}

template <typename T, bool TRANSPOSED>
static inline void lq_fragment_load(lq_shim_left<T, TRANSPOSED> &left, const T *from, int stride)
{
    const int row = lq_shim_row();
    for (int k = 0; k < 16; k++) {
        left.at[k] = lq_load(TRANSPOSED ? from + k * stride + row : from + row * stride + k);
    }
}

template <typename T, bool TRANSPOSED>
static inline void lq_fragment_load(lq_shim_right<T, TRANSPOSED> &right, const T *from, int stride)
{
    const int column = lq_shim_column();
    for (int k = 0; k < 16; k++) {
        for (int j = 0; j < LQ_LANE_SUMS; j++) {
            const int at = column + j;
            right.at[k][j] = lq_load(TRANSPOSED ? from + at * stride + k : from + k * stride + at);
        }
    }
}

static inline void lq_fragment_clear(lq_sums &sums)
{
    for (int j = 0; j < LQ_LANE_SUMS; j++) {
        sums.at[j] = 0.0F;
    }
}

static inline void lq_fragment_load(lq_sums &sums, const float *from, int stride)
{
    for (int j = 0; j < LQ_LANE_SUMS; j++) {
        sums.at[j] = from[lq_shim_row() * stride + lq_shim_column() + j];
    }
}

static inline void lq_fragment_store(float *to, const lq_sums &sums, int stride)
{
    for (int j = 0; j < LQ_LANE_SUMS; j++) {
        to[lq_shim_row() * stride + lq_shim_column() + j] = sums.at[j];
    }
}

/* sums += left right, in the order of the columns of `left`. */
template <typename L, typename R>
static inline void lq_fragment_multiply(lq_sums &sums, const L &left, const R &right)
{
    for (int k = 0; k < 16; k++) {
        for (int j = 0; j < LQ_LANE_SUMS; j++) {
            sums.at[j] += left.at[k] * right.at[k][j];
        }
    }
}
