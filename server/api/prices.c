/* Lists prices, cheapest first per GPU. There is never a default price: what nobody offers is not
 * in the list, and a price that was not printed is null. */
#include "server/api/prices.h"

#include "server/api/page.h"
#include "server/json/catalog.h"
#include "server/json/member.h"

#include <stdio.h>
#include <strings.h>

json_t *lq_price_encode(const struct lq_price *price)
{
    double gpus = (double)price->gpu_count;
    json_t *object = json_object();
    json_object_set_new(object, "provider", json_string(price->provider));
    json_object_set_new(object, "region", lq_text_or_null(price->region));
    json_object_set_new(object, "instance_type", json_string(price->instance_type));
    json_object_set_new(object, "gpu", json_string(price->gpu));
    json_object_set_new(object, "gpu_count", json_integer(price->gpu_count));
    json_object_set_new(object, "usd_per_gpu_hour",
                        lq_quantity_encode(price->instance_usd_per_h / gpus));
    json_object_set_new(object, "spot_usd_per_gpu_hour",
                        lq_quantity_encode(price->instance_spot_usd_per_h / gpus));
    json_object_set_new(object, "instance_usd_per_hour",
                        lq_quantity_encode(price->instance_usd_per_h));
    json_object_set_new(object, "instance_spot_usd_per_hour",
                        lq_quantity_encode(price->instance_spot_usd_per_h));
    json_object_set_new(object, "price_date", json_string(price->date));
    json_object_set_new(object, "stale", json_boolean(price->stale));
    json_object_set_new(object, "source", json_string(price->source));
    return object;
}

struct query {
    const struct lq_catalog *catalog;
    const char *gpu;      /* NULL = any */
    const char *provider; /* NULL = any */
};

static bool match(const void *context, size_t i)
{
    const struct query *query = context;
    const struct lq_price *price = &query->catalog->prices[i];
    return (query->gpu == NULL || strcasecmp(price->gpu, query->gpu) == 0) &&
           (query->provider == NULL || strcasecmp(price->provider, query->provider) == 0);
}

/* Rows have no id, so a cursor counts them; it holds as long as the prices do. */
static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct query *query = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s/%zu", query->catalog->prices_version, i);
}

static json_t *encode(const void *context, size_t i)
{
    const struct query *query = context;
    return lq_price_encode(&query->catalog->prices[i]);
}

/* A filter by something unknown is a mistake, not an empty list. */
static enum lq_code check_references(struct lq_call *call, const struct query *query)
{
    enum lq_code code = LQ_OK;
    if (query->gpu != NULL && lq_catalog_gpu(call->catalog, query->gpu) == NULL) {
        code = lq_faults_add(call->faults, LQ_EREFERENCE, "/gpu", "no GPU has the id \"%.80s\"",
                             query->gpu);
    }
    if (query->provider != NULL && lq_catalog_provider(call->catalog, query->provider) == NULL) {
        code = lq_faults_add(call->faults, LQ_EREFERENCE, "/provider",
                             "no provider has the id \"%.80s\"", query->provider);
    }
    return code;
}

enum lq_code lq_prices_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", "gpu", "provider", NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    const struct query query = {call->catalog, lq_query_get(call->request, "gpu"),
                                lq_query_get(call->request, "provider")};
    LQ_TRY(check_references(call, &query));
    if (lq_reply_unchanged(call, call->catalog->prices_version, reply)) {
        return LQ_OK;
    }
    const struct lq_list list = {.name = "prices",
                                 .context = &query,
                                 .count = call->catalog->price_count,
                                 .match = match,
                                 .key = key,
                                 .encode = encode};
    return lq_list_reply(call, &list, reply);
}
