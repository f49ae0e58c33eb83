/* Minimisers. Each runs one descent from one start in the caller's workspace. */
#pragma once

#include "core/base/error.h"

#include <stddef.h>

enum { LQ_PARAMETERS_MAX = 8 };

/* A sum of squares to be made small: `residuals` writes m values for n parameters. */
struct lq_squares {
    void (*residuals)(const void *context, const double *parameters, double *residuals);
    const void *context;
    int m; /* residuals, >= n */
    int n; /* parameters, 1..LQ_PARAMETERS_MAX */
};

struct lq_squares_result {
    double sum_of_squares;
    /* inverse of J'J at the solution, row-major n x n: multiply by the residual variance */
    double covariance[LQ_PARAMETERS_MAX * LQ_PARAMETERS_MAX];
};

/* Doubles of workspace that lq_minimize_squares needs for m residuals and n parameters. */
size_t lq_squares_workspace(int m, int n);

/* Levenberg-Marquardt (cminpack lmdif, forward differences) from `parameters`, which becomes the
 * solution. workspace: lq_squares_workspace(m, n) doubles.
 * Errors: LQ_EFIT where the residuals are fewer than the parameters, not finite, or do not settle.
 */
LQ_MUST_USE enum lq_code lq_minimize_squares(const struct lq_squares *problem, double *parameters,
                                             double *workspace, struct lq_squares_result *result,
                                             struct lq_error *err);
