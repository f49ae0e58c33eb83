/* Encodes the evidence behind two defaults of a job: how many epochs pay, and how even the load of
 * experts is. Measured on the job's model where it was, else on all models that were. It is in
 * every estimate, so it is the span of the runs; each of them is among the published figures. */
#include "server/json/evidence.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char SOURCE[] = "xia2024";

/* The least and the most of some figure. */
struct span {
    double low;
    double high;
};

static const struct span EMPTY = {HUGE_VAL, -HUGE_VAL};

static void widen(struct span *span, double value)
{
    span->low = fmin(span->low, value);
    span->high = fmax(span->high, value);
}

static json_t *span_encode(const struct span *span)
{
    json_t *list = json_array();
    json_array_append_new(list, json_real(span->low));
    json_array_append_new(list, json_real(span->high));
    return list;
}

static json_t *count_span_encode(const struct span *span)
{
    json_t *list = json_array();
    json_array_append_new(list, json_integer((json_int_t)span->low));
    json_array_append_new(list, json_integer((json_int_t)span->high));
    return list;
}

/* Runs of one model follow each other. */
static void add_model(json_t *models, const char *model)
{
    const size_t n = json_array_size(models);
    if (n == 0 || strcmp(json_string_value(json_array_get(models, n - 1)), model) != 0) {
        json_array_append_new(models, json_string(model));
    }
}

static json_t *evidence_new(const char *figure, json_t *models, size_t runs)
{
    json_t *o = json_object();
    json_object_set_new_nocheck(o, "source", json_string_nocheck(SOURCE));
    json_object_set_new_nocheck(o, "figure", json_string_nocheck(figure));
    json_object_set_new_nocheck(o, "models", models);
    json_object_set_new_nocheck(o, "runs", json_integer((json_int_t)runs));
    return o;
}

static bool has_curve(const struct lq_published *published, const char *model)
{
    for (size_t i = 0; i < published->curve_count; i++) {
        if (strcasecmp(published->curves[i].model, model) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *epochs_encode(const struct lq_job *job, const struct lq_published *published)
{
    if (published->curve_count == 0) {
        return json_null();
    }
    const bool own = has_curve(published, job->model->id);
    struct span best = EMPTY;
    struct span gains = EMPTY;
    size_t last = 0;
    size_t runs = 0;
    json_t *models = json_array();
    for (size_t i = 0; i < published->curve_count; i++) {
        const struct lq_accuracy_curve *curve = &published->curves[i];
        if (own && strcasecmp(curve->model, job->model->id) != 0) {
            continue;
        }
        widen(&best, (double)lq_accuracy_best_epoch(curve));
        widen(&gains, lq_accuracy_gain(curve, job->epochs));
        last = curve->count - 1 > last ? curve->count - 1 : last;
        add_model(models, curve->model);
        runs++;
    }
    char detail[192];
    snprintf(detail, sizeof detail,
             "the best accuracy of these runs came after %.0f to %.0f of %zu epochs; this job's"
             " epochs reach %.0f to %.0f %% of the best gain (Xia et al. 2024, Fig. 3)",
             best.low, best.high, last, 100.0 * gains.low, 100.0 * gains.high);
    json_t *o = evidence_new("Fig.3", models, runs);
    json_object_set_new_nocheck(o, "best_epoch", count_span_encode(&best));
    json_object_set_new_nocheck(o, "gain_share", span_encode(&gains));
    json_object_set_new_nocheck(o, "detail", json_string_nocheck(detail));
    return o;
}

static bool has_load(const struct lq_published *published, const char *model)
{
    for (size_t i = 0; i < published->profile_count; i++) {
        const struct lq_profile *p = &published->profiles[i];
        if (lq_profile_is_load(p) && strcasecmp(p->model, model) == 0) {
            return true;
        }
    }
    return false;
}

/* An even load needs no evidence where it was not assumed, or where every expert takes every token.
 */
static bool assumes_even_load(const struct lq_job *job)
{
    return job->expert_load == NULL && job->active_experts < lq_model_experts(job->model);
}

/* What the runs' loads have in common. */
struct loads {
    json_t *models;
    size_t runs;
    struct span variance;
    struct span busiest; /* tokens of the busiest expert over those of the mean one */
};

static void add_load(struct loads *loads, const struct lq_profile *p)
{
    struct lq_expert_load load;
    struct lq_error err = {0};
    if (lq_profile_load(p, &load, &err) == LQ_OK) {
        const int64_t n = (int64_t)load.experts;
        widen(&loads->variance, load.variance);
        widen(&loads->busiest, lq_expert_load_peak(&load, n, n));
        add_model(loads->models, p->model);
        loads->runs++;
    }
}

static json_t *loads_encode(const struct loads *loads)
{
    char detail[192];
    snprintf(detail, sizeof detail,
             "an even load is assumed; in these runs the busiest expert had %.2f to %.2f times the"
             " mean one's tokens (Xia et al. 2024, Fig. 11)",
             loads->busiest.low, loads->busiest.high);
    json_t *o = evidence_new("Fig.11", loads->models, loads->runs);
    json_object_set_new_nocheck(o, "variance_percent2", span_encode(&loads->variance));
    json_object_set_new_nocheck(o, "busiest_over_mean", span_encode(&loads->busiest));
    json_object_set_new_nocheck(o, "detail", json_string_nocheck(detail));
    return o;
}

static json_t *expert_load_encode(const struct lq_job *job, const struct lq_published *published)
{
    if (!assumes_even_load(job)) {
        return json_null();
    }
    const bool own = has_load(published, job->model->id);
    struct loads loads = {.models = json_array(), .variance = EMPTY, .busiest = EMPTY};
    for (size_t i = 0; i < published->profile_count; i++) {
        const struct lq_profile *p = &published->profiles[i];
        if (lq_profile_is_load(p) && (!own || strcasecmp(p->model, job->model->id) == 0)) {
            add_load(&loads, p);
        }
    }
    if (loads.runs == 0) {
        json_decref(loads.models);
        return json_null();
    }
    return loads_encode(&loads);
}

json_t *lq_defaults_evidence_encode(const struct lq_job *job, const struct lq_published *published)
{
    static const struct lq_published NOTHING = {.curve_count = 0};
    const struct lq_published *from = published != NULL ? published : &NOTHING;
    json_t *o = json_object();
    json_object_set_new_nocheck(o, "epochs", epochs_encode(job, from));
    json_object_set_new_nocheck(o, "expert_load", expert_load_encode(job, from));
    return o;
}
