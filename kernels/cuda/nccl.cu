/* NCCL as a library that may be missing. Its interface is declared by hand, from nccl.h of 2.28.9
 * ("NCCL API", docs.nvidia.com/deeplearning/nccl); what stands here has been the same since 2.7. */
#include "kernels/cuda/nccl.h"

#include <dlfcn.h>
#include <stdio.h>

enum { SUCCESS = 0 }; /* ncclSuccess */

void lq_nccl_close(struct lq_nccl *nccl)
{
    if (nccl->library != NULL) {
        dlclose(nccl->library);
    }
    nccl->library = NULL;
}

enum lq_code lq_nccl_check(const struct lq_nccl *nccl, int status, const char *call,
                           struct lq_error *err)
{
    return status == SUCCESS
               ? LQ_OK
               : lq_fail(err, LQ_EDEVICE, NULL, "%s: %s", call, nccl->error_string(status));
}

/* One of the library's functions, into a pointer of its own kind. */
template <typename F>
static enum lq_code find(const struct lq_nccl *nccl, const char *name, F **function,
                         struct lq_error *err)
{
    *function = (F *)dlsym(nccl->library, name);
    return *function != NULL ? LQ_OK
                             : lq_fail(err, LQ_EDEVICE, NULL,
                                       "the NCCL library has no %s: 2.7 or newer is needed", name);
}

static enum lq_code find_all(struct lq_nccl *nccl, struct lq_error *err)
{
    LQ_TRY(find(nccl, "ncclGetErrorString", &nccl->error_string, err));
    LQ_TRY(find(nccl, "ncclCommInitAll", &nccl->init_all, err));
    LQ_TRY(find(nccl, "ncclCommDestroy", &nccl->destroy, err));
    LQ_TRY(find(nccl, "ncclCommAbort", &nccl->abort, err));
    LQ_TRY(find(nccl, "ncclCommGetAsyncError", &nccl->async_error, err));
    LQ_TRY(find(nccl, "ncclGroupStart", &nccl->group_start, err));
    LQ_TRY(find(nccl, "ncclGroupEnd", &nccl->group_end, err));
    LQ_TRY(find(nccl, "ncclAllReduce", &nccl->all_reduce, err));
    LQ_TRY(find(nccl, "ncclAllGather", &nccl->all_gather, err));
    LQ_TRY(find(nccl, "ncclReduceScatter", &nccl->reduce_scatter, err));
    LQ_TRY(find(nccl, "ncclSend", &nccl->send, err));
    return find(nccl, "ncclRecv", &nccl->receive, err);
}

/* NCCL_VERSION: 1000 major + 100 minor + patch up to 2.8, 10000 major + 100 minor + patch after. */
static enum lq_code read_version(struct lq_nccl *nccl, struct lq_error *err)
{
    int (*get)(int *) = NULL;
    int version = 0;
    LQ_TRY(find(nccl, "ncclGetVersion", &get, err));
    LQ_TRY(lq_nccl_check(nccl, get(&version), "ncclGetVersion", err));
    const int major = version < 10000 ? 1000 : 10000;
    snprintf(nccl->version, sizeof nccl->version, "NCCL %d.%d.%d", version / major,
             version % major / 100, version % 100);
    return LQ_OK;
}

/* NODELETE: threads of the library may still be ending when the last communicator is gone. */
enum lq_code lq_nccl_open(const char *file, struct lq_nccl *nccl, struct lq_error *err)
{
    *nccl = {};
    nccl->library =
        dlopen(file != NULL ? file : "libnccl.so.2", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (nccl->library == NULL) {
        const char *why = dlerror();
        return lq_fail(err, LQ_EDEVICE, NULL, "NCCL is not installed: %.300s",
                       why != NULL ? why : "it cannot be loaded");
    }
    LQ_TRY(find_all(nccl, err));
    return read_version(nccl, err);
}
