/* Fits of the step time: factors of the physics, from a prior belief and measured steps. The
 * xia2024 forms are in xia2024.c, the memory factor in fit_memory.c, the regression in regress.c.
 */
#include "core/finetune/fit.h"

#include "core/finetune/xia2024.h"

#include <math.h>
#include <string.h>

const char *const LQ_FIT_NAMES[] = {"default", "xia2024", "xia2024-printed", "memory", NULL};
const char *const LQ_SCOPE_NAMES[] = {"all", "stack", "model", "identity", NULL};
const char *const LQ_OBJECTIVE_NAMES[] = {"pseudo-huber-relative", "least-squares-absolute",
                                          "minimax-relative", NULL};

/* Scatter of repeated steps under one identity, as standard deviation of the logarithm: 0.6 %, what
 * smooth curves leave of Xia et al.'s A40 tables; 1 % where sources are mixed. */
static const double IDENTITY_LOG_SD = 0.006;
static const double GROUP_LOG_SD = 0.01;

unsigned lq_fit_class(enum lq_method_kind kind, unsigned model_class)
{
    return 1U << (4U * (unsigned)kind + model_class);
}

double lq_fit_predict(const struct lq_fit *fit, const struct lq_observation *o, double experts)
{
    const double sparsity = experts > 0.0 ? o->active_experts / experts : 1.0;
    switch (fit->kind) {
    case LQ_FIT_XIA2024:
        return lq_xia2024_rate(fit->coefficient, fit->constant, o->batch_size, sparsity);
    case LQ_FIT_XIA2024_PRINTED:
        return lq_xia2024_printed_rate(fit->coefficient, fit->constant, o->batch_size, sparsity);
    case LQ_FIT_STEP_TIME:
    case LQ_FIT_MEMORY:
        break;
    }
    return 0.0;
}

void lq_fit_sums_add(struct lq_fit_sums *sums, double predicted, double measured)
{
    const double off = predicted - measured;
    sums->n++;
    sums->squares += off * off;
    sums->relative += fabs(off / measured);
    sums->bias += off / measured;
    if (predicted > 0.0) {
        const double r = log(predicted / measured);
        sums->log_squares += r * r;
    }
}

void lq_fit_set_errors(struct lq_fit *fit, const struct lq_fit_sums *sums)
{
    const double n = (double)sums->n;
    /* free coefficients: a fit through as many points as coefficients says nothing of its error;
     * factors are held by their prior, so that all together take one */
    const bool has_prior = fit->kind == LQ_FIT_STEP_TIME || fit->kind == LQ_FIT_MEMORY;
    const double taken = has_prior ? 1.0 : (double)fit->coefficients;
    fit->points = sums->n;
    fit->rmse_queries_per_s = sqrt(sums->squares / n);
    fit->mape = sums->relative / n;
    fit->bias = sums->bias / n;
    fit->residual_log = sqrt(sums->log_squares / fmax(n - taken, 1.0));
}

static void evaluate(const void *context, size_t i, const double *factor, double *log_ratio,
                     double *gradient)
{
    const struct lq_step_observation *o = (const struct lq_step_observation *)context + i;
    struct lq_step_time step;
    lq_step_evaluate(&o->parts, factor, &step);
    *log_ratio = log(step.total_s / o->step_s);
    memcpy(gradient, step.share, sizeof step.share);
}

/* Standard deviation of one observation: its scatter, and its member's difference as often as the
 * member occurs, so that a member's observations together weigh as one of that difference. */
static double observation_log_sd(const struct lq_step_observation *o, const double *factor,
                                 const double *member_log_sd)
{
    if (member_log_sd == NULL) {
        return IDENTITY_LOG_SD;
    }
    struct lq_step_time step;
    lq_step_evaluate(&o->parts, factor, &step);
    double variance = 0.0;
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        const double moved = step.share[f] * member_log_sd[f];
        variance += moved * moved;
    }
    return sqrt(GROUP_LOG_SD * GROUP_LOG_SD + o->siblings * variance);
}

double lq_fit_step_s(const struct lq_fit *fit, const struct lq_step_parts *parts)
{
    struct lq_step_time step;
    lq_step_evaluate(parts, fit->coefficient, &step);
    return step.total_s;
}

enum lq_code lq_fit_step_time(const struct lq_step_observation *observations, size_t n,
                              const struct lq_belief *prior, const double *member_log_sd,
                              double *scratch, struct lq_fit *out, struct lq_error *err)
{
    if (n == 0) {
        return lq_fail(err, LQ_EFIT, NULL, "no points determine the step time");
    }
    out->kind = LQ_FIT_STEP_TIME;
    out->objective = LQ_OBJECTIVE_ROBUST;
    out->coefficients = LQ_FACTOR_COUNT;
    lq_belief_factors(prior, out->prior);
    for (size_t i = 0; i < n; i++) {
        scratch[i] = observation_log_sd(&observations[i], out->prior, member_log_sd);
    }
    const struct lq_regression regression = {
        .evaluate = evaluate, .context = observations, .count = n, .log_sd = scratch};
    LQ_TRY(lq_regress(&regression, prior, &out->belief, NULL, err));
    lq_belief_factors(&out->belief, out->coefficient);
    struct lq_fit_sums sums = {.n = 0};
    for (size_t i = 0; i < n; i++) {
        const struct lq_step_observation *o = &observations[i];
        lq_fit_sums_add(&sums, o->queries / lq_fit_step_s(out, &o->parts), o->queries / o->step_s);
    }
    lq_fit_set_errors(out, &sums);
    return LQ_OK;
}
