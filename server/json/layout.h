/* How a job is spread and trained, as jobs and calibrations spell it: layouts, expert loads and
 * trainer options. */
#pragma once

#include "core/arch/expert_load.h"
#include "core/arch/layout.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Decodes a layout object standing at `pointer`. Sizes left out are 1, `data` what the others leave
 * of `gpu_count`, `nodes` as few as hold the devices. Whether it goes together is not looked at.
 * False with faults where it cannot be read. */
bool lq_layout_decode(const json_t *value, const char *pointer, int64_t gpu_count,
                      int64_t node_gpu_count, struct lq_layout *out, struct lq_faults *faults);

/* A layout as a new object; `zero_group` only where it is not all ranks. */
json_t *lq_layout_encode(const struct lq_layout *layout);

/* Decodes `expert_load`: the tokens or share of each of `experts`, or {"variance": v}. */
bool lq_expert_load_decode(const json_t *value, const char *pointer, int64_t experts,
                           struct lq_expert_load *out, struct lq_faults *faults);

/* The load as jobs spell it, as a new value; null for NULL. */
json_t *lq_expert_load_encode(const struct lq_expert_load *load);

/* Decodes `optimizations`, a list of option names, into a bit mask of lq_option. */
bool lq_options_decode(const json_t *value, const char *pointer, uint32_t *out,
                       struct lq_faults *faults);

/* The options' names as a new list. */
json_t *lq_options_encode(uint32_t options);
