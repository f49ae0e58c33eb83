/* Calls about exclusions of posted points and about confirmations of one. */
#pragma once

#include "server/api/call.h"

enum lq_code lq_exclusions_list(struct lq_call *call, struct lq_reply *reply);
enum lq_code lq_exclusions_put(struct lq_call *call, struct lq_reply *reply);
enum lq_code lq_exclusions_delete(struct lq_call *call, struct lq_reply *reply);
enum lq_code lq_confirmations_put(struct lq_call *call, struct lq_reply *reply);
enum lq_code lq_confirmations_delete(struct lq_call *call, struct lq_reply *reply);
