/* The CUDA runtime as this backend uses it, and the contract it fulfils: NVIDIA's headers under
 * nvcc, the shim's under any other compiler. */
#pragma once

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
#else
#include "kernels/cuda/shim/runtime.h"
#include "kernels/cuda/shim/thread.h"
#include "kernels/cuda/shim/types.h"
#endif

extern "C" {
#include "kernels/backend.h"
}
