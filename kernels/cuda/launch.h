/* How kernels are started: one macro that checks, and grids that are no larger than they need be.
 */
#pragma once

#include "kernels/cuda/device.h"

/* Threads of a block where nothing else decides, and of a warp. */
enum { LQ_THREADS = 256, LQ_WARP = 32 };

/* Shared memory of a block that a kernel may have without asking, on every device. */
enum { LQ_SHARED_UNASKED = 48 << 10 };

/* Runs kernel(...) on the device's stream and returns an lq_code. `kernel` may be a template's
 * instance with one argument; what follows `shared` (bytes of dynamic shared memory) is its own. */
#ifdef __CUDACC__
#define LQ_LAUNCH(device, err, kernel, grid, block, shared, ...)                                   \
    (lq_cuda_reserve((device), (const void *)(kernel), (shared), (err)) != LQ_OK                   \
         ? LQ_EDEVICE                                                                              \
         : (kernel<<<(grid), (block), (shared), (device)->stream>>>(__VA_ARGS__),                  \
            lq_cuda_launched(#kernel, (err))))
#else
#define LQ_LAUNCH(device, err, kernel, grid, block, shared, ...)                                   \
    (lq_cuda_reserve((device), (const void *)(kernel), (shared), (err)) != LQ_OK                   \
         ? LQ_EDEVICE                                                                              \
         : (lq_shim_launch((grid), (block), (shared), (device)->stream,                            \
                           [=] { kernel(__VA_ARGS__); }),                                          \
            lq_cuda_launched(#kernel, (err))))
#endif

/* The dynamic shared memory of this block as `type *name`, 128-byte aligned. */
#ifdef __CUDACC__
#define LQ_DYNAMIC_SHARED(type, name)                                                              \
    extern __shared__ __align__(128) unsigned char lq_dynamic_shared[];                            \
    type *name = (type *)lq_dynamic_shared
#else
#define LQ_DYNAMIC_SHARED(type, name) type *name = (type *)lq_shim_dynamic_shared()
#endif

/* function<T>(...) for the element that the device computes with. */
#define LQ_BY_ELEMENT(device, function, ...)                                                       \
    ((device)->element == LQ_ELEMENT_F32    ? function<float>(__VA_ARGS__)                         \
     : (device)->element == LQ_ELEMENT_BF16 ? function<__nv_bfloat16>(__VA_ARGS__)                 \
                                            : function<__half>(__VA_ARGS__))

/* Makes the device the calling thread's, and lets a kernel have more shared memory than
 * LQ_SHARED_UNASKED. Errors: LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_cuda_reserve(const struct lq_device *device, const void *kernel,
                                         size_t shared_bytes, struct lq_error *err);
/* What the launch just made says. Errors: LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_cuda_launched(const char *kernel, struct lq_error *err);

/* Blocks for n items, `per_block` in each, at least 1: as many as keep the device busy a few times
 * over, for kernels whose threads go on by the grid's size. */
unsigned lq_cuda_grid(const struct lq_device *device, int64_t n, int64_t per_block);

/* This thread's number in a grid of one dimension, and how many there are. */
static __device__ inline int64_t lq_thread(void)
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static __device__ inline int64_t lq_thread_count(void)
{
    return (int64_t)gridDim.x * blockDim.x;
}
