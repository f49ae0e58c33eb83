/* Order and equality of what identifies a measurement. */
#include "core/finetune/point.h"

#include <stdio.h>
#include <string.h>

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_methods(const struct lq_method *a, const struct lq_method *b)
{
    const int orders[] = {compare((int64_t)a->kind, (int64_t)b->kind), compare(a->rank, b->rank),
                          compare(a->targets, b->targets),
                          compare((int64_t)a->quantization, (int64_t)b->quantization),
                          compare(a->train_embeddings, b->train_embeddings)};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (orders[i] != 0) {
            return orders[i];
        }
    }
    return 0;
}

int lq_identity_compare(const struct lq_identity *a, const struct lq_identity *b)
{
    int order = strcmp(a->model, b->model);
    order = order != 0 ? order : strcmp(a->gpu, b->gpu);
    order = order != 0 ? order : strcmp(a->stack, b->stack);
    order = order != 0 ? order : compare_methods(&a->method, &b->method);
    order = order != 0 ? order : compare(a->gpu_count, b->gpu_count);
    order = order != 0 ? order : compare((int64_t)a->precision, (int64_t)b->precision);
    order = order != 0 ? order : compare((int64_t)a->optimizer, (int64_t)b->optimizer);
    order = order != 0 ? order : compare((int64_t)a->checkpointing, (int64_t)b->checkpointing);
    order = order != 0 ? order : compare((int64_t)a->attention, (int64_t)b->attention);
    order = order != 0 ? order : compare(a->master_weights, b->master_weights);
    order = order != 0 ? order : compare(a->options, b->options);
    return order != 0 ? order : lq_layout_compare(&a->layout, &b->layout);
}

bool lq_identity_equal(const struct lq_identity *a, const struct lq_identity *b)
{
    return lq_identity_compare(a, b) == 0;
}

void lq_conditions_data(const struct lq_conditions *conditions, char name[LQ_ID_MAX])
{
    if (conditions->sequence_tokens > 0) {
        snprintf(name, LQ_ID_MAX, "fixed-%lld", (long long)conditions->sequence_tokens);
    } else {
        snprintf(name, LQ_ID_MAX, "%s", conditions->lengths);
    }
}

bool lq_point_counts(const struct lq_point *point)
{
    const bool doubtful = point->implausible || point->outlier;
    return !point->excluded && (!doubtful || point->confirmed_at[0] != '\0');
}
