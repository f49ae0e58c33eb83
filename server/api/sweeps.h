/* POST /v1/sweeps */
#pragma once

#include "server/api/call.h"

/* Answers a job with one or two members that take many values: series ready to plot. */
LQ_MUST_USE enum lq_code lq_sweeps_post(struct lq_call *call, struct lq_reply *reply);
