/* The listening socket. */
#pragma once

#include "core/base/error.h"

enum { LQ_ADDRESS_MAX = 80 };

/* Opens a socket that does not block on host:port (port "0": a free one).
 * fd: new, the caller closes it · address: the address chosen, as in a URL.
 * Errors: LQ_EREQUEST (cannot be resolved, in use, not allowed); nothing stays open then. */
LQ_MUST_USE enum lq_code lq_listen(const char *host, const char *port, int *fd,
                                   char address[LQ_ADDRESS_MAX], struct lq_error *err);
