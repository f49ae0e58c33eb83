/* Measured points as workers, importers and papers post them, and as they are listed. */
#pragma once

#include "core/finetune/point.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>

struct lq_lookup;

/* A decoded point: what fits need of it, and when it was measured. */
struct lq_point_document {
    struct lq_point point; /* of queries_per_s and step_time_s only the one that was given is set */
    char measured_at[32];  /* RFC 3339, "" = not said */
};

/* Decodes one point standing at `pointer` ; every bad field is reported.
 * Errors: LQ_EFIELD, LQ_EREFERENCE (model, GPU or data set that the catalog does not know). */
LQ_MUST_USE enum lq_code lq_point_decode(const json_t *value, const char *pointer,
                                         const struct lq_lookup *lookup,
                                         struct lq_point_document *out, struct lq_faults *faults);

/* A stored point as a new object: identity, conditions, what was measured, where from. */
json_t *lq_point_encode(const struct lq_point *point);

/* What identifies a measurement as a new object; the GPU is null where a fit spans all. */
json_t *lq_identity_encode(const struct lq_identity *identity);
