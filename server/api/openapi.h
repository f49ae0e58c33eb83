/* GET /openapi.yaml: the contract, as it was when the program was built. */
#pragma once

#include "server/api/call.h"

/* 200 with the document, 304 where If-None-Match names its ETag. */
enum lq_code lq_openapi_get(struct lq_call *call, struct lq_reply *reply);
