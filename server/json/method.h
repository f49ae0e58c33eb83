/* Methods and training settings as jobs and calibrations spell them. */
#pragma once

#include "core/arch/method.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>

/* Decodes a method: the name alone ("full", "lora", "qlora") or {"kind", "rank", "targets",
 * "quantization", "train_embeddings"}. LoRA defaults to rank 16 on all-linear, QLoRA to nf4-dq.
 * Faults stand below `pointer`. */
bool lq_method_decode(const json_t *value, const char *pointer, struct lq_method *out,
                      struct lq_faults *faults);

/* LoRA of rank 16 on all-linear: what a job without a method means. */
struct lq_method lq_method_default(void);

/* The method as a new object; targets by group where a group is complete. */
json_t *lq_method_encode(const struct lq_method *method);

/* Decodes gradient_checkpointing: true, false or "selective". */
bool lq_checkpointing_decode(const json_t *value, const char *pointer, enum lq_checkpointing *out,
                             struct lq_faults *faults);
json_t *lq_checkpointing_encode(enum lq_checkpointing checkpointing);
