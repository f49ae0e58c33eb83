/* Fits of the step time: the joint form over all length distributions of one identity. The
 * xia2024 forms are in xia2024.c, the memory factor in fit_memory.c. */
#include "core/finetune/fit.h"

#include "core/base/minimize.h"
#include "core/finetune/xia2024.h"

#include <math.h>

const char *const LQ_FIT_NAMES[] = {"default", "xia2024", "xia2024-printed", "memory", NULL};
const char *const LQ_OBJECTIVE_NAMES[] = {"pseudo-huber-relative", "least-squares-absolute",
                                          "minimax-relative", NULL};

/* Scale of ln(predicted / measured) beyond which a point counts linearly: the scatter of repeated
 * runs, 1-2 % in Xia et al.'s tables. */
static const double RESIDUAL_SCALE = 0.02;
/* Standard deviation of ln(coefficient) around physics before anything is measured: a factor e. */
static const double PRIOR_LOG_SD = 1.0;
/* A prior of zero (a dense model's experts) is held at this: 1e-15 s per token is nothing. */
static const double COEFFICIENT_MIN = 1e-15;

double lq_observation_rate(const struct lq_observation *o, double step_s)
{
    return o->batch_size * o->queries_per_row * o->gpu_count / step_s;
}

size_t lq_fit_workspace(size_t n)
{
    return lq_squares_workspace((int)n + LQ_COEFFICIENTS_MAX, LQ_COEFFICIENTS_MAX);
}

struct step_problem {
    const struct lq_observation *observations;
    size_t n;
    double prior_log[LQ_COEFFICIENTS_MAX];
    enum lq_fit_objective objective;
};

static double predicted_rate(const double *coefficient, const struct lq_observation *o)
{
    const struct lq_step_coefficients c = {coefficient[0], coefficient[1] * o->token_scale,
                                           coefficient[2]};
    return lq_observation_rate(
        o, lq_step_seconds(&c, o->batch_size * o->row_tokens, o->active_experts));
}

/* sign(r) * sqrt(pseudo-Huber(r)), so that a sum of squares is the robust objective. */
static double robust(double r)
{
    const double u = r / RESIDUAL_SCALE;
    const double root = sqrt(2.0 * (sqrt(1.0 + u * u) - 1.0));
    return r < 0.0 ? -root : root;
}

static void step_residuals(const void *context, const double *log_coefficient, double *out)
{
    const struct step_problem *problem = context;
    double coefficient[LQ_COEFFICIENTS_MAX];
    for (int j = 0; j < LQ_COEFFICIENTS_MAX; j++) {
        coefficient[j] = exp(log_coefficient[j]);
        const double pull = (log_coefficient[j] - problem->prior_log[j]) / PRIOR_LOG_SD;
        out[problem->n + (size_t)j] = problem->objective == LQ_OBJECTIVE_ROBUST ? pull : 0.0;
    }
    for (size_t i = 0; i < problem->n; i++) {
        const struct lq_observation *o = &problem->observations[i];
        const double rate = predicted_rate(coefficient, o);
        out[i] = problem->objective == LQ_OBJECTIVE_ROBUST ? robust(log(rate / o->queries_per_s))
                                                           : rate - o->queries_per_s;
    }
}

static double at_least(double value, double least)
{
    return value > least ? value : least;
}

struct lq_step_coefficients lq_fit_step_coefficients(const struct lq_fit *fit)
{
    return (struct lq_step_coefficients){fit->coefficient[0], fit->coefficient[1],
                                         fit->coefficient[2]};
}

double lq_fit_predict(const struct lq_fit *fit, const struct lq_observation *o, double experts)
{
    const double sparsity = experts > 0.0 ? o->active_experts / experts : 1.0;
    switch (fit->kind) {
    case LQ_FIT_STEP_TIME:
        return predicted_rate(fit->coefficient, o);
    case LQ_FIT_XIA2024:
        return lq_xia2024_rate(fit->coefficient, fit->constant, o->batch_size, sparsity);
    case LQ_FIT_XIA2024_PRINTED:
        return lq_xia2024_printed_rate(fit->coefficient, fit->constant, o->batch_size, sparsity);
    case LQ_FIT_MEMORY:
        break;
    }
    return 0.0;
}

void lq_fit_errors(struct lq_fit *fit, const struct lq_observation *observations, size_t n,
                   double experts)
{
    double squares = 0.0;
    double relative = 0.0;
    double bias = 0.0;
    double spread = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double measured = observations[i].queries_per_s;
        const double predicted = lq_fit_predict(fit, &observations[i], experts);
        squares += (predicted - measured) * (predicted - measured);
        relative += fabs(predicted / measured - 1.0);
        bias += predicted / measured - 1.0;
        if (predicted > 0.0) {
            const double r = log(predicted / measured);
            spread += r * r;
        }
    }
    /* degrees of freedom: a fit through as many points as coefficients says nothing of its error */
    const double freedom = at_least((double)n - (double)fit->coefficients, 1.0);
    fit->points = n;
    fit->rmse_queries_per_s = sqrt(squares / (double)n);
    fit->mape = relative / (double)n;
    fit->bias = bias / (double)n;
    fit->residual_log = sqrt(spread / freedom);
}

double lq_observations_mean_row(const struct lq_observation *observations, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += observations[i].row_tokens;
    }
    return sum / (double)n;
}

static void set_range(struct lq_fit *fit, const struct lq_observation *observations, size_t n)
{
    fit->row_tokens = lq_observations_mean_row(observations, n);
    for (size_t i = 0; i < n; i++) {
        const double tokens = observations[i].batch_size * observations[i].row_tokens;
        fit->step_tokens[0] = i == 0 ? tokens : fmin(fit->step_tokens[0], tokens);
        fit->step_tokens[1] = i == 0 ? tokens : fmax(fit->step_tokens[1], tokens);
        const double row = observations[i].row_tokens;
        fit->row_range[0] = i == 0 ? row : fmin(fit->row_range[0], row);
        fit->row_range[1] = i == 0 ? row : fmax(fit->row_range[1], row);
    }
}

/* Variance of one residual, in the unit that its objective counts in: of the robust one
 * RESIDUAL_SCALE, or more where the points scatter more; of the absolute one as they scatter. */
static double residual_variance(const struct lq_fit *fit, double sum_of_squares)
{
    if (fit->objective == LQ_OBJECTIVE_ROBUST) {
        const double inflation = at_least(fit->residual_log / RESIDUAL_SCALE, 1.0);
        return inflation * inflation;
    }
    return sum_of_squares / at_least((double)fit->points - (double)fit->coefficients, 1.0);
}

enum lq_code lq_fit_step_time(const struct lq_observation *observations, size_t n,
                              const struct lq_step_coefficients *prior,
                              enum lq_fit_objective objective, double *workspace,
                              struct lq_fit *out, struct lq_error *err)
{
    if (n == 0 || (objective == LQ_OBJECTIVE_ABSOLUTE && n < LQ_COEFFICIENTS_MAX)) {
        return lq_fail(err, LQ_EFIT, NULL, "%zu points do not determine the step time", n);
    }
    struct step_problem problem = {.observations = observations, .n = n, .objective = objective};
    const double start[LQ_COEFFICIENTS_MAX] = {prior->fixed_s, prior->token_s,
                                               prior->expert_token_s};
    double solution[LQ_COEFFICIENTS_MAX];
    for (int j = 0; j < LQ_COEFFICIENTS_MAX; j++) {
        problem.prior_log[j] = log(at_least(start[j], COEFFICIENT_MIN));
        solution[j] = problem.prior_log[j];
    }
    const struct lq_squares squares = {.residuals = step_residuals,
                                       .context = &problem,
                                       .m = (int)n + LQ_COEFFICIENTS_MAX,
                                       .n = LQ_COEFFICIENTS_MAX};
    struct lq_squares_result result;
    LQ_TRY(lq_minimize_squares(&squares, solution, workspace, &result, err));
    out->kind = LQ_FIT_STEP_TIME;
    out->objective = objective;
    out->coefficients = LQ_COEFFICIENTS_MAX;
    set_range(out, observations, n);
    for (int j = 0; j < LQ_COEFFICIENTS_MAX; j++) {
        out->prior[j] = start[j];
        out->coefficient[j] = start[j] > 0.0 ? exp(solution[j]) : 0.0;
    }
    lq_fit_errors(out, observations, n, 0.0);
    const double variance = residual_variance(out, result.sum_of_squares);
    for (int j = 0; j < LQ_COEFFICIENTS_MAX * LQ_COEFFICIENTS_MAX; j++) {
        const int row = j / LQ_COEFFICIENTS_MAX;
        const int col = j % LQ_COEFFICIENTS_MAX;
        out->covariance[j] = result.covariance[row * squares.n + col] * variance;
    }
    return LQ_OK;
}
