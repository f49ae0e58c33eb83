/* The largest sizes a model may have: what decoding accepts and lq_model_check enforces, so that no
 * product of two of them and no parameter count leaves int64_t. */
#pragma once

#include <stdint.h>

#define LQ_MODEL_LAYERS_MAX 4096
#define LQ_MODEL_HIDDEN_MAX ((int64_t)1 << 20)
#define LQ_MODEL_HEADS_MAX ((int64_t)1 << 16)
#define LQ_MODEL_HEAD_SIZE_MAX ((int64_t)1 << 16)
#define LQ_MODEL_INTERMEDIATE_MAX ((int64_t)1 << 22)
#define LQ_MODEL_EXPERTS_MAX ((int64_t)1 << 16)
#define LQ_MODEL_VOCAB_MAX ((int64_t)1 << 24)
#define LQ_MODEL_CONTEXT_MAX ((int64_t)1 << 30)
#define LQ_MODEL_STATE_MAX ((int64_t)1 << 16)
#define LQ_MODEL_PARAMETERS_MAX 1e15
