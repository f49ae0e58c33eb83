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

/* got <= most; on failure prints both, always prints what was measured. */
void assert_at_most(const char *what, double got, double most);

/* The job of Table IV: Mixtral-8x7B QLoRA on MATH, top-2, 15,000 queries, 10 epochs, on one GPU. */
struct lq_job paper_job(const struct lq_catalog *catalog, const char *gpu);

/* Evidence of a whole catalog. */
struct lq_evidence evidence_of(const struct lq_catalog *catalog);

/* Fitted points of a model on a GPU. */
struct lq_selection {
    const char *model;
    const char *gpu;
    const char *dataset; /* label, or NULL: any set */
};
enum { SELECTED_MAX = 64 };

/* Those points in the catalog's order; aborts where there are none or more than SELECTED_MAX. */
size_t points_of(const struct lq_catalog *catalog, const struct lq_selection *selection,
                 const struct lq_point *out[SELECTED_MAX]);

/* The catalog's step-time fit of the points' identity; aborts where there is none. */
const struct lq_fit *fit_of(const struct lq_catalog *catalog, const struct lq_identity *identity);

/* Mean |predicted / measured - 1| of a step-time fit over points. */
double mean_error(const struct lq_catalog *catalog, const struct lq_fit *fit,
                  const struct lq_point *const *points, size_t n);
