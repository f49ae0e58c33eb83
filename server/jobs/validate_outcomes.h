/* How estimates did that were kept: what was said before against what happened after. */
#pragma once

#include "core/finetune/validation.h"
#include "server/store/receipts.h"

#include <stddef.h>

/* One quantity of the outcomes of one month, or of all. */
struct lq_outcome_validation {
    enum lq_receipt_quantity quantity;
    char month[8];           /* "2026-11", when the outcomes were recorded; "" = all */
    struct lq_errors errors; /* estimate over outcome */
    double coverage;         /* share of outcomes within their estimate's interval */
    double level;            /* mean level of these: what coverage should be */
    double width;            /* geometric mean of high over low */
};

/* Measures kept estimates that have an outcome, in the order in which these were recorded: for each
 * quantity all of them, then month by month. `*rows` is new (free()), NULL where there are none.
 * Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_validate_outcomes(const struct lq_receipt *receipts, size_t count,
                                              struct lq_outcome_validation **rows,
                                              size_t *row_count, struct lq_error *err);
