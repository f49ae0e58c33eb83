/* Encodes estimates. Every number is core's; nothing is computed here but the sum of a term's
 * stages and the cost's interval, which is the duration's. */
#include "server/json/estimate.h"

#include "core/arch/parallelism.h"
#include "server/json/evidence.h"
#include "server/json/fit.h"
#include "server/json/layout.h"
#include "server/json/member.h"
#include "server/json/method.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static json_t *pair(const double bounds[2])
{
    json_t *list = json_array();
    json_array_append_new(list, json_real(bounds[0]));
    json_array_append_new(list, json_real(bounds[1]));
    return list;
}

static json_t *pair_of_counts(int64_t low, int64_t high)
{
    json_t *list = json_array();
    json_array_append_new(list, json_integer(low));
    json_array_append_new(list, json_integer(high));
    return list;
}

static json_t *throughput_encode(const struct lq_estimate *e)
{
    json_t *o = json_object();
    lq_set_real(o, "queries_per_s", e->queries_per_s);
    lq_set_real(o, "tokens_per_s", e->tokens_per_s);
    lq_set_real(o, "unpadded_tokens_per_s", e->unpadded_tokens_per_s);
    lq_set_real(o, "tokens_per_s_per_gpu", e->tokens_per_s_per_gpu);
    return o;
}

/* Where compute overtakes what binds a term at small batches, in rows; null where it never does. */
static json_t *turning_encode(const struct lq_estimate *e, double turning)
{
    return turning > 0.0 ? json_real(turning * (double)e->batch_size) : json_null();
}

static json_t *terms_encode(const struct lq_estimate *e)
{
    json_t *list = json_array();
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        const enum lq_term term = (enum lq_term)t;
        const double seconds = lq_step_term_s(&e->step, term);
        if (!(seconds > 0.0)) {
            continue;
        }
        double turning = 0.0;
        const enum lq_bound bound = lq_step_bound(&e->parts, e->factor, term, &turning);
        const struct lq_amount work = lq_step_amount(&e->parts, &e->step, term);
        json_t *o = json_object();
        lq_set_text(o, "name", LQ_TERM_NAMES[t]);
        lq_set_real(o, "time_s", seconds);
        lq_set_text(o, "bound", LQ_BOUND_NAMES[bound]);
        lq_set_real(o, "flop", work.flop);
        lq_set_real(o, "bytes", work.bytes);
        lq_set_real(o, "efficiency", work.efficiency);
        json_object_set_new_nocheck(o, "turning_batch_size", turning_encode(e, turning));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *step_encode(const struct lq_estimate *e)
{
    json_t *o = json_object();
    const double recomputation_s = e->stage_s[LQ_STAGE_RECOMPUTATION];
    lq_set_real(o, "total_s", e->step_s);
    lq_set_real(o, "forward_s", e->stage_s[LQ_STAGE_FORWARD]);
    lq_set_real(o, "backward_s", e->stage_s[LQ_STAGE_BACKWARD] + recomputation_s);
    lq_set_real(o, "recomputation_s", recomputation_s);
    lq_set_real(o, "optimizer_s", e->stage_s[LQ_STAGE_OPTIMIZER]);
    lq_set_real(o, "moe_share", e->moe_share);
    lq_set_real(o, "padded_tokens", e->step_tokens);
    lq_set_real(o, "row_tokens", e->row_tokens);
    json_object_set_new_nocheck(o, "terms", terms_encode(e));
    return o;
}

static json_t *memory_encode(const struct lq_job *job, const struct lq_estimate *e)
{
    const struct lq_memory_parts *m = &e->held; /* at the peak: they add up to the total */
    json_t *o = json_object();
    lq_set_whole(o, "capacity_bytes", job->gpu->memory_bytes);
    lq_set_text(o, "peak", LQ_MEMORY_MOMENT_NAMES[m->moment]);
    lq_set_whole(o, "weights_bytes", m->weights_bytes);
    lq_set_whole(o, "adapter_bytes", m->adapter_bytes);
    lq_set_whole(o, "gradient_bytes", m->gradient_bytes);
    lq_set_whole(o, "optimizer_bytes", m->optimizer_bytes);
    lq_set_whole(o, "activation_bytes", m->activation_bytes);
    lq_set_whole(o, "logits_bytes", m->logits_bytes);
    lq_set_whole(o, "communication_bytes", m->communication_bytes);
    lq_set_whole(o, "overhead_bytes", m->overhead_bytes);
    lq_set_whole(o, "total_bytes", e->total_bytes);
    lq_set_count(o, "longest_row_tokens", job->lengths->longest_tokens);
    return o;
}

json_t *lq_cost_line_encode(const struct lq_cost_line *line)
{
    json_t *o = json_object();
    lq_set_text(o, "provider", line->provider);
    lq_set_text(o, "region", line->region);
    lq_set_text(o, "instance_type", line->instance_type);
    lq_set_count(o, "instance_count", line->instances);
    lq_set_count(o, "instance_gpu_count", line->instance_gpus);
    lq_set_count(o, "idle_gpu_count", line->idle_gpus);
    lq_set_real(o, "usd_per_gpu_hour", line->usd_per_gpu_hour);
    lq_set_real(o, "cost_usd", line->cost_usd);
    lq_set_text(o, "price_date", line->date);
    json_object_set_new_nocheck(o, "stale", json_boolean(line->stale));
    return o;
}

static json_t *costs_encode(const struct lq_quote *quote)
{
    json_t *list = json_array();
    for (size_t i = 0; i < quote->cost_count; i++) {
        json_array_append_new(list, lq_cost_line_encode(&quote->costs[i]));
    }
    return list;
}

json_t *lq_quote_interval_encode(const struct lq_quote *quote)
{
    const struct lq_estimate *e = quote->estimate;
    const struct lq_estimate_interval *in = &e->interval;
    json_t *o = json_object();
    lq_set_real(o, "level", quote->document->job.confidence);
    json_object_set_new_nocheck(o, "queries_per_s", pair(in->queries_per_s));
    json_object_set_new_nocheck(o, "tokens_per_s_per_gpu", pair(in->tokens_per_s_per_gpu));
    json_object_set_new_nocheck(o, "duration_s", pair(in->duration_s));
    if (quote->cost_count > 0) {
        const double per_s = quote->costs[0].cost_usd / e->duration_s;
        const double cost[2] = {per_s * in->duration_s[0], per_s * in->duration_s[1]};
        json_object_set_new_nocheck(o, "cost_usd", pair(cost));
    } else {
        json_object_set_new_nocheck(o, "cost_usd", json_null());
    }
    json_object_set_new_nocheck(
        o, "memory_bytes",
        pair_of_counts(lq_whole(in->memory_bytes[0]), lq_whole(in->memory_bytes[1])));
    json_object_set_new_nocheck(o, "max_batch_size",
                                pair_of_counts(in->max_batch_size[0], in->max_batch_size[1]));
    return o;
}

/* A fit with what it rests on. */
static void fit_encode(json_t *o, const struct lq_fit *fit)
{
    lq_set_text(o, "fit", fit != NULL ? fit->id : "");
    lq_set_count(o, "points", fit != NULL ? (int64_t)fit->points : 0);
    json_object_set_new_nocheck(o, "sources", lq_sources_encode(fit != NULL ? fit->sources : ""));
}

/* What speaks for the job itself stands in the basis; what the prior was made of stands apart, so
 * that an answer without evidence never looks like one with. */
static json_t *basis_encode(const struct lq_basis *basis)
{
    const bool is_prior = basis->kind == LQ_BASIS_PRIOR;
    json_t *o = json_object();
    lq_set_text(o, "kind", LQ_BASIS_NAMES[basis->kind]);
    fit_encode(o, is_prior ? NULL : basis->fit);
    json_t *prior = json_null();
    if (is_prior && basis->fit != NULL) {
        prior = json_object();
        fit_encode(prior, basis->fit);
    }
    json_object_set_new_nocheck(o, "prior", prior);
    return o;
}

static json_t *throughput_basis_encode(const struct lq_quote *quote)
{
    const struct lq_estimate *e = quote->estimate;
    json_t *o = basis_encode(&e->basis);
    lq_set_text(o, "estimator", LQ_ESTIMATOR_NAMES[quote->document->job.estimator]);
    if (e->point != NULL) {
        lq_set_text(o, "point", e->point->id);
        lq_set_count(o, "points", 1);
        json_object_set_new_nocheck(o, "sources", lq_sources_encode(e->point->source));
    }
    json_object_set_new_nocheck(o, "memory", basis_encode(&e->memory_basis));
    return o;
}

/* Points of the job's own identity that would narrow its interval most. */
static json_t *suggestions_encode(const struct lq_quote *quote)
{
    const struct lq_job *job = &quote->document->job;
    json_t *list = json_array();
    for (int i = 0; i < quote->suggestion_count; i++) {
        const struct lq_suggestion *s = &quote->suggestions[i];
        json_t *o = json_object();
        lq_set_text(o, "model", job->model->id);
        lq_set_text(o, "gpu", job->gpu->id);
        lq_set_count(o, "batch_size", s->batch_size);
        lq_set_real(o, "row_tokens", s->row_tokens);
        lq_set_real(o, "interval_width", s->width_now);
        lq_set_real(o, "interval_width_then", s->width_then);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *versions_encode(const struct lq_quote *quote)
{
    const struct lq_estimate *e = quote->estimate;
    json_t *o = json_object();
    lq_set_text(o, "code", LQ_VERSION);
    lq_set_text(o, "catalog", quote->catalog_version);
    lq_set_text(o, "prices", quote->prices_version);
    if (e->point != NULL) {
        lq_set_text(o, "fit", e->point->id);
    } else {
        lq_set_text(o, "fit", e->basis.fit != NULL ? e->basis.fit->id : "prior");
    }
    lq_set_text(o, "memory_fit", e->memory_basis.fit != NULL ? e->memory_basis.fit->id : "prior");
    return o;
}

static void warning_append(json_t *list, const char *code, const char *detail)
{
    json_t *o = json_object();
    lq_set_text(o, "code", code);
    lq_set_text(o, "detail", detail);
    json_array_append_new(list, o);
}

/* The warning, and the kinds of parallelism it is about. */
static void layout_warning_append(json_t *list, const struct lq_quote *quote)
{
    struct lq_job laid_out = quote->document->job;
    laid_out.layout = quote->estimate->layout;
    char kinds[LQ_PARALLELISM_TEXT_MAX];
    char detail[LQ_DETAIL_MAX];
    lq_parallelism_text(lq_job_missing_parallelism(&laid_out), kinds);
    snprintf(detail, sizeof detail, "%s: not %s", LQ_WARNING_DETAILS[LQ_WARN_LAYOUT], kinds);
    warning_append(list, LQ_WARNING_CODES[LQ_WARN_LAYOUT], detail);
}

json_t *lq_warning_codes_encode(uint32_t warnings)
{
    json_t *list = json_array();
    for (int i = 0; i < LQ_WARNING_COUNT; i++) {
        if ((warnings & (1u << i)) != 0) {
            json_array_append_new(list, json_string_nocheck(LQ_WARNING_CODES[i]));
        }
    }
    return list;
}

static json_t *warnings_encode(const struct lq_quote *quote)
{
    json_t *list = json_array();
    for (int i = 0; i < LQ_WARNING_COUNT; i++) {
        if ((quote->estimate->warnings & (1u << i)) == 0) {
            continue;
        }
        if (i == LQ_WARN_LAYOUT) {
            layout_warning_append(list, quote);
        } else {
            warning_append(list, LQ_WARNING_CODES[i], LQ_WARNING_DETAILS[i]);
        }
    }
    if (quote->cost_count == 0) {
        warning_append(list, "unpriced", "no provider in the catalog prices this GPU on demand");
    }
    bool stale = false;
    bool several = false;
    for (size_t i = 0; i < quote->cost_count; i++) {
        stale = stale || quote->costs[i].stale;
        several = several || quote->costs[i].instances > 1;
    }
    if (stale) {
        warning_append(list, "stale-price",
                       "at least one listed price is marked stale: see its price_date");
    }
    if (several) {
        warning_append(list, "several-instances",
                       "an offer with instance_count above 1 spreads the job over machines whose "
                       "network is not in the estimate");
    }
    return list;
}

json_t *lq_estimate_encode(const struct lq_quote *quote)
{
    const struct lq_job *job = &quote->document->job;
    const struct lq_estimate *e = quote->estimate;
    json_t *o = json_object();
    lq_set_text(o, "model", job->model->id);
    lq_set_text(o, "gpu", job->gpu->id);
    lq_set_count(o, "gpu_count", job->gpu_count);
    json_object_set_new_nocheck(o, "layout", lq_layout_encode(&e->layout));
    lq_set_count(o, "layouts_tried", e->layouts_tried);
    json_object_set_new_nocheck(o, "method", lq_method_encode(&job->method));
    lq_set_count(o, "batch_size", e->batch_size);
    lq_set_count(o, "max_batch_size", e->max_batch_size);
    json_object_set_new_nocheck(o, "throughput", throughput_encode(e));
    json_object_set_new_nocheck(o, "step_time", step_encode(e));
    json_object_set_new_nocheck(o, "memory", memory_encode(job, e));
    lq_set_real(o, "duration_s", e->duration_s);
    json_object_set_new_nocheck(o, "cost", costs_encode(quote));
    json_object_set_new_nocheck(o, "interval", lq_quote_interval_encode(quote));
    json_object_set_new_nocheck(o, "basis", throughput_basis_encode(quote));
    json_object_set_new_nocheck(o, "suggested_calibrations", suggestions_encode(quote));
    json_object_set_new_nocheck(o, "assumptions", lq_job_encode(quote->document));
    json_object_set_new_nocheck(o, "assumptions_evidence",
                                lq_defaults_evidence_encode(job, quote->published));
    json_object_set_new_nocheck(o, "versions", versions_encode(quote));
    json_object_set_new_nocheck(o, "warnings", warnings_encode(quote));
    return o;
}
