/* Two numbers at a time, in the vector types of gcc and clang: what SSE2 has, and what every
 * machine computes alike. */
#pragma once

#include <stdint.h>
#include <string.h>

enum { LQ_LANES = 2 };
typedef double lq_reals __attribute__((vector_size(LQ_LANES * sizeof(double))));
typedef uint64_t lq_words __attribute__((vector_size(LQ_LANES * sizeof(uint64_t))));

static inline lq_reals lq_load(const double *from)
{
    lq_reals x;
    memcpy(&x, from, sizeof x);
    return x;
}

static inline void lq_store(double *to, lq_reals x)
{
    memcpy(to, &x, sizeof x);
}

/* x between -most and most, without a branch. */
static inline lq_reals lq_clip(lq_reals x, double most)
{
    const lq_reals high = {most, most};
    const lq_words above = (lq_words)(x > high);
    const lq_words below = (lq_words)(x < -high);
    return (lq_reals)(((lq_words)high & above) | ((lq_words)-high & below) |
                      ((lq_words)x & ~(above | below)));
}
