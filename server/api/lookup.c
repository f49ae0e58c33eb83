/* Answers decoders' questions from a catalog snapshot. */
#include "server/api/lookup.h"

#include "core/finetune/efficiency.h"

#include <ctype.h>
#include <string.h>
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

enum { PLAIN_MAX = 128 };

/* Letters and digits alone, in lower case, behind the last '/': "meta-llama/Llama-3.1-8B" and
 * "llama3.1-8b" are alike. */
static void plain(const char *text, char out[PLAIN_MAX])
{
    const char *slash = strrchr(text, '/');
    size_t n = 0;
    for (const char *c = slash != NULL ? slash + 1 : text; *c != '\0' && n + 1 < PLAIN_MAX; c++) {
        if (isalnum((unsigned char)*c)) {
            out[n++] = (char)tolower((unsigned char)*c);
        }
    }
    out[n] = '\0';
}

/* Whether one plain text contains the other; texts under three letters are like nothing. */
static bool is_like(const char *id, const char *asked)
{
    char plain_id[PLAIN_MAX];
    plain(id, plain_id);
    return strlen(asked) > 2 &&
           (strstr(plain_id, asked) != NULL || strstr(asked, plain_id) != NULL);
}

static const char *model_like(const void *context, const char *text, size_t k)
{
    const struct lq_catalog *catalog = context;
    char asked[PLAIN_MAX];
    plain(text, asked);
    for (size_t i = 0; i < catalog->model_count; i++) {
        if (is_like(catalog->models[i].model.id, asked) && k-- == 0) {
            return catalog->models[i].model.id;
        }
    }
    return NULL;
}

static const char *gpu_like(const void *context, const char *text, size_t k)
{
    const struct lq_catalog *catalog = context;
    char asked[PLAIN_MAX];
    plain(text, asked);
    for (size_t i = 0; i < catalog->gpu_count; i++) {
        if (is_like(catalog->gpus[i].gpu.id, asked) && k-- == 0) {
            return catalog->gpus[i].gpu.id;
        }
    }
    return NULL;
}

struct lq_lookup lq_catalog_lookup(const struct lq_catalog *catalog)
{
    return (struct lq_lookup){.context = catalog,
                              .model = find_model,
                              .gpu = find_gpu,
                              .provider = find_provider,
                              .stack = find_stack,
                              .lengths = find_lengths,
                              .law = find_law,
                              .model_like = model_like,
                              .gpu_like = gpu_like};
}
