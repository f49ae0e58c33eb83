/* Every open connection: how many there may be, in all and per address, which thread has it, and
 * whether its request arrives in time. Knows sockets, but no HTTP library. */
#pragma once

#include "core/base/error.h"
#include "server/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lq_config;
struct lq_connections;
struct lq_connection;

/* Reads limits and deadline from `config`, borrowed; one lane per thread that serves.
 * `*connections` is new. Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_connections_new(const struct lq_config *config, int lanes,
                                            struct lq_connections **connections,
                                            struct lq_error *err);
void lq_connections_free(struct lq_connections *connections);

/* Counts a connection that was accepted from `ip`, and picks the lane with the fewest. False: there
 * are too many already, and `*why` says of what; nothing is counted then. Call from one thread. */
bool lq_connections_enter(struct lq_connections *connections, struct lq_ip ip, int *lane,
                          const char **why);
/* Takes back what enter counted, for a connection that was never opened. */
void lq_connections_leave(struct lq_connections *connections, struct lq_ip ip, int lane);

/* Begins to watch a connection that entered; its first request is awaited from now on. `fd` stays
 * the caller's and must stay open until lq_connection_close. NULL when out of memory. */
struct lq_connection *lq_connection_open(struct lq_connections *connections, int lane, int fd,
                                         struct lq_ip ip);
/* Forgets it, before its socket is closed. */
void lq_connection_close(struct lq_connection *connection);

struct lq_ip lq_connection_ip(const struct lq_connection *connection);

/* A request's first line is there. */
void lq_connection_begin(struct lq_connection *connection);
/* Its last byte is. False: too late, the connection has been ended already. */
bool lq_connection_complete(struct lq_connection *connection);
/* Its answer has gone out. */
void lq_connection_rest(struct lq_connection *connection);

/* Ends, on every lane, the connections whose time is over: `answer` (of `size` bytes; 0: none) is
 * sent to those that await no other, then both directions are shut, so that their threads find them
 * at their end. Returns how many. Call from one thread, about twice a second. */
size_t lq_connections_sweep(struct lq_connections *connections, const char *answer, size_t size);
