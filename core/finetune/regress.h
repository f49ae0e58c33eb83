/* What is believed of a few factors, and how measurements move the belief: a regularised fit whose
 * prior is the belief of the next wider grade of evidence. */
#pragma once

#include "core/base/error.h"

#include <stddef.h>

enum { LQ_FACTORS_MAX = 8 };

/* Normal belief about ln(factor). */
struct lq_belief {
    int factors;                                        /* 1..LQ_FACTORS_MAX */
    double mean[LQ_FACTORS_MAX];                        /* of ln(factor) */
    double covariance[LQ_FACTORS_MAX * LQ_FACTORS_MAX]; /* row-major, rows of LQ_FACTORS_MAX */
};

/* Measurements to learn from. `evaluate` gives ln(predicted / measured) of measurement i at the
 * factors (exp of the belief's variables) and its gradient by ln(factor). */
struct lq_regression {
    /* told the factors before any measurement is evaluated at them; NULL: nothing to prepare */
    void (*prepare)(const void *context, const double *factor);
    void (*evaluate)(const void *context, size_t i, const double *factor, double *log_ratio,
                     double *gradient);
    const void *context;
    size_t count;
    const double *log_sd; /* standard deviation of each log_ratio, > 0 */
};

/* The factors themselves, exp(mean). */
void lq_belief_factors(const struct lq_belief *belief, double *factor);

/* Adds independent variances: what a new member of the group may differ by in each ln(factor). */
void lq_belief_widen(struct lq_belief *belief, const double *log_sd);

/* Variance of a quantity whose logarithm has this gradient by ln(factor). */
double lq_belief_variance(const struct lq_belief *belief, const double *gradient);

/* The belief after the measurements: minimises the pseudo-Huber sum of log_ratio / log_sd (linear
 * beyond two standard deviations) plus the prior's Mahalanobis distance, by damped Gauss-Newton
 * steps from the prior's mean. `*chi2` (may be NULL) gets the mean squared standardised residual.
 * With no measurements the posterior is the prior. Errors: LQ_EFIT (the prior's covariance is not
 * positive definite, or a residual is not finite). */
LQ_MUST_USE enum lq_code lq_regress(const struct lq_regression *regression,
                                    const struct lq_belief *prior, struct lq_belief *posterior,
                                    double *chi2, struct lq_error *err);
