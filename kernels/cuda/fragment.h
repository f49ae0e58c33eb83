/* Tensor cores as a small layer: 16 x 16 tiles of a product left right, held by a warp. Here by
 * nvcuda::wmma; kernels/cuda/shim/fragment.h says the same for a CPU. All 32 lanes call together;
 * addresses are multiples of 32 bytes, strides (elements from row to row as stored) of 16 bytes. */
#pragma once

#include "kernels/cuda/cuda.h"

enum { LQ_FRAGMENT = 16 };

#ifndef __CUDACC__
#include "kernels/cuda/shim/fragment.h"
#else
#include <mma.h>

/* bf16 needs compute capability 8.0: where there is less nobody opens a device with it, and its
 * kernels, which must compile, take their operands for fp16. */
template <typename T> struct lq_operand {
    using type = T;
};
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <> struct lq_operand<__nv_bfloat16> {
    using type = __half;
};
#endif

/* A tile of an operand as stored, or of the transposed of what is stored; fp32 sums. */
template <typename T>
using lq_left = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16,
                                       typename lq_operand<T>::type, nvcuda::wmma::row_major>;
template <typename T>
using lq_left_transposed =
    nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, typename lq_operand<T>::type,
                           nvcuda::wmma::col_major>;
template <typename T>
using lq_right = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16,
                                        typename lq_operand<T>::type, nvcuda::wmma::row_major>;
template <typename T>
using lq_right_transposed =
    nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, typename lq_operand<T>::type,
                           nvcuda::wmma::col_major>;
using lq_sums = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;

template <typename F, typename T>
static __device__ __forceinline__ void lq_fragment_load(F &fragment, const T *from, int stride)
{
    nvcuda::wmma::load_matrix_sync(fragment, (const typename lq_operand<T>::type *)from,
                                   (unsigned)stride);
}

static __device__ __forceinline__ void lq_fragment_clear(lq_sums &sums)
{
    nvcuda::wmma::fill_fragment(sums, 0.0F);
}

static __device__ __forceinline__ void lq_fragment_load(lq_sums &sums, const float *from,
                                                        int stride)
{
    nvcuda::wmma::load_matrix_sync(sums, from, (unsigned)stride, nvcuda::wmma::mem_row_major);
}

static __device__ __forceinline__ void lq_fragment_store(float *to, const lq_sums &sums, int stride)
{
    nvcuda::wmma::store_matrix_sync(to, sums, (unsigned)stride, nvcuda::wmma::mem_row_major);
}

/* sums += left right. */
template <typename L, typename R>
static __device__ __forceinline__ void lq_fragment_multiply(lq_sums &sums, const L &left,
                                                            const R &right)
{
    nvcuda::wmma::mma_sync(sums, left, right, sums);
}
#endif
