/* GET /metrics. */
#pragma once

#include "server/api/call.h"

/* Answers what the process has counted and what its catalog holds, as Prometheus reads it. */
enum lq_code lq_metrics_get(struct lq_call *call, struct lq_reply *reply);
