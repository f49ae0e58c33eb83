/* GET /healthz and /readyz: whether the process lives, and whether it can serve. */
#pragma once

#include "server/api/call.h"

/* 200 as long as requests are answered at all. */
enum lq_code lq_health_get(struct lq_call *call, struct lq_reply *reply);

/* 200 when the database can be used. Errors: LQ_ESTORE. */
enum lq_code lq_ready_get(struct lq_call *call, struct lq_reply *reply);
