/* zhao2025: loss by total and activated parameters, tokens, active experts and their shared ratio
 * (arXiv 2509.23678). With Na/N held it is additive in N and D. */
#include "core/planning/law_forms.h"

#include <math.h>

/* L = (e G + f/G + m S^2 + n S)(N^-alpha + k Na^-alpha + h Na/N)
 *     + a N^-alpha + b D^-beta + c Na^-alpha + epsilon. */
enum { E, F, M, N, K, H, A, ALPHA, B, BETA, C, EPSILON };

/* G: the active experts; callers who call it granularity are understood. */
static double active(const struct lq_law_point *p)
{
    return p->active_experts > 0.0 ? p->active_experts : p->granularity;
}

static double shape(const double *c, const struct lq_law_point *p)
{
    const double g = active(p);
    const double s = p->shared_ratio;
    return c[E] * g + c[F] / g + c[M] * s * s + c[N] * s;
}

static struct lq_law_additive additive(const double *c, const struct lq_law_point *p)
{
    const double ratio = p->active_parameters / p->parameters;
    const double small = exp(-c[ALPHA] * log(ratio));
    const double x = shape(c, p);
    return (struct lq_law_additive){
        .a = x * (1.0 + c[K] * small) + c[A] + c[C] * small,
        .alpha = c[ALPHA],
        .b = c[B],
        .beta = c[BETA],
        .rest = x * c[H] * ratio + c[EPSILON],
    };
}

static double value(const double *c, const struct lq_law_point *p)
{
    const struct lq_law_additive at = additive(c, p);
    return at.a * exp(-at.alpha * log(p->parameters)) + at.b * exp(-at.beta * log(p->tokens)) +
           at.rest;
}

static double gradient(const double *c, const struct lq_law_point *p, double *out)
{
    const double g = active(p);
    const double s = p->shared_ratio;
    const double ratio = p->active_parameters / p->parameters;
    const double log_n = log(p->parameters);
    const double log_na = log(p->active_parameters);
    const double log_d = log(p->tokens);
    const double by_n = exp(-c[ALPHA] * log_n);
    const double by_na = exp(-c[ALPHA] * log_na);
    const double by_b = exp(-c[BETA] * log_d);
    const double x = shape(c, p);
    const double size = by_n + c[K] * by_na + c[H] * ratio;
    const double loss = x * size + c[A] * by_n + c[B] * by_b + c[C] * by_na + c[EPSILON];
    out[E] = g * size / loss;
    out[F] = size / (g * loss);
    out[M] = s * s * size / loss;
    out[N] = s * size / loss;
    out[K] = x * by_na / loss;
    out[H] = x * ratio / loss;
    out[A] = by_n / loss;
    out[ALPHA] = -((x + c[A]) * by_n * log_n + (x * c[K] + c[C]) * by_na * log_na) / loss;
    out[B] = by_b / loss;
    out[BETA] = -c[B] * by_b * log_d / loss;
    out[C] = by_na / loss;
    out[EPSILON] = 1.0 / loss;
    return log(loss);
}

enum {
    VARIABLES = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS) |
                LQ_LAW_BIT(LQ_LAW_ACTIVE_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_ACTIVE_EXPERTS)
};

static const struct lq_law_form FORM = {
    .name = "zhao2025",
    .formula = "L = (e G + f/G + m S^2 + n S)(N^-alpha + k Na^-alpha + h Na/N) + a N^-alpha + "
               "b D^-beta + c Na^-alpha + epsilon; G active experts, S shared ratio",
    .needs = VARIABLES,
    .moves = VARIABLES | LQ_LAW_BIT(LQ_LAW_SHARED_RATIO),
    .coefficients = 12,
    .coefficient = {LQ_NEAR("e", LQ_SCALE_LINEAR, -100.0, 100.0, 0.1),
                    LQ_NEAR("f", LQ_SCALE_LINEAR, -100.0, 100.0, 5.0),
                    LQ_NEAR("m", LQ_SCALE_LINEAR, -100.0, 100.0, 1.0),
                    LQ_NEAR("n", LQ_SCALE_LINEAR, -100.0, 100.0, -1.0),
                    LQ_NEAR("k", LQ_SCALE_LOG, -40.0, 10.0, -5.0),
                    LQ_NEAR("h", LQ_SCALE_LOG, -40.0, 10.0, -3.0), LQ_AMPLITUDE("a"),
                    LQ_EXPONENT("alpha"), LQ_AMPLITUDE("b"), LQ_EXPONENT("beta"),
                    LQ_NEAR("c", LQ_SCALE_LOG, -40.0, 60.0, 3.0), LQ_IRREDUCIBLE("epsilon")},
    .value = value,
    .gradient = gradient,
    .additive = additive,
};

static const struct lq_law LAWS[] = {
    {.id = "zhao2025",
     .form = &FORM,
     .status = LQ_LAW_PUBLISHED,
     .source =
         "Zhao et al. 2025, arXiv 2509.23678; one secondary source; its optima of G (6.78) and "
         "S (0.315) come out",
     .note = "",
     .meaning = LQ_N_TOTAL,
     .embeddings = LQ_EMBEDDINGS_NOT_STATED,
     .flop = LQ_FLOP_ACTIVE,
     .range = {.source = "not known"},
     .family = {2.0 / 3.0, 8.0, 1.0, 0.0},
     .coefficient = {0.1577, 7.2446, 5.1395, -3.2363, 0.0013, 0.0450, 38.051, 0.2383, 27129.05,
                     0.4694, 31.096, 1.8182}},
};

static const struct lq_law_form *const FORMS[] = {&FORM};

const struct lq_law_shelf LQ_SHELF_ZHAO2025 = {FORMS, 1, LAWS, sizeof LAWS / sizeof *LAWS};
