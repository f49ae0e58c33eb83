/* One law's plan: every expert count's options, and the errors of a question. How N and D are found
 * is in plan_allocate.c, what serving costs in plan_cost.c, the choice in plan_choose.c. */
#include "core/planning/plan.h"

#include "core/base/search.h"
#include "core/planning/plan_allocate.h"
#include "core/planning/plan_choose.h"
#include "core/planning/plan_cost.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

double lq_plan_parameters_ratio(const struct lq_plan *plan, const struct lq_allocation *a,
                                const struct lq_allocation *b)
{
    return plan->ratios_of_active ? a->active_parameters / b->active_parameters
                                  : a->parameters / b->parameters;
}

enum lq_code lq_plan_law_check(const struct lq_law *law, const double *experts, size_t count,
                               struct lq_error *err)
{
    if (law->form->quantity != LQ_LAW_LOSS) {
        return lq_fail(err, LQ_EIMPOSSIBLE, "/law", "the law %.60s gives a %s, not a loss", law->id,
                       LQ_LAW_QUANTITY_NAMES[law->form->quantity]);
    }
    if (!lq_law_knows_tokens(law)) {
        return lq_fail(err, LQ_EIMPOSSIBLE, "/law",
                       "the law %.60s does not know training tokens, so no budget can be divided",
                       law->id);
    }
    for (size_t i = 0; i < count && !lq_law_knows_experts(law); i++) {
        if (experts[i] != law->experts_fixed) {
            return lq_fail(err, LQ_EIMPOSSIBLE, "/experts",
                           "the law %.60s does not know experts: it holds for %g only, got %g",
                           law->id, law->experts_fixed, experts[i]);
        }
    }
    return LQ_OK;
}

struct lq_allocation lq_plan_at(const struct lq_plan_question *question, double experts,
                                double parameters)
{
    const struct lq_plan_curve curve = lq_curve_of(question, experts, question->budget_flop);
    struct lq_allocation at =
        lq_curve_allocation(&curve, parameters, lq_curve_tokens(&curve, parameters));
    lq_plan_price(question, &at);
    return at;
}

__attribute__((format(printf, 2, 3))) static void refuse(struct lq_plan_answer *answer,
                                                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(answer->reason, sizeof answer->reason, format, arguments);
    va_end(arguments);
}

static void accept(const struct lq_plan_question *question, const struct lq_plan_curve *curve,
                   double parameters, double tokens, struct lq_plan_answer *answer)
{
    answer->found = true;
    answer->at = lq_curve_allocation(curve, parameters, tokens);
    lq_plan_price(question, &answer->at);
}

/* Algorithm 1, for any loss: the smallest N that the budget brings to it. */
static void bound_loss(const struct lq_plan_question *question, const struct lq_plan_curve *curve,
                       const struct lq_plan_option *option, double loss,
                       struct lq_plan_answer *answer)
{
    const struct lq_allocation *best = &option->loss_optimal;
    double parameters = 0.0;
    if (!lq_curve_smallest(curve, loss, best->parameters, &parameters)) {
        refuse(answer,
               "no model with E = %g reaches loss %.4f with %.4g FLOPs; the nearest, its "
               "loss-optimal one, reaches %.4f",
               curve->setting.experts, loss, curve->budget_flop, best->loss);
        return;
    }
    accept(question, curve, parameters, lq_curve_tokens(curve, parameters), answer);
}

/* Algorithm 2: the largest N up to the optimum that serves at the base's cost. */
static void bound_cost(const struct lq_plan_question *question, const struct lq_plan_curve *curve,
                       const struct lq_allocation *base, struct lq_plan_option *option)
{
    struct lq_plan_answer *answer = &option->bounded_cost;
    if (!base->served) {
        refuse(answer,
               "the base's loss-optimal model of %.4g parameters in all cannot be served on "
               "the GPUs allowed, so there is no cost to hold to",
               base->total_parameters);
        return;
    }
    const double most = option->loss_optimal.parameters;
    double parameters = 0.0;
    if (!lq_plan_largest_at_cost(question, curve->setting.experts, base->serving.gpu_s_per_token,
                                 most, &parameters)) {
        refuse(answer, "no model with E = %g serves at the base's cost", curve->setting.experts);
        return;
    }
    option->cost_binds = parameters < most;
    accept(question, curve, parameters, lq_curve_tokens(curve, parameters), answer);
}

static void equal_loss(const struct lq_plan_question *question, const struct lq_plan_curve *curve,
                       double loss, struct lq_plan_answer *answer)
{
    struct lq_plan_curve cheapest = *curve;
    if (!lq_curve_budget(curve, loss, &cheapest.budget_flop)) {
        cheapest.budget_flop = LQ_PLAN_BUDGET_MAX;
        double nearest = 0.0;
        (void)lq_curve_optimum(&cheapest, &nearest);
        refuse(answer,
               "no budget up to %.0g FLOPs brings E = %g to loss %.4f; the nearest is "
               "%.4f",
               LQ_PLAN_BUDGET_MAX, curve->setting.experts, loss, nearest);
        return;
    }
    double reached = 0.0;
    const double parameters = lq_curve_optimum(&cheapest, &reached);
    accept(question, &cheapest, parameters, lq_curve_tokens(&cheapest, parameters), answer);
}

/* GPU seconds of training and serving together, at a loss. */
struct total {
    const struct lq_plan_question *question;
    const struct lq_plan_curve *curve;
    double loss;
};

static double total_at_log(const void *context, double log_parameters)
{
    const struct total *t = context;
    const struct lq_plan_question *q = t->question;
    const double n = exp(log_parameters);
    const double tokens = lq_curve_tokens_for(t->curve, n, t->loss);
    return t->curve->flop_per_parameter * n * tokens / q->train_flop_per_s +
           q->served_tokens * lq_plan_gpu_s_per_token(q, t->curve->setting.experts, n);
}

/* Between the smallest model that the budget brings to the loss and the one that is trained to it
 * most cheaply: smaller ones cannot be had, larger ones cost more to train and to serve. */
static void least_total(const struct lq_plan_question *question, const struct lq_plan_curve *curve,
                        double loss, struct lq_plan_option *option)
{
    const struct lq_plan_answer *smallest = &option->required;
    struct lq_plan_answer *answer = &option->least_total;
    if (!smallest->found) {
        *answer = *smallest;
        return;
    }
    if (!smallest->at.served) {
        refuse(answer,
               "no allowed number of GPUs holds even the smallest model at loss %.4f, with "
               "%.4g parameters in all",
               loss, smallest->at.total_parameters);
        return;
    }
    struct lq_plan_curve cheapest = *curve;
    double largest = option->loss_optimal.parameters;
    if (lq_curve_budget(curve, loss, &cheapest.budget_flop)) {
        double reached = 0.0;
        largest = fmax(lq_curve_optimum(&cheapest, &reached), smallest->at.parameters);
    }
    const struct total total = {question, curve, loss};
    const struct lq_line line = {total_at_log, &total};
    double least = 0.0;
    double parameters =
        exp(lq_search_minimum(&line, log(smallest->at.parameters), log(largest), &least));
    if (total_at_log(&total, log(smallest->at.parameters)) <= least) {
        parameters = smallest->at.parameters; /* the budget binds */
    }
    accept(question, curve, parameters, lq_curve_tokens_for(curve, parameters, loss), answer);
}

static double affordable_tokens(const struct total *t, double parameters)
{
    const struct lq_plan_question *q = t->question;
    const double left_gpu_s =
        q->total_gpu_s -
        q->served_tokens * lq_plan_gpu_s_per_token(q, t->curve->setting.experts, parameters);
    const double flop = left_gpu_s * q->train_flop_per_s;
    return fmin(flop / (t->curve->flop_per_parameter * parameters),
                lq_curve_tokens(t->curve, parameters));
}

static double loss_within_at_log(const void *context, double log_parameters)
{
    const struct total *t = context;
    const double n = exp(log_parameters);
    const double tokens = affordable_tokens(t, n);
    return tokens >= 1.0 ? lq_law_loss_at(&t->curve->setting, n, tokens) : (double)INFINITY;
}

/* The lowest loss that the total budget trains and serves. */
static void within_total(const struct lq_plan_question *question, const struct lq_plan_curve *curve,
                         struct lq_plan_answer *answer)
{
    const struct total total = {question, curve, 0.0};
    const struct lq_line line = {loss_within_at_log, &total};
    const double token_gpu_s = question->total_gpu_s / question->served_tokens;
    double largest = 0.0;
    if (!lq_plan_largest_at_cost(question, curve->setting.experts, token_gpu_s,
                                 lq_curve_parameters_max(curve), &largest)) {
        refuse(answer,
               "serving %.4g tokens alone costs more than the total budget, whatever the "
               "size of a model with E = %g",
               question->served_tokens, curve->setting.experts);
        return;
    }
    double least = 0.0;
    const double parameters =
        exp(lq_search_minimum(&line, log(LQ_LAW_PARAMETERS_MIN), log(largest), &least));
    const double tokens = affordable_tokens(&total, parameters);
    if (!(tokens >= 1.0)) {
        refuse(answer, "the total budget leaves nothing to train a model of E = %g with",
               curve->setting.experts);
        return;
    }
    accept(question, curve, parameters, tokens, answer);
}

static enum lq_code loss_optimal(const struct lq_plan_question *question,
                                 const struct lq_plan_curve *curve, struct lq_allocation *out,
                                 struct lq_error *err)
{
    const double most = lq_curve_parameters_max(curve);
    if (!(most > LQ_LAW_PARAMETERS_MIN)) {
        return lq_fail(
            err, LQ_EFIELD, "/max_total_parameters",
            "leaves no model of %g experts: the smallest has %.0f parameters",
            curve->setting.experts,
            lq_family_total(question->family, LQ_LAW_PARAMETERS_MIN, curve->setting.experts));
    }
    double loss = 0.0;
    const double parameters = lq_curve_optimum(curve, &loss);
    const double log_margin = 1e-3;
    const bool at_end = log(parameters / LQ_LAW_PARAMETERS_MIN) < log_margin ||
                        log(LQ_LAW_PARAMETERS_MAX / parameters) < log_margin;
    if (at_end || !isfinite(loss) || !(loss > 0.0)) {
        return lq_fail(err, LQ_EIMPOSSIBLE, "/law",
                       "the law %.60s has no optimum with %g experts at %.4g FLOPs between %.0g "
                       "and %.0g parameters",
                       question->law->id, curve->setting.experts, curve->budget_flop,
                       LQ_LAW_PARAMETERS_MIN, LQ_LAW_PARAMETERS_MAX);
    }
    *out = lq_curve_allocation(curve, parameters, lq_curve_tokens(curve, parameters));
    lq_plan_price(question, out);
    return LQ_OK;
}

static enum lq_code plan_option(const struct lq_plan_question *question, const struct lq_plan *plan,
                                double experts, struct lq_plan_option *out, struct lq_error *err)
{
    const struct lq_allocation *base = &plan->base;
    const struct lq_plan_curve curve = lq_curve_of(question, experts, question->budget_flop);
    LQ_TRY(loss_optimal(question, &curve, &out->loss_optimal, err));
    if (experts == base->experts) {
        out->bounded_loss = (struct lq_plan_answer){.found = true, .at = *base};
        out->bounded_cost = out->bounded_loss;
        out->equal_loss = out->bounded_loss;
    } else {
        bound_loss(question, &curve, out, base->loss, &out->bounded_loss);
        bound_cost(question, &curve, base, out);
        equal_loss(question, &curve, base->loss, &out->equal_loss);
    }
    const double loss = question->required_loss > 0.0 ? question->required_loss : base->loss;
    if (question->required_loss > 0.0) {
        bound_loss(question, &curve, out, loss, &out->required);
    } else {
        out->required = out->bounded_loss;
    }
    if (question->served_tokens > 0.0) {
        least_total(question, &curve, loss, out);
        if (question->total_gpu_s > 0.0) {
            within_total(question, &curve, &out->within_total);
        }
    }
    return LQ_OK;
}

/* Where nothing can be served there is nothing to weigh against training. */
static enum lq_code check_served(const struct lq_plan_question *question,
                                 const struct lq_plan *plan, struct lq_error *err)
{
    const struct lq_plan_option *smallest = &plan->options[0];
    for (size_t i = 0; i < plan->count; i++) {
        const struct lq_plan_option *o = &plan->options[i];
        if (o->loss_optimal.served || (o->bounded_loss.found && o->bounded_loss.at.served) ||
            (o->required.found && o->required.at.served) || o->within_total.found) {
            return LQ_OK;
        }
        if (o->loss_optimal.total_parameters < smallest->loss_optimal.total_parameters) {
            smallest = o;
        }
    }
    struct lq_error why = {0};
    struct lq_serving serving;
    const enum lq_code code = lq_plan_serve(question, smallest->loss_optimal.experts,
                                            smallest->loss_optimal.parameters, &serving, &why);
    return lq_fail(err, code, "/max_serving_gpu_count",
                   "no model of this budget can be served; the smallest loss-optimal one has %.4g "
                   "parameters in all: %.240s",
                   smallest->loss_optimal.total_parameters, why.detail);
}

enum lq_code lq_plan(const struct lq_plan_question *question, struct lq_plan *out,
                     struct lq_error *err)
{
    const struct lq_law *law = question->law;
    LQ_TRY(lq_plan_law_check(law, question->experts, question->expert_count, err));
    if (!lq_law_knows_experts(law) && question->base_experts != law->experts_fixed) {
        return lq_fail(err, LQ_EIMPOSSIBLE, "/base_experts",
                       "the law %.60s does not know experts: it holds for %g only, got %g", law->id,
                       law->experts_fixed, question->base_experts);
    }
    *out = (struct lq_plan){.ratios_of_active = question->law->flop == LQ_FLOP_ACTIVE};
    const struct lq_plan_curve base =
        lq_curve_of(question, question->base_experts, question->budget_flop);
    LQ_TRY(loss_optimal(question, &base, &out->base, err));
    for (size_t i = 0; i < question->expert_count; i++) {
        LQ_TRY(plan_option(question, out, question->experts[i], &out->options[i], err));
        out->count++;
    }
    LQ_TRY(check_served(question, out, err));
    return lq_plan_choose(question, out, err);
}
