/* POST /v1/estimates */
#pragma once

#include "server/api/call.h"

/* Answers one job, or up to 1000 in {"jobs": [...]} with a result or a problem for each. */
LQ_MUST_USE enum lq_code lq_estimates_post(struct lq_call *call, struct lq_reply *reply);
