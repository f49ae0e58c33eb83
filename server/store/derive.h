/* What a stored point leaves to be worked out: row length from its data set, and whichever of
 * throughput and step time it lacks. */
#pragma once

#include "core/base/error.h"
#include "server/store/catalog.h"

/* The last distribution that was prepared: neighbouring points mostly share one. Zero at first. */
struct lq_derivation {
    const struct lq_dataset *dataset;
    struct lq_padding_rule rule;
    struct lq_lengths lengths;
    struct lq_length_bin *scratch; /* owned */
};

/* Completes a point. One that lacks both throughput and step time lacks them afterwards. Errors:
 * LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_derive_point(const struct lq_catalog *catalog,
                                         struct lq_derivation *derivation, struct lq_point *point,
                                         struct lq_error *err);
void lq_derivation_release(struct lq_derivation *derivation);
