/* The open CUDA device: its stream, its memory and the tally. Which devices there are is in
 * query.cu; operations are in files of their own. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_blas.h"
#include "kernels/cuda/nvml.h"

#include <stdlib.h>

/* Blocks of a multiprocessor: enough to hide what a block waits for, few enough that each has work
 * for longer than its start takes. */
enum { BLOCKS_PER_UNIT = 8 };
enum { ADDRESS_MAX = 32 }; /* of a PCI address as text: "0000:00:00.0" and its end */

enum lq_code lq_cuda_check(cudaError_t status, const char *what, struct lq_error *err)
{
    if (status == cudaSuccess) {
        return LQ_OK;
    }
    (void)cudaGetLastError(); /* the next launch is not to blame */
    const enum lq_code code = status == cudaErrorMemoryAllocation ? LQ_ENOFIT : LQ_EDEVICE;
    return lq_fail(err, code, NULL, "%s: %s", what, cudaGetErrorString(status));
}

enum lq_code lq_cuda_reserve(const struct lq_device *device, const void *kernel,
                             size_t shared_bytes, struct lq_error *err)
{
    LQ_TRY(lq_cuda_check(cudaSetDevice(device->index), "choosing the device", err));
    if (shared_bytes <= LQ_SHARED_UNASKED) {
        return LQ_OK;
    }
    return lq_cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              (int)shared_bytes),
                         "asking for shared memory", err);
}

enum lq_code lq_cuda_launched(const char *kernel, struct lq_error *err)
{
    return lq_cuda_check(cudaGetLastError(), kernel, err);
}

unsigned lq_cuda_grid(const struct lq_device *device, int64_t n, int64_t per_block)
{
    const int64_t most = (int64_t)device->units * BLOCKS_PER_UNIT;
    const int64_t needed = n / per_block + (n % per_block != 0 ? 1 : 0);
    const int64_t blocks = needed < most ? needed : most;
    return (unsigned)(blocks > 1 ? blocks : 1);
}

size_t lq_cuda_size(const struct lq_device *device)
{
    return device->element == LQ_ELEMENT_F32 ? 4 : 2;
}

/* Room in the list of blocks for one more. */
static enum lq_code make_room(struct lq_device *device, struct lq_error *err)
{
    if (device->block_count < device->block_room) {
        return LQ_OK;
    }
    const size_t room = 2 * device->block_room + 64;
    void *blocks = realloc(device->blocks, room * sizeof *device->blocks);
    if (blocks == NULL) {
        return lq_fail(err, LQ_ENOFIT, NULL, "no memory for the list of allocations");
    }
    device->blocks = (struct lq_cuda_block *)blocks;
    device->block_room = room;
    return LQ_OK;
}

static enum lq_code take(struct lq_device *device, size_t bytes, void **memory,
                         struct lq_error *err)
{
    LQ_TRY(lq_cuda_check(cudaSetDevice(device->index), "choosing the device", err));
    /* nothing is allocated as something: a pointer tells two allocations apart */
    const cudaError_t status = cudaMalloc(memory, bytes > 0 ? bytes : 1);
    if (status == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        size_t available = 0;
        size_t total = 0;
        if (cudaMemGetInfo(&available, &total) != cudaSuccess) {
            (void)cudaGetLastError();
        }
        return lq_fail(err, LQ_ENOFIT, NULL, "%zu bytes asked for, %zu available", bytes,
                       available);
    }
    return lq_cuda_check(status, "allocating memory", err);
}

enum lq_code lq_cuda_allocate(struct lq_device *device, size_t bytes, void **memory,
                              struct lq_error *err)
{
    LQ_TRY(make_room(device, err));
    void *taken = NULL;
    LQ_TRY(take(device, bytes, &taken, err));
    struct lq_cuda_block *block = &device->blocks[device->block_count++];
    block->memory = taken;
    block->bytes = bytes;
    device->allocated_bytes += bytes;
    if (device->allocated_bytes > device->peak_bytes) {
        device->peak_bytes = device->allocated_bytes;
    }
    *memory = taken;
    return LQ_OK;
}

/* Gives back memory of nobody's interest; what the runtime says of it, it says again to the next
 * call that can report it. */
static void give_back(void *memory)
{
    if (memory != NULL && cudaFree(memory) != cudaSuccess) {
        (void)cudaGetLastError();
    }
}

void lq_cuda_release(struct lq_device *device, void *memory)
{
    if (memory == NULL) {
        return;
    }
    size_t i = device->block_count;
    while (i > 0 && device->blocks[i - 1].memory != memory) {
        i--; /* from the end: what was allocated last is mostly released first */
    }
    assert(i > 0);
    device->allocated_bytes -= device->blocks[i - 1].bytes;
    device->blocks[i - 1] = device->blocks[--device->block_count];
    give_back(memory);
}

void lq_cuda_usage(struct lq_device *device, bool restart, size_t *now, size_t *peak)
{
    *now = device->allocated_bytes;
    *peak = device->peak_bytes;
    if (restart) {
        device->peak_bytes = device->allocated_bytes;
    }
}

enum lq_code lq_cuda_scratch(struct lq_device *device, size_t bytes, void **memory,
                             struct lq_error *err)
{
    if (bytes > device->scratch_bytes) {
        give_back(device->scratch); /* waits for operations that use it */
        device->scratch = NULL;
        device->scratch_bytes = 0;
        LQ_TRY(take(device, bytes, &device->scratch, err));
        device->scratch_bytes = bytes;
    }
    *memory = device->scratch;
    return LQ_OK;
}

static enum lq_code transfer(struct lq_device *device, void *to, const void *from, size_t bytes,
                             cudaMemcpyKind kind, struct lq_error *err)
{
    if (bytes == 0) {
        return LQ_OK;
    }
    return lq_cuda_check(cudaMemcpyAsync(to, from, bytes, kind, device->stream), "copying", err);
}

/* The host's memory may be reused when the call returns. */
enum lq_code lq_cuda_to_device(struct lq_device *device, void *to, const void *from, size_t bytes,
                               struct lq_error *err)
{
    LQ_TRY(transfer(device, to, from, bytes, cudaMemcpyHostToDevice, err));
    return lq_cuda_synchronize(device, err);
}

enum lq_code lq_cuda_to_host(struct lq_device *device, void *to, const void *from, size_t bytes,
                             struct lq_error *err)
{
    LQ_TRY(transfer(device, to, from, bytes, cudaMemcpyDeviceToHost, err));
    return lq_cuda_synchronize(device, err);
}

enum lq_code lq_cuda_copy(struct lq_device *device, void *to, const void *from, size_t bytes,
                          struct lq_error *err)
{
    return transfer(device, to, from, bytes, cudaMemcpyDeviceToDevice, err);
}

enum lq_code lq_cuda_zero(struct lq_device *device, void *memory, size_t bytes,
                          struct lq_error *err)
{
    if (bytes > 0) {
        LQ_TRY(lq_cuda_check(cudaMemsetAsync(memory, 0, bytes, device->stream), "zeroing", err));
    }
    struct lq_tally work = {};
    work.stream_bytes = (double)bytes;
    lq_cuda_count(device, work);
    return LQ_OK;
}

enum lq_code lq_cuda_synchronize(struct lq_device *device, struct lq_error *err)
{
    return lq_cuda_check(cudaStreamSynchronize(device->stream), "waiting for the device", err);
}

void lq_cuda_count(struct lq_device *device, struct lq_tally work)
{
    device->tally.flop += work.flop;
    device->tally.weight_bytes += work.weight_bytes;
    device->tally.stream_bytes += work.stream_bytes;
    device->tally.traffic_bytes += work.traffic_bytes;
    device->tally.calls += 1.0;
}

void lq_cuda_count_traffic(struct lq_device *device, double accesses, double elements)
{
    struct lq_tally work = {};
    work.traffic_bytes = accesses * elements * (double)lq_cuda_size(device);
    lq_cuda_count(device, work);
}

struct lq_tally lq_cuda_tally(struct lq_device *device)
{
    struct lq_tally tally = device->tally;
    tally.weight_bytes += lq_linear_collect(device);
    device->tally = {};
    return tally;
}

void lq_cuda_close(struct lq_device *device)
{
    if (device == NULL) {
        return;
    }
    if (device->stream != NULL && cudaStreamDestroy(device->stream) != cudaSuccess) {
        (void)cudaGetLastError();
    }
    lq_blas_close(device->blas);
    lq_linear_close(device);
    lq_nvml_close(device->nvml);
    give_back(device->scratch);
    free(device->blocks);
    free(device);
}

/* What operations ask of the device. */
static enum lq_code prepare(struct lq_device *device, struct lq_error *err)
{
    LQ_TRY(lq_cuda_check(cudaSetDevice(device->index), "choosing the device", err));
    cudaDeviceProp properties;
    LQ_TRY(lq_cuda_check(cudaGetDeviceProperties(&properties, device->index),
                         "asking for the device's properties", err));
    device->units = properties.multiProcessorCount;
    device->major = properties.major;
    device->minor = properties.minor;
    int shared_bytes = 0;
    LQ_TRY(lq_cuda_check(cudaDeviceGetAttribute(
                             &shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device->index),
                         "asking for shared memory", err));
    device->shared_bytes = (size_t)shared_bytes;
    char address[ADDRESS_MAX] = "";
    LQ_TRY(lq_cuda_check(cudaDeviceGetPCIBusId(address, sizeof address, device->index),
                         "asking for the device's address", err));
    device->nvml = lq_nvml_open(address);
    return lq_cuda_check(cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking),
                         "making a stream", err);
}

enum lq_code lq_cuda_open(size_t index, enum lq_element element, struct lq_device **out,
                          struct lq_error *err)
{
    struct lq_device_info info;
    LQ_TRY(lq_cuda_find(index, &info, err));
    if ((info.elements & LQ_ELEMENT_BIT(element)) == 0) {
        static const char *const NAMES[LQ_ELEMENT_COUNT] = {"fp32", "bf16", "fp16"};
        return lq_fail(err, LQ_EDEVICE, NULL,
                       "%s has compute capability %s and cannot compute with %s", info.name,
                       info.capability, NAMES[element]);
    }
    struct lq_device *device = (struct lq_device *)calloc(1, sizeof *device);
    if (device == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "no memory for a device");
    }
    device->index = (int)index;
    device->element = element;
    const enum lq_code code = prepare(device, err);
    if (code != LQ_OK) {
        lq_cuda_close(device);
        return code;
    }
    *out = device;
    return LQ_OK;
}
