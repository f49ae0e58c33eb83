/* What a term works through, what binds it, and where that turns. */
#include "core/finetune/step_parts.h"

#include <math.h>

const char *const LQ_BOUND_NAMES[] = {"compute", "memory", "overhead", "network", NULL};

double lq_step_term_s(const struct lq_step_time *step, enum lq_term term)
{
    double sum = 0.0;
    for (int s = 0; s < LQ_STAGE_COUNT; s++) {
        sum += step->term_s[term][s];
    }
    return sum;
}

struct lq_amount lq_step_amount(const struct lq_step_parts *parts, const struct lq_step_time *step,
                                enum lq_term term)
{
    struct lq_amount amount = {.flop = 0.0};
    for (int s = 0; s < LQ_STAGE_COUNT; s++) {
        const struct lq_step_cell *cell = &parts->cell[term][s];
        const double share = s == LQ_STAGE_OPTIMIZER ? 1.0 / parts->accumulation_steps : 1.0;
        amount.flop += cell->flop * share;
        amount.bytes += cell->bytes * share;
    }
    const double seconds = lq_step_term_s(step, term);
    const double least_s =
        fmax(amount.flop / parts->peak_flop_per_s, amount.bytes / parts->bytes_per_s);
    /* fitted traffic may fall below what was counted: then the count is what was too high */
    amount.efficiency = seconds > 0.0 ? fmin(least_s / seconds, 1.0) : 0.0;
    return amount;
}

static enum lq_bound bound_of_overhead(const struct lq_step_parts *parts, const double *factor,
                                       double *turning)
{
    double fixed_s = 0.0;
    double token_s = 0.0;
    double host_s = 0.0;
    for (int t = LQ_TERM_INPUT + 1; t < LQ_TERM_ALL_REDUCE; t++) {
        for (int s = 0; s < LQ_STAGE_OPTIMIZER; s++) {
            const struct lq_step_cell *cell = &parts->cell[t][s];
            const enum lq_term term = (enum lq_term)t;
            token_s += cell->compute_s * factor[lq_step_compute_factor(term)] +
                       cell->traffic_s * factor[LQ_FACTOR_TRAFFIC];
            fixed_s += cell->stream_s * factor[lq_step_stream_factor(term)];
            host_s += cell->call_s * factor[LQ_FACTOR_HOST];
        }
    }
    *turning = token_s > 0.0 && host_s > fixed_s ? (host_s - fixed_s) / token_s : 0.0;
    return LQ_BOUND_OVERHEAD;
}

enum lq_bound lq_step_bound(const struct lq_step_parts *parts, const double *factor,
                            enum lq_term term, double *turning)
{
    *turning = 0.0;
    if (term == LQ_TERM_OVERHEAD || term == LQ_TERM_EXPERT_OVERHEAD) {
        return bound_of_overhead(parts, factor, turning);
    }
    if (term == LQ_TERM_INPUT) {
        return LQ_BOUND_OVERHEAD;
    }
    if (term == LQ_TERM_PIPELINE && parts->pipeline_stretch > 1.0) {
        return LQ_BOUND_OVERHEAD; /* its bubble, which no faster network fills */
    }
    if (lq_term_is_network(term)) {
        return LQ_BOUND_NETWORK;
    }
    double compute_s = 0.0;
    double fixed_s = 0.0;
    double traffic_s = 0.0;
    double host_s = 0.0;
    for (int s = 0; s < LQ_STAGE_COUNT; s++) {
        const struct lq_step_cell *cell = &parts->cell[term][s];
        host_s += cell->call_s * factor[LQ_FACTOR_HOST];
        compute_s += cell->compute_s * factor[lq_step_compute_factor(term)];
        fixed_s += cell->operands_s * factor[LQ_FACTOR_TRAFFIC] +
                   cell->stream_s * factor[lq_step_stream_factor(term)];
        traffic_s += cell->traffic_s * factor[LQ_FACTOR_TRAFFIC];
    }
    if (host_s > compute_s + fixed_s + traffic_s) {
        return LQ_BOUND_OVERHEAD; /* the optimizer of many small tensors */
    }
    if (compute_s > traffic_s && fixed_s > 0.0) {
        *turning = fixed_s / (compute_s - traffic_s);
    }
    return compute_s > fixed_s + traffic_s ? LQ_BOUND_COMPUTE : LQ_BOUND_MEMORY;
}
