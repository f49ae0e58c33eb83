/* What a job costs at each offer of the price catalog. */
#pragma once

#include "core/finetune/cost.h"
#include "server/json/estimate.h"
#include "server/json/job.h"

#include <stdbool.h>
#include <stddef.h>

struct lq_catalog;
struct lq_price;

/* One priced option; `price` is NULL where the request named its own rate. */
struct lq_offer_quote {
    const struct lq_price *price;
    struct lq_cost cost;
    int64_t instance_gpus;
};

enum { LQ_OFFERS_MAX = 512 };

/* What is rented, and whose prices count. Borrowed. */
struct lq_demand {
    const struct lq_gpu *gpu;
    int64_t gpu_count;
    const struct lq_terms *terms;
    bool replicated; /* as many as fit share an instance, and none is spread over several */
    bool spot;       /* at spot prices; a rate of one's own is none */
};

/* Fills `out` (room for LQ_OFFERS_MAX), cheapest first (then by provider, instance type, region),
 * with the on-demand (or spot) offers for the GPU: those of the named providers, of all where none
 * is named, or the request's own rate, for `duration_s`. Only where no instance on offer holds all
 * the GPUs are several taken, and then as few as can be. Returns how many; 0 = nobody prices this
 * GPU.
 */
size_t lq_offers_find(const struct lq_demand *demand, const struct lq_catalog *catalog,
                      double duration_s, struct lq_offer_quote *out);

/* The same for a job that takes `duration_s`. */
size_t lq_offers(const struct lq_job_document *document, const struct lq_catalog *catalog,
                 double duration_s, struct lq_offer_quote *out);

/* An offer as a line of the cost list; strings are borrowed from the price. */
struct lq_cost_line lq_offer_line(const struct lq_offer_quote *offer);
