/* /v1/calibrations: measured points posted, listed, read and deleted. */
#pragma once

#include "server/api/call.h"

/* POST {"points": [...]}, 1..10000: all or nothing, durable before it is answered with 201. */
LQ_MUST_USE enum lq_code lq_calibrations_post(struct lq_call *call, struct lq_reply *reply);
/* GET, filtered by model, gpu, stack, source, dataset. */
LQ_MUST_USE enum lq_code lq_calibrations_list(struct lq_call *call, struct lq_reply *reply);
/* GET one, with the point as it came. */
LQ_MUST_USE enum lq_code lq_calibrations_get(struct lq_call *call, struct lq_reply *reply);
/* DELETE one of one's own; shipped points answer 409. */
LQ_MUST_USE enum lq_code lq_calibrations_delete(struct lq_call *call, struct lq_reply *reply);
