/* What tests of the backends share: random inputs by seed, poisoned outputs, errors against
 * references in double precision, gradients by differences, open devices. All of it is given back
 * by release_all, the teardown of every case. What is of a device is in subject.h. */
#pragma once

#include "kernels/backend.h"

#include <check.h>

/* Relative L2 norms within which a forward and a backward pass in fp32 must lie. */
#define FORWARD_TOLERANCE 1e-5
#define BACKWARD_TOLERANCE 1e-3

/* n numbers of a normal distribution with standard deviation `scale`, the same for each seed. */
float *random_floats(size_t n, uint64_t seed, double scale);
/* n numbers that no operation may leave behind: NaN. */
float *poisoned_floats(size_t n);
int32_t *poisoned_indices(size_t n);
float *zero_floats(size_t n);
/* The same numbers in memory of their own, and in double precision. */
float *copy_floats(const float *x, size_t n);
double *widen(const float *x, size_t n);
double *zero_doubles(size_t n);

/* |got - want| / |want| in L2 norms (|got - want| where want is 0); infinite if a number is NaN. */
double relative_error(const float *got, const double *want, size_t n);
/* Fails the test, naming `what`, unless relative_error is at most `tolerance`. */
void assert_near(const char *what, const float *got, const double *want, size_t n,
                 double tolerance);
/* NaN is equal to itself here, and 0 not to -0. */
bool same_bytes(const void *a, const void *b, size_t bytes);
void assert_same(const char *what, const float *got, const float *want, size_t n);

/* The loss as a function of numbers that `context` leads to. */
typedef double loss_fn(const void *context);
/* d loss / d x[i] by central differences; x is as before afterwards. */
double *gradient_of(loss_fn *loss, const void *context, double *x, size_t n);
/* Fails the test unless `got` is that gradient within BACKWARD_TOLERANCE; of many numbers the
 * first and the last are tried, and slopes in directions that change all. */
void assert_gradient(const char *what, const float *got, loss_fn *loss, const void *context,
                     double *x, size_t n);
void assert_gradient_within(const char *what, const float *got, loss_fn *loss, const void *context,
                            double *x, size_t n, double tolerance);
/* sum of a[i] b[i]: with b as d_y, the loss whose gradients backward passes compute. */
double dot(const double *a, const float *b, size_t n);

/* Calls that must succeed. */
#define OK(call)                                                                                   \
    do {                                                                                           \
        struct lq_error err = {0};                                                                 \
        ck_assert_msg((call) == LQ_OK, "%s", err.detail);                                          \
    } while (0)

/* n + 1 members of that size, zero. */
void *lend(size_t n, size_t size);
void release_all(void);
