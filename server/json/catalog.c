/* Encodes models, GPUs and histograms of the catalog, and decodes the GPUs that people add. One
 * table names a GPU's figures in both directions. */
#include "server/json/catalog.h"

#include "server/json/field.h"
#include "server/json/layer_kind.h"
#include "server/json/member.h"

#include <math.h>
#include <stddef.h>

/* Beyond this a double no longer tells neighbouring integers apart. */
#define WHOLE_MAX 9007199254740992.0

static json_t *number(double value)
{
    bool whole = value == floor(value) && fabs(value) <= WHOLE_MAX;
    return whole ? json_integer((json_int_t)value) : json_real(value);
}

json_t *lq_quantity_encode(double quantity)
{
    return quantity != 0.0 ? number(quantity) : json_null();
}

static json_t *parameters_encode(const struct lq_parameters *parameters)
{
    json_t *object = json_object();
    json_object_set_new(object, "total", json_integer(parameters->total));
    json_object_set_new(object, "active", json_integer(parameters->active));
    json_object_set_new(object, "experts", json_integer(parameters->experts));
    json_object_set_new(object, "linear", json_integer(parameters->linear));
    json_object_set_new(object, "router", json_integer(parameters->router));
    json_object_set_new(object, "embedding", json_integer(parameters->embedding));
    json_object_set_new(object, "head", json_integer(parameters->head));
    json_object_set_new(object, "rest", json_integer(parameters->rest));
    return object;
}

/* A count that a model may not have: null for 0. */
static json_t *count_encode(int64_t count)
{
    return count != 0 ? json_integer(count) : json_null();
}

json_t *lq_model_encode(const struct lq_model *model, const struct lq_parameters *parameters)
{
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(model->id));
    json_object_set_new(object, "type", json_string(model->type));
    json_object_set_new(object, "total_parameters", json_integer(parameters->total));
    json_object_set_new(object, "active_parameters", json_integer(parameters->active));
    json_object_set_new(object, "parameters", parameters_encode(parameters));
    json_object_set_new(object, "layers", json_integer(lq_model_layers(model)));
    json_object_set_new(object, "hidden_size", json_integer(model->hidden_size));
    json_object_set_new(object, "vocab_size", json_integer(model->vocab_size));
    json_object_set_new(object, "tied_embeddings", json_boolean(model->tied_embeddings));
    json_object_set_new(object, "experts", count_encode(lq_model_experts(model)));
    json_object_set_new(object, "active_experts", count_encode(lq_model_active_experts(model)));
    json_object_set_new(object, "context_tokens", count_encode(model->context_tokens));
    json_object_set_new(object, "layer_kinds", lq_layer_kinds_encode(model));
    return object;
}

#define AT(member) offsetof(struct lq_gpu_document, member)
#define TEXT(member)                                                                               \
    LQ_FIELD_STRING, false, AT(member), sizeof((struct lq_gpu_document *)0)->member, 0, 0, NULL
#define NUMBER(needed, member, min, max) LQ_FIELD_NUMBER, needed, AT(member), 0, min, max, NULL

/* The ranges keep out figures in the wrong unit: GiB for bytes, TFLOP/s for FLOP/s. */
static const struct lq_field GPU_FIELDS[] = {
    {"id", LQ_FIELD_ID, false, AT(gpu.id), LQ_ID_MAX, 0, 0, NULL},
    {"vendor", TEXT(gpu.vendor)},
    {"architecture", TEXT(gpu.architecture)},
    {"compute_capability", TEXT(gpu.compute_capability)},
    {"memory_bytes", NUMBER(true, gpu.memory_bytes, 1e8, 1e15)},
    {"memory_is_reported", LQ_FIELD_BOOL, false, AT(gpu.memory_is_reported), 0, 0, 0, NULL},
    {"memory_nominal_bytes", NUMBER(false, gpu.memory_nominal_bytes, 1e8, 1e15)},
    {"memory_bandwidth_bytes_per_s", NUMBER(true, gpu.memory_bandwidth_bytes_per_s, 1e8, 1e17)},
    {"fp32_flop_per_s", NUMBER(false, gpu.fp32_flop_per_s, 1e9, 1e19)},
    {"tf32_flop_per_s", NUMBER(false, gpu.tf32_flop_per_s, 1e9, 1e19)},
    {"fp16_flop_per_s", NUMBER(true, gpu.fp16_flop_per_s, 1e9, 1e19)},
    {"fp8_flop_per_s", NUMBER(false, gpu.fp8_flop_per_s, 1e9, 1e19)},
    {"int8_op_per_s", NUMBER(false, gpu.int8_op_per_s, 1e9, 1e19)},
    {"fp4_flop_per_s", NUMBER(false, gpu.fp4_flop_per_s, 1e9, 1e19)},
    {"interconnect_bytes_per_s", NUMBER(false, gpu.interconnect_bytes_per_s, 1e6, 1e17)},
    {"pcie_generation", LQ_FIELD_COUNT, false, AT(gpu.pcie_generation), 0, 1, 20, NULL},
    {"sm_count", LQ_FIELD_COUNT, false, AT(gpu.sm_count), 0, 1, 1e6, NULL},
    {"tdp_w", NUMBER(false, gpu.tdp_w, 1, 1e6)},
    {"l2_bytes", NUMBER(false, gpu.l2_bytes, 1e3, 1e13)},
    {"boost_hz", NUMBER(false, gpu.boost_hz, 1e6, 1e12)},
    {"source", TEXT(source)},
};

enum {
    GPU_FIELD_COUNT = sizeof GPU_FIELDS / sizeof *GPU_FIELDS,
    GPU_FIGURE_COUNT = GPU_FIELD_COUNT - 1 /* the source belongs to the provenance */
};

static json_t *field_encode(const struct lq_field *field, const void *document)
{
    const void *at = (const char *)document + field->offset;
    switch (field->kind) {
    case LQ_FIELD_COUNT:
        return count_encode(*(const int64_t *)at);
    case LQ_FIELD_NUMBER:
        return lq_quantity_encode(*(const double *)at);
    case LQ_FIELD_STRING:
    case LQ_FIELD_ID:
        return lq_text_or_null(at);
    case LQ_FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case LQ_FIELD_NAME:
    case LQ_FIELD_JSON:
        break; /* no GPU has one */
    }
    return json_null();
}

json_t *lq_gpu_encode(const struct lq_gpu *gpu)
{
    const struct lq_gpu_document document = {.gpu = *gpu};
    json_t *object = json_object();
    for (size_t i = 0; i < GPU_FIGURE_COUNT; i++) {
        json_object_set_new(object, GPU_FIELDS[i].name, field_encode(&GPU_FIELDS[i], &document));
    }
    return object;
}

enum lq_code lq_gpu_decode(const json_t *document, struct lq_gpu_document *out,
                           struct lq_faults *faults)
{
    *out = (struct lq_gpu_document){.gpu = {.memory_is_reported = true}};
    LQ_TRY(lq_decode(document, "", GPU_FIELDS, GPU_FIELD_COUNT, out, faults));
    if (out->gpu.memory_nominal_bytes == 0.0) {
        out->gpu.memory_nominal_bytes = out->gpu.memory_bytes;
    }
    return LQ_OK;
}

json_t *lq_histogram_encode(const struct lq_length_bin *bins, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        if (bins[i].queries <= 0.0) {
            continue;
        }
        json_t *bin = json_array();
        json_array_append_new(bin, json_integer(bins[i].tokens));
        json_array_append_new(bin, number(bins[i].queries));
        json_array_append_new(array, bin);
    }
    return array;
}
