/* The only room that knows libmicrohttpd: it carries requests from connections to exchanges and
 * answers back. What a request means is decided elsewhere. */
#include "server/http/http.h"

#include "server/http/cache.h"
#include "server/http/exchange.h"
#include "server/http/linger.h"
#include "server/http/listen.h"
#include "server/json/arena.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTION_POOL_BYTES = 64 * 1024, /* room for the largest head we answer with a problem */
    CONNECTIONS_PER_THREAD = 1000,
    IDLE_S = 60,
    STOP_POLL_MS = 5
};

struct lq_http {
    struct lq_service service;
    struct lq_linger *linger;
    struct MHD_Daemon *daemons[LQ_THREADS_MAX];
    int count;
    char address[LQ_ADDRESS_MAX];
};

/* The request line has come: the first that is seen of a request, and the target as it came. */
static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    (void)connection;
    struct lq_http *http = context;
    return lq_exchange_new(&http->service, target);
}

static enum MHD_Result on_field(void *context, enum MHD_ValueKind kind, const char *name,
                                size_t name_size, const char *value, size_t value_size)
{
    (void)kind;
    lq_head_add(context, name, name_size, value != NULL ? value : "", value_size);
    return MHD_YES;
}

/* Answers now; the arena spans everything between the parsed body and the copied answer. */
static enum MHD_Result answer(struct MHD_Connection *connection, struct lq_exchange *exchange)
{
    lq_arena_begin();
    lq_exchange_answer(exchange);
    const struct lq_answer *out = &exchange->answer;
    union { /* the library asks for a writable body, and copies it */
        const char *text;
        void *memory;
    } body = {.text = out->body};
    struct MHD_Response *response =
        MHD_create_response_from_buffer(out->body_size, body.memory, MHD_RESPMEM_MUST_COPY);
    lq_exchange_sent(exchange);
    lq_arena_end();
    if (response == NULL) {
        return MHD_NO;
    }
    for (size_t i = 0; i < out->field_count; i++) {
        MHD_add_response_header(response, out->fields[i].name, out->fields[i].value);
    }
    enum MHD_Result result = MHD_queue_response(connection, (unsigned int)out->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Called once when the head is there, for each piece of the body, and once when all is there. */
// NOLINTNEXTLINE(readability-function-size): the library's signature
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    (void)context;
    (void)url;
    struct lq_exchange *exchange = *state;
    if (exchange == NULL) {
        return MHD_NO; /* out of memory when the request line came */
    }
    if (!exchange->admitted) {
        MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_field, &exchange->head);
        bool admitted = lq_exchange_admit(exchange, method, version) == LQ_OK;
        /* An answer from this first call always closes the connection: only where that is meant. */
        bool wait = admitted || !exchange->answer.close;
        return wait ? MHD_YES : answer(connection, exchange);
    }
    if (*size > 0) {
        bool taken = lq_exchange_feed(exchange, data, *size);
        *size = 0;
        return taken ? MHD_YES : MHD_NO;
    }
    return answer(connection, exchange);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct lq_http *http = context;
    struct lq_exchange *exchange = *state;
    bool delivered = why == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    if (exchange != NULL && exchange->body_unread && delivered) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info != NULL) {
            lq_linger_add(http->linger, info->connect_fd);
        }
    }
    lq_exchange_end(exchange, delivered);
    *state = NULL;
}

static struct MHD_Daemon *start_daemon(struct lq_http *http, int listen_fd)
{
    return MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, on_request,
                            http, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)listen_fd,
                            MHD_OPTION_URI_LOG_CALLBACK, on_target, http,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_POOL_BYTES,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS_PER_THREAD,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_S, MHD_OPTION_END);
}

/* Starts one daemon per socket; it owns its socket. False: some did not start. */
static bool start_daemons(struct lq_http *http, const int *fds, int count)
{
    bool all = true;
    for (int i = 0; i < count; i++) {
        struct MHD_Daemon *daemon = all ? start_daemon(http, fds[i]) : NULL;
        if (daemon == NULL) {
            close(fds[i]);
            all = false;
            continue;
        }
        http->daemons[http->count++] = daemon;
    }
    return all;
}

enum lq_code lq_http_start(const struct lq_config *config, struct lq_store *store,
                           struct lq_queue *queue, struct lq_http **http, struct lq_error *err)
{
    struct lq_http *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    made->service.config = config;
    made->service.store = store;
    made->service.queue = queue;
    made->service.cache = lq_cache_new((size_t)config->cache_mib * 1024 * 1024);
    int fds[LQ_THREADS_MAX];
    enum lq_code code =
        lq_listen(config->host, config->port, config->threads, fds, made->address, err);
    if (code != LQ_OK) {
        lq_cache_free(made->service.cache);
        free(made);
        return code;
    }
    code = lq_linger_start(&made->linger, err);
    if (!start_daemons(made, fds, config->threads) && code == LQ_OK) {
        code = lq_fail(err, LQ_EINTERNAL, NULL, "cannot start the HTTP threads");
    }
    if (code != LQ_OK) {
        lq_http_stop(made, 0);
        return code;
    }
    *http = made;
    return LQ_OK;
}

const char *lq_http_address(const struct lq_http *http)
{
    return http->address;
}

static void stop_listening(struct lq_http *http)
{
    for (int i = 0; i < http->count; i++) {
        MHD_socket fd = MHD_quiesce_daemon(http->daemons[i]);
        if (fd != MHD_INVALID_SOCKET) {
            close(fd);
        }
    }
}

void lq_http_stop(struct lq_http *http, int patience_ms)
{
    if (http == NULL) {
        return;
    }
    atomic_store(&http->service.stopping, true);
    stop_listening(http);
    const struct timespec pause = {.tv_nsec = STOP_POLL_MS * 1000000L};
    for (int waited_ms = 0; waited_ms < patience_ms && atomic_load(&http->service.in_flight) > 0;
         waited_ms += STOP_POLL_MS) {
        nanosleep(&pause, NULL);
    }
    for (int i = 0; i < http->count; i++) {
        MHD_stop_daemon(http->daemons[i]);
    }
    lq_linger_stop(http->linger);
    lq_cache_free(http->service.cache);
    free(http);
}
