/* Lists the sources of prices: how many they name, of which date, and whether that is long ago. */
#include "server/api/providers.h"

#include "server/api/page.h"

#include <stdio.h>

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct lq_catalog *catalog = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", catalog->providers[i].id);
}

static json_t *encode(const void *context, size_t i)
{
    const struct lq_catalog *catalog = context;
    const struct lq_provider *provider = &catalog->providers[i];
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(provider->id));
    json_object_set_new(object, "price_date", json_string(provider->date));
    json_object_set_new(object, "stale", json_boolean(provider->stale));
    json_object_set_new(object, "shipped", json_boolean(provider->shipped));
    json_object_set_new(object, "prices", json_integer((json_int_t)provider->prices));
    return object;
}

enum lq_code lq_providers_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    if (lq_reply_unchanged(call, call->catalog->prices_version, reply)) {
        return LQ_OK;
    }
    const struct lq_list list = {.name = "providers",
                                 .context = call->catalog,
                                 .count = call->catalog->provider_count,
                                 .sorted = true,
                                 .key = key,
                                 .encode = encode};
    return lq_list_reply(call, &list, reply);
}
