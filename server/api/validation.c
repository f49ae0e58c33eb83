/* Tells how wrong each estimator was on each stored set, next to what the papers printed, and the
 * figures that they published of a step's inside. */
#include "server/api/validation.h"

#include "server/api/page.h"
#include "server/api/receipts.h"
#include "server/jobs/validate.h"
#include "server/jobs/validate_grades.h"
#include "server/jobs/validate_serving.h"
#include "server/json/calibration.h"
#include "server/json/evidence.h"
#include "server/json/member.h"
#include "server/store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RMSE in queries/s as Xia et al. 2024 print it for their form; those panels that print only a
 * bound have the bound. Source: Figs. 14 and 15 and their captions. */
static const struct {
    const char *dataset;
    double rmse;
    bool is_bound;
    const char *where;
} PRINTED[] = {
    {"xia2024-mixtral-cs-a40", 0.8, true, "Fig. 14"},
    {"xia2024-blackmamba-cs-a40", 0.79, false, "Fig. 14"},
    {"xia2024-mixtral-math-a40", 0.8, true, "Fig. 14"},
    {"xia2024-blackmamba-math-a40", 0.8, true, "Fig. 14"},
    {"xia2024-mixtral-math-a100-40gb", 0.6, true, "Fig. 15"},
    {"xia2024-mixtral-math-a100-80gb", 0.6, true, "Fig. 15"},
    {"xia2024-mixtral-math-h100", 0.55, false, "Fig. 15"},
};

static json_t *printed_encode(const struct lq_validation *row)
{
    for (size_t i = 0; i < sizeof PRINTED / sizeof PRINTED[0]; i++) {
        if (row->shipped && strcmp(PRINTED[i].dataset, row->dataset) == 0) {
            return json_pack("{s:f, s:b, s:s}", "rmse_queries_per_s", PRINTED[i].rmse, "is_bound",
                             PRINTED[i].is_bound, "source", PRINTED[i].where);
        }
    }
    return json_null();
}

static json_t *errors_encode(const struct lq_errors *e)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "rmse_queries_per_s", e->rmse, "mape", e->mape,
                     "median_ape", e->median, "p90_ape", e->p90, "bias", e->bias);
}

static json_t *set_encode(const struct lq_validation *row)
{
    json_t *o = json_object();
    json_object_set_new(o, "dataset", json_string(row->dataset));
    json_object_set_new(o, "estimator", json_string(LQ_FIT_NAMES[row->estimator]));
    json_object_set_new(o, "source", json_string(row->source));
    json_object_set_new(o, "shipped", json_boolean(row->shipped));
    json_object_set_new(o, "held_out", json_boolean(row->held_out));
    json_object_set_new(o, "points", json_integer((json_int_t)row->errors.n));
    json_t *errors = errors_encode(&row->errors);
    json_object_update(o, errors);
    json_decref(errors);
    json_object_set_new(o, "leave_one_out",
                        row->has_leave_one_out ? errors_encode(&row->leave_one_out) : json_null());
    json_object_set_new(o, "printed", printed_encode(row));
    json_object_set_new(o, "identity", lq_identity_encode(row->identity));
    return o;
}

static json_t *batch_encode(const struct lq_batch_validation *row)
{
    const struct lq_capacity *c = row->capacity;
    json_t *o = json_object();
    json_object_set_new(o, "model", json_string(c->identity.model));
    json_object_set_new(o, "gpu", json_string(c->identity.gpu));
    json_object_set_new(o, "stack", json_string(c->identity.stack));
    json_object_set_new(o, "active_experts", json_integer(c->active_experts));
    json_object_set_new(o, "lengths", lq_text_or_null(c->lengths));
    json_object_set_new(o, "longest_tokens", json_integer(c->longest_tokens));
    json_object_set_new(o, "max_batch_size", json_integer(c->max_batch_size));
    json_object_set_new(o, "predicted_max_batch_size", json_integer(row->predicted));
    json_object_set_new(o, "xia2024_max_batch_size",
                        row->predicted_paper >= 0 ? json_integer(row->predicted_paper)
                                                  : json_null());
    json_object_set_new(o, "measured", json_boolean(c->measured));
    json_object_set_new(o, "within_15_percent_or_one_query",
                        json_boolean(lq_batch_is_good(row->predicted, c->max_batch_size)));
    json_object_set_new(o, "source", json_string(c->source));
    return o;
}

/* One measured run beside what the roofline says of it. */
static json_t *run_encode(const struct lq_serving_prediction *p)
{
    const struct lq_decode_run *run = p->run;
    json_t *o = json_object();
    json_object_set_new(o, "run", json_string(run->id));
    json_object_set_new(o, "model", json_string(run->model->id));
    json_object_set_new(o, "gpu", json_string(run->gpu));
    json_object_set_new(o, "gpu_count", json_integer(run->gpu_count));
    json_object_set_new(o, "quantization",
                        json_string(LQ_QUANTIZATION_NAMES[run->format.quantization]));
    json_object_set_new(o, "concurrent_requests",
                        json_integer((json_int_t)run->concurrent_requests));
    json_object_set_new(o, "tokens_per_s", json_real(run->tokens_per_s));
    json_object_set_new(o, "predicted_tokens_per_s", json_real(p->predicted));
    return o;
}

static json_t *serving_errors_encode(const struct lq_errors *e)
{
    return json_pack("{s:i, s:f, s:f, s:f, s:f, s:f}", "points", (int)e->n, "rmse_tokens_per_s",
                     e->rmse, "mape", e->mape, "median_ape", e->median, "p90_ape", e->p90, "bias",
                     e->bias);
}

static json_t *serving_encode(const struct lq_serving_validation *v)
{
    json_t *runs = json_array();
    for (size_t i = 0; i < v->count; i++) {
        json_array_append_new(runs, run_encode(&v->predictions[i]));
    }
    json_t *o = serving_errors_encode(&v->errors);
    json_object_set_new(o, "stack", json_string(v->stack->id));
    json_object_set_new(o, "source", json_string(v->predictions[0].run->source));
    json_object_set_new(o, "held_out",
                        v->has_held_out ? serving_errors_encode(&v->held_out) : json_null());
    json_object_set_new(o, "interval_coverage_90", json_real(v->coverage));
    json_object_set_new(o, "runs", runs);
    return o;
}

static json_t *servings_encode(const struct lq_serving_validations *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->stack_count; i++) {
        json_array_append_new(list, serving_encode(&v->stack[i]));
    }
    return list;
}

static json_t *validations_encode(const struct lq_validations *v)
{
    json_t *sets = json_array();
    json_t *batches = json_array();
    for (size_t i = 0; i < v->set_count; i++) {
        json_array_append_new(sets, set_encode(&v->set[i]));
    }
    for (size_t i = 0; i < v->batch_count; i++) {
        json_array_append_new(batches, batch_encode(&v->batch[i]));
    }
    return json_pack("{s:o, s:o}", "throughput", sets, "max_batch", batches);
}

/* One group of predictions of what the fits had not seen. */
static json_t *grade_encode(const struct lq_grade_validation *row)
{
    json_t *o = json_object();
    json_object_set_new(o, "quantity", json_string(LQ_QUANTITY_NAMES[row->quantity]));
    json_object_set_new(o, "held_out", json_string(LQ_HELD_OUT_NAMES[row->held_out]));
    json_object_set_new(o, "grade",
                        row->any_grade ? json_null() : json_string(LQ_BASIS_NAMES[row->grade]));
    json_object_set_new(o, "source", row->source != NULL ? json_string(row->source) : json_null());
    json_object_set_new(o, "single_gpu", json_boolean(row->single_gpu));
    json_object_set_new(o, "points", json_integer((json_int_t)row->errors.n));
    json_object_set_new(o, "median_ape", json_real(row->errors.median));
    json_object_set_new(o, "mape", json_real(row->errors.mape));
    json_object_set_new(o, "p90_ape", json_real(row->errors.p90));
    json_object_set_new(o, "bias", json_real(row->errors.bias));
    json_object_set_new(o, "rmse", json_real(row->errors.rmse));
    json_t *intervals = json_array();
    for (int l = 0; l < LQ_LEVELS; l++) {
        json_array_append_new(
            intervals, json_pack("{s:f, s:f, s:f}", "level", row->coverage[l].level, "coverage",
                                 row->coverage[l].share, "width", row->coverage[l].width));
    }
    json_object_set_new(o, "intervals", intervals);
    json_object_set_new(o, "out_of_memory",
                        row->quantity == LQ_QUANTITY_MEMORY
                            ? json_pack("{s:I, s:I}", "rows", (json_int_t)row->too_large,
                                        "answered_no_or_uncertain",
                                        (json_int_t)row->too_large_doubted)
                            : json_null());
    return o;
}

static json_t *grades_encode(const struct lq_grade_validations *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->count; i++) {
        json_array_append_new(list, grade_encode(&v->row[i]));
    }
    return list;
}

/* The data's version and the outcomes': these move no estimate, and so are no part of it. */
enum { VERSION_MAX = sizeof((struct lq_catalog *)0)->data_version + LQ_OUTCOMES_VERSION_MAX };

/* The last answer, kept because it takes the time of hundreds of fits and only new data changes it.
 * One at a time is computed; who comes meanwhile waits for it. */
static struct {
    pthread_mutex_t lock;
    char version[VERSION_MAX];
    char *text;
    size_t size;
} last = {.lock = PTHREAD_MUTEX_INITIALIZER};

static enum lq_code compute(struct lq_call *call, struct lq_reply *reply)
{
    struct lq_validations validations;
    struct lq_error err = {0};
    if (lq_validate(call->catalog, &validations, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    json_t *object = validations_encode(&validations);
    lq_validations_release(&validations);
    struct lq_serving_validations servings;
    if (lq_validate_serving(call->catalog, &servings, &err) != LQ_OK) {
        json_decref(object);
        return lq_call_fail(call, &err);
    }
    json_object_set_new(object, "serving", servings_encode(&servings));
    lq_serving_validations_release(&servings);
    struct lq_grade_validations grades;
    if (lq_validate_grades(call->catalog, &grades, &err) != LQ_OK) {
        json_decref(object);
        return lq_call_fail(call, &err);
    }
    json_object_set_new(object, "grades", grades_encode(&grades));
    lq_grade_validations_release(&grades);
    json_object_set_new(object, "published", lq_published_encode(&call->catalog->published));
    json_t *outcomes = NULL;
    const enum lq_code code = lq_outcomes_validate(call, &outcomes);
    if (code != LQ_OK) {
        json_decref(object);
        return code;
    }
    json_object_set_new(object, "outcomes", outcomes);
    return lq_reply_computed(call, object, reply);
}

/* Keeps a copy of the answer; without memory for one the next call computes again. */
static void keep(const char *version, const struct lq_reply *reply)
{
    free(last.text);
    last.text = malloc(reply->body_size + 1);
    last.size = reply->body_size;
    if (last.text != NULL) {
        memcpy(last.text, reply->body, reply->body_size);
        snprintf(last.version, sizeof last.version, "%s", version);
    }
}

static enum lq_code answer_kept(struct lq_call *call, struct lq_reply *reply)
{
    char *copy = calloc(last.size + 1, 1);
    if (copy == NULL) {
        return lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory for the answer");
    }
    memcpy(copy, last.text, last.size);
    reply->body = copy;
    reply->body_size = last.size;
    reply->free_body = free;
    return LQ_OK;
}

/* Puts in front how many points the answer does not rest on yet: it alone changes between answers
 * of one version. */
static enum lq_code add_pending(struct lq_call *call, int64_t points, struct lq_reply *reply)
{
    char first[48];
    const int size = snprintf(first, sizeof first, "{\"pending_points\":%lld,", (long long)points);
    char *text = malloc((size_t)size + reply->body_size);
    if (text != NULL) {
        memcpy(text, first, (size_t)size);
        memcpy(text + size, reply->body + 1,
               reply->body_size); /* without its brace, with the NUL */
    }
    reply->free_body((void *)(uintptr_t)reply->body);
    reply->body = text;
    reply->body_size += (size_t)size - 1;
    reply->free_body = free;
    return text != NULL
               ? LQ_OK
               : lq_faults_add(call->faults, LQ_EINTERNAL, NULL, "out of memory for the answer");
}

enum lq_code lq_validation_get(struct lq_call *call, struct lq_reply *reply)
{
    LQ_TRY(lq_query_check(call, (const char *const[]){NULL}));
    char outcomes[LQ_OUTCOMES_VERSION_MAX];
    struct lq_error err = {0};
    if (lq_store_outcomes_version(call->store, outcomes, &err) != LQ_OK) {
        return lq_call_fail(call, &err);
    }
    const int64_t pending = lq_store_pending_points(call->store, call->catalog);
    char version[VERSION_MAX];
    char tag[VERSION_MAX + 24];
    snprintf(version, sizeof version, "%s.%s", call->catalog->data_version, outcomes);
    snprintf(tag, sizeof tag, "%s.%lld", version, (long long)pending);
    if (lq_reply_unchanged(call, tag, reply)) {
        return LQ_OK;
    }
    pthread_mutex_lock(&last.lock);
    enum lq_code code = LQ_OK;
    if (last.text != NULL && strcmp(last.version, version) == 0) {
        code = answer_kept(call, reply);
    } else {
        code = compute(call, reply);
        if (code == LQ_OK) {
            keep(version, reply);
        }
    }
    pthread_mutex_unlock(&last.lock);
    return code == LQ_OK ? add_pending(call, pending, reply) : code;
}
