/* Parameters and tokens at one expert count: the optimum at a budget, the smallest model at a loss,
 * the budget for a loss. What serving costs is plan_cost.c's business. */
#include "core/planning/plan_allocate.h"

#include "core/base/search.h"

#include <math.h>

struct lq_plan_curve lq_curve_of(const struct lq_plan_question *question, double experts,
                                 double budget_flop)
{
    struct lq_plan_curve curve = {
        .question = question,
        .setting = {question->law, *question->family, experts},
        .limits = {question->max_total_parameters, question->max_training_tokens},
        .budget_flop = budget_flop,
    };
    curve.flop_per_parameter = lq_law_flop_per_parameter(&curve.setting);
    return curve;
}

double lq_curve_tokens(const struct lq_plan_curve *curve, double parameters)
{
    const double tokens = curve->budget_flop / (curve->flop_per_parameter * parameters);
    return curve->limits.tokens > 0.0 ? fmin(tokens, curve->limits.tokens) : tokens;
}

double lq_curve_loss(const struct lq_plan_curve *curve, double parameters)
{
    return lq_law_loss_at(&curve->setting, parameters, lq_curve_tokens(curve, parameters));
}

double lq_curve_parameters_max(const struct lq_plan_curve *curve)
{
    const double limit = curve->limits.total_parameters;
    return limit > 0.0
               ? fmin(limit / lq_family_total(&curve->setting.family, 1.0, curve->setting.experts),
                      LQ_LAW_PARAMETERS_MAX)
               : LQ_LAW_PARAMETERS_MAX;
}

double lq_curve_optimum(const struct lq_plan_curve *curve, double *loss)
{
    struct lq_law_choice choice = {0};
    const enum lq_code code =
        lq_law_optimum(&curve->setting, curve->budget_flop, &curve->limits, &choice, NULL);
    *loss = code == LQ_OK ? choice.loss : (double)INFINITY;
    return choice.parameters;
}

/* What a crossing is searched of. */
struct target {
    const struct lq_plan_curve *curve;
    double loss;
};

static double beyond_at_log(const void *context, double log_parameters)
{
    const struct target *t = context;
    return lq_curve_loss(t->curve, exp(log_parameters)) - t->loss;
}

bool lq_curve_smallest(const struct lq_plan_curve *curve, double loss, double optimum, double *out)
{
    const struct target target = {.curve = curve, .loss = loss};
    const struct lq_line line = {beyond_at_log, &target};
    double log_parameters = 0.0;
    if (lq_curve_loss(curve, LQ_LAW_PARAMETERS_MIN) <= loss) {
        *out = LQ_LAW_PARAMETERS_MIN;
        return true;
    }
    if (!(lq_curve_loss(curve, optimum) <= loss) ||
        !lq_search_crossing(&line, log(LQ_LAW_PARAMETERS_MIN), log(optimum), &log_parameters)) {
        return false;
    }
    *out = exp(log_parameters);
    return true;
}

static double beyond_at_budget(const void *context, double log_budget)
{
    const struct target *t = context;
    struct lq_plan_curve curve = *t->curve;
    curve.budget_flop = exp(log_budget);
    double least = 0.0;
    (void)lq_curve_optimum(&curve, &least);
    return least - t->loss;
}

bool lq_curve_budget(const struct lq_plan_curve *curve, double loss, double *out)
{
    const struct target target = {.curve = curve, .loss = loss};
    const struct lq_line line = {beyond_at_budget, &target};
    const double near = log(curve->budget_flop);
    double log_budget = 0.0;
    /* near what is asked first: a narrow bracket settles in fewer steps */
    if (!lq_search_crossing(&line, near - 3.0, near + 3.0, &log_budget) &&
        !lq_search_crossing(&line, log(LQ_PLAN_BUDGET_MIN), log(LQ_PLAN_BUDGET_MAX), &log_budget)) {
        return false;
    }
    *out = exp(log_budget);
    return true;
}

double lq_curve_tokens_for(const struct lq_plan_curve *curve, double parameters, double loss)
{
    double tokens = 0.0;
    if (lq_law_tokens_for(&curve->setting, parameters, loss, &tokens, NULL) != LQ_OK) {
        return (double)INFINITY;
    }
    const double limit = curve->limits.tokens;
    return limit > 0.0 && tokens > limit * (1.0 + 1e-9) ? (double)INFINITY : tokens;
}

struct lq_allocation lq_curve_allocation(const struct lq_plan_curve *curve, double parameters,
                                         double tokens)
{
    const struct lq_law_setting *setting = &curve->setting;
    const double flop = curve->flop_per_parameter * parameters * tokens;
    return (struct lq_allocation){
        .experts = setting->experts,
        .parameters = parameters,
        .total_parameters = lq_family_total(&setting->family, parameters, setting->experts),
        .active_parameters = lq_family_active(&setting->family, parameters, setting->experts),
        .tokens = tokens,
        .loss = lq_law_loss_at(setting, parameters, tokens),
        .training_flop = flop,
        .training_gpu_s = flop / curve->question->train_flop_per_s,
    };
}
