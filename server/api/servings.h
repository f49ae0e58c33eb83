/* POST /v1/servings */
#pragma once

#include "server/api/call.h"

/* Answers what serving one model takes. */
LQ_MUST_USE enum lq_code lq_servings_post(struct lq_call *call, struct lq_reply *reply);
