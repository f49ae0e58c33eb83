/* The forms of Xia et al. 2024 (arXiv 2408.04693), as fitted and as printed: largest batch (Eq. 1),
 * throughput (Eq. 2). They are kept to reproduce the paper; the default estimator is not built on
 * them. */
#pragma once

#include "core/base/error.h"
#include "core/finetune/fit.h"

#include <stdint.h>

/* Coefficients of Eq. 1: floor(C0 * (gpu_gb - model_gb) / (tokens * ((1 - C1) + C1 * sparsity))).
 */
struct lq_xia2024_batch {
    double c0;
    double c1;
    double model_gb; /* Table I */
};

/* The coefficients for a catalog model as the paper's code has them (printed: as section V-A prints
 * them); NULL where the paper has none. */
const struct lq_xia2024_batch *lq_xia2024_batch_find(const char *model, bool printed);

/* Eq. 1: gpu_gb is the nominal capacity in the vendor's GB, tokens the longest row, sparsity
 * active / all experts. Returns queries, 0 where the model alone is too large. */
int64_t lq_xia2024_max_batch(const struct lq_xia2024_batch *c, double gpu_gb, double tokens,
                             double sparsity);

/* C3, the attenuation the authors set by hand: 1.8 for Mixtral, 2.5 for BlackMamba
 * (analytical_throughput/plot.py); 1 for others, where it only rescales the slope. */
double lq_xia2024_c3(const char *model);

/* Throughput in queries/s as the code fits it: a + c * ln(batch) / (sparsity * C3). */
double lq_xia2024_rate(const double coefficient[], double c3, double batch, double sparsity);
/* Throughput as Eq. 2 is printed: C2 * ln(batch / (sparsity * C3)) + C4. */
double lq_xia2024_printed_rate(const double coefficient[], double c3, double batch,
                               double sparsity);

/* Ordinary least squares of either form on queries/s, as the authors fit it.
 * kind: LQ_FIT_XIA2024 or LQ_FIT_XIA2024_PRINTED. out as in fit.h.
 * Errors: LQ_EFIT with fewer than two observations or only one abscissa. */
LQ_MUST_USE enum lq_code lq_fit_xia2024(enum lq_fit_kind kind,
                                        const struct lq_observation *observations, size_t n,
                                        double experts, double c3, struct lq_fit *out,
                                        struct lq_error *err);
