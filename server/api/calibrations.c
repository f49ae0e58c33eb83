/* Takes measured points in and gives them out again. The store keeps each as it came. */
#include "server/api/calibrations.h"

#include "server/api/lookup.h"
#include "server/api/page.h"
#include "server/api/turns.h"
#include "server/jobs/refit.h"
#include "server/json/calibration.h"
#include "server/json/field.h"
#include "server/metrics.h"
#include "server/store/sha256.h"
#include "server/store/store.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { POINTS_MAX = 10000, KEY_MAX = 128 };

/* A batch while it is decoded; documents are the points' own texts. */
struct batch {
    struct lq_new_point *points;
    struct lq_point_document *decoded;
    char (*ids)[LQ_ID_MAX];
    size_t count;
};

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; batch->points != NULL && i < batch->count; i++) {
        lq_text_free((void *)(uintptr_t)batch->points[i].document);
    }
    free(batch->points);
    free(batch->decoded);
    free(batch->ids);
}

static bool batch_allocate(struct batch *batch, size_t count)
{
    batch->count = count;
    batch->points = calloc(count, sizeof *batch->points);
    batch->decoded = calloc(count, sizeof *batch->decoded);
    batch->ids = calloc(count, sizeof *batch->ids);
    return batch->points != NULL && batch->decoded != NULL && batch->ids != NULL;
}

/* A token's name as a source: what ids do not hold becomes '-'. */
static void name_source(const char *token_name, char source[LQ_ID_MAX])
{
    snprintf(source, LQ_ID_MAX, "%s", token_name);
    for (char *c = source; *c != '\0'; c++) {
        *c = isalnum((unsigned char)*c) || strchr("._-", *c) != NULL ? *c : '-';
    }
}

/* A point with both of its rates, whichever was given. */
static struct lq_point completed(const struct lq_point *given)
{
    struct lq_point point = *given;
    const double rows = (double)point.conditions.batch_size * point.conditions.queries_per_row *
                        (double)point.identity.layout.data;
    if (point.queries_per_s > 0.0) {
        point.step_time_s = rows / point.queries_per_s;
    } else if (point.step_time_s > 0.0) {
        point.queries_per_s = rows / point.step_time_s;
    }
    return point;
}

static void decode_points(const struct lq_call *call, const json_t *list, struct batch *batch)
{
    const struct lq_lookup lookup = lq_catalog_lookup(call->catalog);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        char pointer[32];
        size_t size = 0;
        snprintf(pointer, sizeof pointer, "/points/%zu", i);
        struct lq_point_document *decoded = &batch->decoded[i];
        if (lq_point_decode(item, pointer, &lookup, decoded, call->faults) != LQ_OK) {
            continue;
        }
        if (decoded->point.source[0] == '\0' && call->request->token_name != NULL) {
            /* whoever posts stands for what has no other source */
            name_source(call->request->token_name, decoded->point.source);
        }
        batch->points[i].point = decoded->point;
        batch->points[i].measured_at = decoded->measured_at;
        batch->points[i].document = lq_dump_canonical(item, &size);
        if (batch->points[i].document == NULL) {
            lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory");
        }
    }
}

/* How far new points are from the fit of their own identity, made before them: for the metrics.
 * A few of a batch tell, and an identity without a fit of its own says nothing. */
static void observe_drift(const struct lq_catalog *catalog, const struct batch *batch)
{
    enum { OBSERVED_POINTS = 8 };
    for (size_t i = 0; i < batch->count && i < OBSERVED_POINTS; i++) {
        const struct lq_point point = completed(&batch->points[i].point);
        for (size_t f = 0; f < catalog->fit_count && point.queries_per_s > 0.0; f++) {
            const struct lq_fit *fit = &catalog->fits[f];
            if (fit->kind != LQ_FIT_STEP_TIME || fit->scope != LQ_SCOPE_IDENTITY ||
                !lq_identity_equal(&fit->identity, &point.identity)) {
                continue;
            }
            const double predicted = lq_fit_predict_point(catalog, fit, &point);
            if (predicted > 0.0) {
                const double ratio = point.queries_per_s / predicted;
                lq_metrics_observe(LQ_DISTRIBUTION_DRIFT, fmax(ratio, 1.0 / ratio) - 1.0);
            }
        }
    }
}

/* What the answer will say of each point. */
static void judge_points(const struct lq_catalog *catalog, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct lq_point point = completed(&batch->points[i].point);
        batch->points[i].implausible = !lq_point_is_plausible(catalog, &point);
    }
}

/* Takes both lists over. */
static json_t *answer_new(json_t *ids, size_t duplicates, json_t *implausible)
{
    return json_pack("{s:o, s:I, s:o}", "ids", ids, "duplicates", (json_int_t)duplicates,
                     "implausible", implausible);
}

/* The receipt: ids in the order of the points, and those that physics rules out: they are kept, and
 * no fit rests on them. Whether one lies far off all others is only known with the next fits. */
static json_t *receipt_encode(const struct batch *batch, size_t duplicates)
{
    json_t *ids = json_array();
    json_t *implausible = json_array();
    for (size_t i = 0; i < batch->count; i++) {
        json_array_append_new(ids, json_string(batch->ids[i]));
        if (batch->points[i].implausible) {
            json_array_append_new(implausible, json_string(batch->ids[i]));
        }
    }
    return answer_new(ids, duplicates, implausible);
}

static json_t *lines_encode(const char *lines)
{
    json_t *list = json_array();
    for (; *lines != '\0'; lines += strcspn(lines, "\n") + 1) {
        json_array_append_new(list, json_stringn(lines, strcspn(lines, "\n")));
    }
    return list;
}

/* The first answer again, where the key and the body came before. `*reply` has a status then. */
static enum lq_code answer_again(struct lq_call *call, const struct lq_batch *posted,
                                 struct lq_reply *reply)
{
    struct lq_batch_answer answer;
    struct lq_error err = {0};
    if (lq_store_find_answer(call->store, posted, &answer, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    enum lq_code code = LQ_OK;
    if (answer.ids != NULL) {
        json_t *ids = lines_encode(answer.ids);
        lq_metrics_count(LQ_COUNT_POINTS_DUPLICATE, json_array_size(ids));
        code = lq_reply_json(
            call, answer_new(ids, answer.duplicates, lines_encode(answer.implausible)), 201, reply);
    }
    lq_batch_answer_free(&answer);
    return code;
}

static enum lq_code store_batch(struct lq_call *call, const struct lq_batch *posted,
                                struct batch *batch, struct lq_reply *reply)
{
    struct lq_batch stored = *posted;
    stored.points = batch->points;
    stored.count = batch->count;
    judge_points(call->catalog, batch);
    size_t duplicates = 0;
    size_t inserted = 0;
    struct lq_error err = {0};
    if (lq_store_add_points(call->store, &stored, batch->ids, &duplicates, &inserted, &err) !=
        LQ_OK) {
        return lq_call_fail(call, &err);
    }
    if (inserted == batch->count) { /* a fit may rest on what was there already */
        observe_drift(call->catalog, batch);
    }
    return lq_reply_json(call, receipt_encode(batch, duplicates), 201, reply);
}

/* The points of a body; their documents outlive it. */
static enum lq_code decode_list(const struct lq_call *call, const json_t *list, struct batch *batch)
{
    if (!json_is_array(list) || json_array_size(list) == 0) {
        return lq_faults_add(call->faults, LQ_EFIELD, "/points", "must be a list of 1..%d points",
                             POINTS_MAX);
    }
    if (json_array_size(list) > POINTS_MAX) {
        return lq_faults_add(call->faults, LQ_ETOOLARGE, "/points",
                             "must have at most %d points, got %zu", POINTS_MAX,
                             json_array_size(list));
    }
    if (!batch_allocate(batch, json_array_size(list))) {
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory");
    }
    decode_points(call, list, batch);
    return call->faults->count > 0 ? call->faults->items[0].code : LQ_OK;
}

static enum lq_code decode_body(const struct lq_call *call, struct batch *batch)
{
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    const json_t *list = NULL;
    const struct lq_field field = {.name = "points", .kind = LQ_FIELD_JSON, .required = true};
    enum lq_code code = lq_decode(root, "", &field, 1, &list, call->faults);
    if (code == LQ_OK) {
        code = decode_list(call, list, batch);
    }
    json_decref(root);
    return code;
}

static enum lq_code check_key(struct lq_call *call)
{
    const char *key = call->request->idempotency_key;
    if (key != NULL && (key[0] == '\0' || strlen(key) > KEY_MAX)) {
        return lq_faults_add(call->faults, LQ_EREQUEST, NULL,
                             "Idempotency-Key must have 1..%d characters, got %zu", KEY_MAX,
                             strlen(key));
    }
    return LQ_OK;
}

enum lq_code lq_calibrations_post(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(check_key(call));
    const struct lq_request *request = call->request;
    char digest[LQ_SHA256_HEX] = ""; /* compared under a key alone */
    const struct lq_batch posted = {.idempotency_key = request->idempotency_key,
                                    .body_digest = digest,
                                    .token_id = request->token_id,
                                    .token_name = request->token_name};
    if (request->idempotency_key != NULL) {
        lq_sha256_hex(request->body, request->body_size, digest);
        LQ_TRY(answer_again(call, &posted, reply));
        if (reply->body != NULL) {
            return LQ_OK;
        }
    }
    struct batch batch = {.count = 0};
    lq_turns_take(call->turns);
    enum lq_code code = decode_body(call, &batch);
    lq_turns_give(call->turns);
    if (code == LQ_OK) {
        code = store_batch(call, &posted, &batch, reply);
    }
    batch_free(&batch);
    return code;
}

/* A list call's filter. */
struct query {
    const struct lq_catalog *catalog;
    const char *model;
    const char *gpu;
    const char *stack;
    const char *source;
    const char *dataset;
    int64_t pending_points;
};

static bool is(const char *asked, const char *value)
{
    return asked == NULL || strcasecmp(asked, value) == 0;
}

static bool match(const void *context, size_t i)
{
    const struct query *query = context;
    const struct lq_point *point = &query->catalog->points[i];
    return is(query->model, point->identity.model) && is(query->gpu, point->identity.gpu) &&
           is(query->stack, point->identity.stack) && is(query->source, point->source) &&
           is(query->dataset, point->dataset);
}

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct query *query = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", query->catalog->points[i].id);
}

static json_t *encode(const void *context, size_t i)
{
    const struct query *query = context;
    return lq_point_encode(&query->catalog->points[i]);
}

static json_t *head(const void *context)
{
    const struct query *query = context;
    return lq_pending_encode(query->pending_points);
}

enum lq_code lq_calibrations_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", "model",   "gpu",
                                        "stack", "source", "dataset", NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    const struct query query = {call->catalog,
                                lq_query_get(call->request, "model"),
                                lq_query_get(call->request, "gpu"),
                                lq_query_get(call->request, "stack"),
                                lq_query_get(call->request, "source"),
                                lq_query_get(call->request, "dataset"),
                                lq_store_pending_points(call->store, call->catalog)};
    const struct lq_list list = {.name = "calibrations",
                                 .context = &query,
                                 .head = head,
                                 .count = call->catalog->point_count,
                                 .match = match,
                                 .key = key,
                                 .encode = encode};
    return lq_list_reply(call, &list, reply);
}

/* Whether the fits of this catalog leave the point out for how far off it lies. */
static bool is_outlier(const struct lq_catalog *catalog, const char *id)
{
    for (size_t i = catalog->point_count; i > 0; i--) { /* newest first: those are asked for */
        if (strcmp(catalog->points[i - 1].id, id) == 0) {
            return catalog->points[i - 1].outlier;
        }
    }
    return false;
}

enum lq_code lq_calibrations_get(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    char id[LQ_ID_MAX];
    LQ_TRY(lq_path_id(call, id));
    struct lq_stored_point stored;
    struct lq_error err = {0};
    if (lq_store_get_point(call->store, call->catalog, id, &stored, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    stored.point.outlier = is_outlier(call->catalog, id);
    struct lq_faults faults = {.count = 0};
    json_t *document = lq_parse(stored.document, strlen(stored.document), &faults);
    free(stored.document);
    json_t *object = lq_point_encode(&stored.point);
    json_object_set_new(object, "document", document != NULL ? document : json_null());
    return lq_reply_json(call, object, 200, reply);
}

enum lq_code lq_calibrations_delete(struct lq_call *call, struct lq_reply *reply)
{
    return lq_reply_changed(call, lq_store_delete_point, reply);
}
