/* Tells the kinds of parallelism of a layout. Which stack offers which stands in
 * core/finetune/efficiency.c. */
#include "core/arch/parallelism.h"

#include <stdio.h>

const char *const LQ_PARALLELISM_NAMES[] = {
    [LQ_PARALLELISM_DATA] = "data",
    [LQ_PARALLELISM_DATA_COMBINED] = "data-combined",
    [LQ_PARALLELISM_ZERO_1] = "zero-1",
    [LQ_PARALLELISM_ZERO_2] = "zero-2",
    [LQ_PARALLELISM_ZERO_3] = "zero-3",
    [LQ_PARALLELISM_HYBRID_1] = "hybrid-zero-1",
    [LQ_PARALLELISM_HYBRID_2] = "hybrid-zero-2",
    [LQ_PARALLELISM_HYBRID_3] = "hybrid-zero-3",
    [LQ_PARALLELISM_TENSOR] = "tensor",
    [LQ_PARALLELISM_PIPELINE] = "pipeline",
    [LQ_PARALLELISM_EXPERT] = "expert",
    [LQ_PARALLELISM_CONTEXT] = "context",
    [LQ_PARALLELISM_COUNT] = NULL,
};

/* How the ranks that see other rows (or other tokens of them) hold weights and states. */
static uint32_t data_kind(const struct lq_layout *layout)
{
    const int64_t ranks = layout->data * layout->context;
    const int64_t shards = lq_layout_shards(layout);
    if (ranks == 1) {
        return 0;
    }
    if (layout->zero_stage == 0 || shards == 1) {
        return layout->data == lq_layout_gpus(layout)
                   ? LQ_PARALLELISM_BIT(LQ_PARALLELISM_DATA)
                   : LQ_PARALLELISM_BIT(LQ_PARALLELISM_DATA_COMBINED);
    }
    const enum lq_parallelism first =
        shards < ranks ? LQ_PARALLELISM_HYBRID_1 : LQ_PARALLELISM_ZERO_1;
    return LQ_PARALLELISM_BIT((uint32_t)first + (uint32_t)layout->zero_stage - 1u);
}

uint32_t lq_layout_parallelism(const struct lq_layout *layout)
{
    const struct {
        enum lq_parallelism kind;
        int64_t ranks;
    } groups[] = {{LQ_PARALLELISM_TENSOR, layout->tensor},
                  {LQ_PARALLELISM_PIPELINE, layout->pipeline},
                  {LQ_PARALLELISM_EXPERT, layout->expert},
                  {LQ_PARALLELISM_CONTEXT, layout->context}};
    uint32_t kinds = data_kind(layout);
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        kinds |= groups[i].ranks > 1 ? LQ_PARALLELISM_BIT(groups[i].kind) : 0u;
    }
    return kinds;
}

void lq_parallelism_text(uint32_t kinds, char text[LQ_PARALLELISM_TEXT_MAX])
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < LQ_PARALLELISM_COUNT; i++) {
        if ((kinds & LQ_PARALLELISM_BIT(i)) != 0) {
            used += (size_t)snprintf(text + used, LQ_PARALLELISM_TEXT_MAX - used, "%s%s",
                                     used > 0 ? ", " : "", LQ_PARALLELISM_NAMES[i]);
        }
    }
}
