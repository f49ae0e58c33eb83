/* The life of one request: admitted by its head, fed its body, answered, logged. */
#include "server/http/exchange.h"

#include "server/api/auth.h"
#include "server/clock.h"
#include "server/http/cache.h"
#include "server/http/rate.h"
#include "server/http/request_id.h"
#include "server/http/respond.h"
#include "server/json/problem.h"
#include "server/log.h"
#include "server/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IGNORED_BODY_CAP = 1024 * 1024,         /* of calls that take no body */
    DISCARDED_MAX_BYTES = 64 * 1024 * 1024, /* read on beyond a cap, to answer in peace */
    FIRST_BODY_CAPACITY = 16 * 1024
};

struct lq_exchange *lq_exchange_new(struct lq_service *service, const char *target,
                                    struct lq_ip peer)
{
    struct lq_exchange *exchange = malloc(sizeof *exchange);
    size_t size = strlen(target) + 1;
    char *text = malloc(3 * size);
    if (exchange == NULL || text == NULL) {
        free(exchange);
        free(text);
        return NULL;
    }
    memcpy(text, target, size);
    memcpy(text + size, target, size);
    memset(exchange, 0, offsetof(struct lq_exchange, faults));
    exchange->faults.count = 0;
    exchange->service = service;
    exchange->peer = peer;
    exchange->text = text;
    exchange->start_ns = lq_clock_ns();
    atomic_fetch_add(&service->in_flight, 1);
    return exchange;
}

/* Fills the request's path, parameter and query from the target. */
static enum lq_code find_route(struct lq_exchange *exchange, struct lq_error *err)
{
    size_t size = strlen(exchange->text) + 1;
    if (size > LQ_URI_MAX_BYTES + 1) {
        return lq_fail(err, LQ_EURI, NULL, "the target has %zu bytes, at most %d are read",
                       size - 1, LQ_URI_MAX_BYTES);
    }
    LQ_TRY(lq_uri_parse(exchange->text + size, &exchange->uri, err));
    struct lq_request *request = &exchange->request;
    request->path = exchange->uri.path;
    request->query_count = exchange->uri.query_count;
    memcpy(request->query, exchange->uri.query, sizeof request->query);
    LQ_TRY(lq_route_find(exchange->method, request->path, &exchange->match, err));
    if (exchange->match.param == NULL) {
        return LQ_OK;
    }
    char *param = exchange->text + 2 * size;
    memcpy(param, exchange->match.param, exchange->match.param_size);
    param[exchange->match.param_size] = '\0';
    if (!lq_percent_decode(param)) {
        return lq_fail(err, LQ_EREQUEST, NULL,
                       "the path has a percent escape that is broken or stands for NUL");
    }
    request->param = param;
    return LQ_OK;
}

static size_t body_cap(const struct lq_exchange *exchange)
{
    size_t cap = exchange->match.route != NULL ? exchange->match.route->body_cap : 0;
    return cap > 0 ? cap : IGNORED_BODY_CAP;
}

static enum lq_code check_body(const struct lq_exchange *exchange, struct lq_error *err)
{
    const struct lq_head *head = &exchange->head;
    bool is_read = exchange->match.route->body_cap > 0;
    bool takes_csv = lq_route_takes_csv(exchange->match.route);
    bool is_taken =
        lq_media_is_json(head->content_type) || (takes_csv && lq_media_is_csv(head->content_type));
    if (is_read && lq_head_has_body(head) && !is_taken) {
        return lq_fail(err, LQ_EMEDIA, NULL, "the body must be application/json%s, got %.100s",
                       takes_csv ? " or text/csv" : "",
                       head->content_type != NULL ? head->content_type : "no Content-Type");
    }
    if (lq_head_body_size(head) > (int64_t)body_cap(exchange)) {
        return lq_fail(err, LQ_ETOOLARGE, NULL, "the body has %lld bytes, at most %zu are taken",
                       (long long)lq_head_body_size(head), body_cap(exchange));
    }
    return LQ_OK;
}

static bool is_preflight(const struct lq_exchange *exchange)
{
    return strcmp(exchange->method, "OPTIONS") == 0 && exchange->match.allow[0] != '\0';
}

/* Whose request it is: the peer's, or that of whom a trusted proxy names last. */
static struct lq_ip client_of(const struct lq_exchange *exchange)
{
    const char *hops = exchange->head.forwarded_for;
    struct lq_ip named;
    if (hops == NULL || !lq_config_trusts(exchange->service->config, exchange->peer)) {
        return exchange->peer;
    }
    const char *comma = strrchr(hops, ',');
    const char *last = comma != NULL ? comma + 1 : hops;
    last += strspn(last, " \t");
    return lq_ip_parse(last, strcspn(last, " \t"), &named) ? named : exchange->peer;
}

static enum lq_code take_rate(struct lq_exchange *exchange, struct lq_rate *rate, struct lq_ip key,
                              const char *whose, struct lq_error *err)
{
    const struct lq_route *route = exchange->match.route;
    if (rate == NULL || (route != NULL && lq_route_is_free(route))) {
        return LQ_OK;
    }
    int wait_s = lq_rate_take(rate, lq_ip_hash(key, exchange->service->seed), exchange->start_ns);
    if (wait_s == 0) {
        return LQ_OK;
    }
    snprintf(exchange->retry_after, sizeof exchange->retry_after, "%d", wait_s);
    return lq_fail(err, LQ_EBUSY, NULL, "%s has asked more often than it may; try again in %d s",
                   whose, wait_s);
}

static enum lq_code admit(struct lq_exchange *exchange, const char *version, struct lq_error *err)
{
    struct lq_service *service = exchange->service;
    LQ_TRY(lq_head_check(&exchange->head, version, err));
    /* What is not there takes of the rate too, so it is told after that. */
    struct lq_error missing = {0};
    const enum lq_code found = find_route(exchange, &missing);
    LQ_TRY(take_rate(exchange, service->rate_per_address, lq_ip_site(client_of(exchange)),
                     "this address", err));
    if (found != LQ_OK) {
        *err = missing;
        return found;
    }
    const char *scope = lq_route_scope(exchange->match.route, service->config);
    if (scope != NULL) {
        LQ_TRY(lq_auth_check(service->auth, exchange->head.authorization, scope, &exchange->token,
                             err));
        exchange->request.token_name = exchange->token.name;
        exchange->request.token_id = exchange->token.id;
        struct lq_ip id = {{0}}; /* "tok-" and twelve digits fill it */
        memcpy(id.bytes, exchange->token.id, sizeof id.bytes);
        LQ_TRY(take_rate(exchange, service->rate_per_token, id, "this token", err));
    }
    return check_body(exchange, err);
}

enum lq_code lq_exchange_admit(struct lq_exchange *exchange, const char *method,
                               const char *version)
{
    const struct lq_head *head = &exchange->head;
    exchange->admitted = true;
    snprintf(exchange->method, sizeof exchange->method, "%s", method);
    exchange->request.method = exchange->method;
    exchange->request.path = exchange->text;
    exchange->request.content_type = head->content_type;
    exchange->request.authorization = head->authorization;
    exchange->request.idempotency_key = head->idempotency_key;
    exchange->request.if_none_match = head->if_none_match;
    exchange->request.accepts_gzip = lq_head_accepts_gzip(head);
    if (head->request_id != NULL && lq_request_id_is_valid(head->request_id)) {
        memcpy(exchange->request.id, head->request_id, strlen(head->request_id) + 1);
    } else {
        lq_request_id_make(exchange->request.id);
    }
    struct lq_error err = {0};
    enum lq_code code = admit(exchange, version, &err);
    if (code == LQ_OK) {
        return LQ_OK;
    }
    exchange->answer.close = code == LQ_EREQUEST || code == LQ_EHEAD || lq_head_has_body(head);
    exchange->body_unread = exchange->answer.close;
    if (code == LQ_EMETHOD && is_preflight(exchange)) {
        exchange->reply.status = 204;
    } else {
        lq_faults_take(&exchange->faults, "", &err);
    }
    return code;
}

/* Counts the bytes of a body, if all bodies together may take them. */
static bool take_room(struct lq_service *service, size_t bytes)
{
    const size_t most = (size_t)service->config->bodies_mib * 1024 * 1024;
    if (atomic_fetch_add(&service->body_bytes, bytes) + bytes <= most) {
        return true;
    }
    atomic_fetch_sub(&service->body_bytes, bytes);
    return false;
}

/* Doubles, or where there is no room for that takes what is needed. LQ_EOVERLOAD: nor for that.
 * LQ_EINTERNAL: no memory. */
static enum lq_code grow_body(struct lq_exchange *exchange, size_t needed)
{
    const size_t held = exchange->body_capacity;
    if (needed <= held) {
        return LQ_OK;
    }
    size_t capacity = held > 0 ? held * 2 : FIRST_BODY_CAPACITY;
    if (capacity < needed || !take_room(exchange->service, capacity - held)) {
        capacity = needed;
        if (!take_room(exchange->service, capacity - held)) {
            return LQ_EOVERLOAD;
        }
    }
    char *body = realloc(exchange->body, capacity);
    if (body == NULL) {
        atomic_fetch_sub(&exchange->service->body_bytes, capacity - held);
        return LQ_EINTERNAL;
    }
    exchange->body = body;
    exchange->body_capacity = capacity;
    return LQ_OK;
}

static void drop_body(struct lq_exchange *exchange)
{
    atomic_fetch_sub(&exchange->service->body_bytes, exchange->body_capacity);
    free(exchange->body);
    exchange->body = NULL;
    exchange->body_capacity = 0;
    exchange->request.body_size = 0;
}

bool lq_exchange_feed(struct lq_exchange *exchange, const char *data, size_t size)
{
    size_t before = exchange->request.body_size;
    if (exchange->body_refused == LQ_OK) {
        exchange->body_refused = size > body_cap(exchange) - before
                                     ? LQ_ETOOLARGE
                                     : grow_body(exchange, before + size + 1);
    }
    if (exchange->body_refused == LQ_EINTERNAL) {
        return false;
    }
    if (exchange->body_refused != LQ_OK) {
        drop_body(exchange);
        exchange->discarded += size;
        return exchange->discarded <= DISCARDED_MAX_BYTES;
    }
    memcpy(exchange->body + before, data, size);
    exchange->body[before + size] = '\0';
    exchange->request.body_size += size;
    return true;
}

static struct lq_cache_key cache_key(const struct lq_exchange *exchange,
                                     const struct lq_catalog *catalog)
{
    return (struct lq_cache_key){.route = (size_t)(exchange->match.route - LQ_ROUTES),
                                 .body = exchange->request.body,
                                 .body_size = exchange->request.body_size,
                                 .catalog = catalog};
}

/* Only computations are looked up: what is posted without a token. */
static bool is_computation(const struct lq_exchange *exchange)
{
    const struct lq_route *route = exchange->match.route;
    return route->scope == NULL && strcmp(route->method, "POST") == 0;
}

static bool answer_from_cache(struct lq_exchange *exchange, const struct lq_catalog *catalog)
{
    if (!is_computation(exchange)) {
        return false;
    }
    const struct lq_cache_key key = cache_key(exchange, catalog);
    const bool found = lq_cache_get(exchange->service->cache, &key, &exchange->reply);
    lq_metrics_count(found ? LQ_COUNT_CACHE_HITS : LQ_COUNT_CACHE_MISSES, 1);
    return found;
}

static void keep_in_cache(struct lq_exchange *exchange, const struct lq_catalog *catalog)
{
    if (is_computation(exchange) && exchange->reply.repeatable && exchange->faults.count == 0) {
        const struct lq_cache_key key = cache_key(exchange, catalog);
        lq_cache_put(exchange->service->cache, &key, &exchange->reply);
    }
}

static void call_handler(struct lq_exchange *exchange)
{
    struct lq_store *store = exchange->service->store;
    exchange->request.body = exchange->body != NULL ? exchange->body : "";
    struct lq_call call = {
        .store = store,
        .catalog = lq_store_acquire(store),
        .config = exchange->service->config,
        .queue = exchange->service->queue,
        .auth = exchange->service->auth,
        .turns = exchange->service->turns,
        .request = &exchange->request,
        .faults = &exchange->faults,
    };
    if (!answer_from_cache(exchange, call.catalog)) {
        enum lq_code code = exchange->match.route->handler(&call, &exchange->reply);
        if (code != LQ_OK && exchange->faults.count == 0) {
            lq_faults_add(&exchange->faults, code, "", "%s", lq_code_title(code));
        }
        keep_in_cache(exchange, call.catalog);
    }
    lq_store_release(store, call.catalog);
}

void lq_exchange_answer(struct lq_exchange *exchange)
{
    bool refused = exchange->faults.count > 0 || exchange->reply.status != 0;
    if (!refused && exchange->body_refused == LQ_ETOOLARGE) {
        exchange->answer.close = true;
        lq_faults_add(&exchange->faults, LQ_ETOOLARGE, "",
                      "the body has more than the %zu bytes that are taken", body_cap(exchange));
    } else if (!refused && exchange->body_refused != LQ_OK) {
        exchange->answer.close = true;
        lq_faults_add(&exchange->faults, exchange->body_refused, "",
                      "the bodies on their way take as much memory as they may");
    } else if (!refused) {
        call_handler(exchange);
    }
    lq_respond(exchange);
}

void lq_exchange_sent(struct lq_exchange *exchange)
{
    if (exchange->reply.free_body != NULL) {
        union { /* the body was made for this answer and handed over with its release */
            const char *text;
            void *memory;
        } body = {.text = exchange->reply.body};
        exchange->reply.free_body(body.memory);
        exchange->reply.free_body = NULL;
    }
    exchange->reply.body = NULL;
    exchange->answer.body = NULL;
}

void lq_exchange_end(struct lq_exchange *exchange, bool delivered)
{
    if (exchange == NULL) {
        return;
    }
    struct lq_service *service = exchange->service;
    const struct lq_route *route = exchange->match.route;
    const int status = delivered ? exchange->answer.status : 0;
    const double duration_ms = 1e-6 * (double)(lq_clock_ns() - exchange->start_ns);
    lq_metrics_request(route != NULL ? (size_t)(route - LQ_ROUTES) : LQ_METRICS_ROUTES_MAX,
                       route != NULL ? route->method : "", route != NULL ? route->path : "", status,
                       1e-3 * duration_ms);
    if (service->config->log_requests) {
        lq_log_request(&(struct lq_access){
            .id = exchange->request.id,
            .method = exchange->method,
            .route = route != NULL ? route->path : NULL,
            .path = route != NULL && lq_route_is_secret(route) ? route->path : exchange->text,
            .status = status,
            .duration_ms = duration_ms,
            .bytes = exchange->answer.body_size,
        });
    }
    drop_body(exchange);
    free(exchange->text);
    free(exchange);
    atomic_fetch_sub(&service->in_flight, 1);
}
