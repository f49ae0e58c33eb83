/* An identity, and ways to be another one. */
#pragma once

#include "core/finetune/point.h"

/* LoRA of model "m" on one GPU "g", stack "s". */
struct lq_identity identity(void);

/* Each part of an identity, as `change` numbers them; the first MEMORY_PARTS are what a memory fit
 * is told apart by. */
enum { CHANGES = 14, MEMORY_PARTS = 10 };

/* Makes one part of an identity another. */
void change(struct lq_identity *id, int part);
