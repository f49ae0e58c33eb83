/* What a kernel's thread sees on the shim: where it is, barriers, shuffles, votes, integer atomics.
 * Atomics on floats are left out: their order would show. */
#pragma once

#include "kernels/cuda/shim/types.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of the thread that runs now. */
extern dim3 threadIdx;
extern dim3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
static const int warpSize = 32;

void __syncthreads(void);

/* Meets the lanes of `mask`, which must all come: the last one runs `meet` on what each has
 * brought, by lane (NULL outside the mask), and then all go on. */
typedef void lq_shim_meeting(void *const brought[32]);
void lq_shim_meet(unsigned mask, void *mine, lq_shim_meeting *meet);

/* The block's dynamic shared memory. */
void *lq_shim_dynamic_shared(void);

static inline unsigned lq_shim_lane(void)
{
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32U;
}

static inline void __syncwarp(unsigned mask = 0xffffffffU)
{
    lq_shim_meet(mask, nullptr, nullptr);
}

/* A value and the lane whose value is wanted for it. */
struct lq_shim_exchange {
    uint64_t value;
    unsigned source;
    uint64_t result;
};

void lq_shim_exchange_all(void *const brought[32]);
void lq_shim_vote_all(void *const brought[32]);

/* A source outside of the lanes' group is the lane itself. */
template <typename V>
static inline V lq_shim_shuffle(unsigned mask, V value, long source, int width)
{
    static_assert(sizeof(V) <= sizeof(uint64_t), "shuffles move up to 8 bytes");
    const long lane = (long)lq_shim_lane();
    const long first = lane / width * width;
    const bool inside = source >= first && source < first + width;
    lq_shim_exchange exchange = {0, (unsigned)(inside ? source : lane), 0};
    memcpy(&exchange.value, &value, sizeof value);
    lq_shim_meet(mask, &exchange, lq_shim_exchange_all);
    memcpy(&value, &exchange.result, sizeof value);
    return value;
}

template <typename V> static inline V __shfl_sync(unsigned mask, V v, int source, int width = 32)
{
    const long lane = (long)lq_shim_lane();
    return lq_shim_shuffle(mask, v, lane / width * width + (source & (width - 1)), width);
}

template <typename V> static inline V __shfl_xor_sync(unsigned mask, V v, int lanes, int width = 32)
{
    return lq_shim_shuffle(mask, v, (long)lq_shim_lane() ^ lanes, width);
}

template <typename V>
static inline V __shfl_up_sync(unsigned mask, V v, unsigned lanes, int width = 32)
{
    return lq_shim_shuffle(mask, v, (long)lq_shim_lane() - (long)lanes, width);
}

template <typename V>
static inline V __shfl_down_sync(unsigned mask, V v, unsigned lanes, int width = 32)
{
    return lq_shim_shuffle(mask, v, (long)lq_shim_lane() + (long)lanes, width);
}

static inline unsigned __ballot_sync(unsigned mask, int vote)
{
    lq_shim_exchange exchange = {vote != 0 ? 1U : 0U, 0, 0};
    lq_shim_meet(mask, &exchange, lq_shim_vote_all);
    return (unsigned)exchange.result;
}

static inline int __any_sync(unsigned mask, int vote)
{
    return __ballot_sync(mask, vote) != 0;
}

static inline int __all_sync(unsigned mask, int vote)
{
    return __ballot_sync(mask, vote) == mask;
}

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

static inline int __clz(int x)
{
    return x == 0 ? 32 : __builtin_clz((unsigned)x);
}

template <typename V> static inline V lq_shim_add(V *at, V x)
{
    const V before = *at;
    *at = before + x;
    return before;
}

static inline int atomicAdd(int *at, int x)
{
    return lq_shim_add(at, x);
}

static inline unsigned atomicAdd(unsigned *at, unsigned x)
{
    return lq_shim_add(at, x);
}

static inline unsigned long long atomicAdd(unsigned long long *at, unsigned long long x)
{
    return lq_shim_add(at, x);
}

static inline float rsqrtf(float x)
{
    return 1.0F / __builtin_sqrtf(x);
}

template <typename V> static inline V __ldg(const V *from)
{
    return *from;
}

/* sin and cos of pi x. */
static inline void sincospif(float x, float *sine, float *cosine)
{
    const double angle = 3.14159265358979323846 * (double)x;
    *sine = (float)__builtin_sin(angle);
    *cosine = (float)__builtin_cos(angle);
}
