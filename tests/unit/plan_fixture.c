/* The catalog's A100-40GB-SXM, and the paper's traffic. */
#include "tests/unit/plan_fixture.h"

#include "core/base/units.h"

static const struct lq_gpu GPU = {.id = "A100-40GB-SXM",
                                  .memory_bytes = 40960.0 * LQ_MIB,
                                  .memory_bandwidth_bytes_per_s = 1555e9,
                                  .fp32_flop_per_s = 19.5e12,
                                  .fp16_flop_per_s = 312e12,
                                  .interconnect_bytes_per_s = 600e9,
                                  .pcie_generation = 4};
static const struct lq_request_kind CHAT = {161.0, 338.0, 1.0};
static const double EXPERTS[] = {1, 2, 4, 8, 16, 32, 64};

struct lq_plan_question plan_question(const char *law)
{
    const struct lq_law *found = lq_law_find(law);
    const bool halved = found->family.expert_share == LQ_MOE_MLP_SHARE * LQ_MOE_LAYER_SHARE;
    const double layers = halved ? LQ_MOE_LAYER_SHARE : 1.0;
    return (struct lq_plan_question){
        .law = found,
        .family = &found->family,
        .mlp_share = found->family.expert_share / layers,
        .moe_layer_share = layers,
        .budget_flop = 5.15e21,
        .base_experts = 4.0,
        .experts = EXPERTS,
        .expert_count = sizeof EXPERTS / sizeof EXPERTS[0],
        .serving = {&GPU, lq_serving_stack_find("roofline"), 256, false},
        .format = {.precision = LQ_PRECISION_BF16},
        .traffic = {.kinds = &CHAT, .count = 1},
        .max_serving_gpu_count = 8,
        .train_flop_per_s = 0.4 * 312e12,
    };
}
