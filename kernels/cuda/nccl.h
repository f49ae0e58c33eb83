/* NVIDIA's library of collectives, loaded where it is there: the calls that group.cu makes. */
#pragma once

#include "kernels/cuda/cuda.h"

struct lq_nccl_comm; /* a communicator: one device's place in a group */

/* Statuses are ncclResult_t: 0 is success. Data types and operations are given by number. */
struct lq_nccl {
    void *library;
    char version[32]; /* "NCCL 2.28.9" */
    int (*init_all)(struct lq_nccl_comm **comms, int count, const int *devices);
    int (*destroy)(struct lq_nccl_comm *comm);
    int (*abort)(struct lq_nccl_comm *comm);
    int (*async_error)(struct lq_nccl_comm *comm, int *status);
    int (*group_start)(void);
    int (*group_end)(void);
    int (*all_reduce)(const void *from, void *to, size_t count, int type, int operation,
                      struct lq_nccl_comm *comm, cudaStream_t stream);
    int (*all_gather)(const void *from, void *to, size_t each, int type, struct lq_nccl_comm *comm,
                      cudaStream_t stream);
    int (*reduce_scatter)(const void *from, void *to, size_t each, int type, int operation,
                          struct lq_nccl_comm *comm, cudaStream_t stream);
    int (*send)(const void *from, size_t count, int type, int peer, struct lq_nccl_comm *comm,
                cudaStream_t stream);
    int (*receive)(void *to, size_t count, int type, int peer, struct lq_nccl_comm *comm,
                   cudaStream_t stream);
    const char *(*error_string)(int status);
};

/* ncclFloat32 of ncclDataType_t, ncclSum of ncclRedOp_t. */
enum { LQ_NCCL_FLOAT32 = 7, LQ_NCCL_SUM = 0 };

/* file: NULL for libnccl.so.2 where the system finds it. Close takes what open has failed to fill,
 * and zeroes too. Errors: LQ_EDEVICE, why it is of no use in one sentence. */
LQ_MUST_USE enum lq_code lq_nccl_open(const char *file, struct lq_nccl *nccl, struct lq_error *err);
void lq_nccl_close(struct lq_nccl *nccl);

/* LQ_OK, or LQ_EDEVICE: the call of that name failed. */
LQ_MUST_USE enum lq_code lq_nccl_check(const struct lq_nccl *nccl, int status, const char *call,
                                       struct lq_error *err);
