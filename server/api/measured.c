/* Looks for points that refer to a catalog entry. */
#include "server/api/measured.h"

#include <strings.h>

bool lq_model_is_measured(const struct lq_catalog *catalog, const char *id)
{
    for (size_t i = 0; i < catalog->point_count; i++) {
        if (strcasecmp(catalog->points[i].identity.model, id) == 0) {
            return true;
        }
    }
    return false;
}

bool lq_gpu_is_measured(const struct lq_catalog *catalog, const char *id)
{
    for (size_t i = 0; i < catalog->point_count; i++) {
        if (strcasecmp(catalog->points[i].identity.gpu, id) == 0) {
            return true;
        }
    }
    return false;
}

bool lq_model_was_another(const struct lq_catalog *catalog, const struct lq_model *model)
{
    const struct lq_model_entry *entry = lq_catalog_model(catalog, model->id);
    if (entry == NULL || entry->provenance.shipped || !lq_model_is_measured(catalog, model->id)) {
        return false;
    }
    const struct lq_parameters count = lq_model_parameters(model, 0);
    return entry->parameters.total != count.total || entry->parameters.active != count.active ||
           entry->model.hidden_size != model->hidden_size ||
           lq_model_layers(&entry->model) != lq_model_layers(model);
}

bool lq_gpu_was_another(const struct lq_catalog *catalog, const struct lq_gpu *gpu)
{
    const struct lq_gpu_entry *entry = lq_catalog_gpu(catalog, gpu->id);
    if (entry == NULL || entry->provenance.shipped || !lq_gpu_is_measured(catalog, gpu->id)) {
        return false;
    }
    const struct lq_gpu *was = &entry->gpu;
    const double pairs[][2] = {
        {was->memory_bytes, gpu->memory_bytes},
        {was->memory_bandwidth_bytes_per_s, gpu->memory_bandwidth_bytes_per_s},
        {was->fp32_flop_per_s, gpu->fp32_flop_per_s},
        {was->fp16_flop_per_s, gpu->fp16_flop_per_s},
        {was->fp8_flop_per_s, gpu->fp8_flop_per_s},
        {was->interconnect_bytes_per_s, gpu->interconnect_bytes_per_s},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i][0] != pairs[i][1]) {
            return true;
        }
    }
    return false;
}
