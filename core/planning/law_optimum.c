/* Splitting a budget between parameters and tokens. The questions that start from a loss are in
 * law_inverse.c. */
#include "core/planning/law_optimum.h"

#include "core/base/search.h"

#include <math.h>

static const double BUDGET_MIN = 1e6;
static const double BUDGET_MAX = 1e36;
enum { SCAN = 48 };

enum lq_code lq_law_setting_check(const struct lq_law_setting *setting, struct lq_error *err)
{
    const struct lq_law *law = setting->law;
    if (law->form->quantity != LQ_LAW_LOSS || !lq_law_knows_tokens(law)) {
        return lq_fail(err, LQ_EIMPOSSIBLE, "/law", "the law %.60s %s", law->id,
                       law->form->quantity != LQ_LAW_LOSS
                           ? "gives no loss"
                           : "does not know tokens, so that it cannot split a budget");
    }
    if (!(setting->experts >= 1.0) || setting->experts != floor(setting->experts)) {
        return lq_fail(err, LQ_EFIELD, "/experts", "must be a whole number from 1, got %g",
                       setting->experts);
    }
    const struct lq_law_family *family = &setting->family;
    if (!(family->active_experts >= 1.0) ||
        family->active_experts != floor(family->active_experts)) {
        return lq_fail(err, LQ_EFIELD, "/active_experts", "must be a whole number from 1, got %g",
                       family->active_experts);
    }
    if (!(family->expert_share >= 0.0 && family->expert_share <= 1.0)) {
        return lq_fail(err, LQ_EFIELD, "/expert_share", "must be from 0 to 1, got %g",
                       family->expert_share);
    }
    const struct lq_law_point point = lq_law_point_of(law, family, 1e9, 1e10, setting->experts);
    return lq_law_point_check(law, &point, "", err);
}

double lq_law_loss_at(const struct lq_law_setting *setting, double parameters, double tokens)
{
    const struct lq_law_point point =
        lq_law_point_of(setting->law, &setting->family, parameters, tokens, setting->experts);
    return setting->law->form->value(setting->law->coefficient, &point);
}

double lq_law_flop_per_parameter(const struct lq_law_setting *setting)
{
    return setting->law->flop == LQ_FLOP_ACTIVE
               ? 6.0 * lq_family_active(&setting->family, 1.0, setting->experts)
               : 6.0;
}

struct lq_law_choice lq_law_spend(const struct lq_law_setting *setting, double budget_flop,
                                  double parameters)
{
    const double tokens = budget_flop / (lq_law_flop_per_parameter(setting) * parameters);
    return (struct lq_law_choice){parameters, tokens, lq_law_loss_at(setting, parameters, tokens),
                                  budget_flop};
}

struct spending {
    const struct lq_law_setting *setting;
    double budget_flop;
};

static double loss_of_size(const void *context, double log_parameters)
{
    const struct spending *s = context;
    return lq_law_spend(s->setting, s->budget_flop, exp(log_parameters)).loss;
}

/* N_opt = G (B/f)^(beta/(alpha+beta)), G = (alpha a / (beta b))^(1/(alpha+beta)), for the law's own
 * N, which is `own` dense equivalents (arXiv 2203.15556, Eq. 4). 0 where it is not additive. */
static double closed_optimum(const struct lq_law_setting *setting, double budget_flop)
{
    const struct lq_law_form *form = setting->law->form;
    if (form->additive == NULL) {
        return 0.0;
    }
    const struct lq_law_point one =
        lq_law_point_of(setting->law, &setting->family, 1.0, 1.0, setting->experts);
    const struct lq_law_additive at = form->additive(setting->law->coefficient, &one);
    if (!(at.a > 0.0 && at.b > 0.0 && at.alpha > 0.0 && at.beta > 0.0)) {
        return 0.0;
    }
    const double own = one.parameters;
    const double product = budget_flop / lq_law_flop_per_parameter(setting) * own;
    const double sum = at.alpha + at.beta;
    const double g = pow(at.alpha * at.a / (at.beta * at.b), 1.0 / sum);
    return g * pow(product, at.beta / sum) / own;
}

/* The best of a scan over all sizes, then the dip between its neighbours. */
static double searched_optimum(const struct spending *s)
{
    const double lower = log(LQ_LAW_PARAMETERS_MIN);
    const double step = (log(LQ_LAW_PARAMETERS_MAX) - lower) / SCAN;
    int best = -1;
    double least = HUGE_VAL;
    for (int i = 0; i <= SCAN; i++) {
        const double loss = loss_of_size(s, lower + i * step);
        if (loss > 0.0 && loss < least) {
            least = loss;
            best = i;
        }
    }
    if (best < 0) {
        return 0.0;
    }
    const struct lq_line line = {loss_of_size, s};
    return exp(lq_search_minimum(&line, lower + fmax(best - 1, 0) * step,
                                 lower + fmin(best + 1, SCAN) * step, &least));
}

/* A limit on memory makes N smaller and D larger; a limit on tokens leaves the rest unspent where N
 * may not grow. The loss falls in N up to the optimum, so the limit itself is best. */
static struct lq_law_choice within(const struct lq_law_setting *setting,
                                   const struct lq_law_limits *limits, struct lq_law_choice choice)
{
    const double per_parameter = lq_law_flop_per_parameter(setting);
    const double total = lq_family_total(&setting->family, 1.0, setting->experts);
    const double budget = choice.flop;
    if (limits->tokens > 0.0 && choice.tokens > limits->tokens) {
        choice = lq_law_spend(setting, budget, budget / (per_parameter * limits->tokens));
    }
    if (limits->total_parameters > 0.0 && choice.parameters * total > limits->total_parameters) {
        choice = lq_law_spend(setting, budget, limits->total_parameters / total);
    }
    if (limits->tokens > 0.0 && choice.tokens > limits->tokens * (1.0 + 1e-12)) {
        choice.tokens = limits->tokens;
        choice.flop = per_parameter * choice.parameters * choice.tokens;
        choice.loss = lq_law_loss_at(setting, choice.parameters, choice.tokens);
    }
    return choice;
}

enum lq_code lq_law_optimum(const struct lq_law_setting *setting, double budget_flop,
                            const struct lq_law_limits *limits, struct lq_law_choice *out,
                            struct lq_error *err)
{
    if (!(budget_flop >= BUDGET_MIN && budget_flop <= BUDGET_MAX)) {
        return lq_fail(err, LQ_EFIELD, "/budget_flop", "must be from %g to %g FLOP, got %g",
                       BUDGET_MIN, BUDGET_MAX, budget_flop);
    }
    const struct spending spending = {setting, budget_flop};
    double parameters = closed_optimum(setting, budget_flop);
    if (!(parameters > 0.0)) {
        parameters = searched_optimum(&spending);
    }
    struct lq_law_choice choice = lq_law_spend(
        setting, budget_flop, fmin(fmax(parameters, LQ_LAW_PARAMETERS_MIN), LQ_LAW_PARAMETERS_MAX));
    if (limits != NULL) {
        choice = within(setting, limits, choice);
    }
    if (!(choice.loss > 0.0) || !isfinite(choice.loss)) {
        return lq_fail(err, LQ_ENUMBER, NULL, "the law %.60s has no finite loss for %g FLOP",
                       setting->law->id, budget_flop);
    }
    *out = choice;
    return LQ_OK;
}
