/* Fitted coefficients with what they rest on: one per (estimator, identity). */
#pragma once

#include "core/finetune/point.h"

#include <stddef.h>
#include <stdint.h>

/* What a fit's coefficients mean. */
enum lq_fit_kind {
    LQ_FIT_STEP_TIME, /* default: t0, t1, t1 per active expert */
    LQ_FIT_XIA2024,   /* a + c * ln(batch) / (sparsity * C3) */
    LQ_FIT_XIA2024_PRINTED, /* C2 * ln(batch / (sparsity * C3)) + C4 */
    LQ_FIT_MEMORY     /* the activation factor of the memory model */
};

enum { LQ_COEFFICIENTS_MAX = 4 };

struct lq_fit {
    char id[LQ_ID_MAX * 2];
    enum lq_fit_kind kind;
    struct lq_identity identity; /* gpu is "" where the fit spans all GPUs (memory) */
    char lengths[LQ_ID_MAX];     /* xia2024 forms: the distribution they hold for; else "" */
    int coefficients;
    double coefficient[LQ_COEFFICIENTS_MAX];
    double covariance[LQ_COEFFICIENTS_MAX * LQ_COEFFICIENTS_MAX]; /* row-major, of the logarithms */
    size_t points;
    double rmse_queries_per_s;
    double mape; /* mean |predicted / measured - 1| */
    double bias; /* mean of predicted / measured - 1 */
    double residual_log; /* robust spread of ln(predicted / measured) */
};
