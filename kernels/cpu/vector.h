/* Arithmetic in fp32 that compilers vectorise: functions of single numbers without calls or
 * branches, to be used in loops, and sums over rows in a fixed order. */
#pragma once

#include <stdint.h>
#include <string.h>

/* Before a loop whose iterations use element i of every array alone: it may be vectorised even
 * where an output is one of the inputs. */
#ifdef __clang__
#define LQ_ELEMENTWISE _Pragma("clang loop vectorize(assume_safety)")
#else
#define LQ_ELEMENTWISE _Pragma("GCC ivdep")
#endif

static inline float lq_float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t lq_bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* e^x for |x| <= 87, where a normal number holds it; a relative error of at most 1e-7. By
 * e^x = 2^k e^r, |r| <= ln(2)/2, and e^r = 1 + r + r^2 q(r), q meeting e^r at the five Chebyshev
 * nodes (within 1.1e-8). */
static inline float lq_exp_bounded(float x)
{
    const float rounder = 12582912.0F; /* 1.5 * 2^23: the sum's low bits are the integer */
    const float shifted = x * 1.44269504F + rounder;
    const float k = shifted - rounder;
    /* ln 2 in two parts; the first ends in 15 zero bits, so that k * 0.693359375 is exact */
    const float r = (x - k * 0.693359375F) + k * 2.12194440e-4F;
    float p = r * 1.39262135e-3F + 8.36320297e-3F;
    p = p * r + 4.16665544e-2F;
    p = p * r + 1.66665768e-1F;
    p = p * r + 0.5F;
    p = (p * r) * r + r;
    const uint32_t power = (lq_bits_of_float(shifted) << 23) + 0x3f800000U;
    return lq_float_of_bits(power) * (p + 1.0F);
}

/* A number's size as bits, at most those of 87. Compared as integers: gcc makes branches of
 * conditional floats, follows them with their constants and multiplies subnormal numbers that
 * nobody asked for. */
static inline uint32_t lq_bounded_size(uint32_t bits)
{
    const int32_t bound = 0x42ae0000; /* 87 */
    const int32_t size = (int32_t)(bits & 0x7fffffffU);
    return (uint32_t)(size < bound ? size : bound);
}

/* e^x of x brought into [-87, 87]: far below it is 1.6e-38 instead of 0. NaN stays NaN. */
static inline float lq_exp(float x)
{
    const uint32_t bits = lq_bits_of_float(x);
    const float result =
        lq_exp_bounded(lq_float_of_bits(lq_bounded_size(bits) | (bits & 0x80000000U)));
    const int32_t infinite = 0x7f800000;
    const uint32_t nan = (int32_t)(bits & 0x7fffffffU) > infinite ? 0xffffffffU : 0U;
    return lq_float_of_bits(lq_bits_of_float(result) | nan);
}

/* 1 / (1 + e^-x). NaN is taken for 87 or -87: callers multiply with x, or with what has met it. */
static inline float lq_sigmoid(float x)
{
    const uint32_t bits = lq_bits_of_float(x);
    const uint32_t negated = lq_bounded_size(bits) | (~bits & 0x80000000U);
    return 1.0F / (1.0F + lq_exp_bounded(lq_float_of_bits(negated)));
}

/* sum of a[i] b[i], the same for every machine: lanes in fp32 over 256 numbers, these in double. */
static inline double lq_dot(const float *a, const float *b, int64_t n)
{
    enum { LANES = 16, BLOCK = 256 };
    double sum = 0.0;
    int64_t i = 0;
    while (i + LANES <= n) {
        float lane[LANES] = {0};
        const int64_t end = n - i < BLOCK ? n - (n - i) % LANES : i + BLOCK;
        for (; i < end; i += LANES) {
            for (int l = 0; l < LANES; l++) {
                lane[l] += a[i + l] * b[i + l];
            }
        }
        for (int l = 0; l < LANES; l++) {
            sum += (double)lane[l];
        }
    }
    for (; i < n; i++) {
        sum += (double)(a[i] * b[i]);
    }
    return sum;
}
