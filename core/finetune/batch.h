/* The batch of a job: the one asked for, checked against memory, or the largest that fits. */
#pragma once

#include "core/finetune/estimate.h"

/* Fills batch_size, max_batch_size, memory, the memory basis, its intervals and warnings of `out`
 * (whose `point` is already set for the estimator `measured`).
 * Errors: LQ_ENOFIT; the detail has the missing bytes and what would fit. */
LQ_MUST_USE enum lq_code lq_batch_choose(const struct lq_job *job,
                                         const struct lq_evidence *evidence,
                                         const struct lq_identity *identity,
                                         struct lq_estimate *out, struct lq_error *err);
