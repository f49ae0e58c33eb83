/* Measured points as a sample of steps: points of one identity that did the same work share it. */
#pragma once

#include "server/jobs/refit_step.h"

#include <stddef.h>

/* A sample in the making. Begin with lq_sampling_begin, end with lq_sampling_end. */
struct lq_sampling {
    const struct lq_catalog *catalog;
    struct lq_step_parts *parts;
    size_t parts_count;
    size_t parts_room;
    struct lq_timed_step *steps;
    size_t count;
    struct lq_work_key *keys; /* of what is in parts: open addressing, at most half full */
    size_t mask;
    const struct lq_identity *identity; /* of the point before */
    size_t generation;                  /* counts identities: keys of others match no more */
};

/* Room for `most` points. Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_sampling_begin(struct lq_sampling *sampling,
                                           const struct lq_catalog *catalog, size_t most,
                                           struct lq_error *err);

/* Adds a point as one of `siblings`, but for one that lq_step_observe has nothing of. Points of one
 * identity come one after the other, or their work is counted anew. Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_sampling_add(struct lq_sampling *sampling, const struct lq_point *point,
                                         double siblings, struct lq_error *err);

/* What was added; borrowed. */
struct lq_step_sample lq_sampling_sample(const struct lq_sampling *sampling);

void lq_sampling_end(struct lq_sampling *sampling);
