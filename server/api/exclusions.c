/* Lets an operator leave a worker's or a source's points out of fits, and confirm single points
 * that look wrong. Both change what fits rest on, never the points. */
#include "server/api/exclusions.h"

#include "server/api/page.h"
#include "server/store/trust.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *exclusion_encode(const struct lq_exclusion *exclusion)
{
    return json_pack("{s:s, s:I, s:s, s:s}", "id", exclusion->id, "points",
                     (json_int_t)exclusion->points, "excluded_by", exclusion->excluded_by,
                     "excluded_at", exclusion->excluded_at);
}

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct lq_exclusion *list = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", list[i].id);
}

static json_t *encode(const void *context, size_t i)
{
    const struct lq_exclusion *list = context;
    return exclusion_encode(&list[i]);
}

enum lq_code lq_exclusions_list(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){"limit", "cursor", NULL}));
    struct lq_exclusion *exclusions = NULL;
    size_t count = 0;
    struct lq_error err = {0};
    if (lq_store_list_exclusions(call->store, &exclusions, &count, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    const struct lq_list list = {.name = "exclusions",
                                 .context = exclusions,
                                 .count = count,
                                 .sorted = true,
                                 .key = key,
                                 .encode = encode};
    const enum lq_code code = lq_list_reply(call, &list, reply);
    free(exclusions);
    return code;
}

enum lq_code lq_exclusions_put(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    char id[LQ_ID_MAX];
    LQ_TRY(lq_path_id(call, id));
    struct lq_exclusion exclusion;
    bool created = false;
    struct lq_error err = {0};
    if (lq_store_exclude(call->store, id, call->request->token_name, &exclusion, &created, &err) !=
        LQ_OK) {
        return lq_call_fail(call, &err);
    }
    return lq_reply_json(call, exclusion_encode(&exclusion), created ? 201 : 200, reply);
}

enum lq_code lq_exclusions_delete(struct lq_call *call, struct lq_reply *reply)
{
    return lq_reply_changed(call, lq_store_readmit, reply);
}

static enum lq_code confirm(struct lq_store *store, const char *id, struct lq_error *err)
{
    return lq_store_confirm_point(store, id, true, err);
}

static enum lq_code take_back(struct lq_store *store, const char *id, struct lq_error *err)
{
    return lq_store_confirm_point(store, id, false, err);
}

enum lq_code lq_confirmations_put(struct lq_call *call, struct lq_reply *reply)
{
    return lq_reply_changed(call, confirm, reply);
}

enum lq_code lq_confirmations_delete(struct lq_call *call, struct lq_reply *reply)
{
    return lq_reply_changed(call, take_back, reply);
}
