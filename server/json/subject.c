/* Decodes what quotes are about. What belongs to one kind of quote alone stands in its own file. */
#include "server/json/subject.h"

#include "server/json/member.h"
#include "server/json/model_config.h"

#include <stdio.h>
#include <string.h>

enum { MEANT_MAX = 200, MEANT_COUNT = 4 };

/* "; did you mean A, B" of up to four ids, or nothing. */
static void list_meant(const char *(*like)(const void *context, const char *text, size_t k),
                       const void *context, const char *text, char out[MEANT_MAX])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t k = 0; like != NULL && k < MEANT_COUNT; k++) {
        const char *id = like(context, text, k);
        if (id == NULL || used + strlen(id) + sizeof "; did you mean " >= MEANT_MAX) {
            return;
        }
        used += (size_t)snprintf(out + used, MEANT_MAX - used, "%s%s",
                                 k == 0 ? "; did you mean " : ", ", id);
    }
}

const struct lq_model *lq_subject_model(const json_t *value, const char *pointer,
                                        const struct lq_lookup *lookup,
                                        struct lq_model *inline_model, struct lq_faults *faults)
{
    if (json_is_object(value)) {
        const enum lq_code code =
            lq_model_decode_json(LQ_INLINE_MODEL, value, pointer, inline_model, faults);
        return code == LQ_OK ? inline_model : NULL;
    }
    const char *id = json_string_value(value);
    if (id == NULL) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be a catalog id or a config.json object");
        return NULL;
    }
    const struct lq_model *model = lookup->model(lookup->context, id);
    if (model == NULL) {
        char meant[MEANT_MAX];
        list_meant(lookup->model_like, lookup->context, id, meant);
        lq_faults_add(faults, LQ_EREFERENCE, pointer,
                      "no model \"%.60s\"%s; GET /v1/models lists them, or give its config.json",
                      id, meant);
    }
    return model;
}

const struct lq_gpu *lq_subject_gpu(const char *id, const char *pointer,
                                    const struct lq_lookup *lookup, struct lq_faults *faults)
{
    const struct lq_gpu *gpu = lookup->gpu(lookup->context, id);
    if (gpu == NULL) {
        char meant[MEANT_MAX];
        list_meant(lookup->gpu_like, lookup->context, id, meant);
        lq_faults_add(faults, LQ_EREFERENCE, pointer, "no GPU \"%.60s\"%s; GET /v1/gpus lists them",
                      id, meant);
    }
    return gpu;
}

static void decode_providers(const json_t *value, const char *pointer,
                             const struct lq_lookup *lookup, struct lq_terms *out,
                             struct lq_faults *faults)
{
    char at[LQ_POINTER_MAX];
    if (!json_is_array(value) || json_array_size(value) == 0 ||
        json_array_size(value) > LQ_PROVIDERS_MAX) {
        snprintf(at, sizeof at, "%s/providers", pointer);
        lq_faults_add(faults, LQ_EFIELD, at, "must be a list of 1..%d provider ids",
                      LQ_PROVIDERS_MAX);
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        snprintf(at, sizeof at, "%s/providers/%zu", pointer, i);
        const char *id = json_string_value(item);
        if (id == NULL) {
            lq_faults_add(faults, LQ_EFIELD, at, "must be a provider id");
            continue;
        }
        const char *provider = lookup->provider(lookup->context, id);
        if (provider == NULL) {
            lq_faults_add(faults, LQ_EREFERENCE, at,
                          "no provider \"%.60s\"; GET /v1/providers lists them", id);
            continue;
        }
        out->providers[out->provider_count++] = provider;
    }
}

void lq_subject_terms(const json_t *providers, double usd_per_gpu_hour, const char *pointer,
                      const struct lq_lookup *lookup, struct lq_terms *out,
                      struct lq_faults *faults)
{
    if (providers != NULL) {
        decode_providers(providers, pointer, lookup, out, faults);
    }
    out->usd_per_gpu_hour = usd_per_gpu_hour;
    if (providers != NULL && usd_per_gpu_hour > 0.0) {
        char at[LQ_POINTER_MAX];
        snprintf(at, sizeof at, "%s/usd_per_gpu_hour", pointer);
        lq_faults_add(faults, LQ_EFIELD, at, "goes without providers: give one or the other");
    }
}

void lq_terms_encode(const struct lq_terms *terms, json_t *object)
{
    json_t *list = json_null();
    if (terms->provider_count > 0) {
        list = json_array();
    }
    for (size_t i = 0; i < terms->provider_count; i++) {
        json_array_append_new(list, json_string(terms->providers[i]));
    }
    json_object_set_new(object, "providers", list);
    json_object_set_new(object, "usd_per_gpu_hour", lq_number_or_null(terms->usd_per_gpu_hour));
}
