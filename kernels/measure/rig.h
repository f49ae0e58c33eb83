/* Which device measures: the backends there are, the devices they list, one of them opened. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/method.h"
#include "kernels/backend.h"

#include <stddef.h>

enum { LQ_DEVICES_MAX = 16 };

/* Which device is asked for. Borrowed texts. */
struct lq_device_choice {
    const char *backend;     /* by name; NULL: the first that has a device */
    int64_t device;          /* number in the backend's list */
    const char *cuda_module; /* file of the CUDA backend; NULL: see backends.h */
};

/* A device and how it computes. */
struct lq_rig {
    const struct lq_backend *backend;
    struct lq_device_info info;
    size_t index; /* in the backend's list */
    enum lq_element element;
    enum lq_precision precision; /* the same, as a job names it */
    struct lq_device *device;
    char passed_over[LQ_DETAIL_MAX]; /* why a better backend's device was not taken; "" for none */
};

/* Finds the device of a choice; nothing is opened. Without a backend's name the first is taken that
 * has such a device; what a module that is there says against it is passed_over. Errors:
 * LQ_EDEVICE, LQ_EFIELD (no such backend). */
LQ_MUST_USE enum lq_code lq_rig_find(const struct lq_device_choice *choice, struct lq_rig *out,
                                     struct lq_error *err);
LQ_MUST_USE enum lq_code lq_rig_open(struct lq_rig *rig, struct lq_error *err);
void lq_rig_close(struct lq_rig *rig);

/* An id for a device that no catalog names: what it calls itself in small letters, and a CPU's
 * cores: "intel-xeon-gold-6140-2c". */
void lq_device_id(const struct lq_backend *backend, const struct lq_device_info *info,
                  char id[LQ_ID_MAX]);
