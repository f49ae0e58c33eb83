/* Serving cost as a function of size, and its inverse. How long a token takes is serving.c's
 * business. */
#include "core/planning/plan_cost.h"

#include "core/base/search.h"
#include "core/planning/law_optimum.h"

#include <math.h>

enum lq_code lq_plan_serve(const struct lq_plan_question *question, double experts,
                           double parameters, struct lq_serving *out, struct lq_error *err)
{
    const double active = question->family->active_experts;
    const struct lq_moe_shape shape = {.parameters = parameters,
                                       .experts = experts,
                                       .active_experts = active < experts ? active : experts,
                                       .mlp_share = question->mlp_share,
                                       .moe_layer_share = question->moe_layer_share};
    struct lq_serving_load load;
    LQ_TRY(lq_serving_count_moe(&shape, &question->format, question->serving.stack,
                                &question->traffic, &load, err));
    return lq_serving_best(&load, &question->serving, question->max_serving_gpu_count, out, err);
}

double lq_plan_gpu_s_per_token(const struct lq_plan_question *question, double experts,
                               double parameters)
{
    struct lq_serving serving;
    if (lq_plan_serve(question, experts, parameters, &serving, NULL) != LQ_OK) {
        return (double)INFINITY;
    }
    return serving.gpu_s_per_token;
}

void lq_plan_price(const struct lq_plan_question *question, struct lq_allocation *at)
{
    at->served = lq_plan_serve(question, at->experts, at->parameters, &at->serving, NULL) == LQ_OK;
    if (!at->served) {
        at->serving = (struct lq_serving){0};
        return;
    }
    at->served_gpu_s = question->served_tokens * at->serving.gpu_s_per_token;
}

/* Cost over a bound, in logarithms; a model that does not fit is far beyond it. */
struct excess {
    const struct lq_plan_question *question;
    double experts;
    double gpu_s;
};

static const double FAR_BEYOND = 10.0;

static double excess_at_log(const void *context, double log_parameters)
{
    const struct excess *e = context;
    const double cost = lq_plan_gpu_s_per_token(e->question, e->experts, exp(log_parameters));
    return isfinite(cost) ? log(cost / e->gpu_s) : FAR_BEYOND;
}

/* Where the cost dips below the bound again between `lower` and `upper`: the last such point of a
 * scan, else `lower`. Beyond it and below the scan's next point lies the envelope's crossing. */
static double last_affordable(const struct lq_line *line, double lower, double upper, double *next)
{
    enum { SCAN = 12 };
    *next = upper;
    for (int i = SCAN - 1; i > 0; i--) {
        const double x = lower + (upper - lower) * i / SCAN;
        if (line->at(line->context, x) <= 0.0) {
            return x;
        }
        *next = x;
    }
    return lower;
}

bool lq_plan_largest_at_cost(const struct lq_plan_question *question, double experts, double gpu_s,
                             double most, double *out)
{
    const struct excess excess = {question, experts, gpu_s};
    const struct lq_line line = {excess_at_log, &excess};
    const double upper = log(most);
    const double lower = log(LQ_LAW_PARAMETERS_MIN);
    if (excess_at_log(&excess, upper) <= 0.0) {
        *out = most;
        return true;
    }
    double next = upper;
    const double affordable = last_affordable(&line, lower, upper, &next);
    double log_parameters = 0.0;
    if (!lq_search_crossing(&line, affordable, next, &log_parameters)) {
        return false;
    }
    *out = exp(log_parameters);
    return true;
}
