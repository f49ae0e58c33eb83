/* How wrong predictions were: the same measures for every estimator and every set. */
#pragma once

#include <stddef.h>

/* Errors of n predictions of positive quantities. Relative ones are shares, not percent. */
struct lq_errors {
    size_t n;
    double rmse;   /* in the quantity's unit */
    double mape;   /* mean |predicted / measured - 1| */
    double median; /* median of the same */
    double p90;    /* 90th percentile of the same (nearest rank) */
    double bias;   /* mean of predicted / measured - 1 */
};

/* Measures n >= 1 pairs. `scratch` has room for n doubles. */
struct lq_errors lq_errors_of(const double *predicted, const double *measured, size_t n,
                              double *scratch);
