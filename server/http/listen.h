/* Listening sockets: several on one address, so that each thread accepts for itself. */
#pragma once

#include "core/base/error.h"

enum { LQ_ADDRESS_MAX = 80 };

/* Opens `count` sockets on host:port (port "0": a free one, the same for all).
 * fds: room for count, new, the caller closes them · address: the address chosen, as in a URL.
 * Errors: LQ_EREQUEST (cannot be resolved, in use, not allowed); nothing stays open then. */
LQ_MUST_USE enum lq_code lq_listen(const char *host, const char *port, int count, int *fds,
                                   char address[LQ_ADDRESS_MAX], struct lq_error *err);
