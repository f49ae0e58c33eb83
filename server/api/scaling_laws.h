/* GET and POST /v1/scaling-laws, GET /v1/scaling-laws/{id} */
#pragma once

#include "server/api/call.h"

/* Shipped laws, then users' by id; filtered by status and form. */
LQ_MUST_USE enum lq_code lq_scaling_laws_list(struct lq_call *call, struct lq_reply *reply);
/* One law, with how it was fitted where it was. */
LQ_MUST_USE enum lq_code lq_scaling_laws_get(struct lq_call *call, struct lq_reply *reply);
/* 201 with the stored law, given by its coefficients or by runs that are fitted quickly; 202 with a
 * job where the fit takes long. */
LQ_MUST_USE enum lq_code lq_scaling_laws_post(struct lq_call *call, struct lq_reply *reply);
