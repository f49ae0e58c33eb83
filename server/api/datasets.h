/* /v1/datasets: named length distributions. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"

LQ_MUST_USE enum lq_code lq_datasets_list(struct lq_call *call, struct lq_reply *reply);
LQ_MUST_USE enum lq_code lq_datasets_get(struct lq_call *call, struct lq_reply *reply);
