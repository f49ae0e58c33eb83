/* /v1/gpus: the GPUs that are known, and one's own. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"

LQ_MUST_USE enum lq_code lq_gpus_list(struct lq_call *call, struct lq_reply *reply);
LQ_MUST_USE enum lq_code lq_gpus_get(struct lq_call *call, struct lq_reply *reply);
LQ_MUST_USE enum lq_code lq_gpus_put(struct lq_call *call, struct lq_reply *reply);
