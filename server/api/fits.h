/* GET /v1/fits and /v1/fits/{id} */
#pragma once

#include "server/api/call.h"

/* Fitted coefficients, filtered by estimator, model, gpu, stack. */
LQ_MUST_USE enum lq_code lq_fits_list(struct lq_call *call, struct lq_reply *reply);
/* One fit with the residual of each of its points. */
LQ_MUST_USE enum lq_code lq_fits_get(struct lq_call *call, struct lq_reply *reply);
