/* What tests ask of pretend_nccl.c, found by dlsym: the calls of the shim that it makes, a failure
 * that comes late, and how its communicators ended. */
#pragma once

#include <stdbool.h>

/* Of kernels/cuda/shim/stand_in.h, which this library cannot link. */
struct pretend_shim {
    bool (*may)(void);
    void (*leave_error)(void);
    void (*hold)(void);
    void (*let_go)(void);
};

typedef void pretend_nccl_use_fn(struct pretend_shim shim);
/* The ncclResult_t that every communicator has from now on. */
typedef void pretend_nccl_break_fn(int status);
/* Communicators ended by ncclCommAbort. */
typedef int pretend_nccl_aborted_fn(void);
/* The device that a member of the last group was opened on. */
typedef int pretend_nccl_device_fn(int rank);
