/* Tensors of tests, there and back; no reference of any operation. */
#include "tests/kernels/tensor.h"

#include <math.h>

/* What gradients are added to: exact in every element, and small enough to cost them no digits. */
static const float BEFORE = 0x1p-7F;

struct tensor make_tensor(struct lq_device *device, int64_t n, uint64_t seed, double spread,
                          bool added)
{
    const size_t size = (size_t)n;
    const float *x = random_inputs(device, size, seed, spread);
    float *before = poisoned_floats(size);
    for (size_t i = 0; added && i < size; i++) {
        before[i] = BEFORE;
    }
    return (struct tensor){.n = size,
                           .x = x,
                           .wide = widen(x, size),
                           .at = upload(device, x, size),
                           .gradient = upload(device, before, size),
                           .added = added};
}

void check_tensor(struct lq_device *device, const char *what, const struct tensor *tensor,
                  loss_fn *loss, const void *context)
{
    float *got = download(device, tensor->gradient, tensor->n);
    for (size_t i = 0; i < tensor->n; i++) {
        got[i] -= tensor->added ? BEFORE : 0.0F;
        ck_assert_msg(isfinite(got[i]), "%s[%zu]", what, i);
    }
    assert_gradient_within(what, got, loss, context, tensor->wide, tensor->n,
                           within(device, BACKWARD_TOLERANCE));
}
