/* Fits of the step time in every scope, from stored calibrations and published runs. */
#pragma once

#include "core/finetune/estimate.h"
#include "core/finetune/fit.h"
#include "server/jobs/scopes.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which measurements count: those that `keep` says yes to; NULL = all. */
struct lq_filter {
    bool (*keep)(const void *context, const struct lq_point *point);
    const void *context;
};

/* Fits all scopes from the widest to the narrowest, in a fixed order. Each fit starts from the
 * belief of the next wider scope; that of an identity from its model's other identities, so that no
 * point is its own prior. Wider scopes take a few points of each identity, evenly spread.
 * Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_refit_steps(const struct lq_catalog *catalog,
                                        const struct lq_filter *filter,
                                        const struct lq_fit_sink *sink, struct lq_error *err);

/* Fits one identity's points without `skip` (may be NULL) from the belief that a fit of its own
 * scope started from. */
LQ_MUST_USE enum lq_code lq_refit_identity(const struct lq_catalog *catalog,
                                           const struct lq_point *const *points, size_t count,
                                           const struct lq_point *skip,
                                           const struct lq_belief *prior, struct lq_fit *out,
                                           struct lq_error *err);

/* The belief an identity's fit starts from: everything stored but its own points. */
LQ_MUST_USE enum lq_code lq_refit_prior(const struct lq_catalog *catalog,
                                        const struct lq_identity *identity, struct lq_belief *out,
                                        struct lq_error *err);

/* What was seen of a point's step: its seconds, and the queries that all devices finish with it.
 * False where no rate was measured. */
bool lq_step_time_seen(const struct lq_point *point, double *step_s, double *queries);

/* The physics of a stored point, and what was seen. False where the catalog has lost its model or
 * GPU, or where no rate was measured. */
bool lq_step_observe(const struct lq_catalog *catalog, const struct lq_point *point,
                     struct lq_step_observation *out);
