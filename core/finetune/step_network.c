/* What communication adds to a step: how much of it hides behind computing. Its own seconds come
 * from communication.c. */
#include "core/finetune/step_parts.h"

#include <math.h>

static const enum lq_term TERM_OF_FLOW[] = {
    [LQ_FLOW_TENSOR] = LQ_TERM_TENSOR_PARALLEL,
    [LQ_FLOW_CONTEXT] = LQ_TERM_CONTEXT_EXCHANGE,
    [LQ_FLOW_EXPERT] = LQ_TERM_EXPERT_EXCHANGE,
    [LQ_FLOW_PIPELINE] = LQ_TERM_PIPELINE,
    [LQ_FLOW_WEIGHT_GATHER] = LQ_TERM_WEIGHT_GATHER,
    [LQ_FLOW_GRADIENT_SCATTER] = LQ_TERM_ALL_REDUCE,
    [LQ_FLOW_GRADIENT_REDUCE] = LQ_TERM_ALL_REDUCE,
    [LQ_FLOW_UPDATE_GATHER] = LQ_TERM_WEIGHT_GATHER,
    [LQ_FLOW_HOST] = LQ_TERM_HOST_TRANSFER,
};

void lq_step_add_flows(struct lq_step_parts *parts, const struct lq_communication *communication)
{
    parts->pipeline_stretch = communication->stretch;
    for (int i = 0; i < communication->flow_count; i++) {
        const struct lq_flow *flow = &communication->flows[i];
        struct lq_step_flow *sum = &parts->flow[TERM_OF_FLOW[flow->kind]];
        const double share = flow->per_step ? 1.0 / parts->accumulation_steps : 1.0;
        const double hideable_s = flow->time_s * flow->overlap * share;
        sum->exposed_s += flow->time_s * share - hideable_s;
        sum->hideable_s += flow->per_step ? 0.0 : hideable_s;
        sum->hideable_once_s += flow->per_step ? hideable_s : 0.0;
    }
}

/* What of `network_s` shows when it runs beside `compute_s`: the longer of the two with a round
 * corner, less compute. Fourth powers: they neither hide perfectly when equal (contention for
 * memory and multiprocessors) nor disturb each other much when not. `*slope` gets its derivative by
 * network_s. */
static double uncovered(double network_s, double compute_s, double *slope)
{
    *slope = 1.0;
    if (!(compute_s > 0.0)) {
        return network_s;
    }
    const double ratio = network_s / compute_s;
    const double fourth = ratio * ratio * ratio * ratio;
    const double covered = sqrt(sqrt(1.0 + fourth));
    *slope = ratio > 0.0 ? fourth / (ratio * covered * covered * covered) : 0.0;
    return compute_s * (covered - 1.0);
}

/* Backward's share of forward and backward with frozen or trained weights: 1/2 to 2/3. */
static const double BACKWARD_SHARE = 0.6;

double lq_step_expose_network(const struct lq_step_parts *parts, double factor, double passes_s,
                          struct lq_step_time *out, double *by_network)
{
    double hideable_s = 0.0;
    double once_s = 0.0;
    for (int t = LQ_TERM_ALL_REDUCE; t < LQ_TERM_COUNT; t++) {
        hideable_s += parts->flow[t].hideable_s * factor;
        once_s += parts->flow[t].hideable_once_s * factor;
    }
    double slope = 0.0;
    double once_slope = 0.0;
    const double shown_s = uncovered(hideable_s, passes_s, &slope);
    const double once_shown_s =
        uncovered(once_s, BACKWARD_SHARE * passes_s / parts->accumulation_steps, &once_slope);
    const double share = hideable_s > 0.0 ? shown_s / hideable_s : 0.0;
    const double once_share = once_s > 0.0 ? once_shown_s / once_s : 0.0;
    double network_s = 0.0;
    *by_network = hideable_s * slope + once_s * once_slope;
    for (int t = LQ_TERM_ALL_REDUCE; t < LQ_TERM_COUNT; t++) {
        const struct lq_step_flow *flow = &parts->flow[t];
        const double seconds = factor * (flow->exposed_s + flow->hideable_s * share +
                                         flow->hideable_once_s * once_share);
        out->term_s[t][LQ_STAGE_BACKWARD] = seconds;
        network_s += seconds;
        *by_network += flow->exposed_s * factor;
    }
    return network_s;
}
