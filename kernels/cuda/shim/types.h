/* The toolkit's 8-bit and 16-bit numbers and index types, for compilers that know none: conversions
 * round to nearest, ties to even, as the hardware does. */
#pragma once

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __constant__ static
#define __grid_constant__
/* Blocks run one after the other, so that one copy does. */
#define __shared__ static
#define __align__(n) alignas(n)

struct dim3 {
    unsigned x;
    unsigned y;
    unsigned z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

struct __nv_bfloat16 {
    uint16_t bits;
};

struct __half {
    uint16_t bits;
};

static inline uint32_t lq_shim_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float lq_shim_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float __bfloat162float(__nv_bfloat16 x)
{
    return lq_shim_float((uint32_t)x.bits << 16);
}

static inline __nv_bfloat16 __float2bfloat16(float x)
{
    const uint32_t bits = lq_shim_bits(x);
    if ((bits & 0x7fffffffU) > 0x7f800000U) {
        return {0x7fff}; /* the one NaN that the hardware makes */
    }
    return {(uint16_t)((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

/* By way of fp32's own rounding and exponents; subnormal numbers are multiples of 2^-24. */
static inline float __half2float(__half x)
{
    const uint32_t sign = (uint32_t)(x.bits & 0x8000U) << 16;
    const uint32_t size = x.bits & 0x7fffU;
    if (size >= 0x7c00U) {
        return lq_shim_float(sign | 0x7f800000U | (size & 0x3ffU) << 13);
    }
    if (size < 0x400U) {
        const float small = (float)size * 0x1p-24F;
        return sign != 0 ? -small : small;
    }
    return lq_shim_float(sign | ((size << 13) + (112U << 23)));
}

static inline __half __float2half(float x)
{
    const uint32_t bits = lq_shim_bits(x);
    const uint16_t sign = (uint16_t)((bits >> 16) & 0x8000U);
    const uint32_t size = bits & 0x7fffffffU;
    if (size > 0x7f800000U) {
        return {0x7fff};
    }
    if (size >= 0x477ff000U) { /* 65520: halfway to 2^16 */
        return {(uint16_t)(sign | 0x7c00U)};
    }
    if (size < 0x38800000U) { /* 2^-14: adding 0.5 leaves multiples of 2^-24 in the low bits */
        const uint32_t low = lq_shim_bits(lq_shim_float(size) + 0.5F) - 0x3f000000U;
        return {(uint16_t)(sign | low)};
    }
    const uint32_t rounded = size + 0xfffU + ((size >> 13) & 1U);
    return {(uint16_t)(sign | ((rounded >> 13) - (112U << 10)))};
}

/* Four bits of exponent, three of mantissa, no infinity (arXiv 2209.05433): the toolkit's name for
 * their bits and for their conversion, as this backend calls it. */
typedef uint8_t __nv_fp8_storage_t;
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };

/* Subnormal numbers are multiples of 2^-9. */
static inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float x, __nv_saturation_t saturation,
                                                       __nv_fp8_interpretation_t interpretation)
{
    assert(saturation == __NV_SATFINITE && interpretation == __NV_E4M3);
    const uint32_t bits = lq_shim_bits(x);
    const uint32_t sign = (bits >> 24) & 0x80U;
    const uint32_t size = bits & 0x7fffffffU;
    if (size > 0x7f800000U) {
        return 0x7f;
    }
    if (size >= 0x43e00000U) { /* 448, the largest */
        return (uint8_t)(sign | 0x7eU);
    }
    if (size < 0x3c800000U) { /* 2^-6: adding 2^14 leaves multiples of 2^-9 in the low bits */
        const uint32_t low = lq_shim_bits(lq_shim_float(size) + 0x1p14F) - 0x46800000U;
        return (uint8_t)(sign | low);
    }
    const uint32_t rounded = size + 0x7ffffU + ((size >> 20) & 1U);
    return (uint8_t)(sign | ((rounded >> 20) - (120U << 3)));
}

static inline float lq_shim_of_fp8(__nv_fp8_storage_t x)
{
    const uint32_t sign = (uint32_t)(x & 0x80U) << 24;
    const uint32_t size = x & 0x7fU;
    if (size == 0x7fU) {
        return lq_shim_float(sign | 0x7fc00000U);
    }
    if (size < 8U) {
        const float small = (float)size * 0x1p-9F;
        return sign != 0 ? -small : small;
    }
    return lq_shim_float(sign | ((size << 20) + (120U << 23)));
}
