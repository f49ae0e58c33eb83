/* What became of an estimated job, as requests tell it, and the calibration that it makes. */
#pragma once

#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>

/* A decoded outcome; quantities are 0 where they are not told. */
struct lq_outcome_document {
    double queries_per_s;
    double duration_s;
    double cost_usd;
    char note[512];
    bool calibrate;
};

/* Decodes {"queries_per_s", "duration_s" or "hours", "cost_usd", "note", "calibrate"}: at least one
 * quantity, and one that a rate follows from where a calibration is asked for. Errors: LQ_EFIELD.
 */
LQ_MUST_USE enum lq_code lq_outcome_decode(const json_t *root, struct lq_outcome_document *out,
                                           struct lq_faults *faults);

/* The calibration point that an estimate's job becomes with a rate measured at `measured_at`, as
 * POST /v1/calibrations spells it: identity and conditions are the answer's, the lengths the
 * request's. The result is new. Errors: LQ_EFIELD at /calibrate (the model has no id). */
LQ_MUST_USE enum lq_code lq_outcome_point(const json_t *request, const json_t *answer,
                                          const struct lq_outcome_document *outcome,
                                          const char *measured_at, json_t **point,
                                          struct lq_faults *faults);

/* Takes lengths out of a point that were given inline: they are the data's, and points are open to
 * everybody. */
void lq_outcome_point_close(json_t *point);
