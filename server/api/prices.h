/* /v1/prices: what providers ask per GPU and hour. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"
#include "server/json/field.h"

struct lq_price;

LQ_MUST_USE enum lq_code lq_prices_list(struct lq_call *call, struct lq_reply *reply);

/* A price as a new object. */
json_t *lq_price_encode(const struct lq_price *price);
