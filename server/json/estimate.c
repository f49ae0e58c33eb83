/* Encodes estimates. Every number is core's; nothing is computed here but the sum of a term's
 * stages and the cost's interval, which is the duration's. */
#include "server/json/estimate.h"

#include "server/json/method.h"

#include <stdbool.h>
#include <string.h>

static void set_real(json_t *object, const char *name, double value)
{
    json_object_set_new_nocheck(object, name, json_real(value));
}

static void set_count(json_t *object, const char *name, int64_t value)
{
    json_object_set_new_nocheck(object, name, json_integer(value));
}

static void set_text(json_t *object, const char *name, const char *text)
{
    json_object_set_new_nocheck(object, name,
                                text[0] != '\0' ? json_string_nocheck(text) : json_null());
}

/* Whole bytes: a fraction of one means nothing, and none is larger than an integer holds. */
static int64_t whole_bytes(double bytes)
{
    return bytes < 9e18 ? (int64_t)(bytes + 0.5) : INT64_MAX;
}

static void set_bytes(json_t *object, const char *name, double bytes)
{
    set_count(object, name, whole_bytes(bytes));
}

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
    set_real(o, "queries_per_s", e->queries_per_s);
    set_real(o, "tokens_per_s", e->tokens_per_s);
    set_real(o, "unpadded_tokens_per_s", e->unpadded_tokens_per_s);
    set_real(o, "tokens_per_s_per_gpu", e->tokens_per_s_per_gpu);
    return o;
}

static json_t *terms_encode(const struct lq_job *job, const struct lq_estimate *e)
{
    const double active = (double)job->active_experts;
    json_t *list = json_array();
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        struct lq_step_coefficients sum = {0};
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            sum.fixed_s += e->step.term[t][s].fixed_s;
            sum.token_s += e->step.term[t][s].token_s;
            sum.expert_token_s += e->step.term[t][s].expert_token_s;
        }
        const double seconds = lq_step_seconds(&sum, e->step_tokens, active);
        if (!(seconds > 0.0)) {
            continue;
        }
        const enum lq_term term = (enum lq_term)t;
        json_t *o = json_object();
        set_text(o, "name", LQ_TERM_NAMES[t]);
        set_real(o, "time_s", seconds);
        set_text(o, "bound", LQ_BOUND_NAMES[lq_step_bound(term, &sum, e->step_tokens, active)]);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *step_encode(const struct lq_job *job, const struct lq_estimate *e)
{
    json_t *o = json_object();
    set_real(o, "total_s", e->step_s);
    set_real(o, "forward_s", e->stage_s[LQ_STAGE_FORWARD]);
    set_real(o, "backward_s", e->stage_s[LQ_STAGE_BACKWARD]);
    set_real(o, "optimizer_s", e->stage_s[LQ_STAGE_OPTIMIZER]);
    set_real(o, "moe_share", e->moe_share);
    set_real(o, "padded_tokens", e->step_tokens);
    set_real(o, "row_tokens", e->row_tokens);
    json_object_set_new_nocheck(o, "terms", terms_encode(job, e));
    return o;
}

static json_t *memory_encode(const struct lq_job *job, const struct lq_estimate *e)
{
    const struct lq_memory_parts *m = &e->parts; /* at the peak: they add up to the total */
    json_t *o = json_object();
    set_bytes(o, "capacity_bytes", job->gpu->memory_bytes);
    set_text(o, "peak", LQ_MEMORY_MOMENT_NAMES[m->moment]);
    set_bytes(o, "weights_bytes", m->weights_bytes);
    set_bytes(o, "adapter_bytes", m->adapter_bytes);
    set_bytes(o, "gradient_bytes", m->gradient_bytes);
    set_bytes(o, "optimizer_bytes", m->optimizer_bytes);
    set_bytes(o, "activation_bytes", m->activation_bytes);
    set_bytes(o, "logits_bytes", m->logits_bytes);
    set_bytes(o, "communication_bytes", m->communication_bytes);
    set_bytes(o, "overhead_bytes", m->overhead_bytes);
    set_bytes(o, "total_bytes", e->total_bytes);
    set_count(o, "longest_row_tokens", job->lengths->longest_tokens);
    return o;
}

json_t *lq_cost_line_encode(const struct lq_cost_line *line)
{
    json_t *o = json_object();
    set_text(o, "provider", line->provider);
    set_text(o, "region", line->region);
    set_text(o, "instance_type", line->instance_type);
    set_count(o, "instance_count", line->instances);
    set_count(o, "instance_gpu_count", line->instance_gpus);
    set_count(o, "idle_gpu_count", line->idle_gpus);
    set_real(o, "usd_per_gpu_hour", line->usd_per_gpu_hour);
    set_real(o, "cost_usd", line->cost_usd);
    set_text(o, "price_date", line->date);
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

static json_t *interval_encode(const struct lq_quote *quote)
{
    const struct lq_estimate *e = quote->estimate;
    const struct lq_estimate_interval *in = &e->interval;
    json_t *o = json_object();
    set_real(o, "level", quote->document->job.confidence);
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
        pair_of_counts(whole_bytes(in->memory_bytes[0]), whole_bytes(in->memory_bytes[1])));
    json_object_set_new_nocheck(o, "max_batch_size",
                                pair_of_counts(in->max_batch_size[0], in->max_batch_size[1]));
    return o;
}

/* "a, b" -> ["a", "b"] */
static json_t *sources_encode(const char *sources)
{
    json_t *list = json_array();
    while (*sources != '\0') {
        const size_t length = strcspn(sources, ",");
        json_array_append_new(list, json_stringn(sources, length));
        sources += length;
        sources += strspn(sources, ", ");
    }
    return list;
}

static json_t *basis_encode(const struct lq_basis *basis)
{
    const struct lq_fit *fit = basis->fit;
    json_t *o = json_object();
    set_text(o, "kind", LQ_BASIS_NAMES[basis->kind]);
    set_text(o, "fit", fit != NULL ? fit->id : "");
    set_count(o, "points", fit != NULL ? (int64_t)fit->points : 0);
    json_object_set_new_nocheck(o, "sources", sources_encode(fit != NULL ? fit->sources : ""));
    return o;
}

static json_t *throughput_basis_encode(const struct lq_quote *quote)
{
    const struct lq_estimate *e = quote->estimate;
    json_t *o = basis_encode(&e->basis);
    set_text(o, "estimator", LQ_ESTIMATOR_NAMES[quote->document->job.estimator]);
    if (e->point != NULL) {
        set_text(o, "point", e->point->id);
        set_count(o, "points", 1);
        json_object_set_new_nocheck(o, "sources", sources_encode(e->point->source));
    }
    json_object_set_new_nocheck(o, "memory", basis_encode(&e->memory_basis));
    return o;
}

static json_t *versions_encode(const struct lq_quote *quote)
{
    const struct lq_estimate *e = quote->estimate;
    json_t *o = json_object();
    set_text(o, "code", LQ_VERSION);
    set_text(o, "catalog", quote->catalog_version);
    set_text(o, "prices", quote->prices_version);
    if (e->point != NULL) {
        set_text(o, "fit", e->point->id);
    } else {
        set_text(o, "fit", e->basis.fit != NULL ? e->basis.fit->id : "prior");
    }
    set_text(o, "memory_fit", e->memory_basis.fit != NULL ? e->memory_basis.fit->id : "prior");
    return o;
}

static void warning_append(json_t *list, const char *code, const char *detail)
{
    json_t *o = json_object();
    set_text(o, "code", code);
    set_text(o, "detail", detail);
    json_array_append_new(list, o);
}

static json_t *warnings_encode(const struct lq_quote *quote)
{
    json_t *list = json_array();
    for (int i = 0; i < LQ_WARNING_COUNT; i++) {
        if ((quote->estimate->warnings & (1u << i)) != 0) {
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
    set_text(o, "model", job->model->id);
    set_text(o, "gpu", job->gpu->id);
    set_count(o, "gpu_count", job->gpu_count);
    json_object_set_new_nocheck(o, "method", lq_method_encode(&job->method));
    set_count(o, "batch_size", e->batch_size);
    set_count(o, "max_batch_size", e->max_batch_size);
    json_object_set_new_nocheck(o, "throughput", throughput_encode(e));
    json_object_set_new_nocheck(o, "step_time", step_encode(job, e));
    json_object_set_new_nocheck(o, "memory", memory_encode(job, e));
    set_real(o, "duration_s", e->duration_s);
    json_object_set_new_nocheck(o, "cost", costs_encode(quote));
    json_object_set_new_nocheck(o, "interval", interval_encode(quote));
    json_object_set_new_nocheck(o, "basis", throughput_basis_encode(quote));
    json_object_set_new_nocheck(o, "assumptions", lq_job_encode(quote->document));
    json_object_set_new_nocheck(o, "versions", versions_encode(quote));
    json_object_set_new_nocheck(o, "warnings", warnings_encode(quote));
    return o;
}
