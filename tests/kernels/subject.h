/* The backend that a test program is about, its devices, and tensors in their memory. The same
 * cases are built once with each backend: subject_cpu.c and subject_cuda.c say which. */
#pragma once

#include "tests/kernels/reference.h"

/* Every case runs on that many kinds of device, counted from 1: the CPU's threads; fp32, bf16 and
 * fp16 of CUDA, threads and blocks of the last two in orders of their own. */
enum { VARIANTS = 3 };

/* Said by subject_cpu.c and subject_cuda.c. */
const struct lq_backend *subject(void);
enum lq_element subject_element(int variant);
enum lq_code subject_open(int variant, struct lq_device **device, struct lq_error *err);
/* From now on kernels run in that order, where the device has one to choose. */
void subject_order(uint64_t seed);

/* Given back by release_all. */
struct lq_device *open_device(int variant);
void close_devices(void);
/* The element of an open device, and its bytes. */
enum lq_element element_of(const struct lq_device *device);
size_t element_bytes(const struct lq_device *device);
/* `tolerance`, or what the element's precision allows: relative norms of 1e-2 in bf16 and 2e-3 in
 * fp16, some units of their last places (2^-8 and 2^-11). */
double within(const struct lq_device *device, double tolerance);

/* The numbers as the device's element holds them. */
float *rounded(const struct lq_device *device, const float *x, size_t n);
/* random_floats, rounded so. */
float *random_inputs(const struct lq_device *device, size_t n, uint64_t seed, double scale);
/* The same numbers in the device's memory, as its elements, and back. */
void *upload(struct lq_device *device, const float *x, size_t n);
float *download(struct lq_device *device, const void *x, size_t n);
/* n elements of NaN in the device's memory. */
void *poisoned(struct lq_device *device, size_t n);
/* Bytes as they are: indices, statistics, codes. */
void *upload_bytes(struct lq_device *device, const void *bytes, size_t n);
void *download_bytes(struct lq_device *device, const void *bytes, size_t n);

/* Fails the test unless the device counted exactly this since the last call. */
void assert_tally(struct lq_device *device, struct lq_tally want);
