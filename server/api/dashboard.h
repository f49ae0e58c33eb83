/* GET / and GET /assets/{id}: the dashboard, as it was when the program was built. */
#pragma once

#include "server/api/call.h"

/* 200 with the page, 304 where If-None-Match names its ETag; compressed where the client can. */
enum lq_code lq_dashboard_get(struct lq_call *call, struct lq_reply *reply);

/* The same of a file that the page asks for; it may be kept for ever, as another content has
 * another name. LQ_ENOTFOUND: there is none of this name. */
enum lq_code lq_assets_get(struct lq_call *call, struct lq_reply *reply);
