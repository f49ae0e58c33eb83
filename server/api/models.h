/* /v1/models: the models that are known, and one's own from a config.json. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"

LQ_MUST_USE enum lq_code lq_models_list(struct lq_call *call, struct lq_reply *reply);
LQ_MUST_USE enum lq_code lq_models_get(struct lq_call *call, struct lq_reply *reply);
LQ_MUST_USE enum lq_code lq_models_put(struct lq_call *call, struct lq_reply *reply);
LQ_MUST_USE enum lq_code lq_models_delete(struct lq_call *call, struct lq_reply *reply);
