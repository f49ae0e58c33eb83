/* Points that laws are asked about, and runs that they are fitted to, as the API spells them. */
#pragma once

#include "core/planning/law.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>

struct lq_lookup;

/* What the points of one request have in common. */
struct lq_law_reader {
    const struct lq_law *law;
    const struct lq_lookup *lookup;
    bool runs; /* with `loss` (`leverage` for laws of that), required, and `weight` */
    struct lq_faults *faults;
};

struct lq_law_point_document {
    struct lq_law_point point; /* as the law counts */
    double measured;           /* of a run: loss or leverage */
    double weight;             /* of a run; 1 where it was not given */
};

/* Decodes the point of a law standing at `pointer`: its variables by name, or `model` (catalog id
 * or config.json) and `tokens`, from which the law takes its own N. Then the law's own check.
 * Errors: LQ_EFIELD, LQ_EREFERENCE (no such model), LQ_EIMPOSSIBLE (the law does not hold for that
 * number of experts). */
LQ_MUST_USE enum lq_code lq_law_point_decode(const struct lq_law_reader *reader,
                                             const json_t *value, const char *pointer,
                                             struct lq_law_point_document *out);
