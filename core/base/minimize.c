/* Nonlinear least squares on cminpack. No model is known here. */
#include "core/base/minimize.h"

#include <cminpack.h>
#include <math.h>
#include <string.h>

/* Relative change of the sum of squares and of the parameters at which a descent has settled. */
static const double TOLERANCE = 1e-12;
static const int EVALUATIONS_MAX = 4000;

static int evaluate(void *data, int m, int n, const double *x, double *out, int flag)
{
    (void)n;
    (void)flag;
    const struct lq_squares *problem = data;
    problem->residuals(problem->context, x, out);
    for (int i = 0; i < m; i++) {
        if (!isfinite(out[i])) {
            return -1; /* ends the descent */
        }
    }
    return 0;
}

size_t lq_squares_workspace(int m, int n)
{
    return (size_t)m * (size_t)(n + 2) + 5 * (size_t)n;
}

static void copy_covariance(const double *r, int m, int n, double *out)
{
    for (int row = 0; row < n; row++) {
        for (int col = 0; col < n; col++) {
            out[row * n + col] = r[col * m + row];
        }
    }
}

enum lq_code lq_minimize_squares(const struct lq_squares *problem, double *parameters,
                                 double *workspace, struct lq_squares_result *result,
                                 struct lq_error *err)
{
    const int m = problem->m;
    const int n = problem->n;
    if (n < 1 || n > LQ_PARAMETERS_MAX || m < n) {
        return lq_fail(err, LQ_EFIT, NULL, "%d residuals do not determine %d coefficients", m, n);
    }
    double *residuals = workspace;
    double *jacobian = residuals + m;
    double *wa4 = jacobian + (size_t)m * (size_t)n;
    double *diagonal = wa4 + m;
    double *qtf = diagonal + n;
    double *wa1 = qtf + n;
    double *wa2 = wa1 + n;
    double *wa3 = wa2 + n;
    int pivot[LQ_PARAMETERS_MAX];
    int evaluations = 0;
    struct lq_squares copy = *problem;
    const int info = lmdif(evaluate, &copy, m, n, parameters, residuals, TOLERANCE, TOLERANCE, 0.0,
                           EVALUATIONS_MAX, 0.0, diagonal, 1, 100.0, 0, &evaluations, jacobian, m,
                           pivot, qtf, wa1, wa2, wa3, wa4);
    if (info <= 0 || info == 5) {
        return lq_fail(err, LQ_EFIT, NULL, "the fit did not settle after %d evaluations",
                       evaluations);
    }
    memset(result, 0, sizeof *result);
    for (int i = 0; i < m; i++) {
        result->sum_of_squares += residuals[i] * residuals[i];
    }
    covar(n, jacobian, m, pivot, 0.0, wa1);
    copy_covariance(jacobian, m, n, result->covariance);
    return LQ_OK;
}
