/* Selects and ranks offers. What an offer costs is computed in core/finetune/cost. */
#include "server/api/offers.h"

#include "server/store/catalog.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_named(const struct lq_terms *terms, const struct lq_price *price)
{
    for (size_t i = 0; i < terms->provider_count; i++) {
        if (strcasecmp(terms->providers[i], price->provider) == 0) {
            return true;
        }
    }
    return terms->provider_count == 0;
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

static struct lq_cost cost_of(const struct lq_demand *demand, const struct lq_offer *offer,
                              double duration_s)
{
    return demand->replicated ? lq_cost_of_replica(offer, demand->gpu_count, duration_s)
                              : lq_cost_of(offer, demand->gpu_count, duration_s);
}

/* The catalog's offers of instances with at least so many GPUs. */
static size_t list_offers(const struct lq_demand *demand, const struct lq_catalog *catalog,
                          int64_t least_gpus, double duration_s, struct lq_offer_quote *out)
{
    size_t n = 0;
    size_t listed = 0;
    const struct lq_price *prices = lq_catalog_prices(catalog, demand->gpu->id, &listed);
    for (size_t i = 0; i < listed && n < LQ_OFFERS_MAX; i++) {
        const double usd_per_h =
            demand->spot ? prices[i].instance_spot_usd_per_h : prices[i].instance_usd_per_h;
        if (!(usd_per_h > 0.0) || prices[i].gpu_count < least_gpus ||
            !is_named(demand->terms, &prices[i])) {
            continue; /* not offered so, too small, or not asked for */
        }
        const struct lq_offer offer = {prices[i].gpu_count, usd_per_h};
        out[n].price = &prices[i];
        out[n].cost = cost_of(demand, &offer, duration_s);
        out[n].instance_gpus = prices[i].gpu_count;
        n++;
    }
    return n;
}

/* Of offers that all need several instances, those that need the fewest: what is estimated is one
 * machine, and each further one is further from it. */
static size_t keep_fewest(struct lq_offer_quote *offers, size_t n)
{
    int64_t fewest = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        fewest = offers[i].cost.instances < fewest ? offers[i].cost.instances : fewest;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (offers[i].cost.instances == fewest) {
            offers[kept++] = offers[i];
        }
    }
    return kept;
}

size_t lq_offers_find(const struct lq_demand *demand, const struct lq_catalog *catalog,
                      double duration_s, struct lq_offer_quote *out)
{
    if (demand->terms->usd_per_gpu_hour > 0.0) {
        /* a rate of one's own is for a machine of one's own, as large as it needs to be */
        const struct lq_offer offer = {demand->gpu_count,
                                       demand->terms->usd_per_gpu_hour * (double)demand->gpu_count};
        out[0] = (struct lq_offer_quote){.cost = cost_of(demand, &offer, duration_s),
                                         .instance_gpus = offer.gpu_count};
        return 1;
    }
    size_t n = list_offers(demand, catalog, demand->gpu_count, duration_s, out);
    if (n == 0) {
        n = keep_fewest(out, list_offers(demand, catalog, 1, duration_s, out));
    }
    qsort(out, n, sizeof *out, by_cost);
    return n;
}

size_t lq_offers(const struct lq_job_document *document, const struct lq_catalog *catalog,
                 double duration_s, struct lq_offer_quote *out)
{
    const struct lq_demand demand = {
        .gpu = document->job.gpu, .gpu_count = document->job.gpu_count, .terms = &document->terms};
    return lq_offers_find(&demand, catalog, duration_s, out);
}

struct lq_cost_line lq_offer_line(const struct lq_offer_quote *offer)
{
    const struct lq_price *price = offer->price;
    return (struct lq_cost_line){
        .provider = price != NULL ? price->provider : "request",
        .region = price != NULL ? price->region : "",
        .instance_type = price != NULL ? price->instance_type : "",
        .date = price != NULL ? price->date : "",
        .stale = price != NULL && price->stale,
        .instances = offer->cost.instances,
        .instance_gpus = offer->instance_gpus,
        .idle_gpus = offer->cost.idle_gpus,
        .usd_per_gpu_hour = offer->cost.usd_per_gpu_h,
        .cost_usd = offer->cost.cost_usd,
    };
}
