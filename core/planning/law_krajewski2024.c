/* krajewski2024: loss by size, tokens and granularity of the experts (arXiv 2402.07871), at 64
 * experts, and the dense law it is held against. */
#include "core/planning/law_forms.h"

#include <math.h>

/* L = c + (g/G^gamma + a)/N^alpha + b/D^beta; dense models have g = 0. */
enum { A, ALPHA, B, BETA, G, GAMMA, C };

static double granular(const double *c, const struct lq_law_point *p)
{
    return c[G] > 0.0 ? exp(-c[GAMMA] * log(p->granularity)) : 0.0;
}

static double value(const double *c, const struct lq_law_point *p)
{
    return c[C] + (c[G] * granular(c, p) + c[A]) * exp(-c[ALPHA] * log(p->parameters)) +
           c[B] * exp(-c[BETA] * log(p->tokens));
}

static double gradient(const double *c, const struct lq_law_point *p, double *out)
{
    const double log_n = log(p->parameters);
    const double log_d = log(p->tokens);
    const double by_g = granular(c, p);
    const double by_n = exp(-c[ALPHA] * log_n);
    const double by_b = exp(-c[BETA] * log_d);
    const double sized = (c[G] * by_g + c[A]) * by_n;
    const double loss = c[C] + sized + c[B] * by_b;
    out[A] = by_n / loss;
    out[ALPHA] = -sized * log_n / loss;
    out[B] = by_b / loss;
    out[BETA] = -c[B] * by_b * log_d / loss;
    out[G] = by_g * by_n / loss;
    out[GAMMA] = c[G] > 0.0 ? -c[G] * by_g * log(p->granularity) * by_n / loss : 0.0;
    out[C] = 1.0 / loss;
    return log(loss);
}

static struct lq_law_additive additive(const double *c, const struct lq_law_point *p)
{
    return (struct lq_law_additive){c[G] * granular(c, p) + c[A], c[ALPHA], c[B], c[BETA], c[C]};
}

#define COMMON                                                                                     \
    .name = "krajewski2024", .formula = "L = c + (g/G^gamma + a)/N^alpha + b/D^beta",              \
    .coefficients = 7,                                                                             \
    .coefficient = {LQ_AMPLITUDE("a"),   LQ_EXPONENT("alpha"), LQ_AMPLITUDE("b"),                  \
                    LQ_EXPONENT("beta"), LQ_AMPLITUDE("g"),    LQ_EXPONENT("gamma"),               \
                    LQ_IRREDUCIBLE("c")},                                                          \
    .value = value, .gradient = gradient, .additive = additive

enum { SIZE_AND_TOKENS = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS) };

static const struct lq_law_form FORM = {
    COMMON,
    .needs = SIZE_AND_TOKENS | LQ_LAW_BIT(LQ_LAW_GRANULARITY),
    .moves = SIZE_AND_TOKENS | LQ_LAW_BIT(LQ_LAW_GRANULARITY),
};
static const struct lq_law_form DENSE_FORM = {
    COMMON,
    .needs = SIZE_AND_TOKENS,
    .moves = SIZE_AND_TOKENS,
};

/* ASSUMED: N counts all experts, MLP share 2/3, top-1 of experts in every layer; the sizes that the
 * paper's models are named by would tell. */
static const struct lq_law LAWS[] = {
    {.id = "krajewski2024",
     .form = &FORM,
     .status = LQ_LAW_PUBLISHED,
     .source = "Krajewski et al. 2024, arXiv 2402.07871, Table 1; two secondary sources agree",
     .note = "Holds for 64 experts only; the cost of routing is left out of training FLOPs.",
     .meaning = LQ_N_TOTAL,
     .embeddings = LQ_EMBEDDINGS_NOT_STATED,
     .flop = LQ_FLOP_ACTIVE,
     .experts_fixed = 64.0,
     .range = {{129e6, 3.7e9}, {16e9, 130e9}, {64.0, 64.0}, {0.0, 0.0}, "runs of arXiv 2402.07871"},
     .family = {2.0 / 3.0, 1.0, 1.0, 0.0},
     .coefficient = {18.1, 0.115, 30.8, 0.147, 2.1, 0.58, 0.47}},
    {.id = "krajewski2024-dense",
     .form = &DENSE_FORM,
     .status = LQ_LAW_PUBLISHED,
     .source = "Krajewski et al. 2024, arXiv 2402.07871, Table 1; two secondary sources agree",
     .note = "",
     .meaning = LQ_N_TOTAL,
     .embeddings = LQ_EMBEDDINGS_NOT_STATED,
     .flop = LQ_FLOP_DENSE_EQUIVALENT,
     .experts_fixed = 1.0,
     .range = {{0.0, 0.0}, {16e9, 130e9}, {1.0, 1.0}, {0.0, 0.0}, "runs of arXiv 2402.07871"},
     .family = {0.0, 1.0, 1.0, 0.0},
     .coefficient = {16.3, 0.126, 26.7, 0.127, 0.0, 0.0, 0.47}},
};

static const struct lq_law_form *const FORMS[] = {&FORM};

const struct lq_law_shelf LQ_SHELF_KRAJEWSKI2024 = {FORMS, 1, LAWS, sizeof LAWS / sizeof *LAWS};
