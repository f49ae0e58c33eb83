/* Reads and ends price lists. What is shipped has no versions but the program's; of one's own every
 * version stays readable, also behind the end of the last. */
#include "server/api/price_lists.h"

#include "server/api/page.h"
#include "server/api/prices.h"
#include "server/json/member.h"
#include "server/store/price_lists.h"
#include "server/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

json_t *lq_price_list_encode(const struct lq_price_list *list)
{
    json_t *object = json_object();
    json_object_set_new(object, "version", json_integer(list->version));
    json_object_set_new(object, "prices", json_integer(list->prices));
    json_object_set_new(object, "price_date", json_string(list->date));
    json_object_set_new(object, "layout", json_string(list->layout));
    json_object_set_new(object, "content_sha256", json_string(list->digest));
    json_object_set_new(object, "posted_by", json_string(list->posted_by));
    json_object_set_new(object, "stored_at", json_string(list->stored_at));
    json_object_set_new(object, "ended_at", lq_text_or_null(list->ended_at));
    return object;
}

/* Prices of one provider: a version's, or with `list` NULL those of a shipped one. */
struct view {
    const struct lq_catalog *catalog;
    const struct lq_provider *provider; /* of the catalog; NULL with `list` */
    const struct lq_price_list *list;
    const struct lq_price *prices;
};

static bool match(const void *context, size_t i)
{
    const struct view *view = context;
    return view->list != NULL || strcasecmp(view->prices[i].provider, view->provider->id) == 0;
}

/* Rows have no id: a cursor counts those of one version. */
static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct view *view = context;
    if (view->list != NULL) {
        snprintf(out, LQ_PAGE_KEY_MAX, "%lld/%zu", (long long)view->list->version, i);
    } else {
        snprintf(out, LQ_PAGE_KEY_MAX, "%s/%zu", view->catalog->prices_version, i);
    }
}

static json_t *encode(const void *context, size_t i)
{
    const struct view *view = context;
    struct lq_price price = view->prices[i];
    price.stale = lq_price_is_stale(view->catalog, price.date);
    return lq_price_encode(&price);
}

static json_t *head(const void *context)
{
    const struct view *view = context;
    const struct lq_price_list *list = view->list;
    json_t *object = json_object();
    json_object_set_new(object, "provider",
                        json_string(list != NULL ? list->provider : view->provider->id));
    json_object_set_new(object, "currency", json_string("USD"));
    json_object_set_new(object, "shipped", json_boolean(list == NULL));
    json_object_set_new(object, "stale",
                        json_boolean(lq_price_is_stale(
                            view->catalog, list != NULL ? list->date : view->provider->date)));
    json_object_set_new(object, "list", list != NULL ? lq_price_list_encode(list) : json_null());
    return object;
}

static enum lq_code reply_view(struct lq_call *call, const struct view *view, size_t count,
                               struct lq_reply *reply)
{
    const struct lq_list list = {.name = "prices",
                                 .context = view,
                                 .head = head,
                                 .count = count,
                                 .match = match,
                                 .key = key,
                                 .encode = encode};
    return lq_list_reply(call, &list, reply);
}

static enum lq_code reply_list(struct lq_call *call, const struct lq_price_list *list,
                               struct lq_reply *reply)
{
    struct lq_pool pool = {0};
    struct lq_price *prices = NULL;
    struct lq_error err = {0};
    enum lq_code code = lq_store_prices_of(call->store, list, &pool, &prices, &err);
    if (code != LQ_OK) {
        lq_call_fail(call, &err);
    } else {
        const struct view view = {.catalog = call->catalog, .list = list, .prices = prices};
        code = reply_view(call, &view, (size_t)list->prices, reply);
    }
    lq_pool_clear(&pool);
    return code;
}

/* Which version is asked for: the one in force at a time, or that of a number, or neither. */
struct choice {
    const char *at; /* NULL = not by time */
    char at_utc[LQ_UTC_MAX];
    const char *version; /* NULL = not by number */
    long number;
};

enum { DAY_S = 86400, VERSION_DIGITS_MAX = 9 };

/* A time, or the last second of a date's last day. */
static bool parse_at(const char *text, char utc[LQ_UTC_MAX])
{
    time_t time = 0;
    long day = 0;
    if (lq_last_day(text, &day)) {
        time = (time_t)day * DAY_S + DAY_S - 1;
    } else if (!lq_utc_parse(text, &time)) {
        return false;
    }
    lq_utc_text(time, utc);
    return true;
}

static enum lq_code read_choice(struct lq_call *call, struct choice *choice)
{
    *choice = (struct choice){.at = lq_query_get(call->request, "at"),
                              .version = lq_query_get(call->request, "version")};
    enum lq_code code = LQ_OK;
    if (choice->at != NULL && choice->version != NULL) {
        code = lq_faults_add(call->faults, LQ_EFIELD, "/at", "must be left out beside version");
    }
    if (choice->at != NULL && !parse_at(choice->at, choice->at_utc)) {
        code = lq_faults_add(call->faults, LQ_EFIELD, "/at",
                             "must be a date like 2026-07-20 or a time like 2026-07-20T10:00:00Z, "
                             "got \"%.40s\"",
                             choice->at);
    }
    if (choice->version != NULL) {
        const size_t size = strlen(choice->version);
        const bool is_number =
            size > 0 && size <= VERSION_DIGITS_MAX && strspn(choice->version, "0123456789") == size;
        choice->number = is_number ? strtol(choice->version, NULL, 10) : 0;
        if (choice->number < 1) {
            code = lq_faults_add(call->faults, LQ_EFIELD, "/version",
                                 "must be a whole number from 1, got \"%.40s\"", choice->version);
        }
    }
    return code;
}

/* Whether a version is the one. Times in one format compare as texts. */
static bool is_chosen(const struct choice *choice, const struct lq_price_list *list)
{
    if (choice->version != NULL) {
        return list->version == choice->number;
    }
    if (choice->at != NULL) {
        return strcmp(list->stored_at, choice->at_utc) <= 0 &&
               (list->ended_at[0] == '\0' || strcmp(list->ended_at, choice->at_utc) > 0);
    }
    return list->ended_at[0] == '\0';
}

static enum lq_code refuse(struct lq_call *call, const char *id, const struct choice *choice,
                           const struct lq_price_list *newest)
{
    if (newest == NULL) {
        return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL, "no provider has the id \"%.80s\"",
                             id);
    }
    if (choice->version != NULL) {
        return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL,
                             "the list of \"%s\" has versions 1 to %lld", id,
                             (long long)newest->version);
    }
    if (choice->at != NULL) {
        return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL,
                             "no list of \"%s\" was in force at %s", id, choice->at_utc);
    }
    return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL,
                         "the list of \"%s\" was deleted at %s; ask for a version from 1 to %lld",
                         id, newest->ended_at, (long long)newest->version);
}

static enum lq_code get_shipped(struct lq_call *call, const struct lq_provider *provider,
                                const struct choice *choice, struct lq_reply *reply)
{
    if (choice->at != NULL || choice->version != NULL) {
        return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL,
                             "the prices of \"%s\" are shipped with the program: they have no "
                             "versions but its own",
                             provider->id);
    }
    const struct view view = {
        .catalog = call->catalog, .provider = provider, .prices = call->catalog->prices};
    return reply_view(call, &view, call->catalog->price_count, reply);
}

enum lq_code lq_price_lists_get(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", "at", "version", NULL};
    char id[LQ_ID_MAX];
    struct choice choice;
    LQ_TRY(lq_query_check(call, NAMES));
    LQ_TRY(lq_path_id(call, id));
    LQ_TRY(read_choice(call, &choice));
    const struct lq_provider *provider = lq_catalog_provider(call->catalog, id);
    if (provider != NULL && provider->shipped) {
        return get_shipped(call, provider, &choice, reply);
    }
    struct lq_price_list *lists = NULL;
    size_t count = 0;
    struct lq_error err = {0};
    if (lq_store_price_lists(call->store, id, &lists, &count, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    size_t i = 0;
    while (i < count && !is_chosen(&choice, &lists[i])) {
        i++;
    }
    enum lq_code code = i < count ? reply_list(call, &lists[i], reply)
                                  : refuse(call, id, &choice, count > 0 ? lists : NULL);
    free(lists);
    return code;
}

static void version_key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct lq_price_list *lists = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%lld", (long long)lists[i].version);
}

static json_t *version_encode(const void *context, size_t i)
{
    const struct lq_price_list *lists = context;
    return lq_price_list_encode(&lists[i]);
}

enum lq_code lq_price_lists_versions(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", NULL};
    char id[LQ_ID_MAX];
    LQ_TRY(lq_query_check(call, NAMES));
    LQ_TRY(lq_path_id(call, id));
    struct lq_price_list *lists = NULL;
    size_t count = 0;
    struct lq_error err = {0};
    if (lq_store_price_lists(call->store, id, &lists, &count, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    enum lq_code code;
    if (count == 0 && lq_catalog_provider(call->catalog, id) == NULL) {
        code = refuse(call, id, &(struct choice){.number = 0}, NULL);
    } else { /* a shipped provider has none */
        const struct lq_list list = {.name = "versions",
                                     .context = lists,
                                     .count = count,
                                     .key = version_key,
                                     .encode = version_encode};
        code = lq_list_reply(call, &list, reply);
    }
    free(lists);
    return code;
}

enum lq_code lq_price_lists_delete(struct lq_call *call, struct lq_reply *reply)
{
    return lq_reply_changed(call, lq_store_delete_prices, reply);
}
