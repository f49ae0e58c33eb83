/* Lists and reads GPUs, and stores one's own. */
#include "server/api/gpus.h"

#include "server/api/measured.h"
#include "server/api/page.h"
#include "server/json/catalog.h"
#include "server/store/store.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static json_t *entry_encode(const struct lq_gpu_entry *entry)
{
    json_t *object = lq_gpu_encode(&entry->gpu);
    json_object_set_new(object, "provenance", lq_provenance_encode(&entry->provenance));
    return object;
}

struct query {
    const struct lq_catalog *catalog;
    const char *vendor; /* NULL = any */
};

static bool match(const void *context, size_t i)
{
    const struct query *query = context;
    return query->vendor == NULL ||
           strcasecmp(query->catalog->gpus[i].gpu.vendor, query->vendor) == 0;
}

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct query *query = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", query->catalog->gpus[i].gpu.id);
}

static json_t *encode(const void *context, size_t i)
{
    const struct query *query = context;
    return entry_encode(&query->catalog->gpus[i]);
}

enum lq_code lq_gpus_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", "vendor", NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    if (lq_reply_unchanged(call, call->catalog->catalog_version, reply)) {
        return LQ_OK;
    }
    const struct query query = {call->catalog, lq_query_get(call->request, "vendor")};
    const struct lq_list list = {.name = "gpus",
                                 .context = &query,
                                 .count = call->catalog->gpu_count,
                                 .sorted = true,
                                 .match = match,
                                 .key = key,
                                 .encode = encode};
    return lq_list_reply(call, &list, reply);
}

static enum lq_code not_found(struct lq_call *call, const char *id)
{
    return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL, "no GPU has the id \"%.80s\"", id);
}

enum lq_code lq_gpus_get(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    const struct lq_gpu_entry *entry = lq_catalog_gpu(call->catalog, call->request->param);
    if (entry == NULL) {
        return not_found(call, call->request->param);
    }
    if (lq_reply_unchanged(call, call->catalog->catalog_version, reply)) {
        return LQ_OK;
    }
    return lq_reply_json(call, entry_encode(entry), 200, reply);
}

/* The body's own id may be left out; otherwise it is that of the path. */
static enum lq_code check_id(struct lq_call *call, const char *id, struct lq_gpu *gpu)
{
    if (gpu->id[0] != '\0' && strcasecmp(gpu->id, id) != 0) {
        return lq_faults_add(call->faults, LQ_EFIELD, "/id",
                             "must be \"%s\" as in the path, or be left out, got \"%s\"", id,
                             gpu->id);
    }
    snprintf(gpu->id, sizeof gpu->id, "%s", id);
    return LQ_OK;
}

/* The call's own snapshot is older than what was just stored. */
static enum lq_code reply_stored(struct lq_call *call, const char *id, bool created,
                                 struct lq_reply *reply)
{
    const struct lq_catalog *catalog = lq_store_acquire(call->store);
    const struct lq_gpu_entry *entry = lq_catalog_gpu(catalog, id);
    enum lq_code code = entry != NULL
                            ? lq_reply_json(call, entry_encode(entry), created ? 201 : 200, reply)
                            : not_found(call, id);
    lq_store_release(call->store, catalog);
    snprintf(reply->location, sizeof reply->location, "/v1/gpus/%s", id);
    return code;
}

enum lq_code lq_gpus_put(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    char id[LQ_ID_MAX];
    LQ_TRY(lq_path_id(call, id));
    json_t *body = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (body == NULL) {
        return call->faults->items[0].code;
    }
    struct lq_gpu_document document;
    enum lq_code code = lq_gpu_decode(body, &document, call->faults);
    json_decref(body);
    LQ_TRY(code);
    LQ_TRY(check_id(call, id, &document.gpu));
    if (lq_gpu_was_another(call->catalog, &document.gpu)) {
        return lq_faults_add(call->faults, LQ_ECONFLICT, NULL,
                             "calibrations were measured on another \"%s\"; delete them or take "
                             "another id",
                             id);
    }
    bool created = false;
    struct lq_error err = {0};
    if (lq_store_put_gpu(call->store, &document.gpu, document.source, &created, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    return reply_stored(call, id, created, reply);
}
