/* Kept estimates and their outcomes: lists, reads and records them. Saving them is keep.c's. */
#include "server/api/receipts.h"

#include "server/api/lookup.h"
#include "server/api/page.h"
#include "server/config.h"
#include "server/jobs/validate_outcomes.h"
#include "server/json/calibration.h"
#include "server/json/field.h"
#include "server/json/member.h"
#include "server/json/receipt.h"
#include "server/store/utc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 24 * 3600 };

/* When an estimate goes, which is up to a day before it is gone. */
static json_t *expiry_encode(const struct lq_call *call, const struct lq_receipt *receipt)
{
    time_t stored;
    char text[LQ_UTC_MAX];
    if (!lq_utc_parse(receipt->stored_at, &stored)) {
        return json_null();
    }
    lq_utc_text(stored + (time_t)call->config->estimate_retention_days * DAY_S, text);
    return json_string(text);
}

/* An outcome beside what was estimated; null where there is none yet. */
static json_t *outcome_encode(const struct lq_receipt *receipt)
{
    const struct lq_outcome *outcome = &receipt->outcome;
    if (outcome->recorded_at[0] == '\0') {
        return json_null();
    }
    json_t *o = json_object();
    json_t *compared = json_array();
    for (int q = 0; q < LQ_RECEIPT_QUANTITIES; q++) {
        const struct lq_receipt_figure *f = &receipt->figure[q];
        const double value = outcome->value[q];
        json_object_set_new(o, LQ_RECEIPT_QUANTITY_NAMES[q], lq_number_or_null(value));
        if (value > 0.0 && f->value > 0.0) {
            json_array_append_new(
                compared, json_pack("{s:s, s:f, s:[f, f], s:f, s:f, s:b}", "quantity",
                                    LQ_RECEIPT_QUANTITY_NAMES[q], "estimate", f->value, "interval",
                                    f->low, f->high, "outcome", value, "ratio", f->value / value,
                                    "within_interval", value >= f->low && value <= f->high));
        }
    }
    json_object_set_new(o, "note", lq_text_or_null(outcome->note));
    json_object_set_new(o, "calibration", lq_text_or_null(outcome->calibration));
    json_object_set_new(o, "recorded_at", json_string(outcome->recorded_at));
    json_object_set_new(o, "compared", compared);
    return o;
}

/* A list of estimates while a page of it is made. */
struct listing {
    const struct lq_call *call;
    struct lq_receipt *receipts;
};

static void key(const void *context, size_t i, char out[LQ_PAGE_KEY_MAX])
{
    const struct listing *listing = context;
    snprintf(out, LQ_PAGE_KEY_MAX, "%s", listing->receipts[i].id);
}

static json_t *item_encode(const void *context, size_t i)
{
    const struct listing *listing = context;
    const struct lq_receipt *receipt = &listing->receipts[i];
    json_t *o = json_object();
    json_object_set_new(o, "id", json_string(receipt->id));
    json_object_set_new(o, "model", json_string(receipt->model));
    json_object_set_new(o, "gpu", json_string(receipt->gpu));
    for (int q = 0; q < LQ_RECEIPT_QUANTITIES; q++) {
        json_object_set_new(o, LQ_RECEIPT_QUANTITY_NAMES[q],
                            lq_number_or_null(receipt->figure[q].value));
    }
    json_object_set_new(o, "saved_at", json_string(receipt->stored_at));
    json_object_set_new(o, "expires_at", expiry_encode(listing->call, receipt));
    json_object_set_new(o, "outcome", outcome_encode(receipt));
    return o;
}

enum lq_code lq_receipts_list(struct lq_call *call, struct lq_reply *reply)
{
    static const char *const NAMES[] = {"limit", "cursor", NULL};
    LQ_TRY(lq_query_check(call, NAMES));
    struct listing listing = {.call = call};
    struct lq_error err = {0};
    size_t count = 0;
    if (lq_store_list_receipts(call->store, call->request->token_id, &listing.receipts, &count,
                               &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    const struct lq_list list = {.name = "estimates",
                                 .context = &listing,
                                 .count = count,
                                 .key = key,
                                 .encode = item_encode};
    const enum lq_code code = lq_list_reply(call, &list, reply);
    free(listing.receipts);
    return code;
}

/* A document that this program stored. */
static json_t *stored_parse(char *text)
{
    struct lq_faults faults = {.count = 0};
    json_t *value = lq_parse(text, strlen(text), &faults);
    free(text);
    return value != NULL ? value : json_null();
}

/* Reads a kept estimate with its documents, which are new. */
static enum lq_code find(struct lq_call *call, struct lq_receipt *receipt, json_t **request,
                         json_t **answer)
{
    char id[LQ_ID_MAX];
    LQ_TRY(lq_path_id(call, id));
    char *request_text = NULL;
    char *answer_text = NULL;
    struct lq_error err = {0};
    if (lq_store_get_receipt(call->store, id, receipt, &request_text, &answer_text, &err) !=
        LQ_OK) {
        return lq_call_fail(call, &err);
    }
    *request = stored_parse(request_text);
    *answer = stored_parse(answer_text);
    return LQ_OK;
}

enum lq_code lq_receipts_get(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    struct lq_receipt receipt;
    json_t *request = NULL;
    json_t *answer = NULL;
    LQ_TRY(find(call, &receipt, &request, &answer));
    json_t *o = json_object();
    json_object_set_new(o, "id", json_string(receipt.id));
    json_object_set_new(o, "saved_at", json_string(receipt.stored_at));
    json_object_set_new(o, "expires_at", expiry_encode(call, &receipt));
    json_object_set_new(o, "request", request);
    json_object_set_new(o, "estimate", answer);
    json_object_set_new(o, "outcome", outcome_encode(&receipt));
    return lq_reply_json(call, o, 200, reply);
}

/* Makes the calibration of an outcome, as if its point had been posted. The document is new
 * (lq_text_free). */
static enum lq_code make_point(struct lq_call *call, const json_t *request, const json_t *answer,
                               const struct lq_outcome_document *outcome,
                               struct lq_new_point *point, char measured_at[LQ_UTC_MAX])
{
    lq_utc_text(time(NULL), measured_at);
    json_t *value = NULL;
    LQ_TRY(lq_outcome_point(request, answer, outcome, measured_at, &value, call->faults));
    const struct lq_lookup lookup = lq_catalog_lookup(call->catalog);
    struct lq_point_document decoded;
    enum lq_code code = lq_point_decode(value, "", &lookup, &decoded, call->faults);
    if (code == LQ_OK) {
        size_t size = 0;
        point->point = decoded.point;
        lq_outcome_point_close(value);
        point->document = lq_dump_canonical(value, &size);
        point->measured_at = measured_at;
        code = point->document != NULL
                   ? LQ_OK
                   : lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory");
    }
    json_decref(value);
    return code;
}

static enum lq_code store_outcome(struct lq_call *call, struct lq_receipt *receipt,
                                  const struct lq_outcome_document *document,
                                  const struct lq_new_point *point, struct lq_reply *reply)
{
    struct lq_outcome *outcome = &receipt->outcome;
    *outcome = (struct lq_outcome){
        .value = {document->queries_per_s, document->duration_s, document->cost_usd}};
    snprintf(outcome->note, sizeof outcome->note, "%s", document->note);
    const struct lq_batch batch = {.points = point,
                                   .count = 1,
                                   .token_id = call->request->token_id,
                                   .token_name = call->request->token_name};
    struct lq_error err = {0};
    if (lq_store_record_outcome(call->store, receipt->id, call->request->token_id, outcome,
                                point != NULL ? &batch : NULL, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    json_t *o = outcome_encode(receipt);
    json_object_set_new(o, "id", json_string(receipt->id));
    return lq_reply_json(call, o, 201, reply);
}

static enum lq_code put_outcome(struct lq_call *call, const json_t *root, struct lq_reply *reply)
{
    struct lq_outcome_document document;
    LQ_TRY(lq_outcome_decode(root, &document, call->faults));
    struct lq_receipt receipt;
    json_t *request = NULL;
    json_t *answer = NULL;
    LQ_TRY(find(call, &receipt, &request, &answer));
    char measured_at[LQ_UTC_MAX];
    struct lq_new_point point = {.document = NULL};
    enum lq_code code = LQ_OK;
    /* nobody else learns from a bad calibration what the estimate was of */
    const bool own = strcmp(receipt.token_id, call->request->token_id) == 0;
    const bool calibrates = document.calibrate && own && receipt.outcome.recorded_at[0] == '\0';
    if (calibrates) {
        code = make_point(call, request, answer, &document, &point, measured_at);
    }
    if (code == LQ_OK) {
        code = store_outcome(call, &receipt, &document, calibrates ? &point : NULL, reply);
    }
    lq_text_free((void *)(uintptr_t)point.document);
    json_decref(request);
    json_decref(answer);
    return code;
}

enum lq_code lq_outcomes_put(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    const enum lq_code code = put_outcome(call, root, reply);
    json_decref(root);
    return code;
}

static json_t *validation_encode(const struct lq_outcome_validation *row)
{
    return json_pack("{s:s, s:o, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "quantity",
                     LQ_RECEIPT_QUANTITY_NAMES[row->quantity], "month", lq_text_or_null(row->month),
                     "outcomes", (json_int_t)row->errors.n, "median_ape", row->errors.median,
                     "mape", row->errors.mape, "p90_ape", row->errors.p90, "bias", row->errors.bias,
                     "level", row->level, "coverage", row->coverage, "width", row->width);
}

enum lq_code lq_outcomes_validate(struct lq_call *call, json_t **value)
{
    struct lq_receipt *receipts = NULL;
    struct lq_outcome_validation *rows = NULL;
    size_t count = 0;
    size_t row_count = 0;
    struct lq_error err = {0};
    enum lq_code code = lq_store_list_receipts(call->store, NULL, &receipts, &count, &err);
    if (code == LQ_OK) {
        code = lq_validate_outcomes(receipts, count, &rows, &row_count, &err);
    }
    free(receipts);
    if (code != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    *value = json_array();
    for (size_t i = 0; i < row_count; i++) {
        json_array_append_new(*value, validation_encode(&rows[i]));
    }
    free(rows);
    return LQ_OK;
}
