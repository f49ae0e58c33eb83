/* One training step of a model, measured: a layer of each kind and the ends of the model run for
 * real, and their times and bytes are scaled to all layers. */
#pragma once

#include "core/arch/expert_load.h"
#include "core/arch/model.h"
#include "core/finetune/work.h"
#include "kernels/backend.h"
#include "kernels/measure/timing.h"

#include <stdbool.h>

/* What is measured, and how long. Borrowed pointers. */
struct lq_measure_job {
    const struct lq_backend *backend;
    struct lq_device *device;
    enum lq_element element;
    const struct lq_model *model;
    const struct lq_method *method;
    enum lq_checkpointing checkpointing;
    int64_t batch_size;
    int64_t tokens;         /* of a row */
    int64_t active_experts; /* 0: the model's own */
    double skew;            /* of the routing, 0 even */
    double budget_s;        /* of one round of one kind of layer; > 0 */
    int rounds_max;         /* rounds of one kind of layer at most; >= 2, or 1 for a glance */
};

/* Seconds of the whole model, one micro-batch with its optimizer step, timed as stopwatch.h says.
 */
struct lq_measured {
    struct lq_timing step;
    double forward_s;  /* medians */
    double backward_s; /* recomputation included */
    double optimizer_s;
    double term_s[LQ_TERM_COUNT]; /* of the quickest of a few more steps, every operation waited
                                     for: on a device that runs behind, waits included */
    double peak_bytes;            /* of device memory, from what each part of the model took */
    int rounds;
    bool is_noisy; /* of some kind of layer no two rounds agreed, or the quicker one was noisy */
    bool has_load;
    struct lq_expert_load load; /* tokens by expert, in the layer with the most experts */
    struct lq_device_state state;
};

/* Measures. Errors: LQ_ENOFIT where not even one layer fits, LQ_EIMPOSSIBLE (layer.h),
 * LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_measure(const struct lq_measure_job *job, struct lq_measured *out,
                                    struct lq_error *err);
