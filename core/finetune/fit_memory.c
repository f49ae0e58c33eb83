/* Fits of the memory model: its factors, from a prior belief and what was seen of memory. The
 * search among largest batches is in fit_memory_largest.c, the regression in regress.c. */
#include "core/finetune/fit.h"

#include <math.h>
#include <string.h>

/* What a row misses by beside its group's factors, as standard deviation of the logarithm: the root
 * mean square of the public peaks, 0.08 on one device (GET /v1/validation, memory). 0.005 within
 * one identity: LitGPT's peaks at batches of 1, 2 and 4 about a straight line (2023). */
static const double GROUP_LOG_SD = 0.07;
static const double IDENTITY_LOG_SD = 0.005;

/* A factor of activations below this is no allocator's doing. */
static const double LEAST_ACTIVATION = 1.0 / 12.0;

struct lq_memory_factors lq_memory_factors_of(const struct lq_belief *belief)
{
    double factor[LQ_FACTORS_MAX];
    lq_belief_factors(belief, factor);
    return (struct lq_memory_factors){.activation = factor[0],
                                      .logits = factor[1],
                                      .overhead = factor[2],
                                      .communication = factor[3]};
}

static double bytes_of(const struct lq_memory_observation *o,
                       const struct lq_memory_factors *factors, double batch_size,
                       double slopes[LQ_MEMORY_FACTORS])
{
    const enum lq_memory_scope scope =
        o->kind == LQ_MEMORY_PEAK ? o->memory.scope : LQ_MEMORY_DEVICE;
    return lq_memory_peak_bytes(&o->memory, factors, scope, batch_size, o->row_tokens, slopes);
}

double lq_memory_observed_bytes(const struct lq_memory_observation *o,
                                const struct lq_memory_factors *factors,
                                double slopes[LQ_MEMORY_FACTORS])
{
    return bytes_of(o, factors, o->batch_size, slopes);
}

bool lq_memory_is_usable(const struct lq_memory_observation *o)
{
    struct lq_memory_factors least = LQ_MEMORY_FACTORS_ONE;
    least.activation = LEAST_ACTIVATION;
    least.logits = LEAST_ACTIVATION;
    const double batch_size = o->kind == LQ_MEMORY_PEAK ? o->batch_size : 0.0;
    return o->batch_size >= 1.0 && o->row_tokens > 0.0 && o->held_bytes > 0.0 &&
           (o->kind == LQ_MEMORY_TOO_LARGE ||
            bytes_of(o, &least, batch_size, NULL) <= o->held_bytes);
}

double lq_memory_log_ratio(const struct lq_memory_observation *o,
                           const struct lq_memory_factors *factors,
                           double gradient[LQ_MEMORY_FACTORS])
{
    const double at_batch = log(bytes_of(o, factors, o->batch_size, gradient) / o->held_bytes);
    if (o->kind == LQ_MEMORY_PEAK || (o->kind == LQ_MEMORY_LARGEST && at_batch > 0.0)) {
        return at_batch;
    }
    if (o->kind == LQ_MEMORY_LARGEST) {
        double slopes[LQ_MEMORY_FACTORS];
        const double beyond =
            log(bytes_of(o, factors, o->batch_size + 1.0, slopes) / o->held_bytes);
        if (beyond < 0.0) {
            memcpy(gradient, slopes, sizeof slopes);
        }
        return fmin(beyond, 0.0);
    }
    if (at_batch > 0.0) { /* too large, as was seen: by how much nobody knows */
        memset(gradient, 0, LQ_MEMORY_FACTORS * sizeof *gradient);
    }
    return fmin(at_batch, 0.0);
}

static void evaluate(const void *context, size_t i, const double *factor, double *log_ratio,
                     double *gradient)
{
    const struct lq_memory_observation *o = (const struct lq_memory_observation *)context + i;
    const struct lq_memory_factors factors = {.activation = factor[0],
                                              .logits = factor[1],
                                              .overhead = factor[2],
                                              .communication = factor[3]};
    *log_ratio = lq_memory_log_ratio(o, &factors, gradient);
}

/* Standard deviation of one observation: its scatter, its member's difference as often as the
 * member occurs (as in fit.c), and the width of its bracket, within which all are as likely. */
static double observation_log_sd(const struct lq_memory_observation *o,
                                 const struct lq_memory_factors *factors,
                                 const double *member_log_sd)
{
    double slopes[LQ_MEMORY_FACTORS];
    const double bytes = bytes_of(o, factors, o->batch_size, slopes);
    double variance = IDENTITY_LOG_SD * IDENTITY_LOG_SD;
    if (member_log_sd != NULL) {
        variance = GROUP_LOG_SD * GROUP_LOG_SD;
        for (int f = 0; f < LQ_MEMORY_FACTORS; f++) {
            const double moved = slopes[f] * member_log_sd[f];
            variance += o->siblings * moved * moved;
        }
    }
    if (o->kind == LQ_MEMORY_LARGEST) {
        const double width = log(bytes_of(o, factors, o->batch_size + 1.0, NULL) / bytes);
        variance += width * width / 12.0;
    }
    return sqrt(variance);
}

/* Errors of the fitted factors, as ratios of bytes. */
static void set_errors(const struct lq_memory_observation *observations, size_t n,
                       struct lq_fit *fit)
{
    const struct lq_memory_factors factors = lq_memory_factors_of(&fit->belief);
    struct lq_fit_sums sums = {.n = 0};
    for (size_t i = 0; i < n; i++) {
        double gradient[LQ_MEMORY_FACTORS];
        lq_fit_sums_add(&sums, exp(lq_memory_log_ratio(&observations[i], &factors, gradient)), 1.0);
    }
    lq_fit_set_errors(fit, &sums);
    fit->rmse_queries_per_s = 0.0;
}

static bool has_largest(const struct lq_memory_observation *observations, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (observations[i].kind == LQ_MEMORY_LARGEST) {
            return true;
        }
    }
    return false;
}

enum lq_code lq_fit_memory(const struct lq_memory_observation *observations, size_t n,
                           const struct lq_belief *prior, const double *member_log_sd,
                           double *scratch, struct lq_fit *out, struct lq_error *err)
{
    if (n == 0) {
        return lq_fail(err, LQ_EFIT, NULL, "no measurement says anything about memory");
    }
    const struct lq_memory_factors factors = lq_memory_factors_of(prior);
    for (size_t i = 0; i < n; i++) {
        scratch[i] = observation_log_sd(&observations[i], &factors, member_log_sd);
    }
    const struct lq_regression regression = {
        .evaluate = evaluate, .context = observations, .count = n, .log_sd = scratch};
    LQ_TRY(lq_regress(&regression, prior, &out->belief, NULL, err));
    out->kind = LQ_FIT_MEMORY;
    out->objective = LQ_OBJECTIVE_ROBUST;
    if (member_log_sd == NULL && has_largest(observations, n)) {
        out->objective = LQ_OBJECTIVE_MINIMAX;
        lq_fit_memory_largest(observations, n, prior, &out->belief);
    }
    out->coefficients = LQ_MEMORY_FACTORS;
    lq_belief_factors(prior, out->prior);
    lq_belief_factors(&out->belief, out->coefficient);
    set_errors(observations, n, out);
    return LQ_OK;
}
