/* Makes fits of the stored points. */
#pragma once

#include "core/finetune/estimate.h"
#include "core/finetune/fit.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fits every estimator to every identity of the catalog's points and capacities, in a fixed order,
 * so that the same data gives the same fits and ids. `*fits` is new (free()), ascending by id; a
 * group that does not determine its coefficients has none. Errors: LQ_EINTERNAL (out of memory).
 * Held-out evidence (source xia2024-fig4) is left out. A posted point whose step is off the fits
 * made without it by more than a factor of three is marked as an outlier, which nobody but the
 * maker of the catalog may see happen, and left out until it is confirmed. */
LQ_MUST_USE enum lq_code lq_refit(const struct lq_catalog *catalog, struct lq_fit **fits,
                                  size_t *count, struct lq_error *err);

/* The observation a stored point is for fits of its identity. */
struct lq_observation lq_observation_of(const struct lq_point *point);

/* False where a posted point is faster than the device's peak rate allows or 100 times slower than
 * is counted, holds more memory than the device has or a quarter of what is counted, or did not fit
 * where a quarter of the device is counted: it is kept and shown, but no fit rests on it. Shipped
 * points are taken as they are. */
bool lq_point_is_plausible(const struct lq_catalog *catalog, const struct lq_point *point);

/* True where a point may be part of fits: not held out, and it counts. */
bool lq_point_is_fitted(const struct lq_point *point);

/* Queries per second that a fit predicts for a point of its identity; 0 where the catalog has lost
 * the point's model or GPU. */
double lq_fit_predict_point(const struct lq_catalog *catalog, const struct lq_fit *fit,
                            const struct lq_point *point);

/* A job that stands for an identity: what the prior needs. False where the catalog does not know
 * the model or the GPU any more. Pointers are borrowed from both arguments. */
bool lq_job_of(const struct lq_catalog *catalog, const struct lq_identity *identity,
               struct lq_job *job);

/* The same for the memory of an identity that may have no GPU; what the catalog does not know is
 * NULL. */
void lq_job_of_memory(const struct lq_catalog *catalog, const struct lq_identity *identity,
                      struct lq_job *job);

/* The same with what a point adds: active experts, micro-batches per optimizer step. */
bool lq_job_of_point(const struct lq_catalog *catalog, const struct lq_point *point,
                     struct lq_job *job);

/* Whether a point is a stored calibration rather than a published run of another kind. */
bool lq_point_is_calibration(const struct lq_catalog *catalog, const struct lq_point *point);

/* Hashes that fits are named by: begun with what they are of, carried on by what they are made of.
 * A point also adds to what the fit tells of its points (sources, data, newest). */
uint64_t lq_sign_identity(const struct lq_identity *identity);
uint64_t lq_sign_point(uint64_t hash, const struct lq_point *point, struct lq_fit *fit);
