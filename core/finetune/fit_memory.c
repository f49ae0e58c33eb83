/* The fitted numbers of the memory model: factors of activations, logits and overhead. */
#include "core/finetune/fit.h"

#include <math.h>
#include <stdbool.h>

/* Spread of peaks between runs of one kind, and tolerance of largest batches: Xia et al.'s own
 * pairs differ by 20-25 % (3 and 4, 8 and 10 queries; 27 * 512 and 17 * 1024 tokens on 80 GB). */
static const double RESOLUTION_LOG = 0.15;

/* A largest batch of one that is missed is answered "none": it must fit, with 2 % to spare. */
static const double SINGLE_LOG = 0.02;

/* Factors beyond these are no allocator's doing: 12 and 4 either way. */
static const double ACTIVATION_LOG_MAX = 2.5;
static const double OVERHEAD_LOG_MAX = 1.4;

/* Where the evidence leaves a choice the factors stay near 1: a hundredth of a miss for 15 % of
 * activations or 30 % of overhead, the spread of the public sets. */
static const double RIDGE = 0.01;
static const double ACTIVATION_LOG_SD = 0.15;
static const double OVERHEAD_LOG_SD = 0.3;

struct lq_memory_factors lq_fit_memory_factors(const struct lq_fit *fit)
{
    struct lq_memory_factors factors = LQ_MEMORY_FACTORS_ONE;
    if (fit != NULL) {
        factors.activation = fit->coefficient[0];
        factors.logits = fit->coefficient[1];
        factors.overhead = fit->coefficient[2];
    }
    return factors;
}

static double predicted_peak(const struct lq_memory_observation *o,
                             const struct lq_memory_factors *factors)
{
    return lq_memory_peak_bytes(&o->memory, factors, o->memory.scope, o->batch_size, o->row_tokens,
                                NULL);
}

/* Distance in logarithms of a batch from one that was the largest, and how much of it is allowed:
 * one query or 15 % in whole queries, whichever is more. */
static double miss_of_largest(double predicted, double largest, double *allowed)
{
    const double batch = fmax(predicted, 0.01);
    if (largest < 2.0 && log(batch) < SINGLE_LOG) {
        *allowed = SINGLE_LOG;
        return log(batch) - SINGLE_LOG;
    }
    if (batch < largest) {
        *allowed = log(largest / fmin(largest - 1.0, ceil((1.0 - RESOLUTION_LOG) * largest)));
        return log(batch / largest);
    }
    const double most = fmax(largest + 1.0, floor((1.0 + RESOLUTION_LOG) * largest));
    *allowed = log((most + 1.0) / (largest + 1.0));
    return fmax(log(batch / (largest + 1.0)), 0.0);
}

/* How far factors are from what one observation allows: in logarithms, and what is allowed. */
static double miss(const struct lq_memory_observation *o, const struct lq_memory_factors *factors,
                   double *allowed)
{
    *allowed = RESOLUTION_LOG;
    if (o->kind == LQ_MEMORY_PEAK) {
        return log(predicted_peak(o, factors) / o->held_bytes);
    }
    const double batch = lq_memory_filling_batch(&o->memory, factors, o->held_bytes, o->row_tokens);
    if (o->kind == LQ_MEMORY_TOO_LARGE) {
        return batch > o->batch_size ? log(batch / o->batch_size) : 0.0;
    }
    return miss_of_largest(batch, o->batch_size, allowed);
}

/* Whether any activation factor explains it. */
static bool usable(const struct lq_memory_observation *o)
{
    if (!(o->batch_size >= 1.0) || !(o->row_tokens > 0.0)) {
        return false;
    }
    struct lq_memory_factors least = LQ_MEMORY_FACTORS_ONE;
    least.activation = exp(-ACTIVATION_LOG_MAX);
    least.logits = least.activation;
    return o->kind == LQ_MEMORY_PEAK
               ? predicted_peak(o, &least) <= o->held_bytes
               : lq_memory_filling_batch(&o->memory, &least, o->held_bytes, o->row_tokens) > 0.0;
}

/* What is fitted to. Logits are scaled with the activations, or are what they are counted as. */
struct evidence {
    const struct lq_memory_observation *observations;
    size_t n;
    bool scales_logits;
};

static struct lq_memory_factors factors_of(const struct evidence *evidence, double activation_log,
                                           double overhead_log)
{
    struct lq_memory_factors factors = LQ_MEMORY_FACTORS_ONE;
    factors.activation = exp(activation_log);
    factors.logits = evidence->scales_logits ? factors.activation : 1.0;
    factors.overhead = exp(overhead_log);
    return factors;
}

static double square(double x)
{
    return x * x;
}

static double objective(const struct evidence *evidence, double activation_log, double overhead_log)
{
    const struct lq_memory_factors factors = factors_of(evidence, activation_log, overhead_log);
    double largest = 0.0;
    for (size_t i = 0; i < evidence->n; i++) {
        const struct lq_memory_observation *o = &evidence->observations[i];
        if (usable(o)) {
            double allowed = 0.0;
            const double distance = fabs(miss(o, &factors, &allowed));
            largest = fmax(largest, distance / allowed);
        }
    }
    return largest + RIDGE * (square(activation_log / ACTIVATION_LOG_SD) +
                              square(overhead_log / OVERHEAD_LOG_SD));
}

/* Steps of a search: to 1e-5 of its width. */
enum { STEPS = 24 };

/* Golden-section search of a function with one minimum; returns where it is. */
static double minimize(double (*function)(const struct evidence *evidence, double x, double fixed),
                       const struct evidence *evidence, double fixed, double half_width)
{
    const double golden = 0.6180339887498949;
    double low = -half_width;
    double high = half_width;
    double left = high - golden * (high - low);
    double right = low + golden * (high - low);
    double at_left = function(evidence, left, fixed);
    double at_right = function(evidence, right, fixed);
    for (int i = 0; i < STEPS; i++) {
        if (at_left < at_right) {
            high = right;
            right = left;
            at_right = at_left;
            left = high - golden * (high - low);
            at_left = function(evidence, left, fixed);
        } else {
            low = left;
            left = right;
            at_left = at_right;
            right = low + golden * (high - low);
            at_right = function(evidence, right, fixed);
        }
    }
    return 0.5 * (low + high);
}

/* The least objective at an overhead factor, over all activation factors. */
static double valley(const struct evidence *evidence, double overhead_log, double unused)
{
    (void)unused;
    const double best = minimize(objective, evidence, overhead_log, ACTIVATION_LOG_MAX);
    return objective(evidence, best, overhead_log);
}

/* Errors of the fitted factors, from the bare distances. */
static void fill_errors(const struct evidence *evidence, const struct lq_memory_factors *factors,
                        struct lq_fit *out)
{
    double squares = 0.0;
    double mean = 0.0;
    double absolute = 0.0;
    double used = 0.0;
    for (size_t i = 0; i < evidence->n; i++) {
        if (usable(&evidence->observations[i])) {
            double allowed = 0.0;
            const double bare = miss(&evidence->observations[i], factors, &allowed);
            squares += square(bare);
            mean += bare;
            absolute += fabs(bare);
            used += 1.0;
        }
    }
    out->residual_log = sqrt(squares / used);
    out->mape = absolute / used;
    out->bias = mean / used;
    /* one piece of evidence is no better than the resolution, however well it is met */
    const double variance = fmax(squares / used, square(RESOLUTION_LOG)) / used;
    out->belief.covariance[0] = variance;
    out->belief.covariance[LQ_FACTORS_MAX + 1] = variance;
    out->belief.covariance[2 * LQ_FACTORS_MAX + 2] = square(OVERHEAD_LOG_SD);
}

/* Where the largest miss is least. */
struct best {
    struct lq_memory_factors factors;
    double objective;
};

static struct best search(const struct evidence *evidence)
{
    const double overhead_log = minimize(valley, evidence, 0.0, OVERHEAD_LOG_MAX);
    const double activation_log = minimize(objective, evidence, overhead_log, ACTIVATION_LOG_MAX);
    return (struct best){.factors = factors_of(evidence, activation_log, overhead_log),
                         .objective = objective(evidence, activation_log, overhead_log)};
}

enum lq_code lq_fit_memory(const struct lq_memory_observation *observations, size_t n,
                           struct lq_fit *out, struct lq_error *err)
{
    struct evidence evidence = {.observations = observations, .n = n, .scales_logits = true};
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        used += usable(&observations[i]) ? 1 : 0;
    }
    if (used == 0) {
        return lq_fail(err, LQ_EFIT, NULL, "no measurement says anything about activations");
    }
    struct best best = search(&evidence);
    evidence.scales_logits = false;
    const struct best apart = search(&evidence);
    best = apart.objective < best.objective ? apart : best;
    out->kind = LQ_FIT_MEMORY;
    out->objective = LQ_OBJECTIVE_MINIMAX;
    out->coefficients = 3;
    out->coefficient[0] = best.factors.activation;
    out->coefficient[1] = best.factors.logits;
    out->coefficient[2] = best.factors.overhead;
    for (int i = 0; i < 3; i++) {
        out->prior[i] = 1.0;
    }
    out->points = used;
    fill_errors(&evidence, &best.factors, out);
    return LQ_OK;
}
