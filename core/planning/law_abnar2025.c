/* abnar2025: loss by total parameters, tokens and sparsity of the mixture (arXiv 2501.12370). */
#include "core/planning/law_forms.h"

#include <math.h>

/* L = a/N^alpha + b/D^beta + c/(1-S)^lambda + d/((1-S)^delta N^gamma) + e, 1 - S = K/E. */
enum { A, ALPHA, B, BETA, C, LAMBDA, D, DELTA, GAMMA, E };

static double value(const double *c, const struct lq_law_point *p)
{
    const double log_n = log(p->parameters);
    const double log_s = log(p->active_experts / p->experts);
    return c[A] * exp(-c[ALPHA] * log_n) + c[B] * exp(-c[BETA] * log(p->tokens)) +
           c[C] * exp(-c[LAMBDA] * log_s) + c[D] * exp(-c[DELTA] * log_s - c[GAMMA] * log_n) + c[E];
}

static double gradient(const double *c, const struct lq_law_point *p, double *out)
{
    const double log_n = log(p->parameters);
    const double log_d = log(p->tokens);
    const double log_s = log(p->active_experts / p->experts);
    const double by_a = exp(-c[ALPHA] * log_n);
    const double by_b = exp(-c[BETA] * log_d);
    const double by_c = exp(-c[LAMBDA] * log_s);
    const double by_d = exp(-c[DELTA] * log_s - c[GAMMA] * log_n);
    const double loss = c[A] * by_a + c[B] * by_b + c[C] * by_c + c[D] * by_d + c[E];
    out[A] = by_a / loss;
    out[ALPHA] = -c[A] * by_a * log_n / loss;
    out[B] = by_b / loss;
    out[BETA] = -c[B] * by_b * log_d / loss;
    out[C] = by_c / loss;
    out[LAMBDA] = -c[C] * by_c * log_s / loss;
    out[D] = by_d / loss;
    out[DELTA] = -c[D] * by_d * log_s / loss;
    out[GAMMA] = -c[D] * by_d * log_n / loss;
    out[E] = 1.0 / loss;
    return log(loss);
}

enum {
    VARIABLES = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS) |
                LQ_LAW_BIT(LQ_LAW_EXPERTS) | LQ_LAW_BIT(LQ_LAW_ACTIVE_EXPERTS)
};

static const struct lq_law_form FORM = {
    .name = "abnar2025",
    .formula = "L = a/N^alpha + b/D^beta + c/(1-S)^lambda + d/((1-S)^delta N^gamma) + e, "
               "S = (E - K)/E",
    .needs = VARIABLES,
    .moves = VARIABLES,
    .optional = LQ_LAW_BIT(LQ_LAW_ACTIVE_EXPERTS),
    .coefficients = 10,
    .coefficient = {LQ_AMPLITUDE("a"), LQ_EXPONENT("alpha"), LQ_AMPLITUDE("b"), LQ_EXPONENT("beta"),
                    LQ_NEAR("c", LQ_SCALE_LOG, -40.0, 10.0, -1.0),
                    LQ_NEAR("lambda", LQ_SCALE_LINEAR, -5.0, 5.0, -0.1),
                    LQ_NEAR("d", LQ_SCALE_LOG, -40.0, 60.0, 3.0),
                    LQ_NEAR("delta", LQ_SCALE_LINEAR, -5.0, 5.0, 0.1),
                    LQ_NEAR("gamma", LQ_SCALE_LINEAR, -1.0, 5.0, 0.2), LQ_IRREDUCIBLE("e")},
    .value = value,
    .gradient = gradient,
};

static const struct lq_law LAWS[] = {
    {.id = "abnar2025",
     .form = &FORM,
     .status = LQ_LAW_PUBLISHED,
     .source = "Abnar et al. 2025, arXiv 2501.12370; three secondary sources agree",
     .note = "Weak where held out: R2 68 % at sparsity 0.98.",
     .meaning = LQ_N_TOTAL,
     .embeddings = LQ_EMBEDDINGS_NOT_STATED,
     .flop = LQ_FLOP_ACTIVE,
     .range = {.source = "not known"},
     .family = {2.0 / 3.0, 1.0, 1.0, 0.0},
     .coefficient = {16612.50, 0.5962, 5455.67, 0.3954, 0.4598, -0.1666, 17.26, 0.1603, 0.1595,
                     0.94}},
};

static const struct lq_law_form *const FORMS[] = {&FORM};

const struct lq_law_shelf LQ_SHELF_ABNAR2025 = {FORMS, 1, LAWS, sizeof LAWS / sizeof *LAWS};
