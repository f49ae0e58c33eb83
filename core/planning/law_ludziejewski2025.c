/* ludziejewski2025: the joint law of activated parameters, tokens and experts of arXiv 2502.05172.
 * At a given E it is additive in N and D, hence its closed optimum. */
#include "core/planning/law_experts.h"
#include "core/planning/law_forms.h"

#include <math.h>

/* L = a Eh^delta N^(alpha + gamma ln Eh) + b Eh^omega D^(beta + zeta ln Eh) + c. */
enum { A, ALPHA, DELTA, GAMMA, B, BETA, OMEGA, ZETA, C, E_START, E_MAX };

static struct lq_law_additive additive(const double *c, const struct lq_law_point *p)
{
    const double log_e = lq_effective_experts_log(p->experts, c[E_START], c[E_MAX]);
    return (struct lq_law_additive){
        .a = c[A] * exp(c[DELTA] * log_e),
        .alpha = -(c[ALPHA] + c[GAMMA] * log_e),
        .b = c[B] * exp(c[OMEGA] * log_e),
        .beta = -(c[BETA] + c[ZETA] * log_e),
        .rest = c[C],
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
    const struct lq_effective_experts e = lq_effective_experts(p->experts, c[E_START], c[E_MAX]);
    const double log_n = log(p->parameters);
    const double log_d = log(p->tokens);
    const double by_a = exp(c[DELTA] * e.log + (c[ALPHA] + c[GAMMA] * e.log) * log_n);
    const double by_b = exp(c[OMEGA] * e.log + (c[BETA] + c[ZETA] * e.log) * log_d);
    const double loss = c[A] * by_a + c[B] * by_b + c[C];
    const double n_share = c[A] * by_a / loss;
    const double d_share = c[B] * by_b / loss;
    const double by_experts =
        n_share * (c[DELTA] + c[GAMMA] * log_n) + d_share * (c[OMEGA] + c[ZETA] * log_d);
    out[A] = by_a / loss;
    out[ALPHA] = n_share * log_n;
    out[DELTA] = n_share * e.log;
    out[GAMMA] = n_share * e.log * log_n;
    out[B] = by_b / loss;
    out[BETA] = d_share * log_d;
    out[OMEGA] = d_share * e.log;
    out[ZETA] = d_share * e.log * log_d;
    out[C] = 1.0 / loss;
    out[E_START] = by_experts * e.by_start;
    out[E_MAX] = by_experts * e.by_max;
    return log(loss);
}

static const struct lq_law_form FORM = {
    .name = "ludziejewski2025",
    .formula = "L = a Eh^delta N^(alpha + gamma ln Eh) + b Eh^omega D^(beta + zeta ln Eh) + c, "
               "1/Eh = 1/(E - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max",
    .needs = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS) | LQ_LAW_BIT(LQ_LAW_EXPERTS),
    .moves = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS) | LQ_LAW_BIT(LQ_LAW_EXPERTS),
    .coefficients = 11,
    .coefficient = {LQ_AMPLITUDE("a"),
                    {"alpha", LQ_SCALE_LINEAR, -5.0, 1.0, 0.0, -0.5, 5},
                    LQ_NEAR("delta", LQ_SCALE_LINEAR, -5.0, 5.0, 0.0),
                    LQ_NEAR("gamma", LQ_SCALE_LINEAR, -1.0, 1.0, 0.0),
                    LQ_AMPLITUDE("b"),
                    {"beta", LQ_SCALE_LINEAR, -5.0, 1.0, 0.0, -0.5, 5},
                    LQ_NEAR("omega", LQ_SCALE_LINEAR, -5.0, 5.0, 0.0),
                    LQ_NEAR("zeta", LQ_SCALE_LINEAR, -1.0, 1.0, 0.0),
                    LQ_IRREDUCIBLE("c"),
                    LQ_NEAR("E_start", LQ_SCALE_LOG, 0.0, 7.0, 0.7),
                    LQ_NEAR("E_max", LQ_SCALE_ABOVE, 0.0, 14.0, 5.0)},
    .value = value,
    .gradient = gradient,
    .additive = additive,
};

/* Signs as printed: with them Table 4 comes out to 0.3 % and Table 1 to 2 %. N = 2 d V + 13 l d^2:
 * of the 13, attention has 4 and the gated MLP, which the experts repeat, 9. */
static const struct lq_law LAWS[] = {
    {.id = "ludziejewski2025",
     .form = &FORM,
     .status = LQ_LAW_PUBLISHED,
     .source = "Ludziejewski et al. 2025, arXiv 2502.05172, appendix B",
     .note = "N counts activated parameters with both embedding matrices; top-1 routing.",
     .meaning = LQ_N_ACTIVE,
     .embeddings = LQ_EMBEDDINGS_IN,
     .flop = LQ_FLOP_ACTIVE,
     .range = {{0.0, 2.7e9}, {0.0, 0.0}, {1.0, 32.0}, {0.0, 0.0}, "runs of arXiv 2502.05172"},
     .family = {9.0 / 13.0, 1.0, 1.0, 0.0},
     .coefficient = {35.91, -0.1889, -0.2285, 0.0098, 35.98, -0.1775, 0.5529, -0.0259, 1.3637,
                     2.0732, 290.4521}},
};

static const struct lq_law_form *const FORMS[] = {&FORM};

const struct lq_law_shelf LQ_SHELF_LUDZIEJEWSKI2025 = {FORMS, 1, LAWS, sizeof LAWS / sizeof *LAWS};
