/* Lists, reads and takes scaling laws. A law never changes and is never removed. */
#include "server/api/scaling_laws.h"

#include "core/planning/law_printed.h"
#include "server/api/jobs.h"
#include "server/api/lookup.h"
#include "server/api/page.h"
#include "server/jobs/law_order.h"
#include "server/jobs/queue.h"
#include "server/json/law.h"
#include "server/json/law_fit.h"
#include "server/store/laws.h"
#include "server/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct query {
    const struct lq_catalog *catalog;
    const char *status;
    const char *form;
};

/* The user's law behind the shipped ones, or NULL for a shipped one. */
static const struct lq_law_entry *entry_at(const struct lq_catalog *catalog, size_t i)
{
    return i < lq_law_count() ? NULL : &catalog->laws[i - lq_law_count()];
}

static const struct lq_law *law_at(const struct lq_catalog *catalog, size_t i)
{
    const struct lq_law_entry *entry = entry_at(catalog, i);
    return entry != NULL ? &entry->law : lq_law_at(i);
}

static json_t *law_encode(const struct lq_law *law, const struct lq_law_entry *entry, bool whole)
{
    if (entry == NULL) {
        return lq_law_encode(law, NULL, whole);
    }
    const struct lq_law_record record = {entry->fit, entry->posted_by, entry->created_at};
    return lq_law_encode(law, &record, whole);
}

static bool is(const char *asked, const char *value)
{
    return asked == NULL || strcasecmp(asked, value) == 0;
}

static bool match(const void *context, size_t i)
{
    const struct query *query = context;
    const struct lq_law *law = law_at(query->catalog, i);
    return is(query->status, LQ_LAW_STATUS_NAMES[law->status]) && is(query->form, law->form->name);
}

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct query *query = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", law_at(query->catalog, i)->id);
}

static json_t *encode(const void *context, size_t i)
{
    const struct query *query = context;
    return law_encode(law_at(query->catalog, i), entry_at(query->catalog, i), false);
}

enum lq_code lq_scaling_laws_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", "status", "form", NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    if (lq_reply_unchanged(call, call->catalog->laws_version, reply)) {
        return LQ_OK;
    }
    const struct query query = {call->catalog, lq_query_get(call->request, "status"),
                                lq_query_get(call->request, "form")};
    const struct lq_list list = {.name = "scaling_laws",
                                 .context = &query,
                                 .count = lq_law_count() + call->catalog->law_count,
                                 .match = match,
                                 .key = key,
                                 .encode = encode};
    return lq_list_reply(call, &list, reply);
}

/* Sets the paper's printed results beside the set's, to four digits, where it speaks of the form.
 */
static void set_printed(json_t *object, const struct lq_law *law)
{
    struct lq_printed_result results[LQ_PRINTED_RESULTS];
    const size_t n = lq_law_printed(law, results);
    json_t *list = n > 0 ? json_array() : NULL;
    for (size_t i = 0; i < n; i++) {
        char digits[32];
        snprintf(digits, sizeof digits, "%.4g", results[i].reproduced);
        json_array_append_new(
            list,
            json_pack("{s:s, s:f, s:o}", "result", results[i].what, "printed", results[i].printed,
                      "reproduced",
                      results[i].reproduced > 0.0 ? json_real(strtod(digits, NULL)) : json_null()));
    }
    if (list != NULL) {
        json_object_set_new(object, "printed_results", list);
    }
}

static enum lq_code reply_law(struct lq_call *call, const struct lq_catalog *catalog,
                              const char *id, int status, struct lq_reply *reply)
{
    const struct lq_law *shipped = lq_law_find(id);
    const struct lq_law_entry *entry = shipped == NULL ? lq_catalog_law(catalog, id) : NULL;
    if (shipped == NULL && entry == NULL) {
        return lq_faults_add(call->faults, LQ_ENOTFOUND, NULL, "no law has the id \"%.80s\"", id);
    }
    const struct lq_law *law = shipped != NULL ? shipped : &entry->law;
    json_t *object = law_encode(law, entry, true);
    set_printed(object, law);
    return lq_reply_json(call, object, status, reply);
}

enum lq_code lq_scaling_laws_get(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    return reply_law(call, call->catalog, call->request->param, 200, reply);
}

/* The call's own snapshot is older than what was just stored. */
static enum lq_code reply_stored(struct lq_call *call, const char *id, struct lq_reply *reply)
{
    const struct lq_catalog *catalog = lq_store_acquire(call->store);
    const enum lq_code code = reply_law(call, catalog, id, 201, reply);
    lq_store_release(call->store, catalog);
    snprintf(reply->location, sizeof reply->location, "/v1/scaling-laws/%s", id);
    return code;
}

/* What the store would refuse too, but before a long fit is made; and names that it cannot know. */
static enum lq_code refuse_taken(struct lq_call *call, const char *id)
{
    const struct lq_law *shipped = lq_law_find(id);
    if (shipped != NULL || strcmp(id, "all-applicable") == 0) {
        return lq_faults_add(call->faults, LQ_ECONFLICT, "/name",
                             "\"%s\" is a name of this program's own; choose another", id);
    }
    const struct lq_law_entry *entry = lq_catalog_law(call->catalog, id);
    if (entry != NULL) {
        return lq_faults_add(
            call->faults, LQ_ECONFLICT, "/name",
            "the law \"%s\" was stored at %s and never changes; choose another name", id,
            entry->created_at);
    }
    return LQ_OK;
}

static enum lq_code store_given(struct lq_call *call, const struct lq_law_document *document,
                                struct lq_reply *reply)
{
    const struct lq_new_law law = {
        .law = &document->law, .fit = "", .token_name = call->request->token_name};
    struct lq_error err = {0};
    if (lq_store_add_law(call->store, &law, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    return reply_stored(call, document->id, reply);
}

/* Fits on this thread, which is_long has found to be quick. */
static enum lq_code fit_now(struct lq_call *call, const char *id, struct lq_law_order *order,
                            struct lq_reply *reply)
{
    struct lq_error err = {0};
    char *text = NULL;
    const enum lq_code code = lq_law_order_run(order, NULL, &text, &err);
    lq_law_order_free(order);
    if (code != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    reply->status = 201;
    reply->body = text;
    reply->body_size = strlen(text);
    reply->free_body = lq_text_free;
    snprintf(reply->location, sizeof reply->location, "/v1/scaling-laws/%s", id);
    return LQ_OK;
}

static enum lq_code fit_later(struct lq_call *call, struct lq_law_order *order,
                              struct lq_reply *reply)
{
    const struct lq_task task = {
        .kind = "law-fit", .run = lq_law_order_run, .release = lq_law_order_free, .context = order};
    char id[LQ_TASK_ID_SIZE];
    struct lq_error err = {0};
    if (lq_queue_post(call->queue, &task, call->request->token_id, id, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    return lq_jobs_accepted(call, id, reply);
}

static enum lq_code fit(struct lq_call *call, const struct lq_law_document *posted,
                        struct lq_reply *reply)
{
    const struct lq_lookup lookup = lq_catalog_lookup(call->catalog);
    struct lq_law_fit_document document;
    enum lq_code code = lq_law_fit_decode(posted, &lookup, &document, call->faults);
    if (code != LQ_OK) {
        lq_law_fit_release(&document);
        return code;
    }
    struct lq_law_order *order = NULL;
    struct lq_error err = {0};
    if (lq_law_order_new(posted, &document, call->store, call->request->token_name, &order, &err) !=
        LQ_OK) {
        return lq_call_fail(call, &err);
    }
    return lq_law_order_is_long(order) ? fit_later(call, order, reply)
                                       : fit_now(call, posted->id, order, reply);
}

enum lq_code lq_scaling_laws_post(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    struct lq_law_document document;
    enum lq_code code = lq_law_decode(root, &document, call->faults);
    if (code == LQ_OK) {
        code = refuse_taken(call, document.id);
    }
    if (code == LQ_OK) {
        code = document.runs != NULL ? fit(call, &document, reply)
                                     : store_given(call, &document, reply);
    }
    json_decref(root);
    return code;
}
