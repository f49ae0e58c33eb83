/* Tune or buy: chooses how the tuned model would be served, and prices it. */
#pragma once

#include "server/json/ownership.h"

struct lq_catalog;

/* Fills `out` for a tuning of that cost: of the numbers of GPUs asked for, the one whose groups
 * cost the least a month at the traffic said, or else per request of a full group. Errors:
 * LQ_ENOFIT (no number of GPUs holds the model), LQ_EUNPRICED, LQ_ENUMBER, LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_ownership_find(const struct lq_ownership_document *document,
                                           const struct lq_catalog *catalog, double tuning_usd,
                                           double tuning_log_sd, struct lq_ownership_answer *out,
                                           struct lq_error *err);
