/* Look-ups in a snapshot. How one is filled from the database stands in load_*.c. */
#include "server/store/catalog.h"

#include "server/store/snapshot.h"

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

int lq_id_compare(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) - lower(*b);
}

/* The id of entry i of a list. */
typedef const char *(*id_of)(const void *list, size_t i);

/* The first of `count` entries whose id is not below `id`. */
static size_t lower_bound(const void *list, size_t count, id_of get_id, const char *id)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (lq_id_compare(get_id(list, middle), id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The index of the entry with that id, or `count`. */
static size_t find(const void *list, size_t count, id_of get_id, const char *id)
{
    size_t i = lower_bound(list, count, get_id, id);
    return i < count && lq_id_compare(get_id(list, i), id) == 0 ? i : count;
}

static const char *model_id(const void *list, size_t i)
{
    return ((const struct lq_model_entry *)list)[i].model.id;
}

static const char *gpu_id(const void *list, size_t i)
{
    return ((const struct lq_gpu_entry *)list)[i].gpu.id;
}

static const char *provider_id(const void *list, size_t i)
{
    return ((const struct lq_provider *)list)[i].id;
}

static const char *dataset_id(const void *list, size_t i)
{
    return ((const struct lq_dataset *)list)[i].id;
}

static const char *law_id(const void *list, size_t i)
{
    return ((const struct lq_law_entry *)list)[i].law.id;
}

static const char *price_gpu(const void *list, size_t i)
{
    return ((const struct lq_price *)list)[i].gpu;
}

const struct lq_model_entry *lq_catalog_model(const struct lq_catalog *catalog, const char *id)
{
    size_t i = find(catalog->models, catalog->model_count, model_id, id);
    return i < catalog->model_count ? &catalog->models[i] : NULL;
}

const struct lq_gpu_entry *lq_catalog_gpu(const struct lq_catalog *catalog, const char *id)
{
    size_t i = find(catalog->gpus, catalog->gpu_count, gpu_id, id);
    return i < catalog->gpu_count ? &catalog->gpus[i] : NULL;
}

const struct lq_provider *lq_catalog_provider(const struct lq_catalog *catalog, const char *id)
{
    size_t i = find(catalog->providers, catalog->provider_count, provider_id, id);
    return i < catalog->provider_count ? &catalog->providers[i] : NULL;
}

const struct lq_dataset *lq_catalog_dataset(const struct lq_catalog *catalog, const char *id)
{
    size_t i = find(catalog->datasets, catalog->dataset_count, dataset_id, id);
    return i < catalog->dataset_count ? &catalog->datasets[i] : NULL;
}

const struct lq_law_entry *lq_catalog_law(const struct lq_catalog *catalog, const char *id)
{
    size_t i = find(catalog->laws, catalog->law_count, law_id, id);
    return i < catalog->law_count ? &catalog->laws[i] : NULL;
}

static const char *measured_model_id(const void *list, size_t i)
{
    return ((const struct lq_model *)list)[i].id;
}

static const char *measured_gpu_id(const void *list, size_t i)
{
    return ((const struct lq_gpu *)list)[i].id;
}

const struct lq_model *lq_catalog_any_model(const struct lq_catalog *catalog, const char *id)
{
    const struct lq_model_entry *entry = lq_catalog_model(catalog, id);
    if (entry != NULL) {
        return &entry->model;
    }
    size_t i = find(catalog->measured_models, catalog->measured_model_count, measured_model_id, id);
    return i < catalog->measured_model_count ? &catalog->measured_models[i] : NULL;
}

const struct lq_gpu *lq_catalog_any_gpu(const struct lq_catalog *catalog, const char *id)
{
    const struct lq_gpu_entry *entry = lq_catalog_gpu(catalog, id);
    if (entry != NULL) {
        return &entry->gpu;
    }
    size_t i = find(catalog->measured_gpus, catalog->measured_gpu_count, measured_gpu_id, id);
    return i < catalog->measured_gpu_count ? &catalog->measured_gpus[i] : NULL;
}

const struct lq_price *lq_catalog_prices(const struct lq_catalog *catalog, const char *gpu,
                                         size_t *count)
{
    size_t first = lower_bound(catalog->prices, catalog->price_count, price_gpu, gpu);
    size_t end = first;
    while (end < catalog->price_count && lq_id_compare(catalog->prices[end].gpu, gpu) == 0) {
        end++;
    }
    *count = end - first;
    return catalog->prices + first;
}
