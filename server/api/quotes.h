/* A decoded job against a catalog: core's estimate and the offers that price it. Single estimates
 * and sweeps both go through here, so that they cannot differ. */
#pragma once

#include "server/api/offers.h"
#include "server/json/estimate.h"
#include "server/store/catalog.h"

#include <stdbool.h>

/* What an answer is made of; some 100 KiB. */
struct lq_quoted {
    struct lq_estimate estimate;
    struct lq_offer_quote offers[LQ_OFFERS_MAX];
    struct lq_cost_line costs[LQ_OFFERS_MAX]; /* of the offers, cheapest first */
    size_t cost_count;
};

/* Estimates the job that stands at `pointer` and finds its offers. False with a fault: those of
 * lq_estimate, and LQ_EUNPRICED where none of the named providers prices the GPU. */
bool lq_quote_job(const struct lq_catalog *catalog, const struct lq_job_document *document,
                  const char *pointer, struct lq_quoted *out, struct lq_faults *faults);

/* What the encoders take; borrows everything. Without suggestions. */
struct lq_quote lq_quote_view(const struct lq_catalog *catalog,
                              const struct lq_job_document *document,
                              const struct lq_quoted *quoted);
