/* Between the parts of counting work. */
#pragma once

#include "core/finetune/work.h"

/* One optimizer step: reads and writes the trained weights, reads the gradients, reads and writes
 * the states; sharded by ZeRO. Fused and quantised optimizers touch every element once.
 * calls_per_tensor: what the host issues for each trained tensor. */
struct lq_work lq_work_optimizer(const struct lq_work_job *job, double calls_per_tensor);
