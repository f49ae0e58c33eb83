/* Measured steps as calibration points: what is asked for, measured one by one, kept and sent. */
#pragma once

#include "kernels/base/settings.h"
#include "kernels/delivery/deliver.h"
#include "kernels/delivery/spool.h"
#include "kernels/measure/measure.h"
#include "kernels/measure/rig.h"
#include "kernels/worker/sweep.h"

struct lq_client;

/* What is the same for all points of a call. Borrowed pointers. */
struct lq_calibration_plan {
    const struct lq_model *model;
    const char *gpu;    /* id in the catalog */
    const char *source; /* who measures */
    struct lq_sweep_axes axes;
    int64_t rank;
    uint32_t targets;
    enum lq_checkpointing checkpointing;
    double skew;
    double budget_s; /* of one round of one kind of layer */
    int rounds_max;
    int64_t suggested; /* points to take from estimates' suggestions; 0: the whole grid */
};

/* Where points go. */
struct lq_calibration_sink {
    const struct lq_settings *settings;
    struct lq_spool *spool;   /* NULL: print them */
    struct lq_client *client; /* of suggestions; NULL: none are asked for */
    bool server_failed;       /* the last delivery failed: the next waits for the end */
};

/* What came of it. */
struct lq_calibration_sum {
    size_t measured;
    size_t noisy;
    size_t unfit; /* did not fit, or were larger than one that did not */
    struct lq_delivery sent;
    bool is_interrupted;
};

/* Measures all of it; each point is kept as soon as it is measured. What does not fit is told and
 * left out. Errors: LQ_ENOFIT where nothing fitted, LQ_EDEVICE, LQ_EFILE (the spool). */
LQ_MUST_USE enum lq_code lq_calibrate(const struct lq_calibration_plan *plan, struct lq_rig *rig,
                                      struct lq_calibration_sink *sink,
                                      struct lq_calibration_sum *sum, struct lq_error *err);
