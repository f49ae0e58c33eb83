/* The layers of a model, as its config.json was read. */
#pragma once

#include "core/arch/model.h"

#include <jansson.h>

/* A new array with an object for each kind of layers: count, mixer, ffn, norm_parameters; sizes in
 * elements, only those that the kind has. */
json_t *lq_layer_kinds_encode(const struct lq_model *model);
