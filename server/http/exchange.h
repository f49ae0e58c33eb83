/* One request and its answer, from the first line to the last byte, free of any HTTP library: the
 * library's room feeds it what arrives and sends what it holds. */
#pragma once

#include "server/api/call.h"
#include "server/config.h"
#include "server/http/head.h"
#include "server/http/route.h"
#include "server/http/uri.h"
#include "server/ip.h"
#include "server/store/store.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct lq_auth;
struct lq_rate;

/* What all exchanges share. */
struct lq_service {
    const struct lq_config *config;
    struct lq_store *store;
    struct lq_queue *queue;
    struct lq_cache *cache; /* of computed answers; NULL: none are kept */
    struct lq_auth *auth;
    struct lq_turns *turns;
    struct lq_rate *rate_per_address; /* NULL: any */
    struct lq_rate *rate_per_token;
    uint64_t seed[2];         /* of the hashes that rates are kept under */
    atomic_int in_flight;     /* exchanges that exist */
    atomic_size_t body_bytes; /* that their bodies take */
    atomic_bool stopping;     /* answers then close their connections */
};

enum { LQ_FIELDS_MAX = 24, LQ_METHOD_MAX = 32 };

struct lq_answer_field {
    const char *name;
    const char *value;
};

/* Everything that is to be sent; texts live as long as the exchange or until it is finished. */
struct lq_answer {
    int status;
    struct lq_answer_field fields[LQ_FIELDS_MAX];
    size_t field_count;
    const char *body;
    size_t body_size;
    bool close; /* the connection ends with this answer */
};

struct lq_exchange {
    struct lq_service *service;
    struct lq_request request;
    struct lq_head head; /* its texts are borrowed until the answer is filled */
    struct lq_uri uri;
    struct lq_match match;
    struct lq_token token;
    struct lq_reply reply;
    struct lq_answer answer;
    struct lq_ip peer;    /* whose connection it is */
    char retry_after[12]; /* seconds; "" where there is nothing better than one */
    char method[LQ_METHOD_MAX];
    char *text; /* the target as it came, then the same taken apart, then the path's parameter */
    char *body;
    size_t body_capacity;
    size_t discarded;
    bool admitted;
    enum lq_code body_refused; /* why the rest of it is thrown away; LQ_OK: it is not */
    bool body_unread;          /* refused while the client may still be sending */
    int64_t start_ns;
    struct lq_faults faults; /* last and large: only its count is zeroed, items when added */
};

/* Starts an exchange for a request target that came from `peer`; NULL when out of memory. */
struct lq_exchange *lq_exchange_new(struct lq_service *service, const char *target,
                                    struct lq_ip peer);

/* Decides by the head alone, once exchange->head is filled: framing, path, method, rate, token,
 * media type and size, in this order. LQ_OK: the body, if any, may come. Otherwise
 * lq_exchange_answer holds the refusal at once. */
LQ_MUST_USE enum lq_code lq_exchange_admit(struct lq_exchange *exchange, const char *method,
                                           const char *version);

/* Takes in a piece of the body. False: far too much came, the connection must be cut. */
LQ_MUST_USE bool lq_exchange_feed(struct lq_exchange *exchange, const char *data, size_t size);

/* Calls the handler (unless refused) and fills exchange->answer. Call once, inside an arena, and
 * lq_exchange_sent() in the same arena as soon as the answer is copied or handed over. */
void lq_exchange_answer(struct lq_exchange *exchange);
void lq_exchange_sent(struct lq_exchange *exchange);

/* Logs the exchange and frees it; delivered: whether the answer went out whole. NULL is fine. */
void lq_exchange_end(struct lq_exchange *exchange, bool delivered);
