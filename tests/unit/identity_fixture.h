/* An identity, and ways to be another one. */
#pragma once

#include "core/finetune/point.h"

/* LoRA of model "m" on one GPU "g", stack "s". */
struct lq_identity identity(void);

/* Parts of an identity, as `change` numbers them. */
enum { CHANGES = 14 };

/* Makes one part of an identity another. */
void change(struct lq_identity *id, int part);
