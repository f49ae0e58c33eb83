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

/* A work's seconds at some factors, and how they go with each. */
struct slope {
    double total_s;
    double share[LQ_FACTOR_COUNT];
};

/* A sample with what its parts come to at the factors of the moment. */
struct slopes {
    const struct lq_step_sample *sample;
    struct slope *at; /* of each of the parts */
};

static void prepare(const void *context, const double *factor)
{
    const struct slopes *slopes = context;
    for (size_t i = 0; i < slopes->sample->parts_count; i++) {
        struct lq_step_time step;
        lq_step_evaluate(&slopes->sample->parts[i], factor, &step);
        slopes->at[i].total_s = step.total_s;
        memcpy(slopes->at[i].share, step.share, sizeof step.share);
    }
}

static void evaluate(const void *context, size_t i, const double *factor, double *log_ratio,
                     double *gradient)
{
    (void)factor;
    const struct slopes *slopes = context;
    const struct lq_timed_step *timed = &slopes->sample->steps[i];
    const struct slope *at = &slopes->at[timed->parts];
    *log_ratio = log(at->total_s / timed->step_s);
    memcpy(gradient, at->share, sizeof at->share);
}

/* Standard deviation of one step: its scatter, and its member's difference as often as the member
 * occurs, so that a member's steps together weigh as one of that difference. */
static double step_log_sd(const struct lq_timed_step *timed, const struct slope *at,
                          const double *member_log_sd)
{
    if (member_log_sd == NULL) {
        return IDENTITY_LOG_SD;
    }
    double variance = 0.0;
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        const double moved = at->share[f] * member_log_sd[f];
        variance += moved * moved;
    }
    return sqrt(GROUP_LOG_SD * GROUP_LOG_SD + timed->siblings * variance);
}

double lq_fit_step_s(const struct lq_fit *fit, const struct lq_step_parts *parts)
{
    struct lq_step_time step;
    lq_step_evaluate(parts, fit->coefficient, &step);
    return step.total_s;
}

enum { SLOPE_DOUBLES = sizeof(struct slope) / sizeof(double) };

size_t lq_step_sample_scratch(const struct lq_step_sample *sample)
{
    return sample->count + SLOPE_DOUBLES * sample->parts_count;
}

enum lq_code lq_fit_step_time(const struct lq_step_sample *sample, const struct lq_belief *prior,
                              const double *member_log_sd, double *scratch, struct lq_fit *out,
                              struct lq_error *err)
{
    const size_t n = sample->count;
    if (n == 0) {
        return lq_fail(err, LQ_EFIT, NULL, "no points determine the step time");
    }
    out->kind = LQ_FIT_STEP_TIME;
    out->objective = LQ_OBJECTIVE_ROBUST;
    out->coefficients = LQ_FACTOR_COUNT;
    lq_belief_factors(prior, out->prior);
    /* a slope is doubles alone */
    const struct slopes slopes = {sample, (struct slope *)(void *)(scratch + n)};
    prepare(&slopes, out->prior);
    for (size_t i = 0; i < n; i++) {
        const struct lq_timed_step *timed = &sample->steps[i];
        scratch[i] = step_log_sd(timed, &slopes.at[timed->parts], member_log_sd);
    }
    const struct lq_regression regression = {.prepare = prepare,
                                             .evaluate = evaluate,
                                             .context = &slopes,
                                             .count = n,
                                             .log_sd = scratch};
    LQ_TRY(lq_regress(&regression, prior, &out->belief, NULL, err));
    lq_belief_factors(&out->belief, out->coefficient);
    prepare(&slopes, out->coefficient);
    struct lq_fit_sums sums = {.n = 0};
    for (size_t i = 0; i < n; i++) {
        const struct lq_timed_step *timed = &sample->steps[i];
        lq_fit_sums_add(&sums, timed->queries / slopes.at[timed->parts].total_s,
                        timed->queries / timed->step_s);
    }
    lq_fit_set_errors(out, &sums);
    return LQ_OK;
}
