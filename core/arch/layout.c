/* Sizes of parallel groups and their consistency. What they cost stands in core/finetune. */
#include "core/arch/layout.h"

const struct lq_layout LQ_LAYOUT_SINGLE = {
    .data = 1, .tensor = 1, .pipeline = 1, .expert = 1, .context = 1, .nodes = 1};

int64_t lq_layout_gpus(const struct lq_layout *layout)
{
    return layout->data * layout->tensor * layout->pipeline * layout->context;
}

int64_t lq_layout_shards(const struct lq_layout *layout)
{
    return layout->zero_group > 0 ? layout->zero_group : layout->data * layout->context;
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

int lq_layout_compare(const struct lq_layout *a, const struct lq_layout *b)
{
    const int orders[] = {
        compare(a->data, b->data),         compare(a->tensor, b->tensor),
        compare(a->pipeline, b->pipeline), compare(a->expert, b->expert),
        compare(a->context, b->context),   compare(a->zero_stage, b->zero_stage),
        compare(a->nodes, b->nodes),       compare(lq_layout_shards(a), lq_layout_shards(b))};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (orders[i] != 0) {
            return orders[i];
        }
    }
    return 0;
}
