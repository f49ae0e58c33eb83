/* What a job costs at each offer of the price catalog. */
#pragma once

#include "core/finetune/cost.h"
#include "server/json/job.h"

#include <stddef.h>

struct lq_catalog;
struct lq_price;

/* One priced option; `price` is NULL where the request named its own rate. */
struct lq_offer_quote {
    const struct lq_price *price;
    struct lq_cost cost;
};

enum { LQ_OFFERS_MAX = 512 };

/* Fills `out` (room for LQ_OFFERS_MAX), cheapest first (then by provider, instance type, region),
 * with the on-demand offers for the job's GPU: those of the named providers, of all where none is
 * named, or the request's own rate. `duration_s` is the job's. Returns how many; 0 = nobody prices
 * this GPU. */
size_t lq_offers(const struct lq_job_document *document, const struct lq_catalog *catalog,
                 double duration_s, struct lq_offer_quote *out);
