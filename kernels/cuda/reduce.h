/* Sums and maxima over the lanes of a warp and the threads of a block, always in the same order. */
#pragma once

#include "kernels/cuda/launch.h"

enum { LQ_WARPS_MAX = 32 }; /* of a block */

static __device__ inline float lq_warp_sum(float x)
{
    for (int distance = LQ_WARP / 2; distance > 0; distance /= 2) {
        x += __shfl_xor_sync(0xffffffffU, x, distance);
    }
    return x;
}

static __device__ inline float lq_warp_max(float x)
{
    for (int distance = LQ_WARP / 2; distance > 0; distance /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffU, x, distance));
    }
    return x;
}

/* The block's sum, for all of its threads, by way of `room` [LQ_WARPS_MAX] in shared memory; every
 * thread must take part. Blocks are whole warps of one dimension. */
static __device__ inline float lq_block_sum(float x, float *room)
{
    const int warp = (int)threadIdx.x / LQ_WARP;
    const int lane = (int)threadIdx.x % LQ_WARP;
    x = lq_warp_sum(x);
    __syncthreads(); /* `room` may still be read from the last time */
    if (lane == 0) {
        room[warp] = x;
    }
    __syncthreads();
    return lq_warp_sum(lane < (int)blockDim.x / LQ_WARP ? room[lane] : 0.0F);
}

static __device__ inline float lq_block_max(float x, float *room)
{
    const int warp = (int)threadIdx.x / LQ_WARP;
    const int lane = (int)threadIdx.x % LQ_WARP;
    x = lq_warp_max(x);
    __syncthreads();
    if (lane == 0) {
        room[warp] = x;
    }
    __syncthreads();
    return lq_warp_max(lane < (int)blockDim.x / LQ_WARP ? room[lane] : -INFINITY);
}
