/* clark2022: loss of routed models by size and experts at a fixed number of tokens (arXiv
 * 2202.01169), for its three routers. */
#include "core/planning/law_experts.h"
#include "core/planning/law_forms.h"

#include <math.h>

/* log10 L = a x + b y + c x y + d, x = log10 N, y = log10 Eh. */
enum { A, B, C, D, E_START, E_MAX };

static const double LN_10 = 2.302585092994046;

static double value(const double *c, const struct lq_law_point *p)
{
    const double x = log10(p->parameters);
    const double y = lq_effective_experts_log(p->experts, c[E_START], c[E_MAX]) / LN_10;
    return exp(LN_10 * (c[A] * x + c[B] * y + c[C] * x * y + c[D]));
}

static double gradient(const double *c, const struct lq_law_point *p, double *out)
{
    const struct lq_effective_experts e = lq_effective_experts(p->experts, c[E_START], c[E_MAX]);
    const double x = log10(p->parameters);
    const double y = e.log / LN_10;
    out[A] = LN_10 * x;
    out[B] = LN_10 * y;
    out[C] = LN_10 * x * y;
    out[D] = LN_10;
    out[E_START] = (c[B] + c[C] * x) * e.by_start;
    out[E_MAX] = (c[B] + c[C] * x) * e.by_max;
    return LN_10 * (c[A] * x + c[B] * y + c[C] * x * y + c[D]);
}

static const struct lq_law_form FORM = {
    .name = "clark2022",
    .formula = "log10 L = a x + b y + c x y + d, x = log10 N, y = log10 Eh, "
               "1/Eh = 1/(E - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max",
    .needs = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_EXPERTS),
    .moves = LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_EXPERTS),
    .coefficients = 6,
    .coefficient = {{"a", LQ_SCALE_LINEAR, -2.0, 2.0, -0.2, 0.1, 3},
                    {"b", LQ_SCALE_LINEAR, -5.0, 5.0, -0.2, 0.1, 3},
                    LQ_NEAR("c", LQ_SCALE_LINEAR, -1.0, 1.0, 0.0),
                    {"d", LQ_SCALE_LINEAR, -5.0, 5.0, 0.0, 1.0, 3},
                    {"E_start", LQ_SCALE_LOG, 0.0, 7.0, 0.5, 1.0, 2},
                    {"E_max", LQ_SCALE_ABOVE, 0.0, 14.0, 4.0, 2.0, 2}},
    .value = value,
    .gradient = gradient,
};

/* Base 10 was confirmed against the paper's figures. */
#define ROUTED                                                                                     \
    .form = &FORM, .status = LQ_LAW_PUBLISHED, .meaning = LQ_N_DENSE_EQUIVALENT,                   \
    .source = "Clark et al. 2022, arXiv 2202.01169, Table 3; read in secondary sources",           \
    .note = "Three printed digits are too coarse for the cut-off 10^(-b/c).",                      \
    .embeddings = LQ_EMBEDDINGS_NOT_STATED, .flop = LQ_FLOP_DENSE_EQUIVALENT,                      \
    .tokens_fixed = 130e9, .family = {1.0 / 3.0, 1.0, 1.0, 0.0},                                   \
    .range = {{15e6, 1.3e9}, {130e9, 130e9}, {1.0, 512.0}, {0.0, 0.0}, "runs of arXiv 2202.01169"}

static const struct lq_law LAWS[] = {
    {.id = "clark2022-s-base",
     ROUTED,
     .coefficient = {-0.082, -0.108, 0.009, 1.104, 1.847, 314.478}},
    {.id = "clark2022-rl-r", ROUTED, .coefficient = {-0.083, -0.126, 0.012, 1.111, 1.880, 469.982}},
    {.id = "clark2022-hash", ROUTED, .coefficient = {-0.087, -0.136, 0.012, 1.157, 4.175, 477.741}},
};

static const struct lq_law_form *const FORMS[] = {&FORM};

const struct lq_law_shelf LQ_SHELF_CLARK2022 = {FORMS, 1, LAWS, sizeof LAWS / sizeof *LAWS};
