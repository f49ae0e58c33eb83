/* One thread that accepts connections, spreads them over the serving threads, turns away what is
 * too much, and ends what takes too long to arrive. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <sys/socket.h>

struct lq_acceptor;
struct lq_connections;
struct lq_linger;

struct lq_acceptor_plan {
    int listen_fd;                      /* not blocking; taken over, also where starting fails */
    bool encrypted;                     /* nothing can be said to who is turned away */
    struct lq_connections *connections; /* borrowed, as the next one */
    struct lq_linger *linger;
    /* Gives a connection to a serving thread, which owns `fd` from then on; where it returns false
     * it has closed it. */
    bool (*hand_over)(void *context, int lane, int fd, const struct sockaddr *address,
                      socklen_t size);
    void *context;
};

/* `*acceptor` is new. Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_acceptor_start(const struct lq_acceptor_plan *plan,
                                           struct lq_acceptor **acceptor, struct lq_error *err);

/* Hands over what has connected already, stops listening and ends the thread. NULL is fine. */
void lq_acceptor_stop(struct lq_acceptor *acceptor);
