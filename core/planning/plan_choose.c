/* Chooses among a plan's options and says why in a sentence. */
#include "core/planning/plan_choose.h"

#include "core/base/units.h"

#include <math.h>
#include <stdio.h>

const char *const LQ_PLAN_OBJECTIVE_NAMES[] = {[LQ_OBJECTIVE_SERVING] = "serving-cost",
                                               [LQ_OBJECTIVE_TOTAL] = "total-cost",
                                               [LQ_OBJECTIVE_LOSS] = "loss",
                                               NULL};

static enum lq_plan_objective objective_of(const struct lq_plan_question *question)
{
    if (!(question->served_tokens > 0.0)) {
        return LQ_OBJECTIVE_SERVING;
    }
    const bool by_loss = question->total_gpu_s > 0.0 && !(question->required_loss > 0.0);
    return by_loss ? LQ_OBJECTIVE_LOSS : LQ_OBJECTIVE_TOTAL;
}

static const struct lq_plan_answer *candidate(const struct lq_plan_option *option,
                                              enum lq_plan_objective objective)
{
    switch (objective) {
    case LQ_OBJECTIVE_SERVING:
        return &option->required;
    case LQ_OBJECTIVE_TOTAL:
        return &option->least_total;
    case LQ_OBJECTIVE_LOSS:
        return &option->within_total;
    }
    return &option->required;
}

static double measure(const struct lq_allocation *at, enum lq_plan_objective objective)
{
    switch (objective) {
    case LQ_OBJECTIVE_SERVING:
        return at->serving.gpu_s_per_token;
    case LQ_OBJECTIVE_TOTAL:
        return at->training_gpu_s + at->served_gpu_s;
    case LQ_OBJECTIVE_LOSS:
        return at->loss;
    }
    return at->loss;
}

/* Whether the total budget, where there is one, pays for training and serving it. */
static bool paid(const struct lq_plan_question *question, const struct lq_allocation *at)
{
    const double total_gpu_s = at->training_gpu_s + at->served_gpu_s;
    return !(question->total_gpu_s > 0.0) || total_gpu_s <= question->total_gpu_s * (1.0 + 1e-9);
}

/* The option of the least measure; NULL where none has an answer that can be served. */
static const struct lq_plan_option *least(const struct lq_plan *plan,
                                          enum lq_plan_objective objective)
{
    const struct lq_plan_option *best = NULL;
    for (size_t i = 0; i < plan->count; i++) {
        const struct lq_plan_answer *answer = candidate(&plan->options[i], objective);
        if (!answer->found || !answer->at.served) {
            continue;
        }
        if (best == NULL ||
            measure(&answer->at, objective) < measure(&candidate(best, objective)->at, objective)) {
            best = &plan->options[i];
        }
    }
    return best;
}

static const struct lq_plan_option *lowest_loss(const struct lq_plan *plan, bool served)
{
    const struct lq_plan_option *best = NULL;
    for (size_t i = 0; i < plan->count; i++) {
        const struct lq_allocation *at = &plan->options[i].loss_optimal;
        if ((at->served || !served) && (best == NULL || at->loss < best->loss_optimal.loss)) {
            best = &plan->options[i];
        }
    }
    return best;
}

/* Against the base where that is served: "0.38 times the base's serving cost". */
static void tell_cost(const struct lq_plan *plan, const struct lq_allocation *at, char out[80])
{
    out[0] = '\0';
    if (plan->base.served && at->served) {
        snprintf(out, 80, ", at %.2f times the base's serving cost",
                 at->serving.gpu_s_per_token / plan->base.serving.gpu_s_per_token);
    }
}

static void explain(const struct lq_plan_question *question, struct lq_plan *plan,
                    const struct lq_plan_option *option)
{
    struct lq_plan_choice *choice = &plan->recommendation;
    const struct lq_allocation *at = &choice->at;
    char cost[80];
    char experts[32] = "Dense models";
    char model[160];
    if (at->experts > 1.0) {
        snprintf(experts, sizeof experts, "%g experts", at->experts);
    }
    tell_cost(plan, at, cost);
    snprintf(model, sizeof model,
             "%s with N = %.3g (%.0f %% of the loss-optimal size) on %.3g tokens", experts,
             at->parameters, 100.0 * at->parameters / option->loss_optimal.parameters, at->tokens);
    switch (choice->objective) {
    case LQ_OBJECTIVE_SERVING:
        snprintf(choice->why, sizeof choice->why,
                 "%s serve cheapest among models of at most loss %.4f within %.3g FLOPs%s.", model,
                 choice->loss_bound, question->budget_flop, cost);
        break;
    case LQ_OBJECTIVE_TOTAL:
        snprintf(choice->why, sizeof choice->why,
                 "%s cost least to train and to serve %.3g tokens among models of at most loss "
                 "%.4f within %.3g FLOPs: %.0f %% of the total is training%s.",
                 model, question->served_tokens, choice->loss_bound, question->budget_flop,
                 100.0 * at->training_gpu_s / (at->training_gpu_s + at->served_gpu_s), cost);
        break;
    case LQ_OBJECTIVE_LOSS:
        snprintf(choice->why, sizeof choice->why,
                 "%s reach the lowest loss, %.4f, that the total budget trains and serves %.3g "
                 "tokens with%s.",
                 model, at->loss, question->served_tokens, cost);
        break;
    }
}

/* None of the asked reaches the base's loss (or none that does can be served): the best there is.
 */
static void choose_nearest(struct lq_plan *plan)
{
    struct lq_plan_choice *choice = &plan->recommendation;
    const struct lq_plan_option *nearest = lowest_loss(plan, true);
    if (nearest == NULL) {
        snprintf(choice->why, sizeof choice->why,
                 "None of the options that meet the loss can be served on the GPUs allowed.");
        return;
    }
    choice->found = true;
    choice->objective = LQ_OBJECTIVE_LOSS;
    choice->loss_bound = 0.0;
    choice->at = nearest->loss_optimal;
    snprintf(choice->why, sizeof choice->why,
             "None of the asked expert counts has a model that reaches the base's loss, %.4f, and "
             "can be served; E = %g comes nearest with %.4f.",
             plan->base.loss, choice->at.experts, choice->at.loss);
}

static enum lq_code refuse_loss(const struct lq_plan_question *question, const struct lq_plan *plan,
                                struct lq_error *err)
{
    const struct lq_plan_option *nearest = lowest_loss(plan, false);
    if (nearest->loss_optimal.loss <= question->required_loss) {
        return lq_fail(
            err, LQ_ENOFIT, "/max_serving_gpu_count",
            "models of loss %.6g can be trained, with %g experts for one, but %lld of %s "
            "hold none of them",
            question->required_loss, nearest->loss_optimal.experts,
            (long long)question->max_serving_gpu_count, question->serving.gpu->id);
    }
    return lq_fail(err, LQ_EIMPOSSIBLE, "/required_loss",
                   "no model reaches loss %.6g with %.4g FLOPs; the lowest loss of this budget is "
                   "%.6g, with %g experts",
                   question->required_loss, question->budget_flop, nearest->loss_optimal.loss,
                   nearest->loss_optimal.experts);
}

/* Nothing is both good enough and paid for: says what the cheapest that is good enough costs. */
static void tell_excess(const struct lq_plan_question *question, const struct lq_plan *plan,
                        struct lq_plan_choice *choice)
{
    const double loss = question->required_loss > 0.0 ? question->required_loss : plan->base.loss;
    const struct lq_plan_option *option = least(plan, LQ_OBJECTIVE_TOTAL);
    if (option == NULL) {
        snprintf(choice->why, sizeof choice->why,
                 "The total budget of %.4g GPU hours does not train any of the options and serve "
                 "%.3g tokens with it.",
                 question->total_gpu_s / LQ_SECONDS_PER_HOUR, question->served_tokens);
        return;
    }
    const struct lq_allocation *at = &option->least_total.at;
    const double total_gpu_s = at->training_gpu_s + at->served_gpu_s;
    snprintf(choice->why, sizeof choice->why,
             "The total budget of %.4g GPU hours does not train a model of at most loss %.4f and "
             "serve %.3g tokens with it: the least total, with E = %g, is %.4g GPU hours, %.3g "
             "times the total budget.",
             question->total_gpu_s / LQ_SECONDS_PER_HOUR, loss, question->served_tokens,
             at->experts, total_gpu_s / LQ_SECONDS_PER_HOUR, total_gpu_s / question->total_gpu_s);
}

enum lq_code lq_plan_choose(const struct lq_plan_question *question, struct lq_plan *plan,
                            struct lq_error *err)
{
    struct lq_plan_choice *choice = &plan->recommendation;
    const bool asked = question->required_loss > 0.0;
    choice->objective = objective_of(question);
    if (choice->objective != LQ_OBJECTIVE_LOSS) {
        choice->loss_bound = asked ? question->required_loss : plan->base.loss;
    }
    const struct lq_plan_option *option = least(plan, choice->objective);
    if (option != NULL && paid(question, &candidate(option, choice->objective)->at)) {
        choice->found = true;
        choice->at = candidate(option, choice->objective)->at;
        explain(question, plan, option);
        return LQ_OK;
    }
    if (option != NULL || choice->objective == LQ_OBJECTIVE_LOSS) {
        tell_excess(question, plan, choice);
        return LQ_OK;
    }
    if (asked) {
        return refuse_loss(question, plan, err);
    }
    choose_nearest(plan);
    return LQ_OK;
}
