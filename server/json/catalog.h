/* Catalog documents that speak of core's types alone: a model's shape, a GPU, a histogram.
 * Quantities that are unknown are null, never 0. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/lengths.h"
#include "core/arch/model.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stddef.h>

/* A quantity in base units as a new value: null for 0 (unknown), an integer where it is whole. */
json_t *lq_quantity_encode(double quantity);

/* What follows from a model's config.json, as a new object: id, type, parameters, sizes, layers. */
json_t *lq_model_encode(const struct lq_model *model, const struct lq_parameters *parameters);

/* Every figure of a GPU under the names that lq_gpu_decode takes, as a new object. */
json_t *lq_gpu_encode(const struct lq_gpu *gpu);

struct lq_gpu_document {
    struct lq_gpu gpu;
    char source[256]; /* where the figures come from; "" = not said */
};

/* Decodes a GPU as somebody puts it. The id may be left out; memory, its bandwidth and the 16-bit
 * matrix rate may not. Errors: LQ_EFIELD, one fault per bad field. */
LQ_MUST_USE enum lq_code lq_gpu_decode(const json_t *document, struct lq_gpu_document *out,
                                       struct lq_faults *faults);

/* Bins as a new array of [tokens, queries]; empty ones are left out. */
json_t *lq_histogram_encode(const struct lq_length_bin *bins, size_t count);
