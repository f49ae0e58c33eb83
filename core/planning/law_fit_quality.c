/* What a fit's solution is worth: standard errors, directions that the runs leave open, the range
 * they cover. */
#include "core/planning/law_fit_parts.h"

#include <math.h>
#include <string.h>

enum { MAX = LQ_LAW_COEFFICIENTS_MAX, SWEEPS_MAX = 60 };

/* Eigenvalue of the gradients' correlation below which a direction leaves no trace: the residuals
 * of runs are about 1e-2 and worth 1e-3, so that 1e-9 is a coefficient moved by 30 times itself. */
static const double FLAT = 1e-9;
/* Component of a flat direction that names a coefficient. */
static const double NAMED = 0.05;

/* Symmetric, of the coefficients that are not held. */
struct matrix {
    double at[MAX][MAX];
};

struct gradients {
    int n;
    int index[MAX];      /* of the coefficient */
    double scale[MAX];   /* root of the sum of squares of its gradients */
    struct matrix cross; /* sum of weight * g g', scaled to ones on the diagonal */
    struct matrix pulls; /* the same with the squares of weight and of Huber's slope */
    double residual;     /* root mean square */
    double mean_size;    /* mean |residual| */
};

static double clip(double r)
{
    return fmin(fmax(r, -LQ_LAW_HUBER_DELTA), LQ_LAW_HUBER_DELTA);
}

static void add_run(struct gradients *g, const double *of_run, double weight, double r)
{
    const double pull = weight * clip(r);
    for (int a = 0; a < g->n; a++) {
        for (int b = 0; b < g->n; b++) {
            const double product = of_run[g->index[a]] * of_run[g->index[b]];
            g->cross.at[a][b] += weight * product;
            g->pulls.at[a][b] += pull * pull * product;
        }
    }
}

static void normalise(struct gradients *g)
{
    for (int a = 0; a < g->n; a++) {
        g->scale[a] = sqrt(g->cross.at[a][a]);
    }
    for (int a = 0; a < g->n; a++) {
        for (int b = 0; b < g->n; b++) {
            const double scale = g->scale[a] * g->scale[b];
            g->cross.at[a][b] = scale > 0.0 ? g->cross.at[a][b] / scale : 0.0;
            g->pulls.at[a][b] = scale > 0.0 ? g->pulls.at[a][b] / scale : 0.0;
        }
    }
}

static void collect(const struct lq_law_fit_problem *p, const double *coefficient,
                    struct gradients *g)
{
    const struct lq_law_form *form = p->law->form;
    double of_run[MAX];
    double weights = 0.0;
    memset(g, 0, sizeof *g);
    for (int j = 0; j < form->coefficients; j++) {
        if ((p->held & (1U << (unsigned)j)) == 0) {
            g->index[g->n++] = j;
        }
    }
    for (size_t i = 0; i < p->n; i++) {
        const double r = form->gradient(coefficient, &p->runs[i].point, of_run) - p->log_value[i];
        add_run(g, of_run, p->weights[i], r);
        g->residual += p->weights[i] * r * r;
        g->mean_size += p->weights[i] * fabs(r);
        weights += p->weights[i];
    }
    g->residual = sqrt(g->residual / weights);
    g->mean_size /= weights;
    normalise(g);
}

/* Turns rows and columns a and b of `m` so that m[a][b] vanishes; `vectors` turns with it. */
static void rotate(struct matrix *m, struct matrix *vectors, int n, int a, int b)
{
    const double theta = 0.5 * (m->at[b][b] - m->at[a][a]) / m->at[a][b];
    const double t = copysign(1.0, theta) / (fabs(theta) + sqrt(theta * theta + 1.0));
    const double c = 1.0 / sqrt(t * t + 1.0);
    const double s = t * c;
    for (int i = 0; i < n; i++) {
        const double x = m->at[i][a];
        const double y = m->at[i][b];
        m->at[i][a] = c * x - s * y;
        m->at[i][b] = s * x + c * y;
    }
    for (int i = 0; i < n; i++) {
        const double x = m->at[a][i];
        const double y = m->at[b][i];
        m->at[a][i] = c * x - s * y;
        m->at[b][i] = s * x + c * y;
        const double u = vectors->at[i][a];
        const double v = vectors->at[i][b];
        vectors->at[i][a] = c * u - s * v;
        vectors->at[i][b] = s * u + c * v;
    }
}

/* Eigenvalues onto the diagonal of `m`, eigenvectors into the columns of `vectors` (Jacobi). */
static void diagonalise(struct matrix *m, struct matrix *vectors, int n)
{
    memset(vectors, 0, sizeof *vectors);
    for (int i = 0; i < n; i++) {
        vectors->at[i][i] = 1.0;
    }
    for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
        double off = 0.0;
        for (int a = 0; a < n; a++) {
            for (int b = a + 1; b < n; b++) {
                off = fmax(off, fabs(m->at[a][b]));
                if (fabs(m->at[a][b]) > 1e-300) {
                    rotate(m, vectors, n, a, b);
                }
            }
        }
        if (off < 1e-16) {
            return;
        }
    }
}

static unsigned flat_bits(const struct gradients *g, const struct matrix *eigen,
                          const struct matrix *vectors)
{
    unsigned flat = 0;
    for (int k = 0; k < g->n; k++) {
        for (int a = 0; a < g->n && eigen->at[k][k] < FLAT; a++) {
            if (fabs(vectors->at[a][k]) > NAMED) {
                flat |= 1U << (unsigned)g->index[a];
            }
        }
    }
    return flat;
}

unsigned lq_law_fit_flat(const struct lq_law_fit_problem *problem, const double *coefficient)
{
    struct gradients g;
    struct matrix vectors;
    collect(problem, coefficient, &g);
    diagonalise(&g.cross, &vectors, g.n);
    return flat_bits(&g, &g.cross, &vectors);
}

/* Residuals within this distance of zero count as near it: Bofinger's 1975 width for the median of
 * a normal distribution. */
static double window_of(const struct gradients *g, size_t n)
{
    return fmax(LQ_LAW_HUBER_DELTA, 2.0 * g->mean_size * pow((double)n, -0.2));
}

/* How the mean pull moves with the coefficients: only runs whose residual is near zero change side,
 * so where noise is larger the runs say less (Powell 1991). */
static void find_stiffness(const struct lq_law_fit_problem *p, const double *coefficient,
                           const struct gradients *g, struct matrix *out)
{
    const double window = window_of(g, p->n);
    double of_run[MAX];
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < p->n; i++) {
        const double r =
            p->law->form->gradient(coefficient, &p->runs[i].point, of_run) - p->log_value[i];
        const double near = fabs(r) <= window ? p->weights[i] * LQ_LAW_HUBER_DELTA / window : 0.0;
        for (int a = 0; a < g->n; a++) {
            for (int b = 0; b < g->n; b++) {
                const double scale = g->scale[a] * g->scale[b];
                out->at[a][b] +=
                    scale > 0.0 ? near * of_run[g->index[a]] * of_run[g->index[b]] / scale : 0.0;
            }
        }
    }
}

/* The inverse without directions that are flat, from a matrix that becomes diagonal. */
static struct matrix invert(struct matrix *m, int n)
{
    struct matrix vectors;
    struct matrix inverse = {{{0}}};
    diagonalise(m, &vectors, n);
    for (int k = 0; k < n; k++) {
        for (int a = 0; a < n && m->at[k][k] >= FLAT * LQ_LAW_HUBER_DELTA; a++) {
            for (int b = 0; b < n; b++) {
                inverse.at[a][b] += vectors.at[a][k] * vectors.at[b][k] / m->at[k][k];
            }
        }
    }
    return inverse;
}

/* The sandwich H^-1 P H^-1 of an M-estimator (Huber 1981, section 6.3), H the stiffness and P the
 * pulls. */
static void set_errors(const struct lq_law_fit_problem *p, const struct gradients *g,
                       struct lq_law_fit *out)
{
    const double freedom = fmax((double)p->n - g->n, 1.0);
    struct matrix stiffness;
    find_stiffness(p, out->coefficient, g, &stiffness);
    const struct matrix inverse = invert(&stiffness, g->n);
    for (int a = 0; a < g->n; a++) {
        double variance = 0.0;
        for (int b = 0; b < g->n; b++) {
            for (int c = 0; c < g->n; c++) {
                variance += inverse.at[a][b] * g->pulls.at[b][c] * inverse.at[c][a];
            }
        }
        const double error = sqrt(fmax(variance, 0.0) * (double)p->n / freedom) / g->scale[a];
        const bool flat = (out->flat & (1U << (unsigned)g->index[a])) != 0;
        out->standard_error[g->index[a]] = !flat && isfinite(error) ? error : 0.0;
    }
}

static void widen(double range[2], double x)
{
    if (x > 0.0) {
        range[0] = range[0] > 0.0 ? fmin(range[0], x) : x;
        range[1] = fmax(range[1], x);
    }
}

static struct lq_law_range range_of(const struct lq_law_fit_problem *p)
{
    struct lq_law_range range = {.source = "the runs it was fitted to"};
    for (size_t i = 0; i < p->n; i++) {
        const struct lq_law_point *point = &p->runs[i].point;
        widen(range.parameters, point->parameters);
        widen(range.tokens, point->tokens);
        widen(range.experts, point->experts);
        widen(range.tokens_per_parameter,
              point->parameters > 0.0 ? point->tokens / point->parameters : 0.0);
    }
    return range;
}

void lq_law_fit_finish(const struct lq_law_fit_problem *problem, const double *searched,
                       struct lq_law_fit *out)
{
    struct gradients g;
    struct matrix vectors;
    double unused[MAX];
    *out = (struct lq_law_fit){.range = range_of(problem)};
    lq_law_fit_coefficients(problem->law->form, searched, out->coefficient);
    out->objective = lq_law_fit_objective(problem, searched, unused);
    collect(problem, out->coefficient, &g);
    out->residual = g.residual;
    diagonalise(&g.cross, &vectors, g.n);
    out->flat = flat_bits(&g, &g.cross, &vectors);
    set_errors(problem, &g, out);
}
