/* Selects and ranks offers. What an offer costs is computed in core/finetune/cost. */
#include "server/api/offers.h"

#include "server/store/catalog.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_named(const struct lq_job_document *document, const struct lq_price *price)
{
    for (size_t i = 0; i < document->provider_count; i++) {
        if (strcasecmp(document->providers[i], price->provider) == 0) {
            return true;
        }
    }
    return document->provider_count == 0;
}

static int by_cost(const void *a, const void *b)
{
    const struct lq_offer_quote *left = a;
    const struct lq_offer_quote *right = b;
    if (left->cost.cost_usd != right->cost.cost_usd) {
        return left->cost.cost_usd < right->cost.cost_usd ? -1 : 1;
    }
    int order = strcmp(left->price->provider, right->price->provider);
    order = order != 0 ? order : strcmp(left->price->instance_type, right->price->instance_type);
    return order != 0 ? order : strcmp(left->price->region, right->price->region);
}

size_t lq_offers(const struct lq_job_document *document, const struct lq_catalog *catalog,
                 double duration_s, struct lq_offer_quote *out)
{
    const struct lq_job *job = &document->job;
    if (document->usd_per_gpu_hour > 0.0) {
        const struct lq_offer offer = {1, document->usd_per_gpu_hour};
        out[0] = (struct lq_offer_quote){.cost = lq_cost_of(&offer, job->gpu_count, duration_s)};
        return 1;
    }
    size_t n = 0;
    size_t listed = 0;
    const struct lq_price *prices = lq_catalog_prices(catalog, job->gpu->id, &listed);
    for (size_t i = 0; i < listed && n < LQ_OFFERS_MAX; i++) {
        if (!(prices[i].instance_usd_per_h > 0.0) || !is_named(document, &prices[i])) {
            continue; /* spot only, or not asked for */
        }
        const struct lq_offer offer = {prices[i].gpu_count, prices[i].instance_usd_per_h};
        out[n].price = &prices[i];
        out[n].cost = lq_cost_of(&offer, job->gpu_count, duration_s);
        n++;
    }
    qsort(out, n, sizeof *out, by_cost);
    return n;
}
