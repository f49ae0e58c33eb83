/* Holds every estimator against every stored measured set. */
#pragma once

#include "core/finetune/validation.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>

/* One estimator on one set of throughputs (queries/s). */
struct lq_validation {
    const char *dataset; /* the set's label */
    const struct lq_identity *identity;
    const char *source;
    enum lq_fit_kind estimator;
    bool shipped;
    bool held_out; /* none of the set's points is in the fit */
    struct lq_errors errors;
    bool has_leave_one_out; /* false: held out, or too few or too many points */
    struct lq_errors leave_one_out;
};

/* One estimator's largest batches on one model, method and stack. */
struct lq_batch_validation {
    const struct lq_capacity *capacity;
    int64_t predicted;       /* by the memory model */
    int64_t predicted_paper; /* by Eq. 1 of xia2024 with the code's pair; -1 where there is none */
};

struct lq_validations {
    struct lq_validation *set;
    size_t set_count;
    struct lq_batch_validation *batch;
    size_t batch_count;
};

/* Computes all of it from a catalog. Release with lq_validations_release.
 * Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_validate(const struct lq_catalog *catalog, struct lq_validations *out,
                                     struct lq_error *err);
void lq_validations_release(struct lq_validations *validations);

/* A batch prediction counts as good within 15 % of the padded tokens or one query, and above 0. */
bool lq_batch_is_good(int64_t predicted, int64_t measured);
