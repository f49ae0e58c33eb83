/* Inside of the CUDA backend: the open device and one declaration per operation. */
#pragma once

#include "kernels/cuda/cuda.h"

struct lq_blas; /* of linear_blas.h */
struct lq_nvml; /* of nvml.h */

/* Device memory that a caller holds. */
struct lq_cuda_block {
    void *memory;
    size_t bytes;
};

struct lq_device {
    int index; /* the runtime's number */
    enum lq_element element;
    int units;           /* multiprocessors */
    int major;           /* compute capability */
    int minor;           /* of it */
    size_t shared_bytes; /* that a block may ask for */
    cudaStream_t stream;
    struct lq_nvml *nvml; /* NULL where the library is not there */
    struct lq_blas *blas; /* NULL until the first matmul */
    struct lq_tally tally;
    double *weight_bytes; /* on the device, counted by linear_count.cu; NULL until then */
    bool weights_counted; /* since the tally was read */
    size_t allocated_bytes;
    size_t peak_bytes;
    struct lq_cuda_block *blocks; /* [block_room], the first block_count in use */
    size_t block_count;
    size_t block_room;
    void *scratch;
    size_t scratch_bytes;
};

/* LQ_OK, LQ_ENOFIT where the device's memory does not suffice, or LQ_EDEVICE: `what` failed. */
LQ_MUST_USE enum lq_code lq_cuda_check(cudaError_t status, const char *what, struct lq_error *err);

/* Device memory for one operation, contents undefined, 256-byte aligned: valid until the next call.
 * It is no part of what was allocated. Errors: LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_cuda_scratch(struct lq_device *device, size_t bytes, void **memory,
                                         struct lq_error *err);

/* Counts one operation (its `calls` is set here). */
void lq_cuda_count(struct lq_device *device, struct lq_tally work);
/* One operation that does nothing but move activations: `accesses` of `elements` elements. */
void lq_cuda_count_traffic(struct lq_device *device, double accesses, double elements);
/* Bytes of the device's element. */
size_t lq_cuda_size(const struct lq_device *device);

enum lq_code lq_cuda_list(struct lq_device_info *, size_t max, size_t *count, struct lq_error *);
enum lq_code lq_cuda_open(size_t index, enum lq_element, struct lq_device **, struct lq_error *);
/* A device of the list, counted from 0. Errors: LQ_EDEVICE, also where there is none. */
enum lq_code lq_cuda_find(size_t index, struct lq_device_info *, struct lq_error *);
/* Bit mask of lq_arithmetic by compute capability. */
unsigned lq_cuda_arithmetics(int major, int minor);
const char *lq_cuda_version(void);
void lq_cuda_close(struct lq_device *);
void lq_cuda_state(struct lq_device *, struct lq_device_state *);
enum lq_code lq_cuda_allocate(struct lq_device *, size_t bytes, void **memory, struct lq_error *);
void lq_cuda_release(struct lq_device *, void *memory);
void lq_cuda_usage(struct lq_device *, bool restart, size_t *now, size_t *peak);
enum lq_code lq_cuda_to_device(struct lq_device *, void *to, const void *from, size_t bytes,
                               struct lq_error *);
enum lq_code lq_cuda_to_host(struct lq_device *, void *to, const void *from, size_t bytes,
                             struct lq_error *);
enum lq_code lq_cuda_copy(struct lq_device *, void *to, const void *from, size_t bytes,
                          struct lq_error *);
enum lq_code lq_cuda_zero(struct lq_device *, void *memory, size_t bytes, struct lq_error *);
enum lq_code lq_cuda_randomize(struct lq_device *, void *memory, int64_t n, uint64_t seed,
                               double scale, struct lq_error *);
enum lq_code lq_cuda_synchronize(struct lq_device *, struct lq_error *);
struct lq_tally lq_cuda_tally(struct lq_device *);

enum lq_code lq_cuda_linear(struct lq_device *, const struct lq_op_linear *, struct lq_error *);
enum lq_code lq_cuda_add(struct lq_device *, const struct lq_op_add *, struct lq_error *);
enum lq_code lq_cuda_blocks(struct lq_device *, const struct lq_op_blocks *, struct lq_error *);
enum lq_code lq_cuda_sort(struct lq_device *, const struct lq_op_permutation *, struct lq_error *);
enum lq_code lq_cuda_dequantize(struct lq_device *, const struct lq_op_dequantization *,
                                struct lq_error *);
enum lq_code lq_cuda_adamw(struct lq_device *, const struct lq_op_adamw *, struct lq_error *);
enum lq_code lq_cuda_norm(struct lq_device *, const struct lq_op_norm *, enum lq_pass,
                          struct lq_error *);
enum lq_code lq_cuda_rotation(struct lq_device *, const struct lq_op_rotation *, enum lq_pass,
                              struct lq_error *);
enum lq_code lq_cuda_attention(struct lq_device *, const struct lq_op_attention *, enum lq_pass,
                               struct lq_error *);
enum lq_code lq_cuda_router(struct lq_device *, const struct lq_op_router *, enum lq_pass,
                            struct lq_error *);
enum lq_code lq_cuda_gather(struct lq_device *, const struct lq_op_permutation *, enum lq_pass,
                            struct lq_error *);
enum lq_code lq_cuda_combine(struct lq_device *, const struct lq_op_permutation *, enum lq_pass,
                             struct lq_error *);
enum lq_code lq_cuda_activation(struct lq_device *, const struct lq_op_activation *, enum lq_pass,
                                struct lq_error *);
enum lq_code lq_cuda_convolution(struct lq_device *, const struct lq_op_convolution *, enum lq_pass,
                                 struct lq_error *);
enum lq_code lq_cuda_scan(struct lq_device *, const struct lq_op_scan *, enum lq_pass,
                          struct lq_error *);
enum lq_code lq_cuda_loss(struct lq_device *, const struct lq_op_loss *, enum lq_pass,
                          struct lq_error *);
enum lq_code lq_cuda_lookup(struct lq_device *, const struct lq_op_lookup *, enum lq_pass,
                            struct lq_error *);

/* What devices do together, in group.cu. */
const struct lq_group_functions *lq_cuda_group(void);

/* The backend's table: the one symbol that the module exports. */
extern "C" const struct lq_backend *lq_cuda_backend(void);
