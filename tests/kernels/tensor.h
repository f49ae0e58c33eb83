/* Inputs and weights whose gradients a test compares with differences of a loss. */
#pragma once

#include "tests/kernels/subject.h"

/* In the host's memory, in double precision, and on the device with its gradient. */
struct tensor {
    size_t n;
    const float *x;
    double *wide;
    void *at;
    void *gradient;
    bool added;
};

/* Gradients that are `added` to begin as a number, the others as NaN. */
struct tensor make_tensor(struct lq_device *device, int64_t n, uint64_t seed, double spread,
                          bool added);
/* Fails the test unless the gradient is that of the loss, as a function of `wide`. */
void check_tensor(struct lq_device *device, const char *what, const struct tensor *tensor,
                  loss_fn *loss, const void *context);
