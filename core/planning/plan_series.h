/* What a plan looks like along its axes: sizes at one budget, and budgets. The data behind Figures
 * 2-6 of Yun et al. 2024 (arXiv 2404.02852). */
#pragma once

#include "core/planning/plan.h"

enum { LQ_SERIES_SIZES = 25, LQ_SERIES_BUDGETS = 9 };

/* Models of an option's expert count at the plan's budget, by size: from a fiftieth to three times
 * its loss-optimal N, evenly in the logarithm, as far as the constraints allow. Returns how many.
 */
size_t lq_series_sizes(const struct lq_plan_question *question, const struct lq_plan_option *option,
                       struct lq_allocation out[LQ_SERIES_SIZES]);

/* The budget number `i`: a tenth to ten times the question's, evenly in the logarithm. */
double lq_series_budget_flop(const struct lq_plan_question *question, int i);
/* The plan of that budget, without served tokens and without a required loss. Errors: as lq_plan.
 */
LQ_MUST_USE enum lq_code lq_series_plan(const struct lq_plan_question *question, int i,
                                        struct lq_plan *out, struct lq_error *err);
