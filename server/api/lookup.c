/* Answers decoders' questions from a catalog snapshot. */
#include "server/api/lookup.h"

#include "core/finetune/efficiency.h"

#include <strings.h>

static const struct lq_model *find_model(const void *context, const char *id)
{
    const struct lq_model_entry *entry = lq_catalog_model(context, id);
    return entry != NULL ? &entry->model : NULL;
}

static const struct lq_gpu *find_gpu(const void *context, const char *id)
{
    const struct lq_gpu_entry *entry = lq_catalog_gpu(context, id);
    return entry != NULL ? &entry->gpu : NULL;
}

static const char *find_provider(const void *context, const char *id)
{
    const struct lq_provider *provider = lq_catalog_provider(context, id);
    return provider != NULL ? provider->id : NULL;
}

/* A stack is known from the table of constants or from a point that was measured on it. */
static const char *find_stack(const void *context, const char *id)
{
    for (size_t i = 0; i < LQ_STACK_COUNT; i++) {
        if (strcasecmp(LQ_STACKS[i].id, id) == 0) {
            return LQ_STACKS[i].id;
        }
    }
    const struct lq_catalog *catalog = context;
    for (size_t i = 0; i < catalog->point_count; i++) {
        if (strcasecmp(catalog->points[i].identity.stack, id) == 0) {
            return catalog->points[i].identity.stack;
        }
    }
    return NULL;
}

static bool find_lengths(const void *context, const char *id, struct lq_named_lengths *out)
{
    const struct lq_dataset *dataset = lq_catalog_dataset(context, id);
    if (dataset == NULL) {
        return false;
    }
    *out = (struct lq_named_lengths){dataset->id, dataset->bins, dataset->count, dataset->queries};
    return true;
}

static const struct lq_law *find_law(const void *context, const char *id)
{
    const struct lq_law *shipped = lq_law_find(id);
    const struct lq_law_entry *entry = shipped == NULL ? lq_catalog_law(context, id) : NULL;
    return entry != NULL ? &entry->law : shipped;
}

struct lq_lookup lq_catalog_lookup(const struct lq_catalog *catalog)
{
    return (struct lq_lookup){catalog,    find_model,   find_gpu, find_provider,
                              find_stack, find_lengths, find_law};
}
