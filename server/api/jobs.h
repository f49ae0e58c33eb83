/* GET and DELETE /v1/jobs/{id}: how long work is getting on, and calling it off. */
#pragma once

#include "server/api/call.h"

/* GET: 200 with the job. Who knows the id may read it. Errors: LQ_ENOTFOUND, also for a job that
 * finished too long ago. */
LQ_MUST_USE enum lq_code lq_jobs_get(struct lq_call *call, struct lq_reply *reply);

/* DELETE: 200 with the job, cancelled. Errors: LQ_ENOTFOUND; LQ_ESCOPE (another token posted it);
 * LQ_ECONFLICT (cancelled or finished already). */
LQ_MUST_USE enum lq_code lq_jobs_delete(struct lq_call *call, struct lq_reply *reply);

/* Answers 202 with the job of this id and its Location, for the calls that post jobs. */
LQ_MUST_USE enum lq_code lq_jobs_accepted(struct lq_call *call, const char *id,
                                          struct lq_reply *reply);
