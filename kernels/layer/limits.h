/* What the operations of kernels/backend.h can take, as limits of models and jobs: checked before
 * anything is opened, so that no input reaches an operation that cannot do it. */
#pragma once

#include "kernels/layer/layer.h"

/* Whether every kind of layer can be trained: heads of a size up to 1,024, up to
 * 1,024 experts, convolutions of up to 16 taps, up to 256 states.
 * Errors: LQ_EIMPOSSIBLE, naming the layer kind and what is beyond. */
LQ_MUST_USE enum lq_code lq_layer_check_model(const struct lq_model *model, struct lq_error *err);

/* Whether a step of so many rows can be held in indices of 31 bits: rows * tokens, times the active
 * experts. Errors: LQ_ENOFIT. */
LQ_MUST_USE enum lq_code lq_layer_check_job(const struct lq_layer_job *job, struct lq_error *err);
