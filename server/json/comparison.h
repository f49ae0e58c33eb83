/* POST /v1/comparisons as the API spells it: a job over GPUs, counts and offers, and what they are
 * held against. */
#pragma once

#include "core/finetune/compare.h"
#include "server/json/job.h"
#include "server/json/ownership.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    LQ_COMPARED_GPUS_MAX = 256,
    LQ_COMPARED_COUNTS_MAX = 16,
    LQ_COMPARISON_LIMIT_DEFAULT = 50,
    LQ_COMPARISON_LIMIT_MAX = 1000
};

/* Which of a price's two rates count. */
enum lq_spot { LQ_SPOT_NO, LQ_SPOT_ONLY, LQ_SPOT_BOTH };

/* A decoded request. `job` is complete but for its GPU and count, which each trial sets; it points
 * into this struct: do not copy it; release it. */
struct lq_comparison_document {
    struct lq_job_document job;
    const struct lq_gpu *gpus[LQ_COMPARED_GPUS_MAX];
    size_t gpu_count; /* 0: all of the catalog */
    int64_t counts[LQ_COMPARED_COUNTS_MAX];
    size_t count_count;
    enum lq_spot spot;
    struct lq_bounds bounds;
    enum lq_least objective;
    struct lq_ownership_document ownership; /* where an API price was given */
    size_t limit;
    char cursor[64]; /* "" = the first page */
};

/* Decodes a request, taking `value` apart. `any_gpu` is the id of a GPU that the catalog has. All
 * bad fields are reported: LQ_EFIELD for bad values, LQ_EREFERENCE for ids the catalog does not
 * know. */
LQ_MUST_USE enum lq_code lq_comparison_decode(json_t *value, const char *any_gpu,
                                              const struct lq_lookup *lookup,
                                              struct lq_comparison_document *out,
                                              struct lq_faults *faults);

/* Safe after a failed decode. */
void lq_comparison_release(struct lq_comparison_document *document);

/* Every setting the answer rests on, defaults included, as a new object. */
json_t *lq_comparison_document_encode(const struct lq_comparison_document *document);
