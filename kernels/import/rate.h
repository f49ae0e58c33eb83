/* How fast a run was: the steady part of its steps, and rows a second of the whole job out of
 * whatever the log counts. */
#pragma once

#include "kernels/import/import.h"

/* Median and middle half of the steady part of a series. */
struct lq_import_steady {
    double median;
    double middle_mean; /* of the middle half: for values that were rounded */
    double low;         /* first quartile */
    double high;        /* third quartile */
    size_t used;        /* values that count */
    size_t dropped;     /* values of the warm-up */
};

/* Drops the first tenth, and at least the first, and takes the median of the rest.
 * values: in time order, sorted by this · n: >= 2. */
struct lq_import_steady lq_import_steady(double *values, size_t n);

/* The same of n >= 1 values of which none is dropped. */
struct lq_import_steady lq_import_median(double *values, size_t n);

/* Rows a second of the whole job from what the log and the facts say, into the facts
 * (queries_per_s, or step_time_s where queries are packed into rows); works out what follows from
 * the two: the number of GPUs or of accumulated micro-batches, and the mean padded row, with
 * notices. Errors: LQ_EFIELD where batch size, accumulation and GPUs contradict the log. What is
 * merely missing is left for lq_import_finish to name. */
LQ_MUST_USE enum lq_code lq_import_rate_resolve(const char *name, struct lq_import_run *run,
                                                struct lq_error *err);
