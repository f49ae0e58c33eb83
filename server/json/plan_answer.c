/* Encodes plans. Every number is core's, in dollars where core has GPU time. */
#include "server/json/plan_answer.h"

#include "core/base/units.h"
#include "core/finetune/device.h"
#include "core/planning/plan_shape.h"
#include "server/json/law.h"
#include "server/json/member.h"

#include <math.h>
#include <string.h>

/* Parameters, tokens: a fraction of one means nothing. */
static void set_quantity(json_t *object, const char *name, double value)
{
    json_object_set_new_nocheck(object, name, json_real(round(value)));
}

/* Dollars for GPU seconds; null where nobody prices the GPU. */
static void set_usd(json_t *object, const char *name, const struct lq_plan_document *document,
                    double gpu_s)
{
    const double usd = gpu_s / LQ_SECONDS_PER_HOUR * document->usd_per_gpu_h;
    json_object_set_new_nocheck(object, name, lq_number_or_null(usd));
}

static void set_serving(json_t *o, const struct lq_plan_document *document,
                        const struct lq_allocation *at)
{
    static const char *const NAMES[] = {"serving_usd_per_million_tokens",
                                        "serving_gpu_s_per_million_tokens",
                                        "serving_gpu_count",
                                        "serving_concurrent_requests",
                                        "serving_tokens_per_s",
                                        "serving_bound"};
    if (!at->served) {
        for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
            json_object_set_new(o, NAMES[i], json_null());
        }
        return;
    }
    const struct lq_serving *s = &at->serving;
    set_usd(o, NAMES[0], document, 1e6 * s->gpu_s_per_token);
    lq_set_real(o, NAMES[1], 1e6 * s->gpu_s_per_token);
    json_object_set_new(o, NAMES[2], json_integer(s->gpu_count));
    lq_set_real(o, NAMES[3], s->concurrent_requests);
    lq_set_real(o, NAMES[4], s->tokens_per_s);
    json_object_set_new(o, NAMES[5], json_string(LQ_BOUND_NAMES[s->bound]));
}

static void set_training(json_t *o, const struct lq_plan_document *document,
                         const struct lq_allocation *at)
{
    lq_set_real(o, "training_flop", at->training_flop);
    lq_set_real(o, "training_gpu_hours", at->training_gpu_s / LQ_SECONDS_PER_HOUR);
    set_usd(o, "training_usd", document, at->training_gpu_s);
    if (document->training_gpu_count > 0) {
        lq_set_real(o, "training_duration_s",
                    at->training_gpu_s / (double)document->training_gpu_count);
    } else if (document->deadline_s > 0.0) {
        lq_set_whole(o, "training_gpu_count", ceil(at->training_gpu_s / document->deadline_s));
    }
}

static json_t *shape_encode(const struct lq_plan_document *document, const struct lq_allocation *at)
{
    const struct lq_plan_proportions proportions = {at->experts, document->question.mlp_share,
                                                    document->question.moe_layer_share};
    const struct lq_plan_shape shape = lq_plan_shape_of(at->parameters, &proportions);
    json_t *o = json_object();
    json_object_set_new(o, "layers", json_integer(shape.layers));
    json_object_set_new(o, "moe_layers", json_integer(shape.moe_layers));
    json_object_set_new(o, "hidden_size", json_integer(shape.hidden_size));
    json_object_set_new(o, "intermediate_size", json_integer(shape.intermediate_size));
    json_object_set_new(o, "heads", json_integer(shape.heads));
    json_object_set_new(o, "head_size", json_integer(shape.head_size));
    json_object_set_new(o, "experts", json_integer(shape.experts));
    json_object_set_new(
        o, "active_experts",
        json_integer((json_int_t)fmin(document->family.active_experts, at->experts)));
    set_quantity(o, "parameters", shape.parameters);
    set_quantity(o, "total_parameters", shape.total_parameters);
    return o;
}

json_t *lq_allocation_encode(const struct lq_plan_document *document,
                             const struct lq_allocation *at)
{
    json_t *o = json_object();
    set_quantity(o, "parameters", at->parameters);
    set_quantity(o, "total_parameters", at->total_parameters);
    set_quantity(o, "active_parameters", at->active_parameters);
    set_quantity(o, "tokens", at->tokens);
    lq_set_real(o, "loss", at->loss);
    set_training(o, document, at);
    set_serving(o, document, at);
    if (document->question.served_tokens > 0.0 && at->served) {
        set_usd(o, "served_usd", document, at->served_gpu_s);
        set_usd(o, "total_usd", document, at->training_gpu_s + at->served_gpu_s);
        lq_set_real(o, "total_gpu_hours",
                    (at->training_gpu_s + at->served_gpu_s) / LQ_SECONDS_PER_HOUR);
    }
    if (document->shape) {
        json_object_set_new(o, "shape", shape_encode(document, at));
    }
    return o;
}

/* With its ratios to the base's loss-optimal model, and to the option's own. */
static json_t *compared_encode(const struct lq_plan_quote *quote,
                               const struct lq_plan_option *option, const struct lq_allocation *at)
{
    const struct lq_plan *plan = quote->plan;
    const struct lq_allocation *base = &plan->base;
    json_t *o = lq_allocation_encode(quote->document, at);
    lq_set_real(o, "parameters_ratio", lq_plan_parameters_ratio(plan, at, base));
    json_object_set_new(o, "serving_cost_ratio",
                        at->served && base->served
                            ? json_real(at->serving.gpu_s_per_token / base->serving.gpu_s_per_token)
                            : json_null());
    lq_set_real(o, "shrink_ratio", at->parameters / option->loss_optimal.parameters);
    lq_set_real(o, "tokens_ratio", at->tokens / base->tokens);
    const double difference = at->loss - base->loss;
    lq_set_real(o, "loss_difference", fabs(difference) < 1e-9 ? 0.0 : difference);
    return o;
}

/* The member, and beside it why it is null. */
static void set_answer(json_t *object, const char *name, const struct lq_plan_quote *quote,
                       const struct lq_plan_option *option, const struct lq_plan_answer *answer)
{
    char reason[64];
    snprintf(reason, sizeof reason, "%s_reason", name);
    if (answer->found) {
        json_object_set_new(object, name, compared_encode(quote, option, &answer->at));
    } else {
        json_object_set_new(object, name, json_null());
        lq_set_text(object, reason, answer->reason);
    }
}

static json_t *option_encode(const struct lq_plan_quote *quote, const struct lq_plan_option *option)
{
    const struct lq_plan_question *q = &quote->document->question;
    const struct lq_plan_answer *equal = &option->equal_loss;
    json_t *o = json_object();
    lq_set_whole(o, "experts", option->loss_optimal.experts);
    json_object_set_new(o, "loss_optimal", compared_encode(quote, option, &option->loss_optimal));
    set_answer(o, "bounded_loss", quote, option, &option->bounded_loss);
    set_answer(o, "bounded_cost", quote, option, &option->bounded_cost);
    if (option->bounded_cost.found) {
        json_object_set_new(json_object_get(o, "bounded_cost"), "cost_binds",
                            json_boolean(option->cost_binds));
    }
    json_object_set_new(o, "equal_loss_budget_ratio",
                        equal->found
                            ? json_real(equal->at.training_flop / quote->plan->base.training_flop)
                            : json_null());
    set_answer(o, "equal_loss", quote, option, equal);
    if (q->required_loss > 0.0) {
        set_answer(o, "required_loss", quote, option, &option->required);
    }
    if (q->served_tokens > 0.0) {
        set_answer(o, "least_total_cost", quote, option, &option->least_total);
        if (q->total_gpu_s > 0.0) {
            set_answer(o, "within_total_budget", quote, option, &option->within_total);
        }
    }
    return o;
}

json_t *lq_plan_choice_encode(const struct lq_plan_document *document,
                              const struct lq_plan_choice *choice)
{
    json_t *o = choice->found ? lq_allocation_encode(document, &choice->at) : json_object();
    if (choice->found) {
        lq_set_whole(o, "experts", choice->at.experts);
        lq_set_text(o, "objective", LQ_PLAN_OBJECTIVE_NAMES[choice->objective]);
        json_object_set_new(o, "loss_bound", lq_number_or_null(choice->loss_bound));
    } else {
        json_object_set_new(o, "experts", json_null());
    }
    lq_set_text(o, "why", choice->why);
    return o;
}

static void warn(json_t *list, const char *code, const char *detail)
{
    json_t *o = json_object();
    lq_set_text(o, "code", code);
    json_object_set_new(o, "detail", lq_text_or_null(detail));
    json_array_append_new(list, o);
}

/* Each doubt once, at the first model that raises it. */
static void warn_of_doubts(json_t *list, const struct lq_plan_question *q,
                           const struct lq_allocation *at, unsigned *told)
{
    const struct lq_law_point point =
        lq_law_point_of(q->law, q->family, at->parameters, at->tokens, at->experts);
    const unsigned doubts = lq_law_doubts(q->law, &point) & ~*told;
    for (unsigned bit = 1; bit <= LQ_DOUBT_TOKENS_FIXED; bit <<= 1) {
        char detail[LQ_DETAIL_MAX];
        if ((doubts & bit) != 0) {
            lq_law_doubt_detail(q->law, &point, (enum lq_law_doubt)bit, detail, sizeof detail);
            warn(list, lq_law_doubt_code((enum lq_law_doubt)bit), detail);
        }
    }
    *told |= doubts;
}

static json_t *warnings_encode(const struct lq_plan_quote *quote)
{
    const struct lq_plan_document *d = quote->document;
    json_t *list = json_array();
    if (d->question.law->status == LQ_LAW_RECONSTRUCTED) {
        warn(list, "reconstructed", d->question.law->note);
    }
    unsigned told = 0;
    for (size_t i = 0; i < quote->plan->count; i++) {
        const struct lq_plan_option *option = &quote->plan->options[i];
        warn_of_doubts(list, &d->question, &option->loss_optimal, &told);
        if (option->bounded_loss.found) {
            warn_of_doubts(list, &d->question, &option->bounded_loss.at, &told);
        }
    }
    if (!(d->usd_per_gpu_h > 0.0)) {
        warn(list, "unpriced", "no provider in the catalog prices this GPU on demand");
    }
    if (quote->price.stale) {
        warn(list, "stale-price",
             "the price is over 180 days older than the newest in the catalog");
    }
    if (!d->utilisation_given) {
        warn(list, "assumed-utilisation",
             "training is assumed to reach 0.4 of the GPU's matrix peak: give utilisation");
    }
    bool fallback = false;
    const struct lq_serving_format *format = &d->question.format;
    (void)lq_peak_flop_per_s(d->question.serving.gpu, format->precision, &fallback);
    if (format->precision == LQ_PRECISION_FP8 && !fallback) {
        warn(list, "fp8-training",
             "the precision is that of training too: utilisation is taken of the GPU's fp8 peak");
    }
    if (d->deadline_binds) {
        warn(list, "deadline-binds",
             "the deadline leaves less than the budget on that many GPUs: planned with what it "
             "leaves");
    }
    return list;
}

static json_t *versions_encode(const struct lq_plan_quote *quote)
{
    char law[LQ_LAW_VERSION_SIZE];
    lq_law_version(quote->document->question.law, law);
    json_t *o = json_object();
    lq_set_text(o, "code", LQ_VERSION);
    lq_set_text(o, "catalog", quote->catalog_version);
    lq_set_text(o, "prices", quote->prices_version);
    lq_set_text(o, "law", law);
    lq_set_text(o, "laws", quote->laws_version);
    return o;
}

static json_t *price_encode(const struct lq_plan_quote *quote)
{
    if (!(quote->document->usd_per_gpu_h > 0.0)) {
        return json_null();
    }
    json_t *o = json_object();
    lq_set_real(o, "usd_per_gpu_hour", quote->document->usd_per_gpu_h);
    lq_set_text(o, "provider", quote->price.provider);
    lq_set_text(o, "instance_type", quote->price.instance_type);
    lq_set_text(o, "price_date", quote->price.date);
    json_object_set_new(o, "stale", json_boolean(quote->price.stale));
    return o;
}

json_t *lq_plan_encode(const struct lq_plan_quote *quote)
{
    const struct lq_plan_document *d = quote->document;
    const struct lq_law *law = d->question.law;
    json_t *o = json_object();
    lq_set_text(o, "law", law->id);
    lq_set_text(o, "status", LQ_LAW_STATUS_NAMES[law->status]);
    lq_set_real(o, "budget_flop", d->question.budget_flop);
    lq_set_text(o, "gpu", d->question.serving.gpu->id);
    json_object_set_new(o, "price", price_encode(quote));
    lq_set_text(o, "ratios_of",
                quote->plan->ratios_of_active ? "activated-parameters"
                                              : "dense-equivalent-parameters");
    json_t *base = lq_allocation_encode(d, &quote->plan->base);
    lq_set_whole(base, "experts", quote->plan->base.experts);
    json_object_set_new(o, "base", base);
    json_t *options = json_array();
    for (size_t i = 0; i < quote->plan->count; i++) {
        json_array_append_new(options, option_encode(quote, &quote->plan->options[i]));
    }
    json_object_set_new(o, "options", options);
    json_object_set_new(o, "recommendation",
                        lq_plan_choice_encode(d, &quote->plan->recommendation));
    json_object_set_new(o, "claims", lq_plan_claims_encode(quote));
    if (quote->verdict_count > 0) {
        json_object_set_new(o, "laws", lq_plan_verdicts_encode(quote));
        json_object_set_new(o, "consensus", lq_plan_consensus_encode(quote));
    }
    if (d->series) {
        json_object_set_new(o, "series", lq_plan_series_encode(quote));
    }
    json_object_set_new(o, "assumptions", lq_plan_document_encode(d));
    json_object_set_new(o, "versions", versions_encode(quote));
    json_object_set_new(o, "warnings", warnings_encode(quote));
    return o;
}
