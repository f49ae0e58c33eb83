/* What a job's own code asks of the queue that runs it, and tells it. Every function may be called
 * from any of the job's threads. `control` may be NULL for work that is done outside a queue: then
 * it is never cancelled and runs on its caller's thread alone. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct lq_control;

/* Whether the job should stop. Cheap: ask often. */
bool lq_control_cancelled(const struct lq_control *control);

/* How many steps the job takes in all, and that one of them is done. */
void lq_control_expect(struct lq_control *control, size_t steps);
void lq_control_step(struct lq_control *control);

/* Calls part(context, i) for i = 0..count-1 on this thread and on all that have nothing else to do,
 * in no particular order, and returns when all have returned. False: the job was cancelled and
 * parts were left out. Does not nest. */
LQ_MUST_USE bool lq_control_spread(struct lq_control *control, size_t count,
                                   void (*part)(void *context, size_t i), void *context);

/* From here on the job cannot be cancelled: call before its result is written down. False: it was
 * cancelled already. */
LQ_MUST_USE bool lq_control_seal(struct lq_control *control);
