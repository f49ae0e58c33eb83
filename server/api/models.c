/* Lists, reads, stores and deletes models. A stored model is its config.json as it came; everything
 * else in an answer is computed from that. */
#include "server/api/models.h"

#include "server/api/measured.h"
#include "server/api/page.h"
#include "server/json/catalog.h"
#include "server/json/model_config.h"
#include "server/store/store.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Enough for every decimal of a published config.json to come back as it was written. */
enum { CONFIG_DIGITS = 15 };

static json_t *published_encode(int64_t parameters)
{
    return parameters > 0 ? json_integer(parameters) : json_null();
}

static json_t *entry_encode(const struct lq_model_entry *entry)
{
    json_t *object = lq_model_encode(&entry->model, &entry->parameters);
    json_object_set_new(object, "published_parameters",
                        published_encode(entry->published_parameters));
    json_object_set_new(object, "published_active_parameters",
                        published_encode(entry->published_active_parameters));
    json_object_set_new(object, "provenance", lq_provenance_encode(&entry->provenance));
    return object;
}

/* The entry with its document. */
static enum lq_code reply_entry(struct lq_call *call, const struct lq_model_entry *entry,
                                int status, struct lq_reply *reply)
{
    struct lq_faults faults = {0};
    json_t *config = lq_parse(entry->config, strlen(entry->config), &faults);
    if (config == NULL) {
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "stored config of %s: %s",
                             entry->model.id, faults.items[0].detail);
    }
    json_t *object = entry_encode(entry);
    json_object_set_new(object, "config", config);
    return lq_reply_json(call, object, status, reply);
}

struct query {
    const struct lq_catalog *catalog;
    const char *type; /* NULL = any */
};

static bool match(const void *context, size_t i)
{
    const struct query *query = context;
    return query->type == NULL ||
           strcasecmp(query->catalog->models[i].model.type, query->type) == 0;
}

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct query *query = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", query->catalog->models[i].model.id);
}

static json_t *encode(const void *context, size_t i)
{
    const struct query *query = context;
    return entry_encode(&query->catalog->models[i]);
}

enum lq_code lq_models_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", "type", NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    if (lq_reply_unchanged(call, call->catalog->catalog_version, reply)) {
        return LQ_OK;
    }
    const struct query query = {call->catalog, lq_query_get(call->request, "type")};
    const struct lq_list list = {.name = "models",
                                 .context = &query,
                                 .count = call->catalog->model_count,
                                 .sorted = true,
                                 .match = match,
                                 .key = key,
                                 .encode = encode};
    return lq_list_reply(call, &list, reply);
}

static enum lq_code not_found(struct lq_call *call, const char *id)
{
    return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL, "no model has the id \"%.80s\"", id);
}

enum lq_code lq_models_get(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    const struct lq_model_entry *entry = lq_catalog_model(call->catalog, call->request->param);
    if (entry == NULL) {
        return not_found(call, call->request->param);
    }
    if (lq_reply_unchanged(call, call->catalog->catalog_version, reply)) {
        return LQ_OK;
    }
    return reply_entry(call, entry, 200, reply);
}

/* Own ids are kept in lower case: they are kebab-case, and matched without regard to case. */
static void lower(char *id)
{
    for (char *p = id; *p != '\0'; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
}

/* Checks the body and stores it as one line of JSON. */
static enum lq_code store_config(struct lq_call *call, const char *id, const json_t *config,
                                 bool *created)
{
    struct lq_model model;
    LQ_TRY(lq_model_decode_json(id, config, "", &model, call->faults));
    if (lq_model_was_another(call->catalog, &model)) {
        return lq_faults_add(call->faults, LQ_ECONFLICT, NULL,
                             "calibrations were measured on another \"%s\"; delete them or take "
                             "another id",
                             id);
    }
    size_t size = 0;
    char *text = lq_dump(config, CONFIG_DIGITS, &size);
    if (text == NULL) {
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory for the config");
    }
    struct lq_error err = {0};
    enum lq_code code = lq_store_put_model(call->store, id, text, created, &err);
    lq_text_free(text);
    return code == LQ_OK ? LQ_OK : lq_call_fail(call, &err);
}

/* The call's own snapshot is older than what was just stored. */
static enum lq_code reply_stored(struct lq_call *call, const char *id, bool created,
                                 struct lq_reply *reply)
{
    const struct lq_catalog *catalog = lq_store_acquire(call->store);
    const struct lq_model_entry *entry = lq_catalog_model(catalog, id);
    /* Somebody may have deleted it since: it was stored all the same. */
    enum lq_code code =
        entry != NULL ? reply_entry(call, entry, created ? 201 : 200, reply) : not_found(call, id);
    lq_store_release(call->store, catalog);
    snprintf(reply->location, sizeof reply->location, "/v1/models/%s", id);
    return code;
}

enum lq_code lq_models_put(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    char id[LQ_ID_MAX];
    LQ_TRY(lq_path_id(call, id));
    lower(id);
    if (strcmp(id, LQ_INLINE_MODEL) == 0) {
        return lq_faults_add(call->faults, LQ_ECONFLICT, NULL,
                             "\"%s\" is what models without a name are called; take another id",
                             id);
    }
    json_t *config = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (config == NULL) {
        return call->faults->items[0].code;
    }
    bool created = false;
    enum lq_code code = store_config(call, id, config, &created);
    json_decref(config);
    return code == LQ_OK ? reply_stored(call, id, created, reply) : code;
}

enum lq_code lq_models_delete(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    if (lq_model_is_measured(call->catalog, call->request->param) &&
        lq_catalog_model(call->catalog, call->request->param) != NULL &&
        !lq_catalog_model(call->catalog, call->request->param)->provenance.shipped) {
        return lq_faults_add(call->faults, LQ_ECONFLICT, NULL,
                             "calibrations were measured on \"%.60s\"; delete them first",
                             call->request->param);
    }
    struct lq_error err = {0};
    if (lq_store_delete_model(call->store, call->request->param, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    reply->status = 204;
    return LQ_OK;
}
