/* /v1/prices: what providers ask per GPU and hour. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"

LQ_MUST_USE enum lq_code lq_prices_list(struct lq_call *call, struct lq_reply *reply);
