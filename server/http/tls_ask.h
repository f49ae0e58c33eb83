/* One question to a server of ours over TLS, for a check from the same host. */
#pragma once

#include "core/base/error.h"

#include <stddef.h>

/* Shakes hands on a connected socket, which must show the first certificate of the PEM file, sends
 * `question` and reads until the server closes or `size` - 1 bytes have come; terminates them.
 * The socket stays the caller's. Errors: LQ_EFILE (the file), LQ_ESTORE (no handshake, another
 * certificate, no answer). */
LQ_MUST_USE enum lq_code lq_tls_ask(int peer, const char *cert_path, const char *question,
                                    char *answer, size_t size, struct lq_error *err);
