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

static double norm_of(const float *x, size_t n)
{
    return sqrt(dot(widen(x, n), x, n));
}

/* Sums are rounded by their own size, which may be far above that of the gradient in them. */
static double tolerance_of(const struct lq_device *device, const float *sums, const float *got,
                           size_t n)
{
    const double exact = within(device, BACKWARD_TOLERANCE);
    const double size = norm_of(got, n);
    return element_of(device) == LQ_ELEMENT_F32 || size <= 0.0
               ? exact
               : exact * fmax(1.0, norm_of(sums, n) / size);
}

void check_tensor(struct lq_device *device, const char *what, const struct tensor *tensor,
                  loss_fn *loss, const void *context)
{
    const float *sums = download(device, tensor->gradient, tensor->n);
    float *got = copy_floats(sums, tensor->n);
    for (size_t i = 0; i < tensor->n; i++) {
        got[i] -= tensor->added ? BEFORE : 0.0F;
        ck_assert_msg(isfinite(got[i]), "%s[%zu]", what, i);
    }
    assert_gradient_within(what, got, loss, context, tensor->wide, tensor->n,
                           tolerance_of(device, sums, got, tensor->n));
}
