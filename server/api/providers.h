/* /v1/providers: the sources of prices with their dates. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"

LQ_MUST_USE enum lq_code lq_providers_list(struct lq_call *call, struct lq_reply *reply);
