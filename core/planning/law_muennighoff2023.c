/* muennighoff2023: the dense law with one exponent for both terms, and what repeated tokens still
 * teach (arXiv 2305.16264). */
#include "core/planning/law_forms.h"

#include <math.h>

enum { A, B, E, ALPHA, R_D, R_N };

/* x = u (1 + r (1 - exp(-s / r))): `s` more of the same is worth ever less. And its d / dr. */
static double worth(double unique, double more, double scale)
{
    return unique * (1.0 - scale * expm1(-more / scale));
}

static double worth_by_scale(double unique, double more, double scale)
{
    return unique * (-expm1(-more / scale) - more / scale * exp(-more / scale));
}

/* D and N as the law counts them. Without repeats they are as given: the check value and the base
 * fit are. With repeats N beyond what the unique tokens call for is worth less as well. */
struct discounted {
    double tokens, tokens_by_r;
    double parameters, parameters_by_r;
    double unique_parameters; /* U_N where N is beyond it, else 0 */
};

static struct discounted discount(const double *c, const struct lq_law_point *p)
{
    struct discounted d = {.tokens = p->tokens, .parameters = p->parameters};
    if (!(p->repeats > 0.0)) {
        return d;
    }
    const double unique = p->tokens / (1.0 + p->repeats);
    d.tokens = worth(unique, p->repeats, c[R_D]);
    d.tokens_by_r = worth_by_scale(unique, p->repeats, c[R_D]);
    /* the parameters for which `unique` tokens are loss-optimal: G^2 U with equal exponents */
    const double fitting = unique * pow(c[A] / c[B], 1.0 / c[ALPHA]);
    const double excess = p->parameters / fitting - 1.0;
    if (excess > 0.0) {
        d.parameters = worth(fitting, excess, c[R_N]);
        d.parameters_by_r = worth_by_scale(fitting, excess, c[R_N]);
        d.unique_parameters = fitting;
    }
    return d;
}

static double value(const double *c, const struct lq_law_point *p)
{
    const struct discounted d = discount(c, p);
    return c[E] + c[A] * exp(-c[ALPHA] * log(d.parameters)) + c[B] * exp(-c[ALPHA] * log(d.tokens));
}

static double gradient(const double *c, const struct lq_law_point *p, double *out)
{
    const struct discounted d = discount(c, p);
    const double log_n = log(d.parameters);
    const double log_d = log(d.tokens);
    const double by_a = exp(-c[ALPHA] * log_n);
    const double by_b = exp(-c[ALPHA] * log_d);
    const double loss = c[E] + c[A] * by_a + c[B] * by_b;
    const double n_slope = -c[ALPHA] * c[A] * by_a / d.parameters;
    const double d_slope = -c[ALPHA] * c[B] * by_b / d.tokens;
    out[A] = by_a / loss;
    out[B] = by_b / loss;
    out[E] = 1.0 / loss;
    out[ALPHA] = -(c[A] * by_a * log_n + c[B] * by_b * log_d) / loss;
    out[R_D] = d_slope * d.tokens_by_r / loss;
    out[R_N] = n_slope * d.parameters_by_r / loss;
    if (d.unique_parameters > 0.0) {
        /* U_N itself moves with A, B and alpha: d N' / d U_N at fixed N */
        const double u = d.unique_parameters;
        const double decay = exp(-(p->parameters / u - 1.0) / c[R_N]);
        const double by_u = d.parameters / u - p->parameters / u * decay;
        const double scale = n_slope * by_u * u / (c[ALPHA] * loss);
        out[A] += scale / c[A];
        out[B] -= scale / c[B];
        out[ALPHA] -= scale * log(c[A] / c[B]) / c[ALPHA];
    }
    return log(loss);
}

static struct lq_law_additive additive(const double *c, const struct lq_law_point *p)
{
    (void)p; /* asked for without repeats only */
    return (struct lq_law_additive){c[A], c[ALPHA], c[B], c[ALPHA], c[E]};
}

static const struct lq_law_form FORM = {
    .name = "muennighoff2023",
    .formula = "L = E + A/N'^alpha + B/D'^alpha; with repeats r, U = D/(1+r): D' = U + U R_D "
               "(1 - exp(-r/R_D)), N' likewise for parameters beyond those U calls for (R_N)",
    .needs = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS),
    .moves = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS) | LQ_LAW_BIT(LQ_LAW_REPEATS),
    .optional = LQ_LAW_BIT(LQ_LAW_REPEATS),
    .coefficients = 6,
    .coefficient = {LQ_AMPLITUDE("A"), LQ_AMPLITUDE("B"), LQ_IRREDUCIBLE("E"), LQ_EXPONENT("alpha"),
                    LQ_NEAR("R_D", LQ_SCALE_LOG, -3.0, 10.0, 2.7337),
                    LQ_NEAR("R_N", LQ_SCALE_LOG, -3.0, 10.0, 1.6696)},
    .value = value,
    .gradient = gradient,
    .additive = additive,
};

static const struct lq_law LAWS[] = {
    {.id = "muennighoff2023",
     .form = &FORM,
     .source = "Muennighoff et al. 2023, arXiv 2305.16264; read in secondary sources",
     .note = "Fitted to C4; the discount applies only where repeats are given.",
     .status = LQ_LAW_PUBLISHED,
     .meaning = LQ_N_TOTAL,
     .flop = LQ_FLOP_DENSE_EQUIVALENT,
     .experts_fixed = 1.0,
     .family = {0.0, 1.0, 1.0, 0.0},
     .embeddings = LQ_EMBEDDINGS_NOT_STATED,
     .range = {{10e6, 9e9}, {0.0, 0.0}, {1.0, 1.0}, {0.0, 0.0}, "runs of arXiv 2305.16264"},
     .coefficient = {521.0, 1488.0, 1.87, 0.353, 15.39, 5.31}},
};

static const struct lq_law_form *const FORMS[] = {&FORM};

const struct lq_law_shelf LQ_SHELF_MUENNIGHOFF2023 = {FORMS, 1, LAWS, sizeof LAWS / sizeof *LAWS};
