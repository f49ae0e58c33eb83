/* Ids of requests: random, so that they can be searched for in the log. */
#pragma once

#include "server/api/call.h"

/* Writes 32 hexadecimal digits. From any thread. */
void lq_request_id_make(char id[LQ_REQUEST_ID_MAX]);
