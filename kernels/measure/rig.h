/* Which device measures: the backends there are, the devices they list, one of them opened. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/method.h"
#include "kernels/backend.h"

#include <stddef.h>

/* Every backend of this program, best first; NULL at the end. */
extern const struct lq_backend *(*const LQ_BACKENDS[])(void);

enum { LQ_DEVICES_MAX = 16 };

/* A device and how it computes. */
struct lq_rig {
    const struct lq_backend *backend;
    struct lq_device_info info;
    size_t index; /* in the backend's list */
    enum lq_element element;
    enum lq_precision precision; /* the same, as a job names it */
    struct lq_device *device;
};

/* Chooses a device: of the backend with that name, or of the first that has one (NULL); number
 * `index` of its list. Nothing is opened. Errors: LQ_EDEVICE, LQ_EFIELD (no such backend). */
LQ_MUST_USE enum lq_code lq_rig_find(const char *backend, size_t index, struct lq_rig *out,
                                     struct lq_error *err);
LQ_MUST_USE enum lq_code lq_rig_open(struct lq_rig *rig, struct lq_error *err);
void lq_rig_close(struct lq_rig *rig);

/* An id for a device that no catalog names: what it calls itself in small letters, and a CPU's
 * cores: "intel-xeon-gold-6140-2c". */
void lq_device_id(const struct lq_backend *backend, const struct lq_device_info *info,
                  char id[LQ_ID_MAX]);
