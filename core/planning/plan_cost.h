/* What it costs to serve a model of a plan; for the planning wing only. */
#pragma once

#include "core/planning/plan.h"

/* The cheapest serving of N with E experts. Errors: as lq_serving_best. */
LQ_MUST_USE enum lq_code lq_plan_serve(const struct lq_plan_question *question, double experts,
                                       double parameters, struct lq_serving *out,
                                       struct lq_error *err);
/* GPU seconds of a generated token; infinite where no allowed number of GPUs holds the model. */
double lq_plan_gpu_s_per_token(const struct lq_plan_question *question, double experts,
                               double parameters);
/* Fills the serving of an allocation; leaves it unserved where it does not fit. */
void lq_plan_price(const struct lq_plan_question *question, struct lq_allocation *at);

/* The largest N in [LQ_LAW_PARAMETERS_MIN, most] whose token costs at most `gpu_s`, by bisection on
 * the monotone envelope of the cost (the least cost of any model at least that large). False where
 * even the smallest costs more. */
bool lq_plan_largest_at_cost(const struct lq_plan_question *question, double experts, double gpu_s,
                             double most, double *out);
