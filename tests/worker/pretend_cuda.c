/* A module in the CUDA backend's place that computes on the CPU: GPUs of two kinds, with every
 * arithmetic or fp32's alone, a device that gets lost, or none and why not, as variables tell it.
 */
#include "kernels/backend.h"
#include "tests/worker/pretend_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lq_backend pretended;
static long allocations_left;  /* until the device is lost; below 0: never */
static enum lq_element opened; /* by the last call */

static const char *version(void)
{
    return "pretended runtime 13.0";
}

/* Elements are fp32 whatever they are said to be: all has twice the room it is asked for. */
static bool pretends_arithmetics(void)
{
    return getenv("PRETEND_ARITHMETICS") != NULL;
}

/* Devices of the first kind; there is one of the other. */
static size_t twins(void)
{
    const char *text = getenv("PRETEND_TWINS");
    return text != NULL ? (size_t)strtol(text, NULL, 10) : 1;
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
    for (*count = 0; *count <= twins() && *count < max; (*count)++) {
        devices[*count] = cpu;
        devices[*count].memory_bytes = 0x1p28; /* so that copies are soon done */
        if (pretends_arithmetics()) {
            devices[*count].elements |= LQ_ELEMENT_BIT(LQ_ELEMENT_F16);
            devices[*count].arithmetics |=
                LQ_ARITHMETIC_BIT(LQ_ARITHMETIC_TF32) | LQ_ARITHMETIC_BIT(LQ_ARITHMETIC_FP8);
        }
        snprintf(devices[*count].name, sizeof devices[*count].name, "%s",
                 NAMES[*count < twins() ? 0 : 1]);
        snprintf(devices[*count].vendor, sizeof devices[*count].vendor, "NVIDIA");
    }
    return LQ_OK;
}

static enum lq_code open_any(size_t index, enum lq_element element, struct lq_device **device,
                             struct lq_error *err)
{
    (void)index;
    opened = element;
    return lq_cpu_backend()->open(0, pretends_arithmetics() ? LQ_ELEMENT_F32 : element, device,
                                  err);
}

static enum lq_code allocate(struct lq_device *device, size_t bytes, void **memory,
                             struct lq_error *err)
{
    if (allocations_left == 0) {
        return lq_fail(err, LQ_EDEVICE, NULL, "allocating memory: the device is lost");
    }
    allocations_left--;
    return lq_cpu_backend()->allocate(device, pretends_arithmetics() ? 2 * bytes : bytes, memory,
                                      err);
}

/* As the real one, it takes each arithmetic with its own element alone. */
static enum lq_code linear(struct lq_device *device, const struct lq_op_linear *op,
                           struct lq_error *err)
{
    struct lq_op_linear plain = *op;
    const bool is_wide = opened == LQ_ELEMENT_F32;
    if (pretends_arithmetics() && op->arithmetic != LQ_ARITHMETIC_NATIVE) {
        if (is_wide != (op->arithmetic == LQ_ARITHMETIC_TF32)) {
            return lq_fail(err, LQ_EDEVICE, NULL, "these elements are multiplied otherwise");
        }
        plain.arithmetic = LQ_ARITHMETIC_NATIVE;
    }
    return lq_cpu_backend()->linear(device, &plain, err);
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
    pretended.linear = linear;
    pretended.group = pretend_group();
    return &pretended;
}
