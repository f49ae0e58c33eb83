/* Stands in for cuBLASLt where kernels run on a CPU: the same products by a triple loop, summed in
 * fp32 in the order of k. */
#include "kernels/cuda/linear_blas.h"

#include "kernels/cuda/element.h"

#include <stdlib.h>

struct lq_blas {
    int open;
};

void lq_blas_close(struct lq_blas *blas)
{
    if (blas != NULL) {
        lq_shim_let_go();
        free(blas);
    }
}

static enum lq_code open_once(struct lq_device *device, struct lq_error *err)
{
    if (device->blas != NULL) {
        return LQ_OK;
    }
    if (!lq_shim_may()) {
        return lq_fail(err, LQ_EDEVICE, NULL, "the stand-in for cuBLASLt was told to fail");
    }
    device->blas = (struct lq_blas *)calloc(1, sizeof *device->blas);
    if (device->blas == NULL) {
        return lq_fail(err, LQ_ENOFIT, NULL, "no memory for the stand-in for cuBLASLt");
    }
    lq_shim_hold();
    return LQ_OK;
}

template <typename T> static enum lq_code multiply(const struct lq_product *p)
{
    const T *a = (const T *)p->a;
    const T *b = (const T *)p->b;
    T *c = (T *)p->c;
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            float sum = 0.0F;
            for (int64_t k = 0; k < p->k; k++) {
                sum += lq_load(p->a_transposed ? a + k * p->m + i : a + i * p->k + k) *
                       lq_load(p->b_transposed ? b + j * p->k + k : b + k * p->n + j);
            }
            const float before = p->accumulate ? lq_load(c + i * p->n + j) : 0.0F;
            lq_store(c + i * p->n + j, (float)p->scale * sum + before);
        }
    }
    return LQ_OK;
}

enum lq_code lq_blas_multiply(struct lq_device *device, const struct lq_product *product,
                              struct lq_error *err)
{
    LQ_TRY(open_once(device, err));
    if (!lq_shim_may()) {
        return lq_fail(err, LQ_EDEVICE, NULL, "the stand-in for cuBLASLt was told to fail");
    }
    switch (device->element) {
    case LQ_ELEMENT_F32:
        return multiply<float>(product);
    case LQ_ELEMENT_BF16:
        return multiply<__nv_bfloat16>(product);
    case LQ_ELEMENT_F16:
    case LQ_ELEMENT_COUNT:
        break;
    }
    return multiply<__half>(product);
}
