/* A catalog as a new database has it, for tests that hold the service to published figures. */
#pragma once

#include "core/finetune/estimate.h"
#include "server/store/store.h"

/* Opens a new database in a directory of its own with the real seed and fits; aborts where it
 * cannot. */
const struct lq_catalog *seeded_open(void);
void seeded_close(void);

/* |got - want| <= absolute + relative * |want|; on failure prints both and the share of tolerance.
 */
void assert_near(const char *what, double got, double want, double absolute, double relative);

/* The job of Table IV: Mixtral-8x7B QLoRA on MATH, top-2, 15,000 queries, 10 epochs, on one GPU. */
struct lq_job paper_job(const struct lq_catalog *catalog, const char *gpu);

/* Evidence of a whole catalog. */
struct lq_evidence evidence_of(const struct lq_catalog *catalog);

/* Observations of all fitted points of a labelled set (NULL: of the model and GPU, any set).
 * Returns how many were written to `out`, at most `room`; token_scale is relative to row
 * `reference_tokens`. */
struct lq_selection {
    const char *model;
    const char *gpu;
    const char *dataset; /* label, or NULL */
};
size_t observations_of(const struct lq_catalog *catalog, const struct lq_selection *selection,
                       struct lq_observation *out, size_t room);
