/* Sweeps: a job, and one or two of its members that take many values. */
#pragma once

#include "server/json/estimate.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stddef.h>

enum { LQ_SWEEP_AXES_MAX = 2, LQ_SWEEP_POINTS_MAX = 2000 };

struct lq_sweep_kind;

struct lq_sweep_axis {
    const struct lq_sweep_kind *kind;
    json_t *values; /* at least one; new */
};

/* A decoded sweep. axis[0] is x; axis[1], if there is one, tells the series apart. */
struct lq_sweep {
    json_t *job; /* samples of lengths condensed; new */
    struct lq_sweep_axis axis[LQ_SWEEP_AXES_MAX];
    size_t axis_count;
};

/* Decodes {"job", "axes": [{"name", "values"} or {"name", "from", "to", "steps", "scale"}, ...]}.
 * The job itself is decoded point by point. Errors: LQ_EFIELD, LQ_ETOOLARGE (more points than
 * LQ_SWEEP_POINTS_MAX, or too many bins of lengths for so many points). Release it in any case. */
LQ_MUST_USE enum lq_code lq_sweep_decode(const json_t *root, struct lq_sweep *out,
                                         struct lq_faults *faults);
void lq_sweep_release(struct lq_sweep *sweep);

/* Values on the axis; 1 for an axis that is not there. */
size_t lq_sweep_size(const struct lq_sweep *sweep, size_t axis);

/* The job at x, by (indices of values) as a new value. `*memory_bytes` is the device's memory where
 * an axis sets it, else 0. */
json_t *lq_sweep_job(const struct lq_sweep *sweep, size_t x, size_t by, double *memory_bytes);

/* What a point shows, as a new object without its x. */
json_t *lq_sweep_point_encode(const struct lq_quote *quote);
json_t *lq_sweep_problem_encode(const struct lq_faults *faults);

/* {"by", "points": []} for the values of axis 1, in order. */
json_t *lq_sweep_series_new(const struct lq_sweep *sweep);
/* Appends a point (stolen), with its x, to the series `by`. */
void lq_sweep_append(const struct lq_sweep *sweep, json_t *series, size_t x, size_t by,
                     json_t *point);

/* The answer as a new object: axes, quantities with their units, series (stolen). */
json_t *lq_sweep_encode(const struct lq_sweep *sweep, json_t *series);
