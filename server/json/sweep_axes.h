/* The axes that a sweep can have, as data. */
#pragma once

#include "server/json/faults.h"
#include "server/json/sweep.h"

#include <jansson.h>
#include <stdbool.h>

enum lq_sweep_value { LQ_SWEEP_COUNT, LQ_SWEEP_NUMBER, LQ_SWEEP_TEXT };

/* One member of a job that can take many values. */
struct lq_sweep_kind {
    const char *name;
    const char *path; /* where it stands in the job; NULL: not part of a job */
    enum lq_sweep_value value;
    const char *unit; /* NULL where it has none */
};

/* The axis at `pointer`: its kind and its values, in order. Errors: LQ_EFIELD, LQ_ETOOLARGE. */
LQ_MUST_USE enum lq_code lq_sweep_axis_decode(const json_t *value, const char *pointer,
                                              struct lq_sweep_axis *out, struct lq_faults *faults);

/* Sets the axis's member in a job whose objects may be shared: those on the way are copied. */
void lq_sweep_axis_set(const struct lq_sweep_axis *axis, size_t i, json_t *job);

/* Whether the axis is the memory of the device. */
bool lq_sweep_axis_is_memory(const struct lq_sweep_axis *axis);
