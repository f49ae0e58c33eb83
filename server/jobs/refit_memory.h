/* Fits of the memory model in every scope, from largest batches, peaks and failures, of stored
 * calibrations and published runs. */
#pragma once

#include "core/finetune/fit.h"
#include "server/jobs/scopes.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>

/* One thing that was seen of memory. Borrows from the catalog. */
struct lq_memory_sight {
    struct lq_identity identity;  /* without GPU: what a step holds is the same on any */
    const struct lq_point *point; /* NULL where it is a largest batch or a longest row */
    const char *gpu;              /* "" where only the device's size is known */
    const char *source;
    bool is_calibration; /* else a published run of another kind */
    int64_t active_experts;
    int64_t accumulation_steps;
    struct lq_memory_observation seen;
};

/* All of them, in the catalog's order. */
struct lq_memory_sights {
    const struct lq_catalog *catalog;
    struct lq_memory_sight *item;
    size_t count;
};

/* Gathers and counts everything that was seen of memory. Release with lq_memory_sights_release.
 * Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_memory_sights_gather(const struct lq_catalog *catalog,
                                                 struct lq_memory_sights *out,
                                                 struct lq_error *err);
void lq_memory_sights_release(struct lq_memory_sights *sights);

/* Which of them count: those that `keep` says yes to; NULL = all. */
struct lq_memory_filter {
    bool (*keep)(const void *context, const struct lq_memory_sight *sight);
    const void *context;
};

/* Fits all scopes, as lq_scopes_fit says. Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_refit_memory(const struct lq_memory_sights *sights,
                                         const struct lq_memory_filter *filter,
                                         const struct lq_fit_sink *sink, struct lq_error *err);

/* Fits one identity's sights without `skip` (may be NULL) from a belief.
 * Errors: LQ_EFIT (none is left), LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_refit_memory_identity(const struct lq_memory_sights *sights,
                                                  const struct lq_identity *identity,
                                                  const struct lq_memory_sight *skip,
                                                  const struct lq_belief *prior, struct lq_fit *out,
                                                  struct lq_error *err);

/* The belief that an identity's fit starts from: of all that was seen but of itself.
 * identity: without GPU. Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_refit_memory_prior(const struct lq_memory_sights *sights,
                                               const struct lq_identity *identity,
                                               struct lq_belief *out, struct lq_error *err);
