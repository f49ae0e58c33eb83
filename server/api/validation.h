/* GET /v1/validation */
#pragma once

#include "server/api/call.h"

/* Every estimator against every stored measured set, and the memory model against every largest
 * batch. */
LQ_MUST_USE enum lq_code lq_validation_get(struct lq_call *call, struct lq_reply *reply);
