/* What the worker reads from and writes to a server's catalog: models, GPUs, and the points that an
 * estimate asks for. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/model.h"
#include "kernels/backend.h"
#include "kernels/document/point.h"
#include "kernels/measure/ceilings.h"

#include <stddef.h>

/* Reads a model as GET and PUT /v1/models/{id} answer it. What mixers' and feed-forward parts'
 * kinds do not have is 0. Errors: LQ_ESYNTAX where it is no such answer, LQ_EFIELD where the model
 * cannot be. */
LQ_MUST_USE enum lq_code lq_model_read(const char *text, size_t size, struct lq_model *out,
                                       struct lq_error *err);

/* Reads a GPU as GET /v1/gpus/{id} answers it: its id and rates, which are 0 where not known.
 * Errors: LQ_ESYNTAX where it is no such answer. */
LQ_MUST_USE enum lq_code lq_gpu_read(const char *text, size_t size, struct lq_gpu *out,
                                     struct lq_error *err);

/* The body of PUT /v1/gpus/{id} for a device and what was measured of it; free with free().
 * Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_device_write(const struct lq_device_info *info,
                                         const struct lq_ceilings *ceilings, char **text,
                                         struct lq_error *err);

/* The body of POST /v1/estimates for a job of such points: rows of the point's length, at any batch
 * that fits. */
LQ_MUST_USE enum lq_code lq_question_write(const struct lq_measured_point *point, char **text,
                                           struct lq_error *err);

/* Batch size and row tokens of what an estimate would have measured, best first; 0 for none.
 * Errors: LQ_ESYNTAX. */
struct lq_suggestion {
    int64_t batch_size;
    int64_t tokens;
};
LQ_MUST_USE enum lq_code lq_suggestions_read(const char *text, size_t size,
                                             struct lq_suggestion *out, size_t max, size_t *count,
                                             struct lq_error *err);

/* How many points the fits of an answer of GET /v1/fits do not rest on yet; 0 where it does not
 * tell, as a server before this one. Errors: LQ_ESYNTAX where it is no such answer. */
LQ_MUST_USE enum lq_code lq_pending_points_read(const char *text, size_t size, int64_t *out,
                                                struct lq_error *err);
