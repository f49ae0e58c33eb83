/* Answers fine-tuning jobs: decode, one core call, offers, encode. */
#include "server/api/estimates.h"

#include "server/api/keep.h"
#include "server/api/lookup.h"
#include "server/api/page.h"
#include "server/api/quotes.h"
#include "server/json/arena.h"
#include "server/json/estimate.h"
#include "server/json/field.h"
#include "server/json/problem.h"
#include "server/metrics.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { JOBS_MAX = 1000 };

/* A request while it is answered. */
struct answering {
    struct lq_call *call;
    struct lq_keep keep;
    struct lq_lengths_memo memo; /* jobs of a list are often on the same data */
    bool has_problem;            /* among the answers: it names the request */
};

/* The answer of a decoded job as a new value; NULL with faults. */
static json_t *answer_job(struct answering *a, const json_t *value,
                          const struct lq_job_document *document, const char *pointer,
                          struct lq_faults *faults)
{
    const struct lq_catalog *catalog = a->call->catalog;
    struct lq_quoted quoted;
    if (!lq_quote_job(catalog, document, pointer, &quoted, faults)) {
        return NULL;
    }
    struct lq_quote quote = lq_quote_view(catalog, document, &quoted);
    struct lq_suggestion suggestions[LQ_SUGGESTIONS_MAX];
    if (document->job.estimator == LQ_ESTIMATOR_DEFAULT) {
        struct lq_job laid_out = document->job;
        laid_out.layout = quoted.estimate.layout;
        quote.suggestion_count = lq_suggest(&laid_out, &quoted.estimate, suggestions);
        quote.suggestions = suggestions;
    }
    json_t *answer = lq_estimate_encode(&quote);
    /* the counters stand in the order of the grades */
    lq_metrics_count(
        (enum lq_count)(LQ_COUNT_ESTIMATES_CALIBRATED + (int)quoted.estimate.basis.kind), 1);
    if (!lq_keep_add(&a->keep, value, answer, &quote)) {
        lq_faults_add(faults, LQ_EINTERNAL, NULL, "out of memory");
    }
    return answer;
}

/* Decodes and answers one job; NULL with faults. */
static json_t *answer_value(struct answering *a, const json_t *value, const char *pointer,
                            struct lq_faults *faults)
{
    struct lq_job_document document;
    json_t *answer = NULL;
    struct lq_lookup lookup = lq_catalog_lookup(a->call->catalog);
    lookup.memo = &a->memo;
    if (lq_job_decode(value, pointer, &lookup, &document, faults) == LQ_OK) {
        answer = answer_job(a, value, &document, pointer, faults);
    }
    lq_job_release(&document);
    return answer;
}

/* What was saved, or names the request, is no other request's answer. */
static void mark_repeatable(const struct answering *a, struct lq_reply *reply)
{
    reply->repeatable = !a->keep.asked && !a->has_problem;
}

/* The answer of one job of a list, or its problem. */
static json_t *result_of(struct answering *a, const json_t *job, size_t i)
{
    char pointer[32];
    struct lq_faults faults = {.count = 0};
    snprintf(pointer, sizeof pointer, "/jobs/%zu", i);
    json_t *answer = answer_value(a, job, pointer, &faults);
    if (answer == NULL && faults.count == 0) {
        lq_faults_add(&faults, LQ_EINTERNAL, NULL, "out of memory");
    }
    a->has_problem = a->has_problem || answer == NULL;
    return answer != NULL ? answer : lq_problem_new(&faults, a->call->request->id);
}

static void write_result(struct lq_text *text, json_t *result, size_t i)
{
    lq_text_add(text, ",", i > 0 ? 1 : 0);
    lq_text_dump(text, result, LQ_COMPUTED_DIGITS);
    lq_json_release(result);
}

/* Answers that are kept get their ids when all have been stored, and are written after that. */
static enum lq_code write_kept(struct answering *a, const json_t *jobs, struct lq_text *text)
{
    json_t *results = json_array();
    for (size_t i = 0; i < json_array_size(jobs); i++) {
        json_array_append_new(results, result_of(a, json_array_get(jobs, i), i));
    }
    const enum lq_code code = lq_keep_end(a->call, &a->keep);
    for (size_t i = 0; code == LQ_OK && i < json_array_size(results); i++) {
        write_result(text, json_incref(json_array_get(results, i)), i);
    }
    lq_json_release(results);
    return code;
}

/* What an answer took of the arena is given back with it: a long list needs the memory of one job.
 */
static void write_each(struct answering *a, const json_t *jobs, struct lq_text *text)
{
    for (size_t i = 0; i < json_array_size(jobs); i++) {
        const struct lq_arena_mark mark = lq_arena_mark();
        write_result(text, result_of(a, json_array_get(jobs, i), i), i);
        lq_arena_rewind(mark);
        if (i == 0) { /* the others are about as long */
            lq_text_reserve(text, text->size * json_array_size(jobs));
        }
    }
}

static enum lq_code answer_jobs(struct answering *a, const json_t *root, struct lq_reply *reply)
{
    struct lq_call *call = a->call;
    const json_t *jobs = NULL;
    const struct lq_field field = {.name = "jobs", .kind = LQ_FIELD_JSON, .required = true};
    LQ_TRY(lq_decode(root, "", &field, 1, &jobs, call->faults));
    if (!json_is_array(jobs) || json_array_size(jobs) == 0 || json_array_size(jobs) > JOBS_MAX) {
        return lq_faults_add(call->faults, LQ_EFIELD, "/jobs", "must be a list of 1..%d jobs",
                             JOBS_MAX);
    }
    static const char HEAD[] = "{\"results\":[";
    struct lq_text text = {.lasting = true};
    lq_text_add(&text, HEAD, sizeof HEAD - 1);
    enum lq_code code = LQ_OK;
    if (a->keep.asked) {
        code = write_kept(a, jobs, &text);
    } else {
        write_each(a, jobs, &text);
    }
    if (code != LQ_OK) {
        lq_text_release(&text);
        return code;
    }
    lq_text_add(&text, "]}", 2);
    LQ_TRY(lq_reply_computed_text(call, &text, reply));
    mark_repeatable(a, reply);
    return LQ_OK;
}

static enum lq_code answer_one(struct answering *a, const json_t *root, struct lq_reply *reply)
{
    json_t *answer = answer_value(a, root, "", a->call->faults);
    if (answer == NULL) {
        return a->call->faults->items[0].code;
    }
    const enum lq_code code = lq_keep_end(a->call, &a->keep);
    if (code != LQ_OK) {
        json_decref(answer);
        return code;
    }
    LQ_TRY(lq_reply_computed(a->call, answer, reply));
    mark_repeatable(a, reply);
    return LQ_OK;
}

enum lq_code lq_estimates_post(struct lq_call *call, struct lq_reply *reply)
{
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    struct answering a = {.call = call};
    enum lq_code code = lq_keep_begin(call, root, &a.keep);
    if (code == LQ_OK) {
        const json_t *jobs = json_object_get(root, "jobs");
        const bool listed = jobs != NULL && !json_is_null(jobs);
        code = listed ? answer_jobs(&a, root, reply) : answer_one(&a, root, reply);
    }
    lq_lengths_forget(&a.memo);
    lq_keep_release(&a.keep);
    lq_json_release(root);
    return code;
}
