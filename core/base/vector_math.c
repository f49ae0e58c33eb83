/* e^x and ln x by range reduction and Taylor polynomials, two numbers at a time. Integer
 * work keeps to 64-bit adds, shifts and masks, which SSE2 has. */
#include "core/base/vector_math.h"

#include "core/base/lanes.h"

#include <stdint.h>

static const double LOG2_E = 1.4426950408889634;
/* ln 2 in two parts; the first ends in 21 zero bits, so that k * LN2_HIGH is exact */
static const double LN2_HIGH = 6.93147180369123816490e-01;
static const double LN2_LOW = 1.90821492927058770002e-10;
/* 1.5 * 2^52: adding it rounds to an integer, which then sits in the low bits */
static const double ROUNDER = 6755399441055744.0;
static const uint64_t ONE_BITS = 0x3ff0000000000000ULL;

/* e^r - 1 for |r| <= ln(2)/2: Taylor to r^13; the next term is 4e-18. */
static inline lq_reals expm1_small(lq_reals r)
{
    lq_reals p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    return r + r * r * p;
}

static inline lq_reals exp_of(lq_reals x)
{
    const lq_reals shifted = x * LOG2_E + ROUNDER;
    const lq_reals k = shifted - ROUNDER;
    const lq_reals r = (x - k * LN2_HIGH) - k * LN2_LOW;
    const lq_reals power = (lq_reals)(((lq_words)shifted << 52) + ONE_BITS);
    return power + power * expm1_small(r);
}

void lq_block_exp(const double x[LQ_BLOCK], double out[LQ_BLOCK])
{
    for (int i = 0; i < LQ_BLOCK; i += LQ_LANES) {
        lq_store(out + i, exp_of(lq_load(x + i)));
    }
}

/* 2 atanh(s) - 2 s for |s| <= 0.1716: Taylor to s^23; the next term is 6e-21 relative. */
static inline lq_reals atanh_rest(lq_reals s)
{
    const lq_reals z = s * s;
    lq_reals p = z * (2.0 / 23.0) + 2.0 / 21.0;
    p = p * z + 2.0 / 19.0;
    p = p * z + 2.0 / 17.0;
    p = p * z + 2.0 / 15.0;
    p = p * z + 2.0 / 13.0;
    p = p * z + 2.0 / 11.0;
    p = p * z + 2.0 / 9.0;
    p = p * z + 2.0 / 7.0;
    p = p * z + 2.0 / 5.0;
    p = p * z + 2.0 / 3.0;
    return s * z * p;
}

/* sqrt(1/2): mantissas are taken from [sqrt(1/2), sqrt(2)) */
static const uint64_t ROOT_HALF_BITS = 0x3fe6a09e667f3bcdULL;
static const uint64_t EXPONENT_MASK = 0xfff0000000000000ULL;
/* the bits of 2^52: with a small integer beneath them, the number 2^52 + integer */
static const uint64_t TWO_52_BITS = 0x4330000000000000ULL;
static const double TWO_52_AND_BIAS = 4503599627370496.0 + 1023.0;

static inline lq_reals log_of(lq_reals x)
{
    const lq_words bits = (lq_words)x;
    const lq_words raised = bits + (ONE_BITS - ROOT_HALF_BITS);
    const lq_reals k = (lq_reals)((raised >> 52) | TWO_52_BITS) - TWO_52_AND_BIAS;
    const lq_reals f = (lq_reals)(bits - ((raised & EXPONENT_MASK) - ONE_BITS)) - 1.0;
    /* ln(1 + f) = 2 atanh(s), and 2 s = f - s f */
    const lq_reals s = f / (2.0 + f);
    const lq_reals rest = atanh_rest(s) - s * f + k * LN2_LOW;
    return k * LN2_HIGH + (f + rest);
}

void lq_block_log(const double x[LQ_BLOCK], double out[LQ_BLOCK])
{
    for (int i = 0; i < LQ_BLOCK; i += LQ_LANES) {
        lq_store(out + i, log_of(lq_load(x + i)));
    }
}
