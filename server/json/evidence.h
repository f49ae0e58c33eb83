/* Published evidence: figures of a training step's inside and of accuracy by epoch, and what they
 * say for the defaults of a job. */
#pragma once

#include "core/finetune/estimate.h"
#include "core/finetune/published.h"

#include <jansson.h>

/* Everything published, as a new object: `shares` of the step by stage, layer and kernel,
 * `utilisation` of the device by kernel, `expert_load` before and after tuning, `accuracy` by
 * epoch. */
json_t *lq_published_encode(const struct lq_published *published);

/* The evidence for a job's epochs and, where an even load of its experts was assumed, for that, as
 * a new object; null where there is none. The span over the runs of the job's model, or over all
 * where it was not measured. `published` may be NULL. */
json_t *lq_defaults_evidence_encode(const struct lq_job *job, const struct lq_published *published);
