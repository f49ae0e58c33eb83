/* Fits of a form to runs: Huber loss on the log of the value, one descent from one start. Grids of
 * starts are indices here; threads, progress and cancellation are the caller's. */
#pragma once

#include "core/base/error.h"
#include "core/planning/law.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Log residual beyond which a run counts linearly (arXiv 2203.15556, appendix D.2). */
#define LQ_LAW_HUBER_DELTA 1e-3
/* Descents agree with the best whose objective is at most this share above it. */
#define LQ_LAW_AGREEMENT 1e-6

struct lq_law_run {
    struct lq_law_point point;
    double value;  /* measured loss (tian2025: leverage), > 0 */
    double weight; /* > 0; 0 = not given, which is 1 */
};

/* What a descent reads; safe to share among threads. Where the pointers lead belongs to the caller:
 * the runs and the workspace must outlive it. */
struct lq_law_fit_problem {
    const struct lq_law *law; /* its form is fitted; its coefficients are those held */
    const struct lq_law_run *runs;
    size_t n;
    unsigned held;         /* coefficients, by bit, that keep the law's value */
    const double *weights; /* lq_law_fit_padded(n); a copy of the struct may point elsewhere */
    const double *log_value;
    /* dense forms: ln N and ln D less their means, which unties amplitudes from exponents */
    const double *log_n;
    const double *log_d;
    double mean_log_n;
    double mean_log_d;
};

/* Runs rounded up to whole blocks: the length of a weights array, zero past n. */
size_t lq_law_fit_padded(size_t n);
/* Doubles of workspace that a problem of n runs needs. */
size_t lq_law_fit_workspace(size_t n);

/* Checks runs and lays them out.
 * law: of the form to fit (lq_law_user), with values for the coefficients in `held` (a bit each);
 *   muennighoff2023 holds R_D and R_N at the published values where no run repeats tokens.
 * Errors: LQ_EFIELD at "/runs/I/NAME" for a bad run; LQ_EIMPOSSIBLE where the form does not hold
 * for its experts; LQ_EFIT at "/runs" for fewer runs than coefficients, or where all share one
 * value of a variable (the coefficients that could not be told apart are named). */
LQ_MUST_USE enum lq_code lq_law_fit_prepare(struct lq_law *law, unsigned held,
                                            const struct lq_law_run *runs, size_t n,
                                            double *workspace, struct lq_law_fit_problem *out,
                                            struct lq_error *err);

/* Starts are vectors of searched numbers, see struct lq_law_coefficient. The grid has `count` of
 * them; `start` gives one by index, `shuffled` the i-th of a fixed order in which any first few
 * are spread over the whole grid; `start_at` is where a law's own coefficients are. */
size_t lq_law_fit_start_count(const struct lq_law_form *form);
void lq_law_fit_start(const struct lq_law_form *form, size_t index, double *searched);
size_t lq_law_fit_start_shuffled(const struct lq_law_form *form, size_t i);
void lq_law_fit_start_at(const struct lq_law_form *form, const double *coefficient,
                         double *searched);

struct lq_law_descent {
    double objective; /* sum over runs of weight * Huber(ln predicted / measured) */
    int evaluations;
};

/* One descent from `searched`, which becomes the solution. Bounds are the form's.
 * Errors: LQ_EFIT where it does not settle: try another start. */
LQ_MUST_USE enum lq_code lq_law_fit_descend(const struct lq_law_fit_problem *problem,
                                            double *searched, struct lq_law_descent *out,
                                            struct lq_error *err);
/* Objective and its gradient by the searched numbers; for tests and yardsticks. */
double lq_law_fit_objective(const struct lq_law_fit_problem *problem, const double *searched,
                            double *gradient);

/* Weights of bootstrap sample `index`: how often each run was drawn, times its own weight. The same
 * seed and index give the same sample. weights: lq_law_fit_padded(n) doubles. */
void lq_law_fit_resample(const struct lq_law_fit_problem *problem, uint64_t seed, uint64_t index,
                         double *weights);

struct lq_law_fit {
    double coefficient[LQ_LAW_COEFFICIENTS_MAX];
    /* asymptotic, from the sandwich of the gradients; 0 where held or flat */
    double standard_error[LQ_LAW_COEFFICIENTS_MAX];
    double objective;
    double residual; /* root mean square of ln(predicted / measured) */
    unsigned flat;   /* coefficients, by bit, that trade off without a trace in the objective */
    struct lq_law_range range; /* of the runs */
};

/* What the solution is worth. */
void lq_law_fit_finish(const struct lq_law_fit_problem *problem, const double *searched,
                       struct lq_law_fit *out);
/* The searched numbers as coefficients. */
void lq_law_fit_coefficients(const struct lq_law_form *form, const double *searched,
                             double *coefficient);
/* Names of the coefficients in `bits` as "A, alpha and E", cut to size. */
void lq_law_coefficient_names(const struct lq_law_form *form, unsigned bits, char *out,
                              size_t size);
