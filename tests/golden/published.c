/* See published.h. */
#include "tests/golden/published.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *item;
    enum published_part part;
} PARTS[] = {
    {"forward", PART_FORWARD},
    {"backward", PART_BACKWARD},
    {"optimizer", PART_OPTIMIZER},
    {"attention", PART_ATTENTION},
    {"mamba", PART_MAMBA},
    {"input_norm", PART_NORM},
    {"post_attention_norm", PART_NORM},
    {"rms_layernorm", PART_NORM},
    {"moe", PART_MOE},
    {"matmul(router)", PART_ROUTER},
    {"router_dequant", PART_ROUTER},
    {"softmax", PART_ROUTER},
    {"sigmoid", PART_ROUTER},
    {"topk", PART_ROUTER},
    {"top_k", PART_ROUTER},
    {"matmul(w1)", PART_EXPERT_MATMUL},
    {"matmul(w2)", PART_EXPERT_MATMUL},
    {"matmul(w3)", PART_EXPERT_MATMUL},
    {"w1_dequant", PART_EXPERT_DEQUANTIZATION},
    {"w2_dequant", PART_EXPERT_DEQUANTIZATION},
    {"w3_dequant", PART_EXPERT_DEQUANTIZATION},
    {"gelu", PART_EXPERT_ACTIVATION},
    {"elementwise_mult", PART_EXPERT_ACTIVATION},
};

static enum published_part part_of(const char *item)
{
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        if (strcmp(PARTS[i].item, item) == 0) {
            return PARTS[i].part;
        }
    }
    fprintf(stderr, "no part of the step is called %s\n", item);
    abort();
}

static size_t append_bar(const struct lq_profile *bar, struct published_share *out, size_t room)
{
    const double total = lq_profile_total(bar);
    size_t n = 0;
    for (size_t i = 0; i < bar->count && n < room; i++) {
        const struct lq_profile_item *item = &bar->items[i];
        out[n++] = (struct published_share){
            .figure = bar->figure,
            .model = bar->model,
            .active_experts = bar->active_experts,
            .batch = bar->batch_size,
            .sequence = bar->sequence_tokens,
            .item = item->name,
            .part = part_of(item->name),
            .seconds = item->value,
            .share = item->value / total,
        };
    }
    return n;
}

size_t published_shares(const struct lq_catalog *catalog, const char *figure,
                        struct published_share *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < catalog->published.profile_count; i++) {
        const struct lq_profile *bar = &catalog->published.profiles[i];
        if (strcmp(bar->metric, "time") == 0 &&
            (figure == NULL || strcmp(bar->figure, figure) == 0)) {
            n += append_bar(bar, out + n, room - n);
        }
    }
    return n;
}

double published_part_share(const struct published_share *shares, size_t n,
                            const struct published_share *of, enum published_part part)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        const struct published_share *s = &shares[i];
        if (s->part == part && strcmp(s->figure, of->figure) == 0 &&
            strcmp(s->model, of->model) == 0 && s->active_experts == of->active_experts &&
            s->batch == of->batch) {
            sum += s->share;
        }
    }
    return sum;
}
