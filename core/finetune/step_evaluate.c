/* What factors make of a micro-batch's seconds: what runs side by side, what hides, what bounds.
 * The seconds are step_time.c's. */
#include "core/finetune/step_time.h"

#include <math.h>

const char *const LQ_BOUND_NAMES[] = {"compute", "memory", "overhead", "network", NULL};
const char *const LQ_FACTOR_NAMES[] = {
    [LQ_FACTOR_MATMUL] = "matmul",
    [LQ_FACTOR_EXPERT] = "expert",
    [LQ_FACTOR_SEQUENCE] = "sequence",
    [LQ_FACTOR_TRAFFIC] = "traffic",
    [LQ_FACTOR_DEQUANTIZATION] = "dequantization",
    [LQ_FACTOR_HOST] = "host",
    [LQ_FACTOR_INPUT] = "input",
    [LQ_FACTOR_NETWORK] = "network",
    [LQ_FACTOR_COUNT] = NULL,
};

static enum lq_factor compute_factor(enum lq_term term)
{
    if (term == LQ_TERM_ATTENTION_SCORES || term == LQ_TERM_MAMBA_SCAN) {
        return LQ_FACTOR_SEQUENCE;
    }
    return term == LQ_TERM_EXPERT_MATMUL ? LQ_FACTOR_EXPERT : LQ_FACTOR_MATMUL;
}

static enum lq_factor stream_factor(enum lq_term term)
{
    const bool dequantized =
        term == LQ_TERM_DEQUANTIZATION || term == LQ_TERM_EXPERT_DEQUANTIZATION;
    return dequantized ? LQ_FACTOR_DEQUANTIZATION : LQ_FACTOR_TRAFFIC;
}

/* Adds up the device's and the host's seconds of one stage range, and what each factor moves. */
struct sums {
    double device_s;
    double host_s;
    double device_by[LQ_FACTOR_COUNT]; /* d device_s / d ln(factor) */
};

static void add_cell(const struct lq_step_cell *cell, enum lq_term term, const double *factor,
                     double *term_s, struct sums *sums)
{
    const enum lq_factor of_compute = compute_factor(term);
    const enum lq_factor of_stream = stream_factor(term);
    const double compute_s = cell->compute_s * factor[of_compute];
    const double operands_s = cell->operands_s * factor[LQ_FACTOR_TRAFFIC];
    const double stream_s = cell->stream_s * factor[of_stream];
    const double traffic_s = cell->traffic_s * factor[LQ_FACTOR_TRAFFIC];
    const double kernel_s = sqrt(compute_s * compute_s + operands_s * operands_s);
    *term_s = kernel_s + stream_s + traffic_s;
    sums->device_s += *term_s;
    sums->host_s += cell->call_s * factor[LQ_FACTOR_HOST];
    if (kernel_s > 0.0) {
        sums->device_by[of_compute] += compute_s * compute_s / kernel_s;
        sums->device_by[LQ_FACTOR_TRAFFIC] += operands_s * operands_s / kernel_s;
    }
    sums->device_by[of_stream] += stream_s;
    sums->device_by[LQ_FACTOR_TRAFFIC] += traffic_s;
}

/* What the host adds to the device's time: hypot(device, host) - device, shared among the stages
 * and the two overhead terms in proportion to their calls. */
static void share_overhead(const struct lq_step_parts *parts, double exposed_s, double call_s,
                           struct lq_step_time *out)
{
    if (!(call_s > 0.0)) {
        return;
    }
    const enum lq_term terms[] = {LQ_TERM_OVERHEAD, LQ_TERM_EXPERT_OVERHEAD};
    for (int i = 0; i < 2; i++) {
        for (int s = 0; s < LQ_STAGE_OPTIMIZER; s++) {
            out->term_s[terms[i]][s] = exposed_s * parts->cell[terms[i]][s].call_s / call_s;
        }
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

/* Seconds of all communication. */
struct network {
    double seconds;
    double by_factor; /* d seconds / d ln(its factor) */
    double by_passes; /* d seconds / d passes_s: longer passes hide more */
};

/* What is sent once a step hides behind the last backward, where no other flow hides already. */
static struct network add_network(const struct lq_step_parts *parts, double factor, double passes_s,
                                  struct lq_step_time *out)
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
    struct network sums = {.by_factor =
                               hideable_s * (all.by_network + by_room * (all.by_network - 1.0)) +
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

/* Two that run side by side and wait for each other now and then: the 3/2 norm of their times. In
 * between the sum (always waiting) and the longer one (never): Mixtral's step times on four GPUs
 * (Xia et al. 2024) are met by exponents from 1.25 to 2. */
static double beside(double a, double b)
{
    const double root = cbrt(a * sqrt(a) + b * sqrt(b));
    return root * root;
}

/* d ln(total) / d ln(factor): of what the passes take, what they hide, and the rest. */
static void set_shares(const struct sums *passes, const struct sums *optimizer, double step_s,
                       double by_step, double once, struct lq_step_time *out)
{
    /* the 3/2 norm's slopes: the square roots of its sides' shares */
    const double by_device = step_s > 0.0 ? by_step * sqrt(passes->device_s / step_s) : 0.0;
    const double by_host = step_s > 0.0 ? by_step * sqrt(passes->host_s / step_s) : 0.0;
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        out->share[f] =
            (passes->device_by[f] * by_device + optimizer->device_by[f] * once) / out->total_s;
    }
    out->share[LQ_FACTOR_HOST] +=
        (passes->host_s * by_host + optimizer->host_s * once) / out->total_s;
}

void lq_step_evaluate(const struct lq_step_parts *parts, const double *factor,
                      struct lq_step_time *out)
{
    *out = (struct lq_step_time){.total_s = 0.0};
    struct sums passes = {.device_s = 0.0};
    struct sums optimizer = {.device_s = 0.0};
    for (int t = LQ_TERM_INPUT + 1; t < LQ_TERM_ALL_REDUCE; t++) {
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            add_cell(&parts->cell[t][s], (enum lq_term)t, factor, &out->term_s[t][s],
                     s == LQ_STAGE_OPTIMIZER ? &optimizer : &passes);
        }
    }
    const double step_s = beside(passes.device_s, passes.host_s);
    share_overhead(parts, step_s - passes.device_s, passes.host_s / factor[LQ_FACTOR_HOST], out);
    const double once = 1.0 / parts->accumulation_steps;
    const double optimizer_s = (optimizer.device_s + optimizer.host_s) * once;
    out->term_s[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER] = optimizer_s;
    const double input_s =
        parts->cell[LQ_TERM_INPUT][LQ_STAGE_FORWARD].call_s * factor[LQ_FACTOR_INPUT];
    out->term_s[LQ_TERM_INPUT][LQ_STAGE_FORWARD] = input_s;
    const struct network network = add_network(parts, factor[LQ_FACTOR_NETWORK], step_s, out);
    const double bubble_s = (parts->pipeline_stretch - 1.0) * step_s;
    out->term_s[LQ_TERM_PIPELINE][LQ_STAGE_BACKWARD] += bubble_s;
    out->total_s = step_s + network.seconds + bubble_s + optimizer_s + input_s;
    set_shares(&passes, &optimizer, step_s, parts->pipeline_stretch + network.by_passes, once, out);
    out->share[LQ_FACTOR_INPUT] += input_s / out->total_s;
    out->share[LQ_FACTOR_NETWORK] += network.by_factor / out->total_s;
}

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
            token_s += cell->compute_s * factor[compute_factor(term)] +
                       cell->traffic_s * factor[LQ_FACTOR_TRAFFIC];
            fixed_s += cell->stream_s * factor[stream_factor(term)];
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
        compute_s += cell->compute_s * factor[compute_factor(term)];
        fixed_s += cell->operands_s * factor[LQ_FACTOR_TRAFFIC] +
                   cell->stream_s * factor[stream_factor(term)];
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
