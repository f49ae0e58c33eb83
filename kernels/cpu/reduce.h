/* Sums and maxima of vectors in fp32: four numbers at a time in the vector types of gcc and clang,
 * four times over; always in the same order. */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LQ_REDUCE_LANES = 4, LQ_REDUCE_VECTORS = 4 };
enum { LQ_REDUCE_STEP = LQ_REDUCE_LANES * LQ_REDUCE_VECTORS };
typedef float lq_floats __attribute__((vector_size(LQ_REDUCE_LANES * sizeof(float))));
typedef int32_t lq_masks __attribute__((vector_size(LQ_REDUCE_LANES * sizeof(int32_t))));

static inline lq_floats lq_floats_at(const float *from)
{
    lq_floats x;
    memcpy(&x, from, sizeof x);
    return x;
}

static inline lq_floats lq_larger(lq_floats a, lq_floats b)
{
    const lq_masks above = (lq_masks)(a > b);
    return (lq_floats)(((lq_masks)a & above) | ((lq_masks)b & ~above));
}

/* -infinity of none. */
static inline float lq_maximum(const float *x, int64_t n)
{
    const float least = -HUGE_VALF;
    lq_floats most[LQ_REDUCE_VECTORS];
    for (int v = 0; v < LQ_REDUCE_VECTORS; v++) {
        most[v] = (lq_floats){least, least, least, least};
    }
    int64_t i = 0;
    for (; i + LQ_REDUCE_STEP <= n; i += LQ_REDUCE_STEP) {
        for (int v = 0; v < LQ_REDUCE_VECTORS; v++) {
            most[v] = lq_larger(most[v], lq_floats_at(x + i + v * LQ_REDUCE_LANES));
        }
    }
    const lq_floats all = lq_larger(lq_larger(most[0], most[1]), lq_larger(most[2], most[3]));
    float result = least;
    for (int l = 0; l < LQ_REDUCE_LANES; l++) {
        result = all[l] > result ? all[l] : result;
    }
    for (; i < n; i++) {
        result = x[i] > result ? x[i] : result;
    }
    return result;
}

static inline float lq_sum(const float *x, int64_t n)
{
    lq_floats sums[LQ_REDUCE_VECTORS] = {{0.0F}};
    int64_t i = 0;
    for (; i + LQ_REDUCE_STEP <= n; i += LQ_REDUCE_STEP) {
        for (int v = 0; v < LQ_REDUCE_VECTORS; v++) {
            sums[v] += lq_floats_at(x + i + v * LQ_REDUCE_LANES);
        }
    }
    float rest = 0.0F;
    for (; i < n; i++) {
        rest += x[i];
    }
    const lq_floats all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    return ((all[0] + all[1]) + (all[2] + all[3])) + rest;
}
