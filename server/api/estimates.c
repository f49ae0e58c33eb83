/* Answers fine-tuning jobs: decode, one core call, offers, encode. */
#include "server/api/estimates.h"

#include "server/api/lookup.h"
#include "server/api/page.h"
#include "server/api/quotes.h"
#include "server/json/estimate.h"
#include "server/json/field.h"
#include "server/json/problem.h"
#include "server/store/catalog.h"

#include <stdio.h>
#include <string.h>

enum { JOBS_MAX = 1000 };

/* The answer of a decoded job as a new value; NULL with faults. */
static json_t *answer_job(const struct lq_call *call, const struct lq_job_document *document,
                          const char *pointer, struct lq_faults *faults)
{
    struct lq_quoted quoted;
    if (!lq_quote_job(call->catalog, document, pointer, &quoted, faults)) {
        return NULL;
    }
    struct lq_quote quote = lq_quote_view(call->catalog, document, &quoted);
    struct lq_suggestion suggestions[LQ_SUGGESTIONS_MAX];
    if (document->job.estimator == LQ_ESTIMATOR_DEFAULT) {
        struct lq_job laid_out = document->job;
        laid_out.layout = quoted.estimate.layout;
        quote.suggestion_count = lq_suggest(&laid_out, &quoted.estimate, suggestions);
        quote.suggestions = suggestions;
    }
    return lq_estimate_encode(&quote);
}

/* Decodes and answers one job; NULL with faults. */
static json_t *answer_value(const struct lq_call *call, const json_t *value, const char *pointer,
                            struct lq_faults *faults)
{
    struct lq_job_document document;
    json_t *answer = NULL;
    const struct lq_lookup lookup = lq_catalog_lookup(call->catalog);
    if (lq_job_decode(value, pointer, &lookup, &document, faults) == LQ_OK) {
        answer = answer_job(call, &document, pointer, faults);
    }
    lq_job_release(&document);
    return answer;
}

static enum lq_code answer_jobs(struct lq_call *call, const json_t *root, struct lq_reply *reply)
{
    const json_t *jobs = NULL;
    const struct lq_field field = {.name = "jobs", .kind = LQ_FIELD_JSON, .required = true};
    LQ_TRY(lq_decode(root, "", &field, 1, &jobs, call->faults));
    if (!json_is_array(jobs) || json_array_size(jobs) == 0 || json_array_size(jobs) > JOBS_MAX) {
        return lq_faults_add(call->faults, LQ_EFIELD, "/jobs", "must be a list of 1..%d jobs",
                             JOBS_MAX);
    }
    json_t *results = json_array();
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job)
    {
        char pointer[32];
        struct lq_faults faults = {.count = 0};
        snprintf(pointer, sizeof pointer, "/jobs/%zu", i);
        json_t *answer = answer_value(call, job, pointer, &faults);
        if (answer == NULL && faults.count == 0) {
            lq_faults_add(&faults, LQ_EINTERNAL, NULL, "out of memory");
        }
        json_array_append_new(results,
                              answer != NULL ? answer : lq_problem_new(&faults, call->request->id));
    }
    json_t *object = json_object();
    json_object_set_new(object, "results", results);
    return lq_reply_computed(call, object, reply);
}

enum lq_code lq_estimates_post(struct lq_call *call, struct lq_reply *reply)
{
    json_t *root = lq_parse(call->request->body, call->request->body_size, call->faults);
    if (root == NULL) {
        return call->faults->items[0].code;
    }
    enum lq_code code = LQ_OK;
    const json_t *jobs = json_object_get(root, "jobs");
    if (jobs != NULL && !json_is_null(jobs)) {
        code = answer_jobs(call, root, reply);
    } else {
        json_t *answer = answer_value(call, root, "", call->faults);
        code =
            answer != NULL ? lq_reply_computed(call, answer, reply) : call->faults->items[0].code;
    }
    json_decref(root);
    return code;
}
