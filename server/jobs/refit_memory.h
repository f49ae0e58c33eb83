/* Makes fits of the memory model's activation factor. */
#pragma once

#include "core/finetune/fit.h"
#include "server/store/catalog.h"

/* Calls `add` with one fit for every model, method and stack with largest batches or peaks in the
 * catalog, over all its GPUs. `hash` names the evidence. False when out of memory. */
bool lq_refit_memory(const struct lq_catalog *catalog,
                     void (*add)(void *context, const struct lq_fit *fit, uint64_t hash),
                     void *context);
