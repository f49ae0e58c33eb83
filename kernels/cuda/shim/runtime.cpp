/* A pretend device for the calls of shim/runtime.h: memory is the host's, fresh memory is NaN, and
 * any call can be told to fail. Running kernels is in block.cpp. */
#include "kernels/cuda/shim/runtime.h"

#include "kernels/cuda/shim/control.h"
#include "kernels/cuda/shim/launch.h"

#include <stdio.h>
#include <stdlib.h>

enum { ALIGNMENT = 256 }; /* bytes, as cudaMalloc promises */
enum { UNASKED = 48 << 10, OPTIN = 99 << 10 };
/* bytes of shared memory: what every device gives, and what 8.6 gives to those who ask */

struct lq_shim_stream {
    int device;
};

/* Stands before each allocation, ALIGNMENT bytes of it. */
struct header {
    size_t bytes;
};

/* Every member has a value, so that none is set after the constructors of others have run. */
static struct {
    int count = 1;
    cudaError_t status = cudaSuccess;
    int major = 8;
    int minor = 0;
    size_t memory_bytes = (size_t)1 << 30;
    size_t used_bytes = 0;
    size_t left = 0;
    uint64_t calls = 0;
    uint64_t failing = 0;
    uint64_t busy_queries = 0;
    cudaError_t last = cudaSuccess;
    size_t shared_bytes = UNASKED;
} shim;

void lq_shim_fail(uint64_t n)
{
    shim.calls = 0;
    shim.failing = n;
    shim.last = cudaSuccess;
}

uint64_t lq_shim_calls(void)
{
    return shim.calls;
}

void lq_shim_devices(int count, int status)
{
    shim.count = count;
    shim.status = (cudaError_t)status;
}

void lq_shim_capability(int major, int minor)
{
    shim.major = major;
    shim.minor = minor;
}

void lq_shim_memory(size_t bytes)
{
    shim.memory_bytes = bytes;
}

void lq_shim_busy(uint64_t queries)
{
    shim.busy_queries = queries;
}

size_t lq_shim_left(void)
{
    return shim.left;
}

void lq_shim_hold(void)
{
    shim.left++;
}

void lq_shim_let_go(void)
{
    shim.left--;
}

bool lq_shim_may(void)
{
    return ++shim.calls != shim.failing;
}

void lq_shim_leave_error(void)
{
    shim.last = cudaErrorUnknown;
}

static cudaError_t answer(cudaError_t status)
{
    if (status != cudaSuccess) {
        shim.last = status;
    }
    return status;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    if (!lq_shim_may()) {
        return answer(cudaErrorUnknown);
    }
    if (shim.status != cudaSuccess) {
        return answer(shim.status);
    }
    *count = shim.count;
    return shim.count == 0 ? answer(cudaErrorNoDevice) : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    if (!lq_shim_may() || device < 0 || device >= shim.count) {
        return answer(cudaErrorInvalidDevice);
    }
    *properties = cudaDeviceProp();
    snprintf(properties->name, sizeof properties->name, "NVIDIA pretend device");
    properties->totalGlobalMem = shim.memory_bytes;
    properties->major = shim.major;
    properties->minor = shim.minor;
    properties->multiProcessorCount = 2;
    properties->l2CacheSize = 4 << 20;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    if (!lq_shim_may() || device < 0 || device >= shim.count) {
        return answer(cudaErrorInvalidDevice);
    }
    *value = attribute == cudaDevAttrClockRate ? 1000000 : (int)OPTIN;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *address, int size, int device)
{
    if (!lq_shim_may() || device < 0 || device >= shim.count) {
        return answer(cudaErrorInvalidDevice);
    }
    snprintf(address, (size_t)size, "0000:ff:%02x.0", (unsigned)device & 0x1fU);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    /* of a driver that is too old there is a version still */
    *version = shim.status == cudaErrorInsufficientDriver ? 12040 : 13000;
    if (shim.status == cudaErrorNoDevice || shim.status == cudaErrorStubLibrary) {
        *version = 0;
    }
    return lq_shim_may() ? cudaSuccess : answer(cudaErrorUnknown);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return lq_shim_may() ? cudaSuccess : answer(cudaErrorUnknown);
}

cudaError_t cudaSetDevice(int device)
{
    const bool there = lq_shim_may() && device >= 0 && device < shim.count;
    return there ? cudaSuccess : answer(cudaErrorInvalidDevice);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    *total = shim.memory_bytes;
    *available = shim.memory_bytes - shim.used_bytes;
    return lq_shim_may() ? cudaSuccess : answer(cudaErrorUnknown);
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    *memory = nullptr;
    if (!lq_shim_may() || bytes > shim.memory_bytes - shim.used_bytes) {
        return answer(cudaErrorMemoryAllocation);
    }
    if (bytes == 0) { /* as the runtime does */
        return cudaSuccess;
    }
    void *taken = nullptr;
    if (posix_memalign(&taken, ALIGNMENT, ALIGNMENT + bytes) != 0) {
        return answer(cudaErrorMemoryAllocation);
    }
    ((header *)taken)->bytes = bytes;
    *memory = (char *)taken + ALIGNMENT;
    memset(*memory, 0xff, bytes); /* NaN in every element type */
    shim.used_bytes += bytes;
    shim.left++;
    return cudaSuccess;
}

/* Gives the memory back even where the call is said to have failed: callers cannot try again. */
cudaError_t cudaFree(void *memory)
{
    if (memory != nullptr) {
        header *taken = (header *)((char *)memory - ALIGNMENT);
        shim.used_bytes -= taken->bytes;
        shim.left--;
        free(taken);
    }
    return lq_shim_may() ? cudaSuccess : answer(cudaErrorUnknown);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    (void)kind;
    (void)stream;
    if (!lq_shim_may()) {
        return answer(cudaErrorInvalidValue);
    }
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    (void)stream;
    if (!lq_shim_may()) {
        return answer(cudaErrorInvalidValue);
    }
    if (bytes > 0) {
        memset(memory, value, bytes);
    }
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    *stream = lq_shim_may() ? (cudaStream_t)calloc(1, sizeof(lq_shim_stream)) : nullptr;
    if (*stream == nullptr) {
        return answer(cudaErrorMemoryAllocation);
    }
    shim.left++;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    shim.left--;
    free(stream);
    return lq_shim_may() ? cudaSuccess : answer(cudaErrorUnknown);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    return lq_shim_may() ? cudaSuccess : answer(cudaErrorLaunchFailure);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    (void)stream;
    if (!lq_shim_may()) {
        return answer(cudaErrorLaunchFailure);
    }
    if (shim.busy_queries == 0) {
        return cudaSuccess;
    }
    shim.busy_queries--;
    return answer(cudaErrorNotReady);
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    (void)kernel;
    (void)attribute;
    if (!lq_shim_may() || value > OPTIN) {
        return answer(cudaErrorInvalidValue);
    }
    shim.shared_bytes = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t status = shim.last;
    shim.last = cudaSuccess;
    return status;
}

const char *cudaGetErrorString(cudaError_t status)
{
    return status == cudaErrorMemoryAllocation ? "out of memory" : "pretended failure";
}

/* What the hardware would refuse is refused; what it would run, but this backend never asks for,
 * such as parts of warps, is too. */
void lq_shim_run(dim3 grid, dim3 block, size_t shared_bytes, lq_shim_body *body,
                 const void *context)
{
    const unsigned threads = block.x * block.y * block.z;
    const bool fits = grid.x >= 1 && grid.x <= 0x7fffffffU && grid.y >= 1 && grid.y <= 65535 &&
                      grid.z >= 1 && grid.z <= 65535 && threads >= 32 && threads <= 1024 &&
                      threads % 32 == 0 && shared_bytes <= shim.shared_bytes;
    shim.shared_bytes = UNASKED;
    if (!lq_shim_may()) {
        shim.last = cudaErrorLaunchFailure;
        return;
    }
    if (!fits) {
        shim.last = cudaErrorInvalidConfiguration;
        return;
    }
    lq_shim_run_blocks(grid, block, shared_bytes, body, context);
}
