/* L-BFGS with bounds. What is minimised is the caller's. */
#include "core/base/lbfgs.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { MEMORY = 12, STALLS_MAX = 3, TRIALS_MAX = 40, N = LQ_LBFGS_VARIABLES_MAX };

static const double SETTLED = 1e-12;   /* relative gain of a step that counts as none */
static const double SUFFICIENT = 1e-4; /* Armijo */
static const double FLATTENED = 0.9;   /* curvature */
static const double CURVATURE_MIN = 1e-12;

/* One point of a descent. */
struct place {
    double x[N];
    double gradient[N];
    double value;
};

struct descent {
    const struct lq_lbfgs_problem *problem;
    struct place here;
    struct place next;
    double direction[N];
    bool free[N];
    double s[MEMORY][N]; /* steps */
    double y[MEMORY][N]; /* changes of the gradient */
    double rho[MEMORY];
    int kept;
    int newest; /* slot of the newest pair */
    int evaluations;
};

static double dot(const double *a, const double *b, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

static void evaluate(struct descent *d, struct place *place)
{
    const struct lq_lbfgs_problem *p = d->problem;
    place->value = p->evaluate(p->context, p->scratch, place->x, place->gradient);
    d->evaluations++;
    for (int i = 0; i < p->n; i++) {
        if (!isfinite(place->gradient[i])) {
            place->value = HUGE_VAL;
        }
    }
}

/* A variable is held where it sits on a bound and the descent would push it out. */
static double find_free(struct descent *d)
{
    const struct lq_lbfgs_problem *p = d->problem;
    double largest = 0.0;
    for (int i = 0; i < p->n; i++) {
        const double g = d->here.gradient[i];
        const double x = d->here.x[i];
        d->free[i] = !(x <= p->lower[i] && g >= 0.0) && !(x >= p->upper[i] && g <= 0.0);
        largest = d->free[i] ? fmax(largest, fabs(g)) : largest;
    }
    return largest;
}

/* The two-loop recursion on the free variables. Returns the slope along the direction. */
static double find_direction(struct descent *d)
{
    const int n = d->problem->n;
    double *q = d->direction;
    double alpha[MEMORY];
    for (int i = 0; i < n; i++) {
        q[i] = d->free[i] ? -d->here.gradient[i] : 0.0;
    }
    for (int j = 0; j < d->kept; j++) {
        const int k = (d->newest - j + MEMORY) % MEMORY;
        alpha[k] = d->rho[k] * dot(d->s[k], q, n);
        for (int i = 0; i < n; i++) {
            q[i] -= alpha[k] * d->y[k][i];
        }
    }
    if (d->kept > 0) {
        const int k = d->newest;
        const double scale = 1.0 / (d->rho[k] * dot(d->y[k], d->y[k], n));
        for (int i = 0; i < n; i++) {
            q[i] *= scale;
        }
    }
    for (int j = d->kept - 1; j >= 0; j--) {
        const int k = (d->newest - j + MEMORY) % MEMORY;
        const double beta = d->rho[k] * dot(d->y[k], q, n);
        for (int i = 0; i < n; i++) {
            q[i] += (alpha[k] - beta) * d->s[k][i];
        }
    }
    for (int i = 0; i < n; i++) {
        q[i] = d->free[i] ? q[i] : 0.0;
    }
    return dot(q, d->here.gradient, n);
}

/* How far along the direction the nearest bound is. */
static double room(const struct descent *d)
{
    const struct lq_lbfgs_problem *p = d->problem;
    double most = HUGE_VAL;
    for (int i = 0; i < p->n; i++) {
        const double step = d->direction[i];
        if (step != 0.0) {
            const double bound = step > 0.0 ? p->upper[i] : p->lower[i];
            most = fmin(most, (bound - d->here.x[i]) / step);
        }
    }
    return fmax(most, 0.0);
}

static void step_to(struct descent *d, double t)
{
    const struct lq_lbfgs_problem *p = d->problem;
    for (int i = 0; i < p->n; i++) {
        const double x = d->here.x[i] + t * d->direction[i];
        d->next.x[i] = fmin(fmax(x, p->lower[i]), p->upper[i]);
    }
    evaluate(d, &d->next);
}

/* Where a parabola with the known value and slope at `from` and the value at `to` has its vertex,
 * kept away from both ends. */
static double between(double from, double value, double slope, double to, double to_value)
{
    const double width = to - from;
    const double vertex = -0.5 * slope * width / ((to_value - value) / width - slope);
    if (!isfinite(vertex)) {
        return from + 0.5 * width;
    }
    return from + fmin(fmax(vertex, 0.1 * width), 0.9 * width);
}

/* Finds a step that satisfies the weak Wolfe conditions, or ends at a bound. */
static bool search(struct descent *d, double slope, double first)
{
    const int n = d->problem->n;
    const double most = room(d);
    double low = 0.0;
    double low_value = d->here.value;
    double low_slope = slope;
    double high = HUGE_VAL;
    double t = fmin(first, most);
    for (int i = 0; i < TRIALS_MAX && t > 0.0; i++) {
        step_to(d, t);
        if (!(d->next.value <= d->here.value + SUFFICIENT * t * slope)) {
            high = t;
            t = isfinite(d->next.value) ? between(low, low_value, low_slope, t, d->next.value)
                                        : low + 0.1 * (t - low);
            continue;
        }
        const double next_slope = dot(d->direction, d->next.gradient, n);
        if (next_slope >= FLATTENED * slope || t >= most) {
            return true;
        }
        low = t;
        low_value = d->next.value;
        low_slope = next_slope;
        t = isfinite(high) ? 0.5 * (low + high) : fmin(4.0 * t, most);
    }
    /* no curvature within reach, but lower than before: better than nothing */
    return d->next.value < d->here.value;
}

static void remember(struct descent *d)
{
    const int n = d->problem->n;
    const int slot = (d->newest + 1) % MEMORY;
    for (int i = 0; i < n; i++) {
        d->s[slot][i] = d->next.x[i] - d->here.x[i];
        d->y[slot][i] = d->next.gradient[i] - d->here.gradient[i];
    }
    const double curvature = dot(d->s[slot], d->y[slot], n);
    if (curvature > CURVATURE_MIN * dot(d->y[slot], d->y[slot], n) * 1e-4) {
        d->rho[slot] = 1.0 / curvature;
        d->newest = slot;
        d->kept = d->kept < MEMORY ? d->kept + 1 : MEMORY;
    }
}

/* One iteration. Returns false where nothing more is to be gained. */
static bool advance(struct descent *d, int *stalls)
{
    double slope = find_direction(d);
    if (!(slope < 0.0)) {
        d->kept = 0;
        slope = find_direction(d);
    }
    const double length = sqrt(dot(d->direction, d->direction, d->problem->n));
    const double first = d->kept > 0 ? 1.0 : fmin(1.0, 1.0 / length);
    if (!search(d, slope, first)) {
        const bool had_memory = d->kept > 0;
        d->kept = 0;
        return had_memory && ++*stalls < STALLS_MAX;
    }
    const double gain = d->here.value - d->next.value;
    *stalls = gain > SETTLED * fabs(d->here.value) ? 0 : *stalls + 1;
    remember(d);
    d->here = d->next;
    return *stalls < STALLS_MAX;
}

enum lq_code lq_lbfgs(const struct lq_lbfgs_problem *problem, double *x,
                      struct lq_lbfgs_result *result, struct lq_error *err)
{
    struct descent d = {.problem = problem, .newest = MEMORY - 1};
    for (int i = 0; i < problem->n; i++) {
        d.here.x[i] = fmin(fmax(x[i], problem->lower[i]), problem->upper[i]);
    }
    evaluate(&d, &d.here);
    if (!isfinite(d.here.value)) {
        return lq_fail(err, LQ_EFIT, NULL, "the start of the descent has no finite value");
    }
    int stalls = 0;
    int iterations = 0;
    double largest = find_free(&d);
    while (largest > 0.0 && advance(&d, &stalls)) {
        iterations++;
        largest = find_free(&d);
        if (d.evaluations >= problem->evaluations_max) {
            return lq_fail(err, LQ_EFIT, NULL, "the descent did not settle in %d evaluations",
                           d.evaluations);
        }
    }
    memcpy(x, d.here.x, (size_t)problem->n * sizeof *x);
    *result = (struct lq_lbfgs_result){d.here.value, find_free(&d), d.evaluations, iterations};
    return LQ_OK;
}
