/* A library of collectives in NCCL's place for the group of the CUDA backend on the shim: it sums
 * and moves buffers in this machine's memory when a group of calls ends, and refuses what NCCL
 * would: calls outside a group, members that are missing or twice, sends that nobody receives. */
#include "tests/kernels/pretend_nccl.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Of ncclResult_t, ncclDataType_t and ncclRedOp_t (nccl.h, 2.28.9). */
enum { SUCCESS = 0, UNHANDLED_CUDA_ERROR = 1, INVALID_USAGE = 5, FLOAT32 = 7, SUM = 0 };
enum { MEMBERS_MAX = 16, CALLS_MAX = 2 * MEMBERS_MAX * MEMBERS_MAX };

struct comm {
    int rank;
    int count;
};

enum kind { ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER, SEND, RECEIVE };

struct call {
    enum kind kind;
    const struct comm *comm;
    const float *from;
    float *to;
    size_t n;
    int peer;
    bool done;
};

static struct pretend_shim shim;
static struct call calls[CALLS_MAX];
static int call_count;
static bool in_group;
static int broken;
static int aborted;
static int opened_on[MEMBERS_MAX];

pretend_nccl_use_fn pretend_nccl_use;
pretend_nccl_break_fn pretend_nccl_break;
pretend_nccl_aborted_fn pretend_nccl_aborted;
pretend_nccl_device_fn pretend_nccl_device;
int ncclGetVersion(int *version);
const char *ncclGetErrorString(int status);
int ncclCommInitAll(struct comm **comms, int count, const int *devices);
int ncclCommDestroy(struct comm *comm);
int ncclCommAbort(struct comm *comm);
int ncclCommGetAsyncError(struct comm *comm, int *status);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclAllReduce(const float *from, float *to, size_t n, int type, int operation,
                  const struct comm *comm, const void *stream);
int ncclAllGather(const float *from, float *to, size_t n, int type, const struct comm *comm,
                  const void *stream);
int ncclReduceScatter(const float *from, float *to, size_t n, int type, int operation,
                      const struct comm *comm, const void *stream);
int ncclSend(const float *from, size_t n, int type, int peer, const struct comm *comm,
             const void *stream);
int ncclRecv(float *to, size_t n, int type, int peer, const struct comm *comm, const void *stream);

void pretend_nccl_use(struct pretend_shim use)
{
    shim = use;
    broken = SUCCESS;
    aborted = 0;
}

void pretend_nccl_break(int status)
{
    broken = status;
}

int pretend_nccl_aborted(void)
{
    return aborted;
}

int pretend_nccl_device(int rank)
{
    return opened_on[rank];
}

static int answer(void)
{
    if (shim.may()) {
        return SUCCESS;
    }
    shim.leave_error();
    return UNHANDLED_CUDA_ERROR;
}

int ncclGetVersion(int *version)
{
    *version = 22809;
    return answer();
}

const char *ncclGetErrorString(int status)
{
    return status == INVALID_USAGE ? "invalid usage" : "unhandled cuda error";
}

/* What a failed call leaves in `comms` is of no use. */
int ncclCommInitAll(struct comm **comms, int count, const int *devices)
{
    memset(comms, 0xff, (size_t)count * sizeof(struct comm *));
    if (answer() != SUCCESS) {
        return UNHANDLED_CUDA_ERROR;
    }
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < i; j++) {
            if (devices[i] == devices[j]) {
                abort(); /* the backend is to see it first: the real one may hang */
            }
        }
        comms[i] = malloc(sizeof **comms);
        *comms[i] = (struct comm){.rank = i, .count = count};
        opened_on[i] = devices[i];
        shim.hold();
    }
    return SUCCESS;
}

/* Gives the communicator back even where the call is said to have failed. */
int ncclCommDestroy(struct comm *comm)
{
    free(comm);
    shim.let_go();
    return answer();
}

int ncclCommAbort(struct comm *comm)
{
    aborted++;
    return ncclCommDestroy(comm);
}

int ncclCommGetAsyncError(struct comm *comm, int *status)
{
    (void)comm;
    *status = broken;
    return answer();
}

int ncclGroupStart(void)
{
    if (in_group) {
        abort(); /* the last one was never ended */
    }
    if (answer() != SUCCESS) {
        return UNHANDLED_CUDA_ERROR;
    }
    in_group = true;
    call_count = 0;
    return SUCCESS;
}

static int note(struct call call, int type, const void *stream)
{
    if (answer() != SUCCESS) {
        return UNHANDLED_CUDA_ERROR;
    }
    if (!in_group || type != FLOAT32 || stream == NULL || call_count == CALLS_MAX) {
        return INVALID_USAGE;
    }
    calls[call_count++] = call;
    return SUCCESS;
}

int ncclAllReduce(const float *from, float *to, size_t n, int type, int operation,
                  const struct comm *comm, const void *stream)
{
    const struct call call = {.kind = ALL_REDUCE, .comm = comm, .from = from, .to = to, .n = n};
    return operation == SUM ? note(call, type, stream) : INVALID_USAGE;
}

int ncclAllGather(const float *from, float *to, size_t n, int type, const struct comm *comm,
                  const void *stream)
{
    const struct call call = {.kind = ALL_GATHER, .comm = comm, .from = from, .to = to, .n = n};
    return note(call, type, stream);
}

int ncclReduceScatter(const float *from, float *to, size_t n, int type, int operation,
                      const struct comm *comm, const void *stream)
{
    const struct call call = {.kind = REDUCE_SCATTER, .comm = comm, .from = from, .to = to, .n = n};
    return operation == SUM ? note(call, type, stream) : INVALID_USAGE;
}

int ncclSend(const float *from, size_t n, int type, int peer, const struct comm *comm,
             const void *stream)
{
    const struct call call = {.kind = SEND, .comm = comm, .from = from, .n = n, .peer = peer};
    return note(call, type, stream);
}

int ncclRecv(float *to, size_t n, int type, int peer, const struct comm *comm, const void *stream)
{
    const struct call call = {.kind = RECEIVE, .comm = comm, .to = to, .n = n, .peer = peer};
    return note(call, type, stream);
}

/* Whether the same call has come from every member once, in their order. */
static bool is_whole(void)
{
    for (int i = 0; i < call_count; i++) {
        if (calls[i].kind != calls[0].kind || calls[i].n != calls[0].n ||
            calls[i].comm->rank != i) {
            return false;
        }
    }
    return call_count == calls[0].comm->count;
}

static void reduce(const float *sum)
{
    const size_t n = calls[0].n;
    for (int i = 0; i < call_count; i++) {
        const size_t first = calls[0].kind == REDUCE_SCATTER ? (size_t)i * n : 0;
        memcpy(calls[i].to, sum + first, n * sizeof *sum);
    }
}

static void gather(void)
{
    const size_t n = calls[0].n;
    for (int i = 0; i < call_count; i++) {
        for (int j = 0; j < call_count; j++) {
            memcpy(calls[i].to + (size_t)j * n, calls[j].from, n * sizeof(float));
        }
    }
}

/* Sums are taken whole before the first is written, as outputs may be inputs. */
static int collect(void)
{
    if (!is_whole()) {
        return INVALID_USAGE;
    }
    if (calls[0].kind == ALL_GATHER) {
        gather();
        return SUCCESS;
    }
    const size_t parts = calls[0].kind == REDUCE_SCATTER ? (size_t)call_count : 1;
    const size_t n = parts * calls[0].n;
    float *sum = calloc(n, sizeof *sum);
    for (int i = 0; i < call_count; i++) {
        for (size_t j = 0; j < n; j++) {
            sum[j] += calls[i].from[j];
        }
    }
    reduce(sum);
    free(sum);
    return SUCCESS;
}

static bool deliver(struct call *send)
{
    for (int i = 0; i < call_count; i++) {
        struct call *c = &calls[i];
        if (c->kind == RECEIVE && !c->done && c->comm->rank == send->peer &&
            c->peer == send->comm->rank && c->n == send->n) {
            memcpy(c->to, send->from, c->n * sizeof(float));
            c->done = true;
            send->done = true;
            return true;
        }
    }
    return false;
}

static int move(void)
{
    for (int i = 0; i < call_count; i++) {
        if (calls[i].kind == SEND && !deliver(&calls[i])) {
            return INVALID_USAGE;
        }
    }
    for (int i = 0; i < call_count; i++) {
        if (!calls[i].done) {
            return INVALID_USAGE;
        }
    }
    return SUCCESS;
}

int ncclGroupEnd(void)
{
    if (!in_group) {
        return INVALID_USAGE;
    }
    in_group = false;
    if (answer() != SUCCESS) {
        return UNHANDLED_CUDA_ERROR;
    }
    if (call_count == 0) {
        return SUCCESS;
    }
    return calls[0].kind == SEND || calls[0].kind == RECEIVE ? move() : collect();
}
