/* Between the shim's two halves: a checked launch, to be run. */
#pragma once

#include "kernels/cuda/shim/runtime.h"

void lq_shim_run_blocks(dim3 grid, dim3 block, size_t shared_bytes, lq_shim_body *body,
                        const void *context);
