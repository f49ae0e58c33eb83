/* Dense matmuls by a library: cuBLASLt on GPUs (linear_blas.cu, its only user), a plain triple loop
 * on the shim. */
#pragma once

#include "kernels/cuda/device.h"

/* c [m, n] = scale op(a) op(b), added to c with `accumulate`; all of the device's element,
 * row-major and dense, summed in fp32. op(a) is [m, k], stored as [k, m] with a_transposed; op(b)
 * is [k, n], stored as [n, k] with b_transposed. With FP8 a and b are e4m3, each to be multiplied
 * by the number on the device that its scale points to. */
struct lq_product {
    enum lq_arithmetic arithmetic;
    bool a_transposed;
    bool b_transposed;
    bool accumulate;
    int64_t m;
    int64_t n;
    int64_t k; /* all >= 1 */
    double scale;
    const void *a;
    const void *b;
    const float *a_scale; /* NULL but for FP8 */
    const float *b_scale;
    void *c;
};

/* The library opens at the first product. Errors: LQ_EDEVICE, LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_blas_multiply(struct lq_device *device,
                                          const struct lq_product *product, struct lq_error *err);
/* NULL is allowed. */
void lq_blas_close(struct lq_blas *blas);
