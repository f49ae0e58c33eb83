/* The driver's management library, loaded if it is there: nothing else of this backend needs it.
 * Its interface is declared here, as "NVML API Reference Guide" (docs.nvidia.com, 13.0) has it. */
#include "kernels/cuda/nvml.h"

#include <dlfcn.h>
#include <stdlib.h>

enum { NVML_SUCCESS = 0, NVML_CLOCK_SM = 1, NVML_TEMPERATURE_GPU = 0 };
/* Reasons for a clock below the highest that are power or heat (nvmlClocksEventReasons): software
 * power cap, hardware slowdown, software and hardware thermal slowdown, hardware power brake. */
enum { NVML_POWER_OR_HEAT = 0x4 | 0x8 | 0x20 | 0x40 | 0x80 };

typedef int plain_fn(void);
typedef int handle_fn(const char *pci_address, void **device);
typedef int number_fn(void *device, int kind, unsigned *value);
typedef int reasons_fn(void *device, unsigned long long *reasons);

struct lq_nvml {
    void *library;
    void *device;
    plain_fn *shut_down;
    number_fn *clock;
    number_fn *temperature;
    reasons_fn *reasons;
};

template <typename F> static F *find(void *library, const char *name)
{
    return (F *)dlsym(library, name);
}

void lq_nvml_close(struct lq_nvml *nvml)
{
    if (nvml == NULL) {
        return;
    }
    if (nvml->shut_down != NULL) {
        nvml->shut_down();
    }
    if (nvml->library != NULL) {
        dlclose(nvml->library);
    }
    free(nvml);
}

static bool prepare(struct lq_nvml *nvml, const char *pci_address)
{
    nvml->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (nvml->library == NULL) {
        return false;
    }
    plain_fn *init = find<plain_fn>(nvml->library, "nvmlInit_v2");
    handle_fn *handle = find<handle_fn>(nvml->library, "nvmlDeviceGetHandleByPciBusId_v2");
    if (init == NULL || handle == NULL || init() != NVML_SUCCESS) {
        return false;
    }
    nvml->shut_down = find<plain_fn>(nvml->library, "nvmlShutdown");
    nvml->clock = find<number_fn>(nvml->library, "nvmlDeviceGetClockInfo");
    nvml->temperature = find<number_fn>(nvml->library, "nvmlDeviceGetTemperature");
    nvml->reasons = find<reasons_fn>(nvml->library, "nvmlDeviceGetCurrentClocksThrottleReasons");
    return handle(pci_address, &nvml->device) == NVML_SUCCESS;
}

struct lq_nvml *lq_nvml_open(const char *pci_address)
{
    struct lq_nvml *nvml = (struct lq_nvml *)calloc(1, sizeof *nvml);
    if (nvml != NULL && !prepare(nvml, pci_address)) {
        lq_nvml_close(nvml);
        nvml = NULL;
    }
    return nvml;
}

void lq_nvml_read(const struct lq_nvml *nvml, struct lq_device_state *state)
{
    unsigned value = 0;
    unsigned long long reasons = 0;
    if (nvml->clock != NULL && nvml->clock(nvml->device, NVML_CLOCK_SM, &value) == NVML_SUCCESS) {
        state->clock_hz = 1e6 * (double)value;
    }
    if (nvml->temperature != NULL &&
        nvml->temperature(nvml->device, NVML_TEMPERATURE_GPU, &value) == NVML_SUCCESS) {
        state->temperature_c = (double)value;
    }
    if (nvml->reasons != NULL && nvml->reasons(nvml->device, &reasons) == NVML_SUCCESS) {
        state->throttled = (reasons & NVML_POWER_OR_HEAT) != 0 ? 1 : 0;
    }
}
