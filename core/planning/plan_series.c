/* Walks a plan along sizes and budgets. */
#include "core/planning/plan_series.h"

#include "core/planning/law_optimum.h"

#include <math.h>

static const double SMALLEST = 1.0 / 50.0;
static const double LARGEST = 3.0;
static const double BUDGET_SPAN = 10.0; /* to either side */

size_t lq_series_sizes(const struct lq_plan_question *question, const struct lq_plan_option *option,
                       struct lq_allocation out[LQ_SERIES_SIZES])
{
    const struct lq_allocation *best = &option->loss_optimal;
    const double limit = question->max_total_parameters;
    size_t n = 0;
    for (int i = 0; i < LQ_SERIES_SIZES; i++) {
        const double share = (double)i / (LQ_SERIES_SIZES - 1);
        const double parameters = best->parameters * SMALLEST * pow(LARGEST / SMALLEST, share);
        if (parameters < LQ_LAW_PARAMETERS_MIN) {
            continue;
        }
        out[n] = lq_plan_at(question, best->experts, parameters);
        n += !(limit > 0.0) || out[n].total_parameters <= limit;
    }
    return n;
}

double lq_series_budget_flop(const struct lq_plan_question *question, int i)
{
    const double exponent = 2.0 * i / (LQ_SERIES_BUDGETS - 1) - 1.0;
    return question->budget_flop * pow(BUDGET_SPAN, exponent);
}

enum lq_code lq_series_plan(const struct lq_plan_question *question, int i, struct lq_plan *out,
                            struct lq_error *err)
{
    struct lq_plan_question at = *question;
    at.budget_flop = lq_series_budget_flop(question, i);
    at.served_tokens = 0.0;
    at.required_loss = 0.0;
    at.total_gpu_s = 0.0;
    return lq_plan(&at, out, err);
}
