/* Stands in for cuBLASLt where kernels run on a CPU: the same products by a triple loop, summed in
 * fp32 in the order of k, of factors as they are, as tf32 or as e4m3. */
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

/* Factors as they are multiplied. */
template <typename T> struct whole {
    typedef T element;
    static float read(const T *from)
    {
        return lq_load(from);
    }
};

/* To the nearest with 10 bits of mantissa, ties away from 0: cvt.rna.tf32 (PTX ISA 9.0). */
struct tf32 {
    typedef float element;
    static float read(const float *from)
    {
        const uint32_t bits = lq_shim_bits(*from);
        const bool is_number = (bits & 0x7f800000U) != 0x7f800000U;
        return is_number ? lq_shim_float((bits + 0x1000U) & 0xffffe000U) : *from;
    }
};

struct e4m3 {
    typedef __nv_fp8_storage_t element;
    static float read(const __nv_fp8_storage_t *from)
    {
        return lq_shim_of_fp8(*from);
    }
};

template <typename T, typename F>
static enum lq_code multiply(const struct lq_product *p, float scale)
{
    const typename F::element *a = (const typename F::element *)p->a;
    const typename F::element *b = (const typename F::element *)p->b;
    T *c = (T *)p->c;
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            float sum = 0.0F;
            for (int64_t k = 0; k < p->k; k++) {
                sum += F::read(p->a_transposed ? a + k * p->m + i : a + i * p->k + k) *
                       F::read(p->b_transposed ? b + j * p->k + k : b + k * p->n + j);
            }
            const float before = p->accumulate ? lq_load(c + i * p->n + j) : 0.0F;
            lq_store(c + i * p->n + j, scale * sum + before);
        }
    }
    return LQ_OK;
}

/* What the library takes of e4m3 on every GPU that has it. */
static enum lq_code check_fp8(const struct lq_product *p, struct lq_error *err)
{
    const bool fits = p->m % 16 == 0 && p->n % 16 == 0 && p->k % 16 == 0 && !p->a_transposed &&
                      p->b_transposed && lq_aligned(p->a) && lq_aligned(p->b) && lq_aligned(p->c) &&
                      p->a_scale != nullptr && p->b_scale != nullptr;
    return fits ? LQ_OK : lq_fail(err, LQ_EDEVICE, NULL, "the stand-in has no such fp8 product");
}

template <typename T>
static enum lq_code multiply_any(const struct lq_product *p, struct lq_error *err)
{
    if (p->arithmetic != LQ_ARITHMETIC_FP8) {
        return multiply<T, whole<T>>(p, (float)p->scale);
    }
    LQ_TRY(check_fp8(p, err));
    return multiply<T, e4m3>(p, (float)p->scale * (*p->a_scale * *p->b_scale));
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
        return product->arithmetic == LQ_ARITHMETIC_TF32
                   ? multiply<float, tf32>(product, (float)product->scale)
                   : multiply_any<float>(product, err);
    case LQ_ELEMENT_BF16:
        return multiply_any<__nv_bfloat16>(product, err);
    case LQ_ELEMENT_F16:
    case LQ_ELEMENT_COUNT:
        break;
    }
    return multiply_any<__half>(product, err);
}
