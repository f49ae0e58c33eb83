/* The only room that knows libmicrohttpd: it carries requests from connections to exchanges and
 * answers back. What a request means is decided elsewhere. */
#include "server/http/http.h"

#include "server/api/auth.h"
#include "server/api/turns.h"
#include "server/http/acceptor.h"
#include "server/http/cache.h"
#include "server/http/connections.h"
#include "server/http/exchange.h"
#include "server/http/linger.h"
#include "server/http/listen.h"
#include "server/http/rate.h"
#include "server/http/tls.h"
#include "server/json/arena.h"
#include "server/log.h"
#include "server/random.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTION_POOL_BYTES = 64 * 1024, /* room for the largest head we answer with a problem */
    IDLE_S = 60,
    LANE_DESCRIPTORS = 2,   /* of the library's own, a thread */
    OTHER_DESCRIPTORS = 32, /* of the database, the log, the acceptor */
    STOP_POLL_MS = 5
};

/* One thread that serves, and its connections. */
struct lane {
    struct lq_http *http;
    struct MHD_Daemon *daemon;
    int number;
};

struct lq_http {
    struct lq_service service;
    struct lq_linger *linger;
    struct lq_connections *connections;
    struct lq_acceptor *acceptor;
    struct lq_tls tls;
    struct lane lanes[LQ_THREADS_MAX];
    char address[LQ_ADDRESS_MAX];
};

/* What we hold of a connection; NULL where there was no memory for it. */
static struct lq_connection *watched(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
    const struct lane *lane = context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*state != NULL) {
            lq_connection_close(*state);
        }
        *state = NULL;
        return;
    }
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *from =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct lq_ip ip = lq_ip_of(from != NULL ? from->client_addr : NULL);
    *state = lq_connection_open(lane->http->connections, lane->number,
                                fd != NULL ? fd->connect_fd : -1, ip);
    if (*state == NULL) {
        lq_connections_leave(lane->http->connections, ip, lane->number);
    }
}

/* The request line has come: the first that is seen of a request, and the target as it came. */
static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    struct lq_http *http = context;
    struct lq_connection *known = watched(connection);
    if (known == NULL) {
        return NULL;
    }
    lq_connection_begin(known);
    return lq_exchange_new(&http->service, target, lq_connection_ip(known));
}

static enum MHD_Result on_field(void *context, enum MHD_ValueKind kind, const char *name,
                                size_t name_size, const char *value, size_t value_size)
{
    (void)kind;
    union { /* the library's own buffer of this connection, which it hands out to read */
        const char *text;
        char *memory;
    } field = {.text = value};
    const size_t size = value_size;
    while (value_size > 0 && (value[value_size - 1] == ' ' || value[value_size - 1] == '\t')) {
        value_size--; /* RFC 9112, 5.1: no part of the value; the library leaves them */
    }
    if (value_size < size) {
        field.memory[value_size] = '\0';
    }
    lq_head_add(context, name, name_size, value != NULL ? value : "", value_size);
    return MHD_YES;
}

/* All of the head, or nothing: an answer that lacks a field may be taken for another. */
static enum MHD_Result add_fields(struct MHD_Response *response, const struct lq_answer *out)
{
    for (size_t i = 0; i < out->field_count; i++) {
        if (MHD_add_response_header(response, out->fields[i].name, out->fields[i].value) !=
            MHD_YES) {
            return MHD_NO;
        }
    }
    return MHD_YES;
}

/* What lasts is handed over as it is, anything else copied. */
static struct MHD_Response *make_response(struct lq_exchange *exchange)
{
    struct lq_reply *reply = &exchange->reply;
    const size_t size = exchange->answer.body_size;
    union { /* the library asks for a writable body, and writes nothing */
        const char *text;
        void *memory;
    } body = {.text = exchange->answer.body};
    if (!reply->body_lasts || reply->free_body == NULL) {
        return MHD_create_response_from_buffer(
            size, body.memory, reply->body_lasts ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_COPY);
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(size, body.memory, reply->free_body);
    if (response != NULL) {
        reply->free_body = NULL;
    }
    return response;
}

/* Answers now; the arena spans everything between the parsed body and the copied answer. */
static enum MHD_Result answer(struct MHD_Connection *connection, struct lq_exchange *exchange)
{
    if (!lq_connection_complete(watched(connection))) {
        return MHD_NO; /* the deadline was met by the sweep */
    }
    lq_arena_begin();
    lq_exchange_answer(exchange);
    const struct lq_answer *out = &exchange->answer;
    struct MHD_Response *response = make_response(exchange);
    lq_exchange_sent(exchange);
    lq_arena_end();
    if (response == NULL) {
        return MHD_NO;
    }
    enum MHD_Result result = add_fields(response, out);
    if (result == MHD_YES) {
        result = MHD_queue_response(connection, (unsigned int)out->status, response);
    }
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
    struct lq_connection *known = watched(connection);
    if (known != NULL) {
        lq_connection_rest(known);
    }
}

static struct MHD_Daemon *start_daemon(struct lq_http *http, struct lane *lane)
{
    const bool encrypted = http->tls.cert != NULL;
    const unsigned flags = MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC;
    char priorities[] = LQ_TLS_PRIORITIES; /* the library reads it while it starts */
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, http->tls.cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, http->tls.key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, priorities},
        {MHD_OPTION_END, 0, NULL},
    };
    const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(
        encrypted ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, on_request, http,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        http, MHD_OPTION_NOTIFY_CONNECTION, on_connection, lane, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_POOL_BYTES, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)http->service.config->connections, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned int)IDLE_S, MHD_OPTION_ARRAY, encrypted ? tls : none, MHD_OPTION_END);
}

static bool hand_over(void *context, int lane, int fd, const struct sockaddr *address,
                      socklen_t size)
{
    struct lq_http *http = context;
    return MHD_add_connection(http->lanes[lane].daemon, fd, address, size) == MHD_YES;
}

/* As many descriptors as the system lets us have; says so where they are fewer than connections. */
static void raise_descriptors(const struct lq_config *config)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const int others = OTHER_DESCRIPTORS + LANE_DESCRIPTORS * config->threads;
    if (limit.rlim_max < (rlim_t)config->connections + (rlim_t)others) {
        lq_log_event("info", "few-descriptors", NULL,
                     "the system allows %llu descriptors, too few for --connections %d",
                     (unsigned long long)limit.rlim_max, config->connections);
    }
}

/* Everything that serving needs but sockets. */
static enum lq_code start_service(struct lq_http *http, struct lq_error *err)
{
    struct lq_service *service = &http->service;
    const struct lq_config *config = service->config;
    LQ_TRY(lq_random_fill(service->seed, sizeof service->seed, err));
    if (config->tls_cert[0] != '\0') {
        LQ_TRY(lq_tls_read(config->tls_cert, config->tls_key, &http->tls, err));
    }
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    service->turns = lq_turns_new(cores > 2 ? (int)cores - 1 : 1); /* a core is left for the rest */
    if (service->turns == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    LQ_TRY(lq_auth_new(service->store, &service->auth, err));
    LQ_TRY(lq_rate_new(config->rate_per_address.per_s, config->rate_per_address.burst,
                       &service->rate_per_address, err));
    LQ_TRY(lq_rate_new(config->rate_per_token.per_s, config->rate_per_token.burst,
                       &service->rate_per_token, err));
    LQ_TRY(lq_connections_new(config, config->threads, &http->connections, err));
    return lq_linger_start(&http->linger, err);
}

static enum lq_code start(struct lq_http *http, struct lq_error *err)
{
    const struct lq_config *config = http->service.config;
    raise_descriptors(config);
    LQ_TRY(start_service(http, err));
    for (int i = 0; i < config->threads; i++) {
        struct lane *lane = &http->lanes[i];
        *lane = (struct lane){.http = http, .number = i};
        lane->daemon = start_daemon(http, lane);
        if (lane->daemon == NULL) {
            return lq_fail(err, LQ_EINTERNAL, NULL,
                           "cannot start %d HTTP threads, only %d: %s; fewer --threads, or more "
                           "descriptors (ulimit -n), would do",
                           config->threads, i, strerror(errno));
        }
    }
    int listen_fd = -1;
    LQ_TRY(lq_listen(config->host, config->port, &listen_fd, http->address, err));
    return lq_acceptor_start(&(struct lq_acceptor_plan){.listen_fd = listen_fd,
                                                        .encrypted = http->tls.cert != NULL,
                                                        .connections = http->connections,
                                                        .linger = http->linger,
                                                        .hand_over = hand_over,
                                                        .context = http},
                             &http->acceptor, err);
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
    enum lq_code code = start(made, err);
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

void lq_http_stop(struct lq_http *http, int patience_ms)
{
    if (http == NULL) {
        return;
    }
    atomic_store(&http->service.stopping, true);
    lq_acceptor_stop(http->acceptor);
    const struct timespec pause = {.tv_nsec = STOP_POLL_MS * 1000000L};
    for (int waited_ms = 0; waited_ms < patience_ms && atomic_load(&http->service.in_flight) > 0;
         waited_ms += STOP_POLL_MS) {
        nanosleep(&pause, NULL);
    }
    for (int i = 0; i < http->service.config->threads; i++) {
        if (http->lanes[i].daemon != NULL) {
            MHD_stop_daemon(http->lanes[i].daemon);
        }
    }
    lq_linger_stop(http->linger);
    lq_cache_free(http->service.cache);
    lq_connections_free(http->connections);
    lq_rate_free(http->service.rate_per_address);
    lq_rate_free(http->service.rate_per_token);
    lq_auth_free(http->service.auth);
    lq_turns_free(http->service.turns);
    lq_tls_free(&http->tls);
    free(http);
}
