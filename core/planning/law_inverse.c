/* From a loss back to what reaches it: the smallest model, the cheapest budget, the tokens, the
 * least FLOPs of training and inference together. */
#include "core/planning/law_optimum.h"

#include "core/base/search.h"

#include <math.h>

static const double TOKENS_MIN = 1.0;
static const double TOKENS_MAX = 1e21;
static const double BUDGET_LOW = 1e6;
static const double BUDGET_HIGH = 1e36;

/* A loss to be reached, with whatever else the question holds fixed. */
struct target {
    const struct lq_law_setting *setting;
    double loss;
    double budget_flop;
    double parameters;
    double inference_tokens;
};

static double above_by_size(const void *context, double log_parameters)
{
    const struct target *t = context;
    return log(lq_law_spend(t->setting, t->budget_flop, exp(log_parameters)).loss / t->loss);
}

enum lq_code lq_law_smallest(const struct lq_law_setting *setting, double budget_flop, double loss,
                             struct lq_law_choice *out, struct lq_error *err)
{
    LQ_TRY(lq_law_optimum(setting, budget_flop, NULL, out, err));
    if (!(loss >= out->loss)) {
        return lq_fail(
            err, LQ_EIMPOSSIBLE, "/required_loss",
            "no model of %g experts reaches the loss %.6g with %.4g FLOP; the nearest is "
            "%.6g, of %.4g parameters on %.4g tokens",
            setting->experts, loss, budget_flop, out->loss, out->parameters, out->tokens);
    }
    const struct target target = {.setting = setting, .loss = loss, .budget_flop = budget_flop};
    const struct lq_line line = {above_by_size, &target};
    double log_parameters;
    /* where even the smallest size reaches the loss, that is the answer */
    if (!lq_search_crossing(&line, log(LQ_LAW_PARAMETERS_MIN), log(out->parameters),
                            &log_parameters)) {
        log_parameters = above_by_size(&target, log(LQ_LAW_PARAMETERS_MIN)) <= 0.0
                             ? log(LQ_LAW_PARAMETERS_MIN)
                             : log(out->parameters);
    }
    *out = lq_law_spend(setting, budget_flop, exp(log_parameters));
    return LQ_OK;
}

static double above_by_budget(const void *context, double log_budget)
{
    const struct target *t = context;
    struct lq_law_choice choice;
    if (lq_law_optimum(t->setting, exp(log_budget), NULL, &choice, NULL) != LQ_OK) {
        return HUGE_VAL;
    }
    return log(choice.loss / t->loss);
}

/* The log budget where doubling from a round number first crosses the loss: laws are asked about
 * 1e15 to 1e28 FLOP, and a narrow bracket saves most optima. */
static bool bracket(const struct lq_line *line, double *lower, double *upper)
{
    const double least = log(BUDGET_LOW);
    const double most = log(BUDGET_HIGH);
    double at = log(1e21);
    double step = log(4.0);
    const double side = line->at(line->context, at) > 0.0 ? 1.0 : -1.0;
    for (;;) {
        const double next = fmin(fmax(at + side * step, least), most);
        if (line->at(line->context, next) * side <= 0.0) {
            *lower = fmin(at, next);
            *upper = fmax(at, next);
            return true;
        }
        if (next <= least || next >= most) {
            return false;
        }
        at = next;
        step *= 2.0;
    }
}

enum lq_code lq_law_cheapest(const struct lq_law_setting *setting, double loss,
                             struct lq_law_choice *out, struct lq_error *err)
{
    const struct target target = {.setting = setting, .loss = loss};
    const struct lq_line line = {above_by_budget, &target};
    double lower;
    double upper;
    double log_budget;
    if (loss > 0.0 && bracket(&line, &lower, &upper) &&
        lq_search_crossing(&line, lower, upper, &log_budget)) {
        return lq_law_optimum(setting, exp(log_budget), NULL, out, err);
    }
    const bool easy = loss > 0.0 && above_by_budget(&target, log(BUDGET_LOW)) <= 0.0;
    LQ_TRY(lq_law_optimum(setting, easy ? BUDGET_LOW : BUDGET_HIGH, NULL, out, err));
    if (easy) {
        return LQ_OK;
    }
    return lq_fail(err, LQ_EIMPOSSIBLE, "/required_loss",
                   "no budget up to %g FLOP takes a model of %g experts to the loss %.6g; the "
                   "nearest is %.6g",
                   BUDGET_HIGH, setting->experts, loss, out->loss);
}

static double above_by_tokens(const void *context, double log_tokens)
{
    const struct target *t = context;
    return log(lq_law_loss_at(t->setting, t->parameters, exp(log_tokens)) / t->loss);
}

/* 0 where no number of tokens reaches the loss. */
static double tokens_for(const struct target *target)
{
    const struct lq_line line = {above_by_tokens, target};
    double log_tokens;
    if (!lq_search_crossing(&line, log(TOKENS_MIN), log(TOKENS_MAX), &log_tokens)) {
        return above_by_tokens(target, log(TOKENS_MIN)) <= 0.0 ? TOKENS_MIN : 0.0;
    }
    return exp(log_tokens);
}

enum lq_code lq_law_tokens_for(const struct lq_law_setting *setting, double parameters, double loss,
                               double *tokens, struct lq_error *err)
{
    const struct target target = {.setting = setting, .loss = loss, .parameters = parameters};
    const double found = loss > 0.0 ? tokens_for(&target) : 0.0;
    if (!(found > 0.0)) {
        return lq_fail(
            err, LQ_EIMPOSSIBLE, "/required_loss",
            "a model of %.4g parameters and %g experts does not reach the loss %.6g; the "
            "nearest is %.6g",
            parameters, setting->experts, loss, lq_law_loss_at(setting, parameters, TOKENS_MAX));
    }
    *tokens = found;
    return LQ_OK;
}

static double log_flop_of_size(const void *context, double log_parameters)
{
    struct target t = *(const struct target *)context;
    t.parameters = exp(log_parameters);
    const double tokens = tokens_for(&t);
    return tokens > 0.0 ? log_parameters + log(tokens + t.inference_tokens / 3.0) : HUGE_VAL;
}

enum lq_code lq_law_inference_optimum(const struct lq_law_setting *setting, double loss,
                                      double inference_tokens, struct lq_law_choice *out,
                                      struct lq_error *err)
{
    if (!(inference_tokens >= 0.0 && inference_tokens <= TOKENS_MAX)) {
        return lq_fail(err, LQ_EFIELD, "/inference_tokens", "must be from 0 to %g, got %g",
                       TOKENS_MAX, inference_tokens);
    }
    /* without inference it is the cheapest training; with it the model is smaller, never larger */
    struct lq_law_choice cheapest;
    LQ_TRY(lq_law_cheapest(setting, loss, &cheapest, err));
    const struct target target = {
        .setting = setting, .loss = loss, .inference_tokens = inference_tokens};
    const double upper = log(cheapest.parameters) + 1e-6;
    const struct lq_line line = {log_flop_of_size, &target};
    double lower = upper;
    while (lower > log(LQ_LAW_PARAMETERS_MIN) && isfinite(log_flop_of_size(&target, lower))) {
        lower -= log(2.0);
    }
    double least;
    const double parameters = exp(lq_search_minimum(&line, lower, upper, &least));
    double tokens;
    LQ_TRY(lq_law_tokens_for(setting, parameters, loss, &tokens, err));
    *out = (struct lq_law_choice){parameters, tokens, lq_law_loss_at(setting, parameters, tokens),
                                  lq_law_flop_per_parameter(setting) * exp(least)};
    return LQ_OK;
}
