/* What factors make of a micro-batch's seconds, and what runs side by side. Communication stands in
 * step_network.c, what binds a term in step_bound.c. */
#include "core/finetune/step_parts.h"

#include <math.h>

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

enum lq_factor lq_step_compute_factor(enum lq_term term)
{
    if (term == LQ_TERM_ATTENTION_SCORES || term == LQ_TERM_MAMBA_SCAN) {
        return LQ_FACTOR_SEQUENCE;
    }
    return term == LQ_TERM_EXPERT_MATMUL ? LQ_FACTOR_EXPERT : LQ_FACTOR_MATMUL;
}

enum lq_factor lq_step_stream_factor(enum lq_term term)
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

/* A fit may have found a stack faster than its shares of peak, but no kernel is faster than the
 * peak itself: `least_s` of its FLOPs. */
static void add_cell(const struct lq_step_cell *cell, enum lq_term term, const double *factor,
                     double least_s, double *term_s, struct sums *sums)
{
    const enum lq_factor of_compute = lq_step_compute_factor(term);
    const enum lq_factor of_stream = lq_step_stream_factor(term);
    const double free_s = cell->compute_s * factor[of_compute];
    const double compute_s = fmax(free_s, least_s);
    const double operands_s = cell->operands_s * factor[LQ_FACTOR_TRAFFIC];
    const double stream_s = cell->stream_s * factor[of_stream];
    const double traffic_s = cell->traffic_s * factor[LQ_FACTOR_TRAFFIC];
    const double kernel_s = sqrt(compute_s * compute_s + operands_s * operands_s);
    *term_s = kernel_s + stream_s + traffic_s;
    sums->device_s += *term_s;
    sums->host_s += cell->call_s * factor[LQ_FACTOR_HOST];
    if (kernel_s > 0.0) {
        sums->device_by[of_compute] += free_s < least_s ? 0.0 : free_s * free_s / kernel_s;
        sums->device_by[LQ_FACTOR_TRAFFIC] += operands_s * operands_s / kernel_s;
    }
    sums->device_by[of_stream] += stream_s;
    sums->device_by[LQ_FACTOR_TRAFFIC] += traffic_s;
}

/* What the host adds to the device's time: beside(device, host) - device, shared among the stages
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

/* Two that run side by side and wait for each other now and then add as a norm between their sum
 * (exponent 1, always waiting) and the longer one (no exponent, never). 1.6: BlackMamba's steps ask
 * for 2, Mixtral's on four GPUs for 1.25 to 2, public tables for 1.5 (Xia et al. 2024;
 * GET /v1/validation). */
static const double BESIDE_EXPONENT = 1.6;

static double beside(double a, double b)
{
    return pow(pow(a, BESIDE_EXPONENT) + pow(b, BESIDE_EXPONENT), 1.0 / BESIDE_EXPONENT);
}

/* d beside(a, b) / d ln(a), given a and the result. */
static double beside_slope(double a, double together)
{
    return together > 0.0 ? a * pow(a / together, BESIDE_EXPONENT - 1.0) : 0.0;
}

/* Everything that makes up a micro-batch, before it is put together. */
struct pieces {
    struct sums passes;    /* forward, recomputation, backward */
    struct sums optimizer; /* of one optimizer step */
    double once;           /* micro-batch's share of an optimizer step */
    double passes_s;       /* device and host side by side */
    double input_s;
    struct lq_step_network network;
};

/* d ln(total) / d ln(factor) of every factor. */
static void set_shares(const struct pieces *p, double stretch, struct lq_step_time *out)
{
    const double in_step = (stretch + p->network.by_passes) / out->total_s;
    const double by_device = beside_slope(p->passes.device_s, p->passes_s);
    const double per_device = p->passes.device_s > 0.0 ? by_device / p->passes.device_s : 0.0;
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        out->share[f] = p->passes.device_by[f] * per_device * in_step +
                        p->optimizer.device_by[f] * p->once / out->total_s;
    }
    out->share[LQ_FACTOR_HOST] += beside_slope(p->passes.host_s, p->passes_s) * in_step +
                                  p->optimizer.host_s * p->once / out->total_s;
    out->share[LQ_FACTOR_INPUT] += p->input_s / out->total_s;
    out->share[LQ_FACTOR_NETWORK] += p->network.by_factor / out->total_s;
}

void lq_step_evaluate(const struct lq_step_parts *parts, const double *factor,
                      struct lq_step_time *out)
{
    struct pieces p = {.once = 1.0 / parts->accumulation_steps};
    const double flop_s = parts->peak_flop_per_s > 0.0 ? 1.0 / parts->peak_flop_per_s : 0.0;
    *out = (struct lq_step_time){.total_s = 0.0};
    for (int t = LQ_TERM_INPUT + 1; t < LQ_TERM_ALL_REDUCE; t++) {
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            const struct lq_step_cell *cell = &parts->cell[t][s];
            add_cell(cell, (enum lq_term)t, factor, cell->flop * flop_s, &out->term_s[t][s],
                     s == LQ_STAGE_OPTIMIZER ? &p.optimizer : &p.passes);
        }
    }
    p.passes_s = beside(p.passes.device_s, p.passes.host_s);
    share_overhead(parts, p.passes_s - p.passes.device_s, p.passes.host_s / factor[LQ_FACTOR_HOST],
                   out);
    const double optimizer_s = (p.optimizer.device_s + p.optimizer.host_s) * p.once;
    out->term_s[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER] = optimizer_s;
    p.input_s = parts->cell[LQ_TERM_INPUT][LQ_STAGE_FORWARD].call_s * factor[LQ_FACTOR_INPUT];
    out->term_s[LQ_TERM_INPUT][LQ_STAGE_FORWARD] = p.input_s;
    p.network = lq_step_expose_network(parts, factor[LQ_FACTOR_NETWORK], p.passes_s, out);
    const double bubble_s = (parts->pipeline_stretch - 1.0) * p.passes_s;
    out->term_s[LQ_TERM_PIPELINE][LQ_STAGE_BACKWARD] += bubble_s;
    out->total_s = p.passes_s + p.network.seconds + bubble_s + optimizer_s + p.input_s;
    set_shares(&p, parts->pipeline_stretch, out);
}
