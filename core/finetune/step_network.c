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

/* Seconds that show of what runs beside something else, and their derivatives. */
struct shown {
    double seconds;
    double by_network; /* d seconds / d network_s */
    double by_compute;
};

/* What of `network_s` shows when it runs beside `compute_s`: the longer of the two with a round
 * corner, less compute. Fourth powers: they neither hide perfectly when equal (contention for
 * memory and multiprocessors) nor disturb each other much when not. */
static struct shown uncovered(double network_s, double compute_s)
{
    if (!(compute_s > 0.0)) {
        return (struct shown){.seconds = network_s, .by_network = 1.0};
    }
    const double ratio = network_s / compute_s;
    const double fourth = ratio * ratio * ratio * ratio;
    const double covered = sqrt(sqrt(1.0 + fourth));
    const double cubed = covered * covered * covered;
    return (struct shown){.seconds = compute_s * (covered - 1.0),
                          .by_network = ratio > 0.0 ? fourth / (ratio * cubed) : 0.0,
                          .by_compute = 1.0 / cubed - 1.0};
}

/* Backward's share of forward and backward with frozen or trained weights: 1/2 to 2/3. */
static const double BACKWARD_SHARE = 0.6;

/* What is sent once a step hides behind the last backward, where no other flow hides already. */
struct lq_step_network lq_step_expose_network(const struct lq_step_parts *parts, double factor,
                                              double passes_s, struct lq_step_time *out)
{
    double hideable_s = 0.0;
    double once_s = 0.0;
    for (int t = LQ_TERM_ALL_REDUCE; t < LQ_TERM_COUNT; t++) {
        hideable_s += parts->flow[t].hideable_s * factor;
        once_s += parts->flow[t].hideable_once_s * factor;
    }
    const double last = BACKWARD_SHARE / parts->accumulation_steps;
    const struct shown all = uncovered(hideable_s, passes_s);
    const double room_s = fmax(last * (passes_s + all.seconds - hideable_s), 0.0);
    const struct shown end = uncovered(once_s, room_s);
    const double share = hideable_s > 0.0 ? all.seconds / hideable_s : 0.0;
    const double once_share = once_s > 0.0 ? end.seconds / once_s : 0.0;
    const double by_room = end.by_compute * last;
    struct lq_step_network sums = {
        .by_factor = hideable_s * (all.by_network + by_room * (all.by_network - 1.0)) +
                     once_s * end.by_network,
        .by_passes = all.by_compute + by_room * (1.0 + all.by_compute)};
    for (int t = LQ_TERM_ALL_REDUCE; t < LQ_TERM_COUNT; t++) {
        const struct lq_step_flow *flow = &parts->flow[t];
        const double seconds = factor * (flow->exposed_s + flow->hideable_s * share +
                                         flow->hideable_once_s * once_share);
        out->term_s[t][LQ_STAGE_BACKWARD] = seconds;
        sums.seconds += seconds;
        sums.by_factor += flow->exposed_s * factor;
    }
    return sums;
}
