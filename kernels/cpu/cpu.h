/* Inside of the CPU backend: the open device, its threads, and one declaration per operation. */
#pragma once

#include "kernels/backend.h"

#include <stdint.h>

struct lq_pool;

/* This machine as a device. Everything computes with fp32. */
struct lq_device {
    struct lq_pool *pool;
    struct lq_tally tally;
    size_t allocated_bytes;
    size_t peak_bytes;
    void *scratch;
    size_t scratch_bytes;
    double throttle_count; /* as last read; negative where it cannot be */
};

/* Work on items begin <= i < end by the thread of that number (0 <= thread < threads). */
typedef void lq_range_fn(void *context, int64_t begin, int64_t end, int thread);

/* `threads` >= 1 threads, the calling one among them. Errors: LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_pool_open(int threads, struct lq_pool **out, struct lq_error *err);
void lq_pool_close(struct lq_pool *pool);
int lq_pool_threads(const struct lq_pool *pool);

/* Splits 0 <= i < n into one contiguous range per thread, of at least `grain` items each (fewer
 * threads where n is small), runs them and returns when all are done. Which range a thread takes
 * depends on n, grain and the number of threads alone, so sums are the same every time. */
void lq_parallel(struct lq_device *device, int64_t n, int64_t grain, lq_range_fn *run,
                 void *context);

/* The device with that many threads (0: one per core used). Errors: LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_cpu_open_threads(int threads, struct lq_device **out,
                                             struct lq_error *err);
void lq_cpu_close(struct lq_device *device);

/* Memory for one operation, contents undefined, 64-byte aligned: valid until the next call. It is
 * no part of what was allocated. Errors: LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_cpu_scratch(struct lq_device *device, size_t bytes, void **memory,
                                        struct lq_error *err);

/* Counts one operation with its FLOPs and bytes (`calls` is set here); a thread of the caller,
 * never one of the pool. The tally: what was counted since the last reading. */
void lq_cpu_count(struct lq_device *device, struct lq_tally work);
struct lq_tally lq_cpu_tally(struct lq_device *device);

/* c = scale op(a) op(b), added to c with `accumulate`, for matrices inside larger ones. Runs on the
 * calling thread alone, which may be one of the pool, so that attention can use it block by block.
 * op(a) is [m, k], op(b) [k, n], c [m, n]; strides are elements from one stored row to the next. */
struct lq_cpu_product {
    bool a_transposed;
    bool b_transposed;
    bool accumulate;
    int64_t m;
    int64_t n;
    int64_t k;
    float scale;
    const float *a;
    int64_t a_stride;
    const float *b;
    int64_t b_stride;
    float *c;
    int64_t c_stride;
};
void lq_cpu_product(const struct lq_cpu_product *product);

/* What this machine says of itself, and how it is now. No host name is among it. */
void lq_cpu_describe(struct lq_device_info *info);
void lq_cpu_state(struct lq_device *device, struct lq_device_state *state);
/* Cores that this process may use at once, by affinity and quota; bytes it may still allocate,
 * negative where nothing says so. */
int lq_cpu_cores(void);
double lq_cpu_available_bytes(void);

/* Limits of this process's control groups, version 1 or 2, the tightest of all levels; infinite
 * where there is none. */
struct lq_cgroup {
    double memory_bytes;
    double available_bytes; /* of memory_bytes, counting cached files that can be dropped */
    double cores;
};
void lq_cpu_cgroup(struct lq_cgroup *limits);

/* Lets OpenBLAS compute on the calling thread alone: threads are the pool's. */
void lq_cpu_blas_open(void);
const char *lq_cpu_blas_version(void);
/* Its version and the processor that its kernels are for: "OpenBLAS 0.3.21 SkylakeX". */
void lq_cpu_blas_describe(char *text, size_t size);

enum lq_code lq_cpu_allocate(struct lq_device *, size_t bytes, void **memory, struct lq_error *);
void lq_cpu_release(struct lq_device *, void *memory);
void lq_cpu_usage(struct lq_device *, bool restart, size_t *now, size_t *peak);
enum lq_code lq_cpu_copy(struct lq_device *, void *to, const void *from, size_t bytes,
                         struct lq_error *);
enum lq_code lq_cpu_zero(struct lq_device *, void *memory, size_t bytes, struct lq_error *);
enum lq_code lq_cpu_randomize(struct lq_device *, void *memory, int64_t n, uint64_t seed,
                              double scale, struct lq_error *);

enum lq_code lq_cpu_linear(struct lq_device *, const struct lq_op_linear *, struct lq_error *);
enum lq_code lq_cpu_add(struct lq_device *, const struct lq_op_add *, struct lq_error *);
enum lq_code lq_cpu_blocks(struct lq_device *, const struct lq_op_blocks *, struct lq_error *);
enum lq_code lq_cpu_sort(struct lq_device *, const struct lq_op_permutation *, struct lq_error *);
enum lq_code lq_cpu_dequantize(struct lq_device *, const struct lq_op_dequantization *,
                               struct lq_error *);
enum lq_code lq_cpu_adamw(struct lq_device *, const struct lq_op_adamw *, struct lq_error *);
enum lq_code lq_cpu_norm(struct lq_device *, const struct lq_op_norm *, enum lq_pass,
                         struct lq_error *);
enum lq_code lq_cpu_rotation(struct lq_device *, const struct lq_op_rotation *, enum lq_pass,
                             struct lq_error *);
enum lq_code lq_cpu_attention(struct lq_device *, const struct lq_op_attention *, enum lq_pass,
                              struct lq_error *);
enum lq_code lq_cpu_router(struct lq_device *, const struct lq_op_router *, enum lq_pass,
                           struct lq_error *);
enum lq_code lq_cpu_gather(struct lq_device *, const struct lq_op_permutation *, enum lq_pass,
                           struct lq_error *);
enum lq_code lq_cpu_combine(struct lq_device *, const struct lq_op_permutation *, enum lq_pass,
                            struct lq_error *);
enum lq_code lq_cpu_activation(struct lq_device *, const struct lq_op_activation *, enum lq_pass,
                               struct lq_error *);
enum lq_code lq_cpu_convolution(struct lq_device *, const struct lq_op_convolution *, enum lq_pass,
                                struct lq_error *);
enum lq_code lq_cpu_scan(struct lq_device *, const struct lq_op_scan *, enum lq_pass,
                         struct lq_error *);
enum lq_code lq_cpu_loss(struct lq_device *, const struct lq_op_loss *, enum lq_pass,
                         struct lq_error *);
enum lq_code lq_cpu_lookup(struct lq_device *, const struct lq_op_lookup *, enum lq_pass,
                           struct lq_error *);
