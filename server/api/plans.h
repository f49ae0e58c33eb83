/* POST /v1/plans. */
#pragma once

#include "server/api/call.h"

enum lq_code lq_plans_post(struct lq_call *call, struct lq_reply *reply);
