/* Dense matmuls by a library: cuBLASLt on GPUs (linear_blas.cu, its only user), a plain triple loop
 * on the shim. */
#pragma once

#include "kernels/cuda/device.h"

/* c [m, n] = scale op(a) op(b), added to c with `accumulate`; all of the device's element,
 * row-major and dense, summed in fp32. op(a) is [m, k], stored as [k, m] with a_transposed; op(b)
 * is [k, n], stored as [n, k] with b_transposed. */
struct lq_product {
    bool a_transposed;
    bool b_transposed;
    bool accumulate;
    int64_t m;
    int64_t n;
    int64_t k; /* all >= 1 */
    double scale;
    const void *a;
    const void *b;
    void *c;
};

/* The library opens at the first product. Errors: LQ_EDEVICE, LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_blas_multiply(struct lq_device *device,
                                          const struct lq_product *product, struct lq_error *err);
/* NULL is allowed. */
void lq_blas_close(struct lq_blas *blas);
