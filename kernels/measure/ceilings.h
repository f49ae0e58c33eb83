/* What a device reaches at best: copies, matmuls in every arithmetic, dequantisation, launches; and
 * matmuls at a model's own shapes. */
#pragma once

#include "core/arch/model.h"
#include "kernels/backend.h"
#include "kernels/measure/rig.h"

#include <stddef.h>
#include <stdint.h>

/* Medians over repeated runs; the best of the sizes tried. Copies are larger than the device's last
 * cache. */
struct lq_ceilings {
    double copy_bytes_per_s;  /* read and written bytes together */
    double matmul_flop_per_s; /* in the element that the device was opened with */
    double tf32_flop_per_s;   /* 0 where the device does not offer it, or it was not measured */
    double fp8_flop_per_s;    /* the same; of matmuls with their factors' cast */
    double dequantization_bytes_per_s; /* nf4 with double-quantised scales: read and written */
    double launch_s;                   /* an operation on one element, from call to end */
    double interconnect_bytes_per_s;   /* as a catalog has it, by collectives.h; 0: not measured */
    struct lq_error refused; /* why an arithmetic on offer was not done after all; LQ_OK: none */
};

/* A matmul of one kind of matrix at a number of tokens. */
struct lq_matmul_rate {
    enum lq_target target;
    int64_t tokens; /* of one expert where routed */
    int64_t outputs;
    int64_t inputs;
    int64_t groups;
    double flop_per_s; /* forward */
    double spread;     /* interquartile range over the median */
};

/* On an open device, all but tf32 and fp8. Errors: LQ_ENOFIT, LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_ceilings_measure(const struct lq_rig *rig, struct lq_ceilings *out,
                                             struct lq_error *err);
/* Adds tf32 and fp8 where the device offers them; with an element of their own if need be, so that
 * it need not be open. Errors: LQ_ENOFIT, LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_ceilings_measure_arithmetics(const struct lq_rig *rig,
                                                         struct lq_ceilings *out,
                                                         struct lq_error *err);

/* Every kind of matrix of the model at `tokens` tokens, of which each expert gets its even share of
 * tokens * active / experts (active 0: the model's own). Writes up to `max` rates.
 * Errors: LQ_ENOFIT, LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_matmul_rates(const struct lq_backend *backend, struct lq_device *device,
                                         enum lq_element element, const struct lq_model *model,
                                         int64_t tokens, int64_t active, struct lq_matmul_rate *out,
                                         size_t max, size_t *count, struct lq_error *err);
