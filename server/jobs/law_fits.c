/* Spreads descents over threads. Every result has a place of its own by the number of its start or
 * sample, and is looked at in that order: so threads do not change the outcome. */
#include "server/jobs/law_fits.h"

#include "core/base/normal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = LQ_LAW_COEFFICIENTS_MAX };

/* Where a descent ended: its objective and the searched numbers; not settled: HUGE_VAL. */
struct end {
    double objective;
    double at[WIDTH];
};

struct lq_law_fits {
    struct lq_law_fit_document document;
    struct lq_law_form form; /* with the bounds that were asked for */
    struct lq_law_fit_problem problem;
    double *workspace;
    struct end *ends;    /* one per start */
    struct end *samples; /* one per bootstrap sample */
    const struct end *best;
    struct lq_control *control; /* while it is being solved */
};

/* The seed of all bootstraps: what matters is that it is always the same. */
static const uint64_t SEED = 2404028520;

/* ---- set-up ---- */

/* From here on the descents see the bounds that were asked for. The dense objective has its bounds
 * on amplitudes at the mean of the runs, so it is left where these are held or bounded. */
static void apply_bounds(struct lq_law_fits *fits)
{
    const unsigned amplitudes = 3U;
    const struct lq_law_fit_document *document = &fits->document;
    fits->form = *document->law.form;
    for (int j = 0; j < fits->form.coefficients; j++) {
        fits->form.coefficient[j].lower = document->lower[j];
        fits->form.coefficient[j].upper = document->upper[j];
    }
    const unsigned constrained = fits->problem.held | document->bounded;
    fits->form.dense = fits->form.dense && (constrained & amplitudes) == 0;
    fits->document.law.form = &fits->form;
}

static enum lq_code set_up(struct lq_law_fits *fits, struct lq_error *err)
{
    struct lq_law_fit_document *document = &fits->document;
    fits->workspace = calloc(lq_law_fit_workspace(document->run_count), sizeof(double));
    fits->ends = calloc(document->start_count, sizeof *fits->ends);
    fits->samples = calloc(document->bootstrap + 1, sizeof *fits->samples);
    if (fits->workspace == NULL || fits->ends == NULL || fits->samples == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for a fit");
    }
    LQ_TRY(lq_law_fit_prepare(&document->law, document->held, document->runs, document->run_count,
                              fits->workspace, &fits->problem, err));
    apply_bounds(fits);
    return LQ_OK;
}

enum lq_code lq_law_fits_new(struct lq_law_fit_document *document, struct lq_law_fits **fits,
                             struct lq_error *err)
{
    struct lq_law_fits *made = calloc(1, sizeof *made);
    if (made == NULL) {
        lq_law_fit_release(document);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for a fit");
    }
    made->document = *document;
    document->runs = NULL;
    document->starts = NULL;
    const enum lq_code code = set_up(made, err);
    if (code != LQ_OK) {
        lq_law_fits_free(made);
        return code;
    }
    *fits = made;
    return LQ_OK;
}

void lq_law_fits_free(struct lq_law_fits *fits)
{
    if (fits == NULL) {
        return;
    }
    lq_law_fit_release(&fits->document);
    free(fits->workspace);
    free(fits->ends);
    free(fits->samples);
    free(fits);
}

/* What one run adds to a descent, in seconds: measured on one core at 3 GHz with 240 runs from the
 * grid's starts. Forms of more coefficients have flat valleys and take ten times the steps. */
static double run_s(const struct lq_law_form *form)
{
    enum { FEW = 6 };
    return form->dense ? 2.5e-6 : form->coefficients <= FEW ? 8e-6 : 100e-6;
}

/* A descent takes at least the time that it would with so many runs. */
static const double RUNS_MIN = 100.0;

double lq_law_fits_expected_s(const struct lq_law_fits *fits)
{
    const double sample_share = 0.4; /* of a descent that begins at the optimum */
    const struct lq_law_fit_document *document = &fits->document;
    const double descents =
        (double)document->start_count + sample_share * (double)document->bootstrap;
    /* few runs are met exactly, and a descent to nothing is long */
    const double runs = fmax((double)document->run_count, RUNS_MIN);
    return descents * runs * run_s(&fits->form);
}

/* ---- descents ---- */

static void descend(const struct lq_law_fit_problem *problem, struct end *end)
{
    struct lq_law_descent descent;
    struct lq_error err = {0};
    const enum lq_code code = lq_law_fit_descend(problem, end->at, &descent, &err);
    end->objective = code == LQ_OK ? descent.objective : HUGE_VAL;
}

static void try_start(void *context, size_t i)
{
    struct lq_law_fits *fits = context;
    const struct lq_law_fit_document *document = &fits->document;
    struct end *end = &fits->ends[i];
    if (document->starts != NULL) {
        memcpy(end->at, &document->starts[i * WIDTH], sizeof end->at);
    } else {
        lq_law_fit_start(&fits->form, lq_law_fit_start_shuffled(&fits->form, i), end->at);
    }
    descend(&fits->problem, end);
    lq_control_step(fits->control);
}

static void try_sample(void *context, size_t i)
{
    struct lq_law_fits *fits = context;
    struct end *end = &fits->samples[i];
    double *weights = calloc(lq_law_fit_padded(fits->problem.n), sizeof *weights);
    *end = *fits->best;
    if (weights == NULL) {
        end->objective = HUGE_VAL;
        return;
    }
    lq_law_fit_resample(&fits->problem, SEED, i, weights);
    struct lq_law_fit_problem problem = fits->problem;
    problem.weights = weights;
    descend(&problem, end);
    free(weights);
    lq_control_step(fits->control);
}

/* ---- what came of it ---- */

static void find_best(struct lq_law_fits *fits, struct lq_law_fit_outcome *outcome)
{
    const size_t count = fits->document.start_count;
    fits->best = &fits->ends[0];
    for (size_t i = 0; i < count; i++) {
        fits->best = fits->ends[i].objective < fits->best->objective ? &fits->ends[i] : fits->best;
    }
    /* A fit without residuals ends where rounding does: within that all agree. */
    const double near = fits->best->objective * (1.0 + LQ_LAW_AGREEMENT) + 1e-15;
    outcome->starts = count;
    for (size_t i = 0; i < count; i++) {
        outcome->agreeing += fits->ends[i].objective <= near;
        outcome->unsettled += !(fits->ends[i].objective < HUGE_VAL);
    }
}

static unsigned find_at_bound(const struct lq_law_fits *fits)
{
    unsigned at_bound = 0;
    for (int j = 0; j < fits->form.coefficients; j++) {
        const struct lq_law_coefficient *c = &fits->form.coefficient[j];
        const double margin = 1e-9 * (c->upper - c->lower);
        const double x = fits->best->at[j];
        const bool held = (fits->problem.held & 1U << (unsigned)j) != 0;
        at_bound |=
            !held && (x <= c->lower + margin || x >= c->upper - margin) ? 1U << (unsigned)j : 0U;
    }
    return at_bound;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The share p of sorted numbers, between neighbours on a line. */
static double quantile(const double *sorted, size_t count, double p)
{
    const double at = p * (double)(count - 1);
    const size_t below = (size_t)at;
    const size_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (at - (double)below) * (sorted[above] - sorted[below]);
}

static void interval_of_samples(const double *values, size_t count, double level,
                                double interval[2])
{
    interval[0] = quantile(values, count, 0.5 - 0.5 * level);
    interval[1] = quantile(values, count, 0.5 + 0.5 * level);
}

/* Percentiles of each coefficient over the samples that settled. */
static enum lq_code sample_intervals(const struct lq_law_fits *fits,
                                     struct lq_law_fit_outcome *outcome, struct lq_error *err)
{
    const size_t asked = fits->document.bootstrap;
    double *values = calloc(asked * WIDTH + 1, sizeof *values); /* by coefficient */
    if (values == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for bootstrap intervals");
    }
    for (size_t i = 0; i < asked; i++) {
        double coefficient[WIDTH];
        if (fits->samples[i].objective < HUGE_VAL) {
            lq_law_fit_coefficients(&fits->form, fits->samples[i].at, coefficient);
            for (size_t j = 0; j < (size_t)fits->form.coefficients; j++) {
                values[j * asked + outcome->samples] = coefficient[j];
            }
            outcome->samples++;
        }
    }
    for (size_t j = 0; outcome->samples > 1 && j < (size_t)fits->form.coefficients; j++) {
        qsort(&values[j * asked], outcome->samples, sizeof *values, ascending);
        interval_of_samples(&values[j * asked], outcome->samples, outcome->confidence,
                            outcome->interval[j]);
    }
    free(values);
    return LQ_OK;
}

/* The normal approximation, where there is no bootstrap. */
static void error_intervals(struct lq_law_fit_outcome *outcome)
{
    const double z = lq_normal_quantile(0.5 + 0.5 * outcome->confidence);
    for (int j = 0; j < outcome->form->coefficients; j++) {
        const double half = z * outcome->fit.standard_error[j];
        outcome->interval[j][0] = outcome->fit.coefficient[j] - half;
        outcome->interval[j][1] = outcome->fit.coefficient[j] + half;
    }
}

static enum lq_code finish(struct lq_law_fits *fits, struct lq_law_fit_outcome *outcome,
                           struct lq_error *err)
{
    lq_law_fit_finish(&fits->problem, fits->best->at, &outcome->fit);
    outcome->at_bound = find_at_bound(fits);
    struct lq_law law = fits->document.law;
    memcpy(law.coefficient, outcome->fit.coefficient, sizeof law.coefficient);
    struct lq_error cause = {0};
    if (!isfinite(outcome->fit.objective) || lq_law_check(&law, &cause) != LQ_OK) {
        return lq_fail(err, LQ_EFIT, "/runs", "the best fit is no law: %s %s", cause.pointer,
                       cause.detail);
    }
    LQ_TRY(sample_intervals(fits, outcome, err));
    if (outcome->samples < 2) {
        error_intervals(outcome);
    }
    return LQ_OK;
}

enum lq_code lq_law_fits_solve(struct lq_law_fits *fits, struct lq_control *control,
                               struct lq_law_fit_outcome *outcome, struct lq_error *err)
{
    const struct lq_law_fit_document *document = &fits->document;
    *outcome = (struct lq_law_fit_outcome){.form = &fits->form,
                                           .runs = document->run_count,
                                           .grid = document->grid,
                                           .held = fits->problem.held,
                                           .samples_asked = document->bootstrap,
                                           .confidence = document->confidence};
    fits->control = control;
    lq_control_expect(control, document->start_count + document->bootstrap);
    if (!lq_control_spread(control, document->start_count, try_start, fits)) {
        return lq_fail(err, LQ_EIMPOSSIBLE, NULL, "the fit was cancelled");
    }
    find_best(fits, outcome);
    if (outcome->unsettled == document->start_count) {
        return lq_fail(err, LQ_EFIT, "/runs", "none of %zu starts led to a fit",
                       document->start_count);
    }
    if (!lq_control_spread(control, document->bootstrap, try_sample, fits)) {
        return lq_fail(err, LQ_EIMPOSSIBLE, NULL, "the fit was cancelled");
    }
    return finish(fits, outcome, err);
}
