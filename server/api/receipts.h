/* GET /v1/estimates, GET /v1/estimates/{id}, PUT /v1/estimates/{id}/outcome */
#pragma once

#include "server/api/call.h"
#include "server/json/field.h"
#include "server/store/receipts.h"

/* Lists the estimates that the caller's token saved, newest first. */
LQ_MUST_USE enum lq_code lq_receipts_list(struct lq_call *call, struct lq_reply *reply);

/* Gives one out: who knows its id may read it. */
LQ_MUST_USE enum lq_code lq_receipts_get(struct lq_call *call, struct lq_reply *reply);

/* Takes in what really happened, once, from the token that saved the estimate. */
LQ_MUST_USE enum lq_code lq_outcomes_put(struct lq_call *call, struct lq_reply *reply);

/* The `outcomes` of GET /v1/validation, as a new value. */
LQ_MUST_USE enum lq_code lq_outcomes_validate(struct lq_call *call, json_t **value);
