/* Preparing runs and descending from a start. The dense objective is in law_fit_dense.c, starts in
 * law_fit_start.c, what a solution is worth in law_fit_quality.c. */
#include "core/planning/law_fit.h"

#include "core/base/lbfgs.h"
#include "core/base/vector_math.h"
#include "core/planning/law_fit_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EVALUATIONS_MAX = 5000 };

static unsigned bit_of(int j)
{
    return 1U << (unsigned)j;
}

size_t lq_law_fit_padded(size_t n)
{
    return (n + LQ_BLOCK - 1) / LQ_BLOCK * LQ_BLOCK;
}

size_t lq_law_fit_workspace(size_t n)
{
    return 4 * lq_law_fit_padded(n);
}

static enum lq_code check_run(const struct lq_law *law, const struct lq_law_run *run, size_t i,
                              struct lq_error *err)
{
    char prefix[40];
    char pointer[LQ_POINTER_MAX];
    snprintf(prefix, sizeof prefix, "/runs/%zu", i);
    LQ_TRY(lq_law_point_check(law, &run->point, prefix, err));
    if (!(run->value > 0.0) || !(run->value <= 1e6)) {
        snprintf(pointer, sizeof pointer, "%s/loss", prefix);
        return lq_fail(err, LQ_EFIELD, pointer, "must be above 0 and at most 1e6, got %g",
                       run->value);
    }
    if (!(run->weight >= 0.0) || !(run->weight <= 1e9)) {
        snprintf(pointer, sizeof pointer, "%s/weight", prefix);
        return lq_fail(err, LQ_EFIELD, pointer, "must be above 0 and at most 1e9, got %g",
                       run->weight);
    }
    return LQ_OK;
}

static bool all_the_same(const struct lq_law_run *runs, size_t n, enum lq_law_variable variable)
{
    const double first = lq_law_variable(&runs[0].point, variable);
    for (size_t i = 1; i < n; i++) {
        if (lq_law_variable(&runs[i].point, variable) != first) {
            return false;
        }
    }
    return true;
}

/* Refuses runs that share one value of a variable, and names what they leave open: found at the
 * coefficients of a shipped law of the form, near which the runs are taken to lie. */
static enum lq_code check_spread(const struct lq_law_fit_problem *p, struct lq_error *err)
{
    const struct lq_law_form *form = p->law->form;
    for (int v = 0; v < LQ_LAW_VARIABLE_COUNT; v++) {
        const unsigned bit = LQ_LAW_BIT(v);
        if ((form->moves & ~form->optional & bit) == 0 ||
            !all_the_same(p->runs, p->n, (enum lq_law_variable)v)) {
            continue;
        }
        const struct lq_law *shipped = NULL;
        for (size_t i = 0; (shipped = lq_law_at(i)) != NULL && shipped->form != form; i++) {
        }
        const unsigned flat = lq_law_fit_flat(p, shipped->coefficient);
        if (flat != 0) {
            char names[120];
            lq_law_coefficient_names(form, flat, names, sizeof names);
            return lq_fail(err, LQ_EFIT, "/runs",
                           "all %zu runs have the same %s (%g): %s cannot be told apart", p->n,
                           LQ_LAW_VARIABLE_NAMES[v],
                           lq_law_variable(&p->runs[0].point, (enum lq_law_variable)v), names);
        }
    }
    return LQ_OK;
}

/* Without repeats nothing is known of how they lose worth: the published values stay. */
static unsigned hold_optional(struct lq_law *law, const struct lq_law_run *runs, size_t n)
{
    const struct lq_law_form *form = law->form;
    unsigned held = 0;
    if ((form->optional & LQ_LAW_BIT(LQ_LAW_REPEATS)) == 0 ||
        !all_the_same(runs, n, LQ_LAW_REPEATS) || runs[0].point.repeats > 0.0) {
        return 0;
    }
    for (int j = form->coefficients - 2; j < form->coefficients; j++) {
        law->coefficient[j] = lq_law_find(form->name)->coefficient[j];
        held |= bit_of(j);
    }
    return held;
}

static int free_count(const struct lq_law_form *form, unsigned held)
{
    int count = 0;
    for (int j = 0; j < form->coefficients; j++) {
        count += (held & bit_of(j)) == 0;
    }
    return count;
}

static double centre(double *column, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += column[i];
    }
    for (size_t i = 0; i < n; i++) {
        column[i] -= sum / (double)n;
    }
    return sum / (double)n;
}

/* Padding has weight 0 and stands at the means. */
static void lay_out(struct lq_law_fit_problem *p, double *workspace)
{
    const size_t padded = lq_law_fit_padded(p->n);
    double *weights = workspace;
    double *log_value = weights + padded;
    double *log_n = log_value + padded;
    double *log_d = log_n + padded;
    memset(workspace, 0, lq_law_fit_workspace(p->n) * sizeof *workspace);
    for (size_t i = 0; i < p->n; i++) {
        weights[i] = p->runs[i].weight > 0.0 ? p->runs[i].weight : 1.0;
        log_value[i] = log(p->runs[i].value);
        log_n[i] = log(fmax(p->runs[i].point.parameters, 1.0));
        log_d[i] = log(fmax(p->runs[i].point.tokens, 1.0));
    }
    p->mean_log_n = centre(log_n, p->n);
    p->mean_log_d = centre(log_d, p->n);
    p->weights = weights;
    p->log_value = log_value;
    p->log_n = log_n;
    p->log_d = log_d;
}

enum lq_code lq_law_fit_prepare(struct lq_law *law, unsigned held, const struct lq_law_run *runs,
                                size_t n, double *workspace, struct lq_law_fit_problem *out,
                                struct lq_error *err)
{
    for (size_t i = 0; i < n; i++) {
        LQ_TRY(check_run(law, &runs[i], i, err));
    }
    held |= n > 0 ? hold_optional(law, runs, n) : 0U;
    const int wanted = free_count(law->form, held);
    if (n < (size_t)wanted || n == 0) {
        return lq_fail(err, LQ_EFIT, "/runs", "%zu runs do not determine the %d coefficients of %s",
                       n, wanted, law->form->name);
    }
    *out = (struct lq_law_fit_problem){.law = law, .runs = runs, .n = n, .held = held};
    lay_out(out, workspace);
    return check_spread(out, err);
}

/* d / d coefficient becomes d / d searched number, in place. */
static void by_searched(const struct lq_law_form *form, const double *coefficient, double *gradient)
{
    for (int j = form->coefficients - 1; j >= 0; j--) {
        switch (form->coefficient[j].scale) {
        case LQ_SCALE_LINEAR:
            break;
        case LQ_SCALE_LOG:
            gradient[j] *= coefficient[j];
            break;
        case LQ_SCALE_ABOVE:
            gradient[j - 1] += gradient[j];
            gradient[j] *= coefficient[j] - coefficient[j - 1];
            break;
        }
    }
}

static double any_objective(const struct lq_law_fit_problem *p, const double *searched,
                            double *gradient)
{
    const struct lq_law_form *form = p->law->form;
    double c[LQ_LAW_COEFFICIENTS_MAX];
    double of_run[LQ_LAW_COEFFICIENTS_MAX];
    double sum = 0.0;
    lq_law_fit_coefficients(form, searched, c);
    memset(gradient, 0, (size_t)form->coefficients * sizeof *gradient);
    for (size_t i = 0; i < p->n; i++) {
        const double r = form->gradient(c, &p->runs[i].point, of_run) - p->log_value[i];
        const double slope = fmin(fmax(r, -LQ_LAW_HUBER_DELTA), LQ_LAW_HUBER_DELTA);
        const double pull = p->weights[i] * slope;
        /* a value that is not positive has no logarithm: fmin and fmax would hide it */
        sum += isfinite(r) ? pull * (r - 0.5 * slope) : HUGE_VAL;
        for (int j = 0; j < form->coefficients; j++) {
            gradient[j] += pull * of_run[j];
        }
    }
    by_searched(form, c, gradient);
    return sum;
}

/* The dense objective takes its amplitudes at the means of the runs, so that it cannot hold them
 * where the law has them. */
static bool centred(const struct lq_law_fit_problem *p)
{
    return p->law->form->dense && (p->held & (bit_of(0) | bit_of(1))) == 0;
}

/* Searched numbers to those with the amplitudes at the means (sign -1), and back. */
static void shift(const struct lq_law_fit_problem *p, double sign, double *x)
{
    if (centred(p)) {
        x[0] += sign * x[3] * p->mean_log_n;
        x[1] += sign * x[4] * p->mean_log_d;
    }
}

double lq_law_fit_objective(const struct lq_law_fit_problem *problem, const double *searched,
                            double *gradient)
{
    if (!centred(problem)) {
        return any_objective(problem, searched, gradient);
    }
    double shifted[LQ_LAW_COEFFICIENTS_MAX];
    memcpy(shifted, searched, 5 * sizeof *shifted);
    shift(problem, -1.0, shifted);
    const double sum = lq_law_fit_dense_objective(problem, shifted, gradient);
    gradient[3] -= gradient[0] * problem->mean_log_n;
    gradient[4] -= gradient[1] * problem->mean_log_d;
    return sum;
}

static double evaluate(const void *context, void *scratch, const double *x, double *gradient)
{
    (void)scratch;
    const struct lq_law_fit_problem *problem = context;
    return centred(problem) ? lq_law_fit_dense_objective(problem, x, gradient)
                            : any_objective(problem, x, gradient);
}

enum lq_code lq_law_fit_descend(const struct lq_law_fit_problem *problem, double *searched,
                                struct lq_law_descent *out, struct lq_error *err)
{
    const struct lq_law_form *form = problem->law->form;
    double own[LQ_LAW_COEFFICIENTS_MAX];
    double lower[LQ_LAW_COEFFICIENTS_MAX];
    double upper[LQ_LAW_COEFFICIENTS_MAX];
    lq_law_fit_start_at(form, problem->law->coefficient, own);
    for (int j = 0; j < form->coefficients; j++) {
        const bool held = (problem->held & bit_of(j)) != 0;
        searched[j] = held ? own[j] : searched[j];
        lower[j] = held ? own[j] : form->coefficient[j].lower;
        upper[j] = held ? own[j] : form->coefficient[j].upper;
    }
    shift(problem, -1.0, searched);
    const struct lq_lbfgs_problem descent = {.evaluate = evaluate,
                                             .context = problem,
                                             .n = form->coefficients,
                                             .lower = lower,
                                             .upper = upper,
                                             .evaluations_max = EVALUATIONS_MAX};
    struct lq_lbfgs_result result;
    LQ_TRY(lq_lbfgs(&descent, searched, &result, err));
    shift(problem, 1.0, searched);
    *out = (struct lq_law_descent){result.value, result.evaluations};
    return LQ_OK;
}
