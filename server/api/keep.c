/* Notes answers while they are made, and stores them all at once at the end. */
#include "server/api/keep.h"

#include "server/api/auth.h"
#include "server/api/page.h"
#include "server/json/field.h"
#include "server/json/sample.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* As answers are sent: what is kept is what was answered. Requests keep what they were given. */
enum { REQUEST_DIGITS = 15, ANSWER_DIGITS = LQ_COMPUTED_DIGITS };

enum lq_code lq_keep_begin(struct lq_call *call, json_t *root, struct lq_keep *keep)
{
    *keep = (struct lq_keep){.asked = false};
    const json_t *save = json_object_get(root, "save");
    if (save != NULL && !json_is_boolean(save) && !json_is_null(save)) {
        return lq_faults_add(call->faults, LQ_EFIELD, "/save", "must be true or false");
    }
    keep->asked = json_is_true(save);
    json_object_del(root, "save");
    if (!keep->asked) {
        return LQ_OK;
    }
    struct lq_token token;
    struct lq_error err = {0};
    if (lq_auth_check(call->auth, call->request->authorization, LQ_SCOPE_STORING, &token, &err) !=
        LQ_OK) {
        return lq_call_fail(call, &err);
    }
    snprintf(keep->token_id, sizeof keep->token_id, "%s", token.id);
    keep->receipts = calloc(LQ_KEEP_MAX, sizeof *keep->receipts);
    keep->answers = calloc(LQ_KEEP_MAX, sizeof(json_t *));
    return keep->receipts != NULL && keep->answers != NULL
               ? LQ_OK
               : lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory");
}

/* The number as the answer shows it. */
static double shown(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.*g", ANSWER_DIGITS, value);
    return strtod(text, NULL);
}

static struct lq_receipt_figure figure(double value, const double bounds[2])
{
    return (struct lq_receipt_figure){shown(value), shown(bounds[0]), shown(bounds[1])};
}

static void set_figures(const struct lq_quote *quote, struct lq_receipt_figure *out)
{
    const struct lq_estimate *e = quote->estimate;
    out[LQ_RECEIPT_QUERIES_PER_S] = figure(e->queries_per_s, e->interval.queries_per_s);
    out[LQ_RECEIPT_DURATION_S] = figure(e->duration_s, e->interval.duration_s);
    if (quote->cost_count > 0) {
        const double usd_per_s = quote->costs[0].cost_usd / e->duration_s;
        const double bounds[2] = {usd_per_s * e->interval.duration_s[0],
                                  usd_per_s * e->interval.duration_s[1]};
        out[LQ_RECEIPT_COST_USD] = figure(quote->costs[0].cost_usd, bounds);
    }
}

bool lq_keep_add(struct lq_keep *keep, const json_t *job, json_t *answer,
                 const struct lq_quote *quote)
{
    if (!keep->asked || keep->count == LQ_KEEP_MAX) {
        return true;
    }
    size_t size = 0;
    json_t *condensed = lq_sample_condense(job);
    struct lq_new_receipt *receipt = &keep->receipts[keep->count];
    *receipt = (struct lq_new_receipt){.model = json_string_value(json_object_get(answer, "model")),
                                       .gpu = json_string_value(json_object_get(answer, "gpu")),
                                       .request = lq_dump(condensed, REQUEST_DIGITS, &size),
                                       .answer = lq_dump(answer, ANSWER_DIGITS, &size),
                                       .level = quote->document->job.confidence};
    json_decref(condensed);
    set_figures(quote, receipt->figure);
    keep->answers[keep->count++] = answer;
    return receipt->request != NULL && receipt->answer != NULL;
}

enum lq_code lq_keep_end(struct lq_call *call, struct lq_keep *keep)
{
    if (keep->count == 0) {
        return LQ_OK;
    }
    char(*ids)[LQ_RECEIPT_ID_MAX] = calloc(keep->count, sizeof *ids);
    if (ids == NULL) {
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory");
    }
    struct lq_error err = {0};
    const enum lq_code code = lq_store_keep_estimates(call->store, keep->token_id, keep->receipts,
                                                      keep->count, ids, &err);
    for (size_t i = 0; code == LQ_OK && i < keep->count; i++) {
        json_object_set_new(keep->answers[i], "id", json_string(ids[i]));
    }
    free(ids);
    return code == LQ_OK ? LQ_OK : lq_call_fail(call, &err);
}

void lq_keep_release(struct lq_keep *keep)
{
    for (size_t i = 0; i < keep->count; i++) {
        lq_text_free((void *)(uintptr_t)keep->receipts[i].request);
        lq_text_free((void *)(uintptr_t)keep->receipts[i].answer);
    }
    free(keep->receipts);
    free((void *)keep->answers);
    *keep = (struct lq_keep){.asked = false};
}
