/* /v1/prices/{id}: one provider's prices, those that are shipped and, by version and date, one's
 * own. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"
#include "server/json/field.h"

struct lq_price_list;

LQ_MUST_USE enum lq_code lq_price_lists_get(struct lq_call *call, struct lq_reply *reply);
LQ_MUST_USE enum lq_code lq_price_lists_put(struct lq_call *call, struct lq_reply *reply);
LQ_MUST_USE enum lq_code lq_price_lists_delete(struct lq_call *call, struct lq_reply *reply);
LQ_MUST_USE enum lq_code lq_price_lists_versions(struct lq_call *call, struct lq_reply *reply);

/* A version as a new object. */
json_t *lq_price_list_encode(const struct lq_price_list *list);
