/* Several GPUs that exchange data through NCCL: one process and one thread drive them all, each by
 * a stream and buffers of its own. Which library that is stands in nccl.cu. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/nccl.h"

#include <stdlib.h>
#include <time.h>

struct member {
    int index; /* the runtime's number of the device */
    cudaStream_t stream;
    struct lq_nccl_comm *comm;
    float *input;
    float *output;
};

struct lq_group {
    struct lq_nccl nccl;
    size_t count;
    size_t numbers; /* that an input or an output holds */
    bool is_broken; /* something failed: communicators may never end what they are at */
    struct member members[LQ_GROUP_DEVICES_MAX];
};

static enum lq_code choose(const struct member *member, struct lq_error *err)
{
    return lq_cuda_check(cudaSetDevice(member->index), "choosing a device of a group", err);
}

/* What the runtime says to giving back is nobody's interest. */
static void forget(cudaError_t status)
{
    if (status != cudaSuccess) {
        (void)cudaGetLastError();
    }
}

static void give_back(float **memory)
{
    if (*memory != NULL) {
        forget(cudaFree(*memory));
        *memory = NULL;
    }
}

static void release(struct member *member)
{
    give_back(&member->input);
    give_back(&member->output);
}

/* Communicators first: whatever they are at uses streams and buffers. */
static void close_group(struct lq_group *group)
{
    if (group == NULL) {
        return;
    }
    for (size_t i = 0; i < group->count; i++) {
        struct lq_nccl_comm *comm = group->members[i].comm;
        if (comm != NULL) {
            (void)(group->is_broken ? group->nccl.abort(comm) : group->nccl.destroy(comm));
        }
    }
    (void)cudaGetLastError(); /* what these may have left of theirs */
    for (size_t i = 0; i < group->count; i++) {
        release(&group->members[i]);
        if (group->members[i].stream != NULL) {
            forget(cudaStreamDestroy(group->members[i].stream));
        }
    }
    lq_nccl_close(&group->nccl);
    free(group);
}

static enum lq_code add_member(struct lq_group *group, size_t device, struct lq_error *err)
{
    struct lq_device_info info;
    LQ_TRY(lq_cuda_find(device, &info, err));
    for (size_t i = 0; i < group->count; i++) {
        if (group->members[i].index == (int)device) {
            return lq_fail(err, LQ_EDEVICE, NULL, "a group has every device once; got %zu twice",
                           device);
        }
    }
    struct member *member = &group->members[group->count];
    member->index = (int)device;
    LQ_TRY(choose(member, err));
    LQ_TRY(lq_cuda_check(cudaStreamCreateWithFlags(&member->stream, cudaStreamNonBlocking),
                         "making a stream", err));
    group->count++;
    return LQ_OK;
}

/* What a failed call leaves in the communicators is not said: they are taken only from one that
 * succeeds. */
static enum lq_code connect(struct lq_group *group, struct lq_error *err)
{
    struct lq_nccl_comm *comms[LQ_GROUP_DEVICES_MAX] = {};
    int indices[LQ_GROUP_DEVICES_MAX] = {};
    for (size_t i = 0; i < group->count; i++) {
        indices[i] = group->members[i].index;
    }
    LQ_TRY(lq_nccl_check(&group->nccl, group->nccl.init_all(comms, (int)group->count, indices),
                         "ncclCommInitAll", err));
    for (size_t i = 0; i < group->count; i++) {
        group->members[i].comm = comms[i];
    }
    return LQ_OK;
}

static enum lq_code prepare(struct lq_group *group, const char *library, const size_t *devices,
                            size_t count, struct lq_error *err)
{
    LQ_TRY(lq_nccl_open(library, &group->nccl, err));
    for (size_t i = 0; i < count; i++) {
        LQ_TRY(add_member(group, devices[i], err));
    }
    return connect(group, err);
}

static enum lq_code open_group(const char *library, const size_t *devices, size_t count,
                               struct lq_group **out, struct lq_error *err)
{
    assert(count >= 1 && count <= LQ_GROUP_DEVICES_MAX);
    struct lq_group *group = (struct lq_group *)calloc(1, sizeof *group);
    if (group == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "no memory for a group");
    }
    const enum lq_code code = prepare(group, library, devices, count, err);
    if (code != LQ_OK) {
        close_group(group);
        return code;
    }
    *out = group;
    return LQ_OK;
}

static const char *version(const struct lq_group *group)
{
    return group->nccl.version;
}

static enum lq_code reserve_member(struct member *member, size_t bytes, struct lq_error *err)
{
    LQ_TRY(choose(member, err));
    release(member);
    LQ_TRY(lq_cuda_check(cudaMalloc((void **)&member->input, bytes), "memory of a group", err));
    LQ_TRY(lq_cuda_check(cudaMalloc((void **)&member->output, bytes), "memory of a group", err));
    LQ_TRY(lq_cuda_check(cudaMemsetAsync(member->input, 0, bytes, member->stream), "zeroing", err));
    return lq_cuda_check(cudaStreamSynchronize(member->stream), "waiting for a device", err);
}

/* Notes a failure, whatever it was. */
static enum lq_code noted(struct lq_group *group, enum lq_code code)
{
    group->is_broken = group->is_broken || code != LQ_OK;
    return code;
}

static enum lq_code reserve(struct lq_group *group, size_t numbers, struct lq_error *err)
{
    assert(numbers > 0);
    group->numbers = 0;
    for (size_t i = 0; i < group->count; i++) {
        LQ_TRY(noted(group, reserve_member(&group->members[i], numbers * sizeof(float), err)));
    }
    group->numbers = numbers;
    return LQ_OK;
}

static enum lq_code transfer(const struct member *member, void *to, const void *from, size_t bytes,
                             cudaMemcpyKind kind, struct lq_error *err)
{
    LQ_TRY(choose(member, err));
    LQ_TRY(lq_cuda_check(cudaMemcpyAsync(to, from, bytes, kind, member->stream), "copying", err));
    return lq_cuda_check(cudaStreamSynchronize(member->stream), "waiting for a copy", err);
}

static enum lq_code write(struct lq_group *group, size_t member, const float *from, size_t numbers,
                          struct lq_error *err)
{
    assert(member < group->count && numbers <= group->numbers);
    const struct member *m = &group->members[member];
    return noted(group,
                 transfer(m, m->input, from, numbers * sizeof(float), cudaMemcpyHostToDevice, err));
}

static enum lq_code read(struct lq_group *group, size_t member, float *to, size_t numbers,
                         struct lq_error *err)
{
    assert(member < group->count && numbers <= group->numbers);
    const struct member *m = &group->members[member];
    return noted(group,
                 transfer(m, to, m->output, numbers * sizeof(float), cudaMemcpyDeviceToHost, err));
}

/* Own parts go the same way as everybody's: the library copies them. */
static enum lq_code exchange(const struct lq_group *group, const struct member *m, size_t part,
                             struct lq_error *err)
{
    const struct lq_nccl *nccl = &group->nccl;
    for (size_t peer = 0; peer < group->count; peer++) {
        LQ_TRY(lq_nccl_check(nccl,
                             nccl->send(m->input + peer * part, part, LQ_NCCL_FLOAT32, (int)peer,
                                        m->comm, m->stream),
                             "ncclSend", err));
        LQ_TRY(lq_nccl_check(nccl,
                             nccl->receive(m->output + peer * part, part, LQ_NCCL_FLOAT32,
                                           (int)peer, m->comm, m->stream),
                             "ncclRecv", err));
    }
    return LQ_OK;
}

static enum lq_code start_member(const struct lq_group *group, const struct member *m,
                                 enum lq_group_collective collective, size_t part,
                                 struct lq_error *err)
{
    const struct lq_nccl *nccl = &group->nccl;
    switch (collective) {
    case LQ_GROUP_ALL_REDUCE:
        return lq_nccl_check(nccl,
                             nccl->all_reduce(m->input, m->output, part * group->count,
                                              LQ_NCCL_FLOAT32, LQ_NCCL_SUM, m->comm, m->stream),
                             "ncclAllReduce", err);
    case LQ_GROUP_ALL_GATHER:
        return lq_nccl_check(
            nccl, nccl->all_gather(m->input, m->output, part, LQ_NCCL_FLOAT32, m->comm, m->stream),
            "ncclAllGather", err);
    case LQ_GROUP_REDUCE_SCATTER:
        return lq_nccl_check(nccl,
                             nccl->reduce_scatter(m->input, m->output, part, LQ_NCCL_FLOAT32,
                                                  LQ_NCCL_SUM, m->comm, m->stream),
                             "ncclReduceScatter", err);
    case LQ_GROUP_ALL_TO_ALL:
        return exchange(group, m, part, err);
    case LQ_GROUP_COLLECTIVE_COUNT:
        break;
    }
    return lq_fail(err, LQ_EINTERNAL, NULL, "no such collective: %d", (int)collective);
}

/* What was begun has to be ended, also after a failure. */
static enum lq_code start(struct lq_group *group, enum lq_group_collective collective, size_t part,
                          struct lq_error *err)
{
    assert(part >= 1 && part * group->count <= group->numbers);
    const struct lq_nccl *nccl = &group->nccl;
    LQ_TRY(noted(group, lq_nccl_check(nccl, nccl->group_start(), "ncclGroupStart", err)));
    enum lq_code code = LQ_OK;
    for (size_t i = 0; i < group->count && code == LQ_OK; i++) {
        code = start_member(group, &group->members[i], collective, part, err);
    }
    const int ended = nccl->group_end();
    if (code == LQ_OK) {
        code = lq_nccl_check(nccl, ended, "ncclGroupEnd", err);
    }
    return noted(group, code);
}

static double clock_s(void)
{
    struct timespec now = {};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What has failed since it was started. */
static enum lq_code ask(const struct lq_group *group, const struct member *member,
                        struct lq_error *err)
{
    const struct lq_nccl *nccl = &group->nccl;
    int status = 0;
    LQ_TRY(lq_nccl_check(nccl, nccl->async_error(member->comm, &status), "ncclCommGetAsyncError",
                         err));
    return lq_nccl_check(nccl, status, "a collective", err);
}

/* By asking again and again: a collective that has failed may never end. */
static enum lq_code wait_member(const struct lq_group *group, const struct member *member,
                                double until_s, struct lq_error *err)
{
    LQ_TRY(choose(member, err));
    cudaError_t status = cudaStreamQuery(member->stream);
    while (status == cudaErrorNotReady) {
        (void)cudaGetLastError(); /* to be told that it goes on is no failure */
        LQ_TRY(ask(group, member, err));
        if (clock_s() > until_s) {
            return lq_fail(err, LQ_EDEVICE, NULL,
                           "a collective does not end on device %d: do its devices reach each "
                           "other (NCCL_DEBUG=INFO tells, NCCL_P2P_DISABLE=1 goes by the host)?",
                           member->index);
        }
        status = cudaStreamQuery(member->stream);
    }
    LQ_TRY(lq_cuda_check(status, "waiting for a collective", err));
    return ask(group, member, err);
}

static enum lq_code wait(struct lq_group *group, double limit_s, struct lq_error *err)
{
    const double until_s = clock_s() + limit_s;
    for (size_t i = 0; i < group->count; i++) {
        LQ_TRY(noted(group, wait_member(group, &group->members[i], until_s, err)));
    }
    return LQ_OK;
}

static struct lq_group_functions make_functions(void)
{
    struct lq_group_functions f = {};
    f.open = open_group;
    f.close = close_group;
    f.version = version;
    f.reserve = reserve;
    f.write = write;
    f.read = read;
    f.start = start;
    f.wait = wait;
    return f;
}

const struct lq_group_functions *lq_cuda_group(void)
{
    static const struct lq_group_functions FUNCTIONS = make_functions();
    return &FUNCTIONS;
}
