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

/* How honest intervals were: the share of n measured values that lay within theirs at one level,
 * and how wide those were. Always told together: either is easily had alone. */
struct lq_coverage {
    double level;
    double share;
    double width; /* geometric mean of high over low */
};

/* miss[i]: ln(predicted / measured); log_sd[i] > 0: what the interval was made of. 0 < level < 1,
 * n >= 1. */
struct lq_coverage lq_coverage_of(const double *miss, const double *log_sd, size_t n, double level);
