/* Robust Gaussian regression of a few log-factors. Knows nothing of what they multiply. */
#include "core/finetune/regress.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { N = LQ_FACTORS_MAX };

/* Residuals beyond this many standard deviations count linearly. */
static const double HUBER_WIDTH = 2.0;
/* A step shorter than this in every ln(factor) ends the descent. */
static const double STEP_MIN = 1e-9;
static const int STEPS_MAX = 60;
static const int DAMPINGS_MAX = 24;

void lq_belief_factors(const struct lq_belief *belief, double *factor)
{
    for (int i = 0; i < belief->factors; i++) {
        factor[i] = exp(belief->mean[i]);
    }
}

void lq_belief_widen(struct lq_belief *belief, const double *log_sd)
{
    for (int i = 0; i < belief->factors; i++) {
        belief->covariance[i * N + i] += log_sd[i] * log_sd[i];
    }
}

double lq_belief_variance(const struct lq_belief *belief, const double *gradient)
{
    double variance = 0.0;
    for (int i = 0; i < belief->factors; i++) {
        for (int j = 0; j < belief->factors; j++) {
            variance += gradient[i] * gradient[j] * belief->covariance[i * N + j];
        }
    }
    return variance;
}

/* Lower Cholesky factor in place; false where the matrix is not positive definite. */
static bool factorise(double *a, int n)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = a[i * N + j];
            for (int k = 0; k < j; k++) {
                sum -= a[i * N + k] * a[j * N + k];
            }
            if (i == j) {
                if (!(sum > 0.0)) {
                    return false;
                }
                a[i * N + i] = sqrt(sum);
            } else {
                a[i * N + j] = sum / a[j * N + j];
            }
        }
    }
    return true;
}

/* Solves L L' x = b in place. */
static void solve(const double *l, int n, double *b)
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++) {
            b[i] -= l[i * N + k] * b[k];
        }
        b[i] /= l[i * N + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++) {
            b[i] -= l[k * N + i] * b[k];
        }
        b[i] /= l[i * N + i];
    }
}

static bool invert(const double *matrix, int n, double *inverse)
{
    double l[N * N];
    memcpy(l, matrix, sizeof l);
    if (!factorise(l, n)) {
        return false;
    }
    for (int j = 0; j < n; j++) {
        double column[N] = {0.0};
        column[j] = 1.0;
        solve(l, n, column);
        for (int i = 0; i < n; i++) {
            inverse[i * N + j] = column[i];
        }
    }
    return true;
}

/* The objective's value, its gradient and Gauss-Newton matrix at a point. */
struct local {
    double value;
    double chi2;
    double slope[N];
    double curvature[N * N];
};

static void add_prior(const struct lq_belief *prior, const double *precision, const double *x,
                      struct local *at)
{
    const int n = prior->factors;
    for (int i = 0; i < n; i++) {
        double pull = 0.0;
        for (int j = 0; j < n; j++) {
            pull += precision[i * N + j] * (x[j] - prior->mean[j]);
            at->curvature[i * N + j] = precision[i * N + j];
        }
        at->slope[i] = pull;
        at->value += 0.5 * pull * (x[i] - prior->mean[i]);
    }
}

static bool look(const struct lq_regression *regression, const struct lq_belief *prior,
                 const double *precision, const double *x, struct local *at)
{
    const int n = prior->factors;
    double factor[N];
    for (int i = 0; i < n; i++) {
        factor[i] = exp(x[i]);
    }
    *at = (struct local){.value = 0.0};
    add_prior(prior, precision, x, at);
    if (regression->prepare != NULL) {
        regression->prepare(regression->context, factor);
    }
    for (size_t m = 0; m < regression->count; m++) {
        double ratio = 0.0;
        double gradient[N] = {0.0};
        regression->evaluate(regression->context, m, factor, &ratio, gradient);
        const double r = ratio / regression->log_sd[m];
        if (!isfinite(r)) {
            return false;
        }
        const double u = r / HUBER_WIDTH;
        const double root = sqrt(1.0 + u * u);
        const double weight = 1.0 / (root * regression->log_sd[m]);
        at->value += HUBER_WIDTH * HUBER_WIDTH * (root - 1.0);
        at->chi2 += r * r / root;
        for (int i = 0; i < n; i++) {
            at->slope[i] += weight * r * gradient[i];
            for (int j = 0; j < n; j++) {
                at->curvature[i * N + j] +=
                    weight / regression->log_sd[m] * gradient[i] * gradient[j];
            }
        }
    }
    return true;
}

/* One damped step downhill; false where none is found or it is too short to matter. */
static bool descend(const struct lq_regression *regression, const struct lq_belief *prior,
                    const double *precision, double *x, struct local *at)
{
    const int n = prior->factors;
    double damping = 0.0;
    for (int k = 0; k < DAMPINGS_MAX; k++) {
        double l[N * N];
        double step[N];
        memcpy(l, at->curvature, sizeof l);
        for (int i = 0; i < n; i++) {
            l[i * N + i] *= 1.0 + damping;
            step[i] = -at->slope[i];
        }
        if (!factorise(l, n)) {
            return false;
        }
        solve(l, n, step);
        double next[N] = {0.0};
        double longest = 0.0;
        for (int i = 0; i < n; i++) {
            next[i] = x[i] + step[i];
            longest = fmax(longest, fabs(step[i]));
        }
        struct local there;
        if (look(regression, prior, precision, next, &there) && there.value <= at->value) {
            memcpy(x, next, sizeof next);
            *at = there;
            return longest > STEP_MIN;
        }
        damping = damping > 0.0 ? 4.0 * damping : 1e-3;
    }
    return false;
}

enum lq_code lq_regress(const struct lq_regression *regression, const struct lq_belief *prior,
                        struct lq_belief *posterior, double *chi2, struct lq_error *err)
{
    double precision[N * N] = {0.0};
    double x[N] = {0.0};
    struct local at;
    memcpy(x, prior->mean, sizeof x);
    if (!invert(prior->covariance, prior->factors, precision) ||
        !look(regression, prior, precision, x, &at)) {
        return lq_fail(err, LQ_EFIT, NULL, "the measurements do not determine the factors");
    }
    for (int k = 0; k < STEPS_MAX && descend(regression, prior, precision, x, &at); k++) {
    }
    *posterior = *prior;
    memcpy(posterior->mean, x, sizeof x);
    if (!invert(at.curvature, prior->factors, posterior->covariance)) {
        return lq_fail(err, LQ_EFIT, NULL, "the measurements do not determine the factors");
    }
    if (chi2 != NULL) {
        *chi2 = regression->count > 0 ? at.chi2 / (double)regression->count : 0.0;
    }
    return LQ_OK;
}
