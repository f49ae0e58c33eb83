/* The HTTP server: sockets, connections and threads behind three calls. */
#pragma once

#include "core/base/error.h"
#include "server/config.h"
#include "server/store/store.h"

struct lq_http;
struct lq_queue;

/* Listens as configured and serves until stopped: one thread accepts and hands over to as many
 * serving threads as are configured. config, store, queue: borrowed until lq_http_stop. `*http` is
 * new. Errors: LQ_EREQUEST (the address cannot be used), LQ_EFILE (certificate or key),
 * LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_http_start(const struct lq_config *config, struct lq_store *store,
                                       struct lq_queue *queue, struct lq_http **http,
                                       struct lq_error *err);

/* "127.0.0.1:8080", with the port that was picked. */
const char *lq_http_address(const struct lq_http *http);

/* Stops listening, waits for the requests in flight but no longer than `patience_ms`, closes every
 * connection and frees. NULL is fine. */
void lq_http_stop(struct lq_http *http, int patience_ms);
