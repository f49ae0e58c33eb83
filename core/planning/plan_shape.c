/* Turns N into a shape. */
#include "core/planning/plan_shape.h"

#include <math.h>

/* LLaMA-7B: arXiv 2302.13971, Table 2 (2023). Its layers alone: 12 * 32 * 4096^2. */
static const double LLAMA_7B_LAYERS_PARAMETERS = 6442450944.0;
static const double LLAMA_7B_HIDDEN = 4096.0;
static const double HEAD = 128.0;
static const double SMALL_HEAD = 64.0;
static const double SMALL_PARAMETERS = 2e8;

static double nearest_multiple(double x, double unit)
{
    return fmax(round(x / unit), 1.0) * unit;
}

/* Layers come in groups of which one is MoE, so that every group is alike. */
static double group_size(const struct lq_plan_proportions *p)
{
    const double share = p->moe_layer_share;
    return p->experts > 1.0 && share > 0.0 && share < 1.0 ? fmax(round(1.0 / share), 1.0) : 1.0;
}

struct lq_plan_shape lq_plan_shape_of(double parameters, const struct lq_plan_proportions *p)
{
    const double unit = parameters < SMALL_PARAMETERS ? SMALL_HEAD : HEAD;
    const double hidden =
        nearest_multiple(LLAMA_7B_HIDDEN * cbrt(parameters / LLAMA_7B_LAYERS_PARAMETERS), unit);
    const double attention = 4.0 * hidden * hidden;
    const double share = fmin(p->mlp_share, 0.99);
    const double width = nearest_multiple(attention * share / (1.0 - share) / (3.0 * hidden), unit);
    const double mlp = 3.0 * hidden * width;
    const double group = group_size(p);
    const double layers = nearest_multiple(parameters / (attention + mlp), group);
    const double moe_layers = p->experts > 1.0 && p->moe_layer_share > 0.0 ? layers / group : 0.0;
    return (struct lq_plan_shape){
        .layers = (int64_t)layers,
        .moe_layers = (int64_t)moe_layers,
        .hidden_size = (int64_t)hidden,
        .intermediate_size = (int64_t)width,
        .heads = (int64_t)(hidden / unit),
        .head_size = (int64_t)unit,
        .experts = (int64_t)p->experts,
        .parameters = layers * (attention + mlp),
        .total_parameters = layers * (attention + mlp) + moe_layers * (p->experts - 1.0) * mlp,
    };
}
