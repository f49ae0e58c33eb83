/* POST /v1/comparisons */
#pragma once

#include "server/api/call.h"

/* Answers one job over many GPUs, counts and offers: ranked, with what is infeasible and why. */
LQ_MUST_USE enum lq_code lq_comparisons_post(struct lq_call *call, struct lq_reply *reply);
