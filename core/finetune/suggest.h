/* What to measure next: the points that would narrow an estimate's interval most. */
#pragma once

#include "core/finetune/estimate.h"

#include <stdint.h>

/* One point of the job's own identity worth measuring. Widths are high over low at the job's
 * confidence. */
struct lq_suggestion {
    int64_t batch_size;
    double row_tokens; /* mean padded tokens of a row at that batch */
    double width_now;
    double width_then; /* once this point, and those before it, are measured as predicted */
};

enum { LQ_SUGGESTIONS_MAX = 2 };

/* Weighs batch sizes from 1 to the largest that fits: each would move the belief about the factors
 * by one measured step (a linear update of its covariance). Returns how many are worth it, 0 to
 * LQ_SUGGESTIONS_MAX, best first: a point that narrows the interval by less than 2 % is not.
 * job: with the layout of `estimate`; estimate: of that job by the default estimator. Allocates
 * nothing. */
int lq_suggest(const struct lq_job *job, const struct lq_estimate *estimate,
               struct lq_suggestion out[LQ_SUGGESTIONS_MAX]);
