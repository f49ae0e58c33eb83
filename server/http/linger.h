/* Closing without a reset: a connection that was refused while its client is still sending is read
 * on for a while after the answer, since closing it at once would make the answer unreadable. */
#pragma once

#include "core/base/error.h"

struct lq_linger;

/* Starts the thread that does it; `*linger` is new. Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_linger_start(struct lq_linger **linger, struct lq_error *err);

/* Takes over a duplicate of the socket, before its owner shuts it down and closes it. Where too
 * many linger already the connection just closes. From any thread. */
void lq_linger_add(struct lq_linger *linger, int socket_fd);

/* The same with a socket that is its own owner already, shut down for writing: where too many
 * linger what has come is read, and it is closed. */
void lq_linger_take(struct lq_linger *linger, int socket_fd);

/* Closes what lingers and ends the thread. NULL is fine. */
void lq_linger_stop(struct lq_linger *linger);
