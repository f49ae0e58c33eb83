/* Holds the roofline of serving against every measured decoding run. */
#pragma once

#include "core/finetune/validation.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>

/* One run and its prediction, tokens per second. */
struct lq_serving_prediction {
    const struct lq_decode_run *run;
    double predicted;
};

/* The runs of one stack. */
struct lq_serving_validation {
    const struct lq_serving_stack *stack;
    const struct lq_serving_prediction *predictions;
    size_t count;
    struct lq_errors errors;
    bool has_held_out;         /* some of the runs had no part in the stack's constants */
    struct lq_errors held_out; /* those runs alone */
    double coverage;           /* share of the runs within the 90 % interval */
};

struct lq_serving_validations {
    struct lq_serving_validation *stack; /* in the order of the table of stacks */
    size_t stack_count;
    struct lq_serving_prediction *prediction; /* storage of the above */
};

/* Computes all of it from a catalog. Runs of unknown GPUs or stacks are left out. Release with
 * lq_serving_validations_release. Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_validate_serving(const struct lq_catalog *catalog,
                                             struct lq_serving_validations *out,
                                             struct lq_error *err);
void lq_serving_validations_release(struct lq_serving_validations *validations);
