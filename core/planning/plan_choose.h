/* The choice among a plan's options; for the planning wing only. */
#pragma once

#include "core/planning/plan.h"

/* Fills the recommendation. Errors: LQ_EIMPOSSIBLE at "/required_loss" (none reaches it), LQ_ENOFIT
 * at
 * "/max_serving_gpu_count" (those that do cannot be served). */
LQ_MUST_USE enum lq_code lq_plan_choose(const struct lq_plan_question *question,
                                        struct lq_plan *plan, struct lq_error *err);
