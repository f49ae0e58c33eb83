/* Own catalog entries that calibrations refer to: what was measured must not become something else
 * under the same id. */
#pragma once

#include "server/store/catalog.h"

#include <stdbool.h>

/* Whether a posted point was measured on this model or GPU. */
bool lq_model_is_measured(const struct lq_catalog *catalog, const char *id);
bool lq_gpu_is_measured(const struct lq_catalog *catalog, const char *id);

/* Whether points refer to an own entry of that id and `model` differs from the stored one in size
 * or shape, or `gpu` from the stored one in capacity or rates. */
bool lq_model_was_another(const struct lq_catalog *catalog, const struct lq_model *model);
bool lq_gpu_was_another(const struct lq_catalog *catalog, const struct lq_gpu *gpu);
