/* tian2025: how many times less compute a mixture needs than a dense model of the same loss, and
 * how to split a budget (arXiv 2507.17702). It gives no loss. */
#include "core/planning/law_experts.h"
#include "core/planning/law_forms.h"

#include <math.h>

/* EL = Ah^(a + d log10 C + gamma (log2 G)^2 + beta log2 G), Ah the saturated activation ratio. */
enum { A, DELTA, GAMMA, BETA, A_START, A_MAX };

/* C = M D, M non-embedding FLOPs per token; here 6 activated parameters. */
static double compute(const struct lq_law_point *p)
{
    return 6.0 * p->active_parameters * p->tokens;
}

/* The saturation is that of the experts' with A in place of E - 1. */
static double gradient(const double *c, const struct lq_law_point *p, double *out)
{
    const double ratio = p->active_experts / p->experts;
    const struct lq_effective_experts e = lq_effective_experts(1.0 + ratio, c[A_START], c[A_MAX]);
    const double log_c = log10(compute(p));
    const double log_g = log2(p->granularity);
    const double power = c[A] + c[DELTA] * log_c + c[GAMMA] * log_g * log_g + c[BETA] * log_g;
    out[A] = e.log;
    out[DELTA] = log_c * e.log;
    out[GAMMA] = log_g * log_g * e.log;
    out[BETA] = log_g * e.log;
    out[A_START] = power * e.by_start;
    out[A_MAX] = power * e.by_max;
    return power * e.log;
}

static double value(const double *c, const struct lq_law_point *p)
{
    double unused[LQ_LAW_COEFFICIENTS_MAX];
    return exp(gradient(c, p, unused));
}

enum {
    VARIABLES = LQ_LAW_BIT(LQ_LAW_TOKENS) | LQ_LAW_BIT(LQ_LAW_EXPERTS) |
                LQ_LAW_BIT(LQ_LAW_ACTIVE_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_ACTIVE_EXPERTS) |
                LQ_LAW_BIT(LQ_LAW_GRANULARITY)
};

static const struct lq_law_form FORM = {
    .name = "tian2025",
    .formula =
        "leverage = Ah^(a + d log10 C + gamma (log2 G)^2 + beta log2 G), C = 6 Na D, A = K/E, "
        "1/Ah = 1/(A + 1/(1/A_start - 1/A_max)) + 1/A_max",
    .quantity = LQ_LAW_LEVERAGE,
    .needs = VARIABLES,
    .moves = VARIABLES,
    .optional = LQ_LAW_BIT(LQ_LAW_ACTIVE_EXPERTS) | LQ_LAW_BIT(LQ_LAW_ACTIVE_PARAMETERS),
    .coefficients = 6,
    .coefficient = {LQ_NEAR("a", LQ_SCALE_LINEAR, -10.0, 10.0, 0.0),
                    LQ_NEAR("d", LQ_SCALE_LINEAR, -2.0, 2.0, 0.0),
                    LQ_NEAR("gamma", LQ_SCALE_LINEAR, -2.0, 2.0, 0.0),
                    LQ_NEAR("beta", LQ_SCALE_LINEAR, -2.0, 2.0, 0.0),
                    {"A_start", LQ_SCALE_LOG, -12.0, 0.0, -6.0, 1.5, 3},
                    {"A_max", LQ_SCALE_ABOVE, -2.0, 45.0, 1.0, 10.0, 2}},
    .value = value,
    .gradient = gradient,
};

static const struct lq_law LAWS[] = {
    {.id = "tian2025",
     .form = &FORM,
     .status = LQ_LAW_PUBLISHED,
     .source = "Tian et al. 2025, arXiv 2507.17702; constants from one implementation",
     .note =
         "An efficiency leverage, not a loss. The base of log G is not stated where it could be "
         "read; base 2 is inferred: it puts the optimum at 11.3, within the claimed 8-12.",
     .meaning = LQ_N_ACTIVE,
     .embeddings = LQ_EMBEDDINGS_OUT,
     .flop = LQ_FLOP_ACTIVE,
     .range = {.source = "not known"},
     .family = {2.0 / 3.0, 1.0, 1.0, 0.0},
     .coefficient = {1.23, -0.0761, 0.0167, -0.117, 0.0163, 5.28e16}},
};

/* The allocation of the same source: M = 0.0655 C^0.5422, D = 15.2582 C^0.4578 for dense models,
 * M = 0.1915 C^0.5095, D = 5.2232 C^0.4905 for mixtures. */
struct lq_tian2025_allocation lq_tian2025_allocate(double budget_flop, bool mixture)
{
    return mixture ? (struct lq_tian2025_allocation){0.1915 * pow(budget_flop, 0.5095),
                                                     5.2232 * pow(budget_flop, 0.4905)}
                   : (struct lq_tian2025_allocation){0.0655 * pow(budget_flop, 0.5422),
                                                     15.2582 * pow(budget_flop, 0.4578)};
}

static const struct lq_law_form *const FORMS[] = {&FORM};

const struct lq_law_shelf LQ_SHELF_TIAN2025 = {FORMS, 1, LAWS, sizeof LAWS / sizeof *LAWS};
