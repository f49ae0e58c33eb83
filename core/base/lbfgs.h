/* A quasi-Newton descent with bounds, for smooth functions of few variables. */
#pragma once

#include "core/base/error.h"

enum { LQ_LBFGS_VARIABLES_MAX = 16 };

/* A function to be made small within a box. `evaluate` returns the value and fills the gradient; a
 * value that is not finite is a step too far. `scratch` belongs to the one descent. */
struct lq_lbfgs_problem {
    double (*evaluate)(const void *context, void *scratch, const double *x, double *gradient);
    const void *context;
    void *scratch;
    int n;               /* variables, 1..LQ_LBFGS_VARIABLES_MAX */
    const double *lower; /* n each; equal bounds hold a variable */
    const double *upper;
    int evaluations_max;
};

struct lq_lbfgs_result {
    double value;
    double gradient_max; /* largest component that is not held by a bound */
    int evaluations;
    int iterations;
};

/* Descends from `x`, which becomes the solution. It ends where three steps in a row gain less than
 * 1e-12 of the value, where no step gains anything, or where the gradient vanishes: the
 * value's own scale does not matter, so a mean is found as exactly as a sum.
 * Method: L-BFGS (Nocedal 1980) on the variables that no bound holds, weak Wolfe line search (Lewis
 * and Overton 2013), steps cut at the nearest bound.
 * Errors: LQ_EFIT where the start has no finite value or the evaluations run out. */
LQ_MUST_USE enum lq_code lq_lbfgs(const struct lq_lbfgs_problem *problem, double *x,
                                  struct lq_lbfgs_result *result, struct lq_error *err);
