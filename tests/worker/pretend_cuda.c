/* A module in the CUDA backend's place that computes on the CPU: two GPUs of different kinds, a
 * device that gets lost, or none and why not, as variables tell it. */
#include "kernels/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lq_backend pretended;
static long allocations_left; /* until the device is lost; below 0: never */

static const char *version(void)
{
    return "pretended runtime 13.0";
}

static enum lq_code list(struct lq_device_info *devices, size_t max, size_t *count,
                         struct lq_error *err)
{
    const char *refusal = getenv("PRETEND_REFUSAL");
    struct lq_device_info cpu;
    size_t cpus = 0;
    if (refusal != NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "%s", refusal);
    }
    LQ_TRY(lq_cpu_backend()->list(&cpu, 1, &cpus, err));
    static const char *const NAMES[] = {"NVIDIA A40", "NVIDIA A100-SXM4-80GB"};
    for (*count = 0; *count < 2 && *count < max; (*count)++) {
        devices[*count] = cpu;
        devices[*count].memory_bytes = 0x1p28; /* so that copies are soon done */
        snprintf(devices[*count].name, sizeof devices[*count].name, "%s", NAMES[*count]);
        snprintf(devices[*count].vendor, sizeof devices[*count].vendor, "NVIDIA");
    }
    return LQ_OK;
}

static enum lq_code open_any(size_t index, enum lq_element element, struct lq_device **device,
                             struct lq_error *err)
{
    (void)index;
    return lq_cpu_backend()->open(0, element, device, err);
}

static enum lq_code allocate(struct lq_device *device, size_t bytes, void **memory,
                             struct lq_error *err)
{
    if (allocations_left == 0) {
        return lq_fail(err, LQ_EDEVICE, NULL, "allocating memory: the device is lost");
    }
    allocations_left--;
    return lq_cpu_backend()->allocate(device, bytes, memory, err);
}

__attribute__((visibility("default"))) const struct lq_backend *lq_cuda_backend(void)
{
    const char *lost = getenv("PRETEND_LOST_AFTER");
    allocations_left = lost != NULL ? strtol(lost, NULL, 10) : -1;
    pretended = *lq_cpu_backend();
    pretended.name = "cuda";
    pretended.version = version;
    pretended.list = list;
    pretended.open = open_any;
    pretended.allocate = allocate;
    return &pretended;
}
