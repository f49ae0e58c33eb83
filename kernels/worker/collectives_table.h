/* What `ceilings` says of collectives between this node's devices. How they are timed stands in
 * kernels/measure/collectives.h. */
#pragma once

#include "core/arch/gpu.h"
#include "kernels/measure/rig.h"

/* Measures every collective over 2, 4, ..., all devices like the rig's and prints times at each
 * size, then the line through them; or why there is nothing to measure, which is no failure.
 * library: NULL: the backend's own choice; gpu: whose estimates to print beside; NULL: none.
 * Errors: LQ_EDEVICE, LQ_ENOFIT: a collective failed or was wrong, after what came before it has
 * been printed. */
LQ_MUST_USE enum lq_code lq_collectives_print(const struct lq_rig *rig, const char *library,
                                              const struct lq_gpu *gpu, struct lq_error *err);
