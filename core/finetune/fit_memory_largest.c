/* The factors of one identity from its largest batches: the search that makes the worst miss least.
 * What a miss of any measurement is to a fit of a group is in fit_memory.c. */
#include "core/finetune/fit.h"

#include <math.h>
#include <string.h>

/* Spread of peaks between runs of one kind, and tolerance of largest batches: Xia et al.'s own
 * pairs differ by 20-25 % (3 and 4, 8 and 10 queries; 27 * 512 and 17 * 1024 tokens on 80 GB). */
static const double RESOLUTION_LOG = 0.15;

/* A largest batch of one that is missed is answered "none": it must fit, with 2 % to spare. */
static const double SINGLE_LOG = 0.02;

/* Factors further than these from the prior are no allocator's doing: 12 and 4 either way. */
static const double ACTIVATION_LOG_MAX = 2.5;
static const double OVERHEAD_LOG_MAX = 1.4;

/* Where the evidence leaves a choice the factors stay near the prior: a hundredth of a miss for one
 * of its standard deviations. */
static const double RIDGE = 0.01;

/* Members of struct lq_memory_factors, as variables of a belief. */
enum { ACTIVATION, LOGITS, OVERHEAD };

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
        double unused[LQ_MEMORY_FACTORS];
        return lq_memory_log_ratio(o, factors, unused);
    }
    const double batch = lq_memory_filling_batch(&o->memory, factors, o->held_bytes, o->row_tokens);
    if (o->kind == LQ_MEMORY_TOO_LARGE) {
        return batch > o->batch_size ? log(batch / o->batch_size) : 0.0;
    }
    return miss_of_largest(batch, o->batch_size, allowed);
}

/* What is fitted to. Logits are scaled with the activations, or are what the prior has. */
struct evidence {
    const struct lq_memory_observation *observations;
    size_t n;
    const struct lq_belief *prior;
    bool scales_logits;
};

static double prior_log_sd(const struct lq_belief *prior, int factor)
{
    return sqrt(prior->covariance[factor * LQ_FACTORS_MAX + factor]);
}

/* The prior's belief with activation and overhead so far off its means. */
static struct lq_belief moved(const struct evidence *evidence, double activation_log,
                              double overhead_log)
{
    struct lq_belief belief = *evidence->prior;
    belief.mean[ACTIVATION] += activation_log;
    belief.mean[LOGITS] += evidence->scales_logits ? activation_log : 0.0;
    belief.mean[OVERHEAD] += overhead_log;
    return belief;
}

static double square(double x)
{
    return x * x;
}

static double objective(const struct evidence *evidence, double activation_log, double overhead_log)
{
    const struct lq_belief belief = moved(evidence, activation_log, overhead_log);
    const struct lq_memory_factors factors = lq_memory_factors_of(&belief);
    double largest = 0.0;
    for (size_t i = 0; i < evidence->n; i++) {
        double allowed = 0.0;
        const double distance = fabs(miss(&evidence->observations[i], &factors, &allowed));
        largest = fmax(largest, distance / allowed);
    }
    return largest + RIDGE * (square(activation_log / prior_log_sd(evidence->prior, ACTIVATION)) +
                              square(overhead_log / prior_log_sd(evidence->prior, OVERHEAD)));
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

/* Where the largest miss is least. */
struct best {
    struct lq_belief belief;
    double objective;
};

static struct best search(const struct evidence *evidence)
{
    const double overhead_log = minimize(valley, evidence, 0.0, OVERHEAD_LOG_MAX);
    const double activation_log = minimize(objective, evidence, overhead_log, ACTIVATION_LOG_MAX);
    return (struct best){.belief = moved(evidence, activation_log, overhead_log),
                         .objective = objective(evidence, activation_log, overhead_log)};
}

void lq_fit_memory_largest(const struct lq_memory_observation *observations, size_t n,
                           const struct lq_belief *prior, struct lq_belief *belief)
{
    struct evidence evidence = {
        .observations = observations, .n = n, .prior = prior, .scales_logits = true};
    const struct best together = search(&evidence);
    evidence.scales_logits = false;
    const struct best apart = search(&evidence);
    const struct best *best = apart.objective < together.objective ? &apart : &together;
    memcpy(belief->mean, best->belief.mean, sizeof belief->mean);
}
