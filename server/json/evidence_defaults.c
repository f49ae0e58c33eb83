/* Encodes the evidence behind two defaults of a job: how many epochs pay, and how even the load of
 * experts is. Measured on the job's model where it was, else on all models that were. */
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

static void widen(struct span *span, double value)
{
    span->low = fmin(span->low, value);
    span->high = fmax(span->high, value);
}

static json_t *evidence_new(const char *figure, json_t *runs, const char *detail)
{
    json_t *o = json_object();
    json_object_set_new_nocheck(o, "source", json_string_nocheck(SOURCE));
    json_object_set_new_nocheck(o, "figure", json_string_nocheck(figure));
    json_object_set_new_nocheck(o, "runs", runs);
    json_object_set_new_nocheck(o, "detail", json_string_nocheck(detail));
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

static json_t *curve_encode(const struct lq_accuracy_curve *curve, double gain)
{
    const size_t best = lq_accuracy_best_epoch(curve);
    json_t *o = json_object();
    json_object_set_new_nocheck(o, "model", json_string(curve->model));
    json_object_set_new_nocheck(o, "active_experts",
                                curve->active_experts > 0 ? json_integer(curve->active_experts)
                                                          : json_null());
    json_object_set_new_nocheck(o, "test_set", json_string(curve->test_set));
    json_object_set_new_nocheck(o, "best_epoch", json_integer((json_int_t)best));
    json_object_set_new_nocheck(o, "gain_share", json_real(gain));
    return o;
}

static json_t *epochs_encode(const struct lq_job *job, const struct lq_published *published)
{
    if (published->curve_count == 0) {
        return json_null();
    }
    const bool own = has_curve(published, job->model->id);
    struct span best = {INFINITY, 0.0};
    struct span gains = {INFINITY, -INFINITY};
    size_t last = 0;
    json_t *runs = json_array();
    for (size_t i = 0; i < published->curve_count; i++) {
        const struct lq_accuracy_curve *curve = &published->curves[i];
        if (own && strcasecmp(curve->model, job->model->id) != 0) {
            continue;
        }
        const double gain = lq_accuracy_gain(curve, job->epochs);
        widen(&best, (double)lq_accuracy_best_epoch(curve));
        widen(&gains, gain);
        last = curve->count - 1 > last ? curve->count - 1 : last;
        json_array_append_new(runs, curve_encode(curve, gain));
    }
    char detail[192];
    snprintf(detail, sizeof detail,
             "the best accuracy of these runs came after %.0f to %.0f of %zu epochs; this job's"
             " epochs reach %.0f to %.0f %% of the best gain (Xia et al. 2024, Fig. 3)",
             best.low, best.high, last, 100.0 * gains.low, 100.0 * gains.high);
    return evidence_new("Fig.3", runs, detail);
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

/* Tokens of the busiest expert over those of the mean one. */
static double busiest(const struct lq_expert_load *load)
{
    return lq_expert_load_peak(load, (int64_t)load->experts, (int64_t)load->experts);
}

static json_t *load_encode(const struct lq_profile *p, const struct lq_expert_load *load)
{
    const struct lq_load_run run = lq_profile_load_run(p);
    json_t *o = json_object();
    json_object_set_new_nocheck(o, "model", json_string(p->model));
    json_object_set_new_nocheck(o, "test_set", json_string(run.test_set));
    json_object_set_new_nocheck(o, "tuned", json_boolean(run.tuned));
    json_object_set_new_nocheck(o, "variance_percent2", json_real(load->variance));
    json_object_set_new_nocheck(o, "busiest_over_mean", json_real(busiest(load)));
    return o;
}

/* An even load needs no evidence where it was not assumed, or where every expert takes every token.
 */
static bool assumes_even_load(const struct lq_job *job)
{
    return job->expert_load == NULL && job->active_experts < lq_model_experts(job->model);
}

static json_t *expert_load_encode(const struct lq_job *job, const struct lq_published *published)
{
    if (!assumes_even_load(job)) {
        return json_null();
    }
    const bool own = has_load(published, job->model->id);
    struct span peaks = {INFINITY, 0.0};
    json_t *runs = json_array();
    for (size_t i = 0; i < published->profile_count; i++) {
        const struct lq_profile *p = &published->profiles[i];
        struct lq_expert_load load;
        struct lq_error err = {0};
        if (!lq_profile_is_load(p) || (own && strcasecmp(p->model, job->model->id) != 0) ||
            lq_profile_load(p, &load, &err) != LQ_OK) {
            continue;
        }
        widen(&peaks, busiest(&load));
        json_array_append_new(runs, load_encode(p, &load));
    }
    if (json_array_size(runs) == 0) {
        json_decref(runs);
        return json_null();
    }
    char detail[192];
    snprintf(detail, sizeof detail,
             "an even load is assumed; in these runs the busiest expert had %.2f to %.2f times the"
             " mean one's tokens (Xia et al. 2024, Fig. 11)",
             peaks.low, peaks.high);
    return evidence_new("Fig.11", runs, detail);
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
