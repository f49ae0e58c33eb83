/* Elements in memory and in registers: everything computes with fp32 between a load and a store,
 * and moves 16 bytes at a time where alignment allows. */
#pragma once

#include "kernels/cuda/cuda.h"

enum { LQ_PACK_BYTES = 16 };

static __device__ inline float lq_float(float x)
{
    return x;
}

static __device__ inline float lq_float(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

static __device__ inline float lq_float(__half x)
{
    return __half2float(x);
}

static __device__ inline void lq_store(float *to, float x)
{
    *to = x;
}

static __device__ inline void lq_store(__nv_bfloat16 *to, float x)
{
    *to = __float2bfloat16(x);
}

static __device__ inline void lq_store(__half *to, float x)
{
    *to = __float2half(x);
}

template <typename T> static __device__ inline float lq_load(const T *from)
{
    return lq_float(*from);
}

/* Elements that are moved at once: 4 of fp32, 8 of the others. Address registers by constants. */
template <typename T> struct alignas(LQ_PACK_BYTES) lq_pack {
    static constexpr int COUNT = LQ_PACK_BYTES / (int)sizeof(T);
    T at[COUNT];
};

/* What a device would stop at; the shim's processor may not. */
static __device__ inline void lq_check_pack(const void *memory)
{
#ifdef __CUDACC__
    (void)memory;
#else
    assert((uintptr_t)memory % LQ_PACK_BYTES == 0);
#endif
}

/* `index` counts packs. */
template <typename T> static __device__ inline lq_pack<T> lq_load_pack(const T *from, int64_t index)
{
    lq_check_pack(from);
    return ((const lq_pack<T> *)from)[index];
}

template <typename T>
static __device__ inline void lq_store_pack(T *to, int64_t index, const lq_pack<T> &pack)
{
    lq_check_pack(to);
    ((lq_pack<T> *)to)[index] = pack;
}

/* Whether packs may be read and written there; NULL counts as aligned. */
static inline bool lq_aligned(const void *memory)
{
    return (uintptr_t)memory % LQ_PACK_BYTES == 0;
}
