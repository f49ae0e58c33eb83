/* Which CUDA devices there are, what they say of themselves, and why there are none. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/nvml.h"

#include <stdio.h>

/* What the toolkit that this was built with asks of a driver, as the runtime writes it: 1000 major
 * + 10 minor. */
static void write_version(int version, char *text, size_t size)
{
    snprintf(text, size, "%d.%d", version / 1000, version % 1000 / 10);
}

const char *lq_cuda_version(void)
{
    static char text[LQ_DEVICE_TEXT_MAX];
    int version = 0;
    if (cudaRuntimeGetVersion(&version) != cudaSuccess) {
        (void)cudaGetLastError();
        return "CUDA runtime";
    }
    char digits[LQ_DEVICE_TEXT_MAX / 2];
    write_version(version, digits, sizeof digits);
    snprintf(text, sizeof text, "CUDA runtime %s", digits);
    return text;
}

/* The newest CUDA that the driver can serve; 0 without a driver. */
static int driver_version(void)
{
    int version = 0;
    if (cudaDriverGetVersion(&version) != cudaSuccess) {
        (void)cudaGetLastError();
        return 0;
    }
    return version;
}

static enum lq_code say_why(cudaError_t status, struct lq_error *err)
{
    const int driver = driver_version();
    int runtime = 0;
    (void)cudaGetLastError();
    if (driver == 0 || status == cudaErrorStubLibrary) {
        return lq_fail(err, LQ_EDEVICE, NULL, "there is no NVIDIA driver on this machine");
    }
    if (status == cudaErrorInsufficientDriver && cudaRuntimeGetVersion(&runtime) == cudaSuccess) {
        char needed[LQ_DEVICE_TEXT_MAX];
        char there[LQ_DEVICE_TEXT_MAX];
        write_version(runtime, needed, sizeof needed);
        write_version(driver, there, sizeof there);
        return lq_fail(err, LQ_EDEVICE, NULL,
                       "the NVIDIA driver serves CUDA up to %s, and this needs %s: install a newer "
                       "driver",
                       there, needed);
    }
    if (status == cudaErrorNoDevice) {
        return lq_fail(err, LQ_EDEVICE, NULL,
                       "the NVIDIA driver sees no device (CUDA_VISIBLE_DEVICES may hide them)");
    }
    return lq_cuda_check(status, "counting devices", err);
}

static enum lq_code count_devices(int *count, struct lq_error *err)
{
    *count = 0;
    cudaError_t status = cudaGetDeviceCount(count);
    if (status == cudaSuccess && *count == 0) {
        status = cudaErrorNoDevice;
    }
    return status == cudaSuccess ? LQ_OK : say_why(status, err);
}

/* By compute capability (CUDA C++ Programming Guide 13.0, section "Compute Capabilities"). */
static const char *architecture(int major, int minor)
{
    switch (major) {
    case 7:
        return minor < 5 ? "Volta" : "Turing";
    case 8:
        return minor < 9 ? "Ampere" : "Ada Lovelace";
    case 9:
        return "Hopper";
    case 10:
    case 11:
    case 12:
        return "Blackwell";
    default:
        return "";
    }
}

/* Kernels are built for 7.5 and above; tensor cores know bf16 from 8.0 on. */
static unsigned elements(int major, int minor)
{
    if (major * 10 + minor < 75) {
        return 0;
    }
    const unsigned all = LQ_ELEMENT_BIT(LQ_ELEMENT_F32) | LQ_ELEMENT_BIT(LQ_ELEMENT_F16);
    return major >= 8 ? all | LQ_ELEMENT_BIT(LQ_ELEMENT_BF16) : all;
}

/* Tensor cores know tf32 from 8.0 on and fp8 from 8.9 on (CUDA C++ Programming Guide 13.0, section
 * "Compute Capabilities"). */
unsigned lq_cuda_arithmetics(int major, int minor)
{
    const int capability = major * 10 + minor;
    return (capability >= 75 ? LQ_ARITHMETIC_BIT(LQ_ARITHMETIC_NATIVE) : 0) |
           (capability >= 80 ? LQ_ARITHMETIC_BIT(LQ_ARITHMETIC_TF32) : 0) |
           (capability >= 89 ? LQ_ARITHMETIC_BIT(LQ_ARITHMETIC_FP8) : 0);
}

static enum lq_code describe(int index, struct lq_device_info *info, struct lq_error *err)
{
    cudaDeviceProp properties;
    LQ_TRY(lq_cuda_check(cudaGetDeviceProperties(&properties, index),
                         "asking for a device's properties", err));
    int clock_khz = 0;
    LQ_TRY(lq_cuda_check(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, index),
                         "asking for a device's clock", err));
    *info = {};
    snprintf(info->name, sizeof info->name, "%.*s", LQ_DEVICE_NAME_MAX - 1, properties.name);
    snprintf(info->vendor, sizeof info->vendor, "NVIDIA");
    snprintf(info->architecture, sizeof info->architecture, "%s",
             architecture(properties.major, properties.minor));
    snprintf(info->capability, sizeof info->capability, "%d.%d", properties.major,
             properties.minor);
    int version = 0;
    LQ_TRY(lq_cuda_check(cudaDriverGetVersion(&version), "asking for the driver's version", err));
    char driver[LQ_DEVICE_TEXT_MAX / 2];
    write_version(version, driver, sizeof driver);
    snprintf(info->driver, sizeof info->driver, "CUDA %s", driver);
    info->memory_bytes = (double)properties.totalGlobalMem;
    info->cache_bytes = (double)properties.l2CacheSize;
    info->clock_hz = 1e3 * (double)clock_khz;
    info->units = properties.multiProcessorCount;
    info->elements = elements(properties.major, properties.minor);
    info->arithmetics = lq_cuda_arithmetics(properties.major, properties.minor);
    return LQ_OK;
}

enum lq_code lq_cuda_list(struct lq_device_info *devices, size_t max, size_t *count,
                          struct lq_error *err)
{
    int there = 0;
    LQ_TRY(count_devices(&there, err));
    const size_t told = (size_t)there < max ? (size_t)there : max;
    for (size_t i = 0; i < told; i++) {
        LQ_TRY(describe((int)i, &devices[i], err));
    }
    *count = told;
    return LQ_OK;
}

enum lq_code lq_cuda_find(size_t index, struct lq_device_info *info, struct lq_error *err)
{
    int there = 0;
    LQ_TRY(count_devices(&there, err));
    if (index >= (size_t)there) {
        return lq_fail(err, LQ_EDEVICE, NULL, "there are %d CUDA devices, counted from 0; got %zu",
                       there, index);
    }
    return describe((int)index, info, err);
}

/* The load of others cannot be told from our own, which the library counts too: it is left out. */
void lq_cuda_state(struct lq_device *device, struct lq_device_state *out)
{
    *out = {-1.0, -1.0, -1.0, -1.0, -1};
    size_t available = 0;
    size_t total = 0;
    if (cudaSetDevice(device->index) == cudaSuccess &&
        cudaMemGetInfo(&available, &total) == cudaSuccess) {
        out->free_bytes = (double)available;
    } else {
        (void)cudaGetLastError();
    }
    if (device->nvml != NULL) {
        lq_nvml_read(device->nvml, out);
    }
}
