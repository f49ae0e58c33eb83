/* /v1/stacks: labels of software stacks with the evidence behind them. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"

LQ_MUST_USE enum lq_code lq_stacks_list(struct lq_call *call, struct lq_reply *reply);
