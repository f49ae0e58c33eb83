/* A fine-tuning job as the API spells it: decoded strictly, echoed with its
 * defaults. */
#pragma once

#include "core/finetune/estimate.h"
#include "server/json/dataset.h"
#include "server/json/faults.h"
#include "server/json/subject.h"

#include <jansson.h>
#include <stddef.h>

/* A decoded job. `job` points into this struct and into the catalog: do not copy it; release it. */
struct lq_job_document {
    struct lq_job job;
    struct lq_model inline_model; /* where `model` was a config.json */
    struct lq_dataset_document dataset;
    struct lq_expert_load expert_load; /* where one was given */
    char stack[LQ_ID_MAX];
    struct lq_terms terms;
};

/* Decodes one job standing at `pointer`. All bad fields are reported: LQ_EFIELD for bad values,
 * LQ_EREFERENCE for ids the catalog does not know. */
LQ_MUST_USE enum lq_code lq_job_decode(const json_t *value, const char *pointer,
                                       const struct lq_lookup *lookup, struct lq_job_document *out,
                                       struct lq_faults *faults);

/* Safe after a failed decode. */
void lq_job_release(struct lq_job_document *document);

/* Every setting the answer rests on, defaults included, as a new object. `batch_size` is the asked
 * one ("max" or a number). */
json_t *lq_job_encode(const struct lq_job_document *document);
