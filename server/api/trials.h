/* The trials of a comparison: one estimate for each GPU and number of them, then its offers. */
#pragma once

#include "core/finetune/compare.h"
#include "server/json/comparison_answer.h"

#include <stddef.h>

struct lq_catalog;

/* Everything tried and offered; owned. Release it with lq_trials_free. */
struct lq_trials {
    struct lq_trial *items; /* by GPU, then by count */
    size_t count;
    struct lq_choice *options;      /* in no order; `tie` is the number of the line */
    struct lq_compared_line *lines; /* as many */
    size_t option_count;
    size_t option_room;
    struct lq_infeasible *infeasible;
    size_t infeasible_count;
    struct lq_trial *unpriced; /* that infeasible entries point to */
    size_t unpriced_count;
};

/* Estimates the document's job on each of its GPUs (or the catalog's) and counts, each once, and
 * prices it with every offer that counts. GPUs that nobody prices are not estimated.
 * Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_trials_run(const struct lq_comparison_document *document,
                                       const struct lq_catalog *catalog, struct lq_trials *out,
                                       struct lq_error *err);

/* Says of every trial without an option in the bounds why, and what would change it. */
void lq_trials_explain(const struct lq_comparison_document *document,
                       const struct lq_catalog *catalog, struct lq_trials *trials);

/* A trial's job. */
struct lq_job lq_trial_job(const struct lq_comparison_document *document,
                           const struct lq_trial *trial);

void lq_trials_free(struct lq_trials *trials);
