/* The two halves of a memory count: what tokens take, and what weights take. For memory.c alone. */
#pragma once

#include "core/finetune/memory.h"

/* The layout that the job names, or one device. */
const struct lq_layout *lq_memory_layout(const struct lq_memory_job *job);

/* The largest share of the layers that one pipeline stage holds. */
double lq_memory_stage_share(const struct lq_memory_job *job);

/* Sets the members of `memory` that are counted by token. */
void lq_memory_count_tokens(const struct lq_memory_job *job, struct lq_memory *memory);

/* Sets weights, adapters, gradients, optimizer states and what is gathered of them. */
void lq_memory_count_state(const struct lq_memory_job *job, struct lq_memory *memory);
