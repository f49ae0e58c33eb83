/* Encodes series: what the paper's Figures 2-6 show, ready to plot, one list of points for each
 * expert count. */
#include "core/planning/plan_series.h"

#include "server/json/member.h"
#include "server/json/plan_answer.h"

/* The series over budgets by what their points hold. */
enum kind { LOSS_COST, EQUAL_LOSS_BUDGETS, BOUNDED_LOSS, BOUNDED_COST, KIND_COUNT };
static const char *const NAMES[KIND_COUNT] = {
    [LOSS_COST] = "loss_cost",
    [EQUAL_LOSS_BUDGETS] = "equal_loss_budgets",
    [BOUNDED_LOSS] = "bounded_loss",
    [BOUNDED_COST] = "bounded_cost",
};

static void set_cost(json_t *object, const struct lq_plan_document *document,
                     const struct lq_allocation *at)
{
    const double gpu_s = 1e6 * at->serving.gpu_s_per_token;
    const double usd = gpu_s / 3600.0 * document->usd_per_gpu_h;
    json_object_set_new(object, "serving_gpu_s_per_million_tokens",
                        at->served ? json_real(gpu_s) : json_null());
    json_object_set_new(object, "serving_usd_per_million_tokens",
                        at->served && usd > 0.0 ? json_real(usd) : json_null());
}

static json_t *model_point(const struct lq_plan_document *document, const struct lq_allocation *at)
{
    json_t *o = json_object();
    lq_set_real(o, "parameters", at->parameters);
    lq_set_real(o, "tokens", at->tokens);
    lq_set_real(o, "loss", at->loss);
    set_cost(o, document, at);
    return o;
}

static json_t *ratio_point(const struct lq_plan_document *document, const struct lq_plan *plan,
                           const struct lq_plan_option *option, const struct lq_plan_answer *answer)
{
    const struct lq_allocation *at = &answer->at;
    json_t *o = model_point(document, at);
    lq_set_real(o, "parameters_ratio", lq_plan_parameters_ratio(plan, at, &plan->base));
    lq_set_real(o, "shrink_ratio", at->parameters / option->loss_optimal.parameters);
    json_object_set_new(
        o, "serving_cost_ratio",
        at->served && plan->base.served
            ? json_real(at->serving.gpu_s_per_token / plan->base.serving.gpu_s_per_token)
            : json_null());
    return o;
}

/* NULL where the option has no such point. */
static json_t *point_encode(const struct lq_plan_document *document, const struct lq_plan *plan,
                            const struct lq_plan_option *option, enum kind kind)
{
    switch (kind) {
    case LOSS_COST:
        return model_point(document, &option->loss_optimal);
    case EQUAL_LOSS_BUDGETS: {
        if (!option->equal_loss.found) {
            return NULL;
        }
        json_t *o = json_object();
        lq_set_real(o, "equal_loss_budget_flop", option->equal_loss.at.training_flop);
        lq_set_real(o, "equal_loss_budget_ratio",
                    option->equal_loss.at.training_flop / plan->base.training_flop);
        return o;
    }
    case BOUNDED_LOSS:
        return option->bounded_loss.found
                   ? ratio_point(document, plan, option, &option->bounded_loss)
                   : NULL;
    case BOUNDED_COST:
        return option->bounded_cost.found
                   ? ratio_point(document, plan, option, &option->bounded_cost)
                   : NULL;
    case KIND_COUNT:
        break;
    }
    return NULL;
}

static json_t *curve_new(json_t *list, double experts)
{
    json_t *curve = json_object();
    json_object_set_new(curve, "experts", json_integer((json_int_t)experts));
    json_object_set_new(curve, "points", json_array());
    json_array_append_new(list, curve);
    return json_object_get(curve, "points");
}

/* A budget at which there is no plan is left out of every curve. */
static void append_budget(const struct lq_plan_quote *quote, int budget, json_t *series)
{
    const struct lq_plan_question *q = &quote->document->question;
    if (lq_series_plan(q, budget, quote->scratch, NULL) != LQ_OK) {
        return;
    }
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        json_t *curves = json_object_get(series, NAMES[kind]);
        for (size_t i = 0; i < quote->scratch->count; i++) {
            json_t *point = point_encode(quote->document, quote->scratch,
                                         &quote->scratch->options[i], (enum kind)kind);
            if (point != NULL) {
                lq_set_real(point, "budget_flop", lq_series_budget_flop(q, budget));
                json_array_append_new(json_object_get(json_array_get(curves, i), "points"), point);
            }
        }
    }
}

static json_t *sizes_encode(const struct lq_plan_quote *quote)
{
    json_t *list = json_array();
    for (size_t i = 0; i < quote->plan->count; i++) {
        const struct lq_plan_option *option = &quote->plan->options[i];
        struct lq_allocation at[LQ_SERIES_SIZES];
        const size_t n = lq_series_sizes(&quote->document->question, option, at);
        json_t *points = curve_new(list, option->loss_optimal.experts);
        for (size_t j = 0; j < n; j++) {
            json_array_append_new(points, model_point(quote->document, &at[j]));
        }
    }
    return list;
}

json_t *lq_plan_series_encode(const struct lq_plan_quote *quote)
{
    json_t *o = json_object();
    json_object_set_new(o, "over_training", sizes_encode(quote));
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        json_t *curves = json_array();
        for (size_t i = 0; i < quote->plan->count; i++) {
            (void)curve_new(curves, quote->plan->options[i].loss_optimal.experts);
        }
        json_object_set_new(o, NAMES[kind], curves);
    }
    for (int budget = 0; budget < LQ_SERIES_BUDGETS; budget++) {
        append_budget(quote, budget, o);
    }
    return o;
}
