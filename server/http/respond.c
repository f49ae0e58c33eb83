/* Builds answers: status, header fields, body. */
#include "server/http/respond.h"

#include "server/http/exchange.h"
#include "server/json/field.h"
#include "server/json/problem.h"
#include "server/log.h"

#include <string.h>

static void add(struct lq_answer *answer, const char *name, const char *value)
{
    if (answer->field_count < LQ_FIELDS_MAX) {
        answer->fields[answer->field_count++] = (struct lq_answer_field){name, value};
    }
}

/* The fields that a problem's code asks for beside its status. */
static void add_code_fields(struct lq_exchange *exchange, enum lq_code code)
{
    struct lq_answer *answer = &exchange->answer;
    if (code == LQ_EMETHOD) {
        add(answer, "Allow", exchange->match.allow);
    } else if (code == LQ_ETOKEN) {
        add(answer, "WWW-Authenticate",
            exchange->head.authorization == NULL
                ? "Bearer realm=\"llmquote\""
                : "Bearer realm=\"llmquote\", error=\"invalid_token\"");
    } else if (code == LQ_ESCOPE) {
        add(answer, "WWW-Authenticate", "Bearer realm=\"llmquote\", error=\"insufficient_scope\"");
    } else if (code == LQ_EBUSY || code == LQ_ESTORE) {
        add(answer, "Retry-After", exchange->retry_after[0] != '\0' ? exchange->retry_after : "1");
    }
}

static void drop_reply(struct lq_exchange *exchange)
{
    lq_exchange_sent(exchange);
    exchange->reply = (struct lq_reply){0};
}

static void fill_problem(struct lq_exchange *exchange)
{
    drop_reply(exchange); /* a handler may have failed half-way */
    const struct lq_error *first = &exchange->faults.items[0];
    struct lq_reply *reply = &exchange->reply;
    reply->status = lq_problem_status(first->code);
    reply->content_type = "application/problem+json";
    size_t size = 0;
    char *text = lq_problem_encode(&exchange->faults, exchange->request.id, &size);
    reply->body = text;
    reply->body_size = size;
    reply->free_body = lq_text_free;
    if (reply->status >= 500) {
        lq_log_event("error", lq_code_slug(first->code), exchange->request.id, "%s %s",
                     first->pointer, first->detail);
    }
    add_code_fields(exchange, first->code);
}

/* Preflights and answers to the origins that configuration names (the Fetch standard's CORS). */
static void add_cross_origin_fields(struct lq_exchange *exchange, bool is_preflight)
{
    struct lq_answer *answer = &exchange->answer;
    const struct lq_config *config = exchange->service->config;
    const char *origin = exchange->head.origin;
    const bool by_encoding = exchange->reply.varies_by_encoding;
    if (config->origin_count > 0) {
        add(answer, "Vary", by_encoding ? "Origin, Accept-Encoding" : "Origin");
    } else if (by_encoding) {
        add(answer, "Vary", "Accept-Encoding");
    }
    if (origin == NULL || !lq_config_allows_origin(config, origin)) {
        add(answer, "Cross-Origin-Resource-Policy", "same-origin");
        return;
    }
    add(answer, "Access-Control-Allow-Origin", origin);
    if (is_preflight) {
        add(answer, "Access-Control-Allow-Methods", exchange->match.allow);
        add(answer, "Access-Control-Allow-Headers",
            "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id");
        add(answer, "Access-Control-Max-Age", "600");
    } else {
        add(answer, "Access-Control-Expose-Headers", "ETag, Location, Retry-After, X-Request-Id");
    }
}

/* Answers are data: nothing in them is to be run, framed or told to others. The page has a policy
 * of its own. */
static void add_protective_fields(struct lq_exchange *exchange)
{
    struct lq_answer *answer = &exchange->answer;
    add(answer, "X-Content-Type-Options", "nosniff");
    add(answer, "Referrer-Policy", "no-referrer");
    const char *policy = exchange->reply.content_policy;
    add(answer, "Content-Security-Policy",
        policy != NULL ? policy : "default-src 'none'; frame-ancestors 'none'");
    if (exchange->service->config->tls_cert[0] != '\0') {
        add(answer, "Strict-Transport-Security", "max-age=31536000"); /* a year, as is customary */
    }
}

/* What may be kept: for ever, as long as its tag still holds, or not at all. */
static const char *cache_control(const struct lq_reply *reply)
{
    if (reply->is_immutable) {
        return "public, max-age=31536000, immutable"; /* a year, the longest that is customary */
    }
    return reply->etag[0] != '\0' ? "no-cache" : "no-store";
}

void lq_respond(struct lq_exchange *exchange)
{
    struct lq_answer *answer = &exchange->answer;
    struct lq_reply *reply = &exchange->reply;
    bool is_preflight = strcmp(exchange->method, "OPTIONS") == 0 && exchange->faults.count == 0;
    if (exchange->faults.count > 0) {
        fill_problem(exchange);
    } else if (is_preflight) {
        add(answer, "Allow", exchange->match.allow);
    }
    answer->status = reply->status != 0 ? reply->status : 200;
    answer->body = reply->body;
    answer->body_size = reply->body_size;
    if (answer->body_size > 0) {
        add(answer, "Content-Type",
            reply->content_type != NULL ? reply->content_type : "application/json");
        if (reply->content_encoding != NULL) {
            add(answer, "Content-Encoding", reply->content_encoding);
        }
    }
    add(answer, "X-Request-Id", exchange->request.id);
    add_protective_fields(exchange);
    add(answer, "Cache-Control", cache_control(reply));
    if (reply->etag[0] != '\0') {
        add(answer, "ETag", reply->etag);
    }
    if (reply->location[0] != '\0') {
        add(answer, "Location", reply->location);
    }
    add_cross_origin_fields(exchange, is_preflight);
    if (answer->close || atomic_load(&exchange->service->stopping)) {
        answer->close = true;
        add(answer, "Connection", "close");
    }
}
