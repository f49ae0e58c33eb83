/* A law at one expert count as a function of N and of the budget; for the planning wing only. */
#pragma once

#include "core/planning/law_optimum.h"
#include "core/planning/plan.h"

struct lq_plan_curve {
    const struct lq_plan_question *question;
    struct lq_law_setting setting;
    struct lq_law_limits limits;
    double budget_flop;
    double flop_per_parameter; /* training FLOPs per token and N */
};

struct lq_plan_curve lq_curve_of(const struct lq_plan_question *question, double experts,
                                 double budget_flop);

/* D that the budget leaves for N, at most the allowed. */
double lq_curve_tokens(const struct lq_plan_curve *curve, double parameters);
/* Loss at N with the tokens of the budget. */
double lq_curve_loss(const struct lq_plan_curve *curve, double parameters);

/* N that the constraints allow at most. */
double lq_curve_parameters_max(const struct lq_plan_curve *curve);
/* N of the least loss, which goes to *loss: infinite where the law has none. */
double lq_curve_optimum(const struct lq_plan_curve *curve, double *loss);
/* The smallest N up to `optimum` of at most that loss, LQ_LAW_PARAMETERS_MIN where that is good
 * enough; false where even the optimum is worse. */
bool lq_curve_smallest(const struct lq_plan_curve *curve, double loss, double optimum, double *out);
/* The least budget at which the loss is reached; false where none does. */
bool lq_curve_budget(const struct lq_plan_curve *curve, double loss, double *out);
/* D with which N reaches the loss; infinite where none does. */
double lq_curve_tokens_for(const struct lq_plan_curve *curve, double parameters, double loss);

/* Everything about training N on D tokens; serving is left out. */
struct lq_allocation lq_curve_allocation(const struct lq_plan_curve *curve, double parameters,
                                         double tokens);
