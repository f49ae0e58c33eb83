/* Equality of what identifies a measurement. */
#include "core/finetune/point.h"

#include <string.h>

static bool method_equal(const struct lq_method *a, const struct lq_method *b)
{
    return a->kind == b->kind && a->rank == b->rank && a->targets == b->targets &&
           a->quantization == b->quantization && a->train_embeddings == b->train_embeddings;
}

bool lq_identity_equal(const struct lq_identity *a, const struct lq_identity *b)
{
    return strcmp(a->model, b->model) == 0 && strcmp(a->gpu, b->gpu) == 0 &&
           strcmp(a->stack, b->stack) == 0 && a->gpu_count == b->gpu_count &&
           method_equal(&a->method, &b->method) && a->precision == b->precision &&
           a->optimizer == b->optimizer && a->checkpointing == b->checkpointing;
}
