/* The CUDA backend on the shim as what a test program is about: its elements. */
#include "kernels/cuda/shim/control.h"
#include "tests/kernels/subject.h"

const struct lq_backend *lq_cuda_backend(void);

const struct lq_backend *subject(void)
{
    return lq_cuda_backend();
}

enum lq_element subject_element(int variant)
{
    static const enum lq_element ELEMENTS[VARIANTS] = {LQ_ELEMENT_F32, LQ_ELEMENT_BF16,
                                                       LQ_ELEMENT_F16};
    return ELEMENTS[(variant - 1) % VARIANTS];
}

enum lq_code subject_open(int variant, struct lq_device **device, struct lq_error *err)
{
    subject_order((uint64_t)(variant - 1));
    return lq_cuda_backend()->open(0, subject_element(variant), device, err);
}

void subject_order(uint64_t seed)
{
    lq_shim_order(seed);
}
