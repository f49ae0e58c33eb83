/* POST /v1/losses: what a law says of up to 10,000 points. */
#pragma once

#include "server/api/call.h"

LQ_MUST_USE enum lq_code lq_losses_post(struct lq_call *call, struct lq_reply *reply);
