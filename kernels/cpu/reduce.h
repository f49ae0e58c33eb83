/* Sums and maxima of vectors in fp32, some numbers side by side so that compilers vectorise them;
 * always in the same order. */
#pragma once

#include <math.h>
#include <stdint.h>

enum { LQ_REDUCE_LANES = 8 };

/* -infinity of none. */
static inline float lq_maximum(const float *x, int64_t n)
{
    float most[LQ_REDUCE_LANES];
    for (int l = 0; l < LQ_REDUCE_LANES; l++) {
        most[l] = -HUGE_VALF;
    }
    int64_t i = 0;
    for (; i + LQ_REDUCE_LANES <= n; i += LQ_REDUCE_LANES) {
        for (int l = 0; l < LQ_REDUCE_LANES; l++) {
            most[l] = most[l] > x[i + l] ? most[l] : x[i + l];
        }
    }
    for (; i < n; i++) {
        most[0] = most[0] > x[i] ? most[0] : x[i];
    }
    for (int l = 1; l < LQ_REDUCE_LANES; l++) {
        most[0] = most[0] > most[l] ? most[0] : most[l];
    }
    return most[0];
}

static inline float lq_sum(const float *x, int64_t n)
{
    float sums[LQ_REDUCE_LANES] = {0.0F};
    int64_t i = 0;
    for (; i + LQ_REDUCE_LANES <= n; i += LQ_REDUCE_LANES) {
        for (int l = 0; l < LQ_REDUCE_LANES; l++) {
            sums[l] += x[i + l];
        }
    }
    for (; i < n; i++) {
        sums[0] += x[i];
    }
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
           ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}
