/* What a handler sees of a request and what it answers; free of HTTP and of JSON libraries. */
#pragma once

#include "server/json/faults.h"

#include <stdbool.h>
#include <stddef.h>

struct lq_store;
struct lq_catalog;
struct lq_config;
struct lq_queue;
struct lq_auth;

enum { LQ_QUERY_MAX = 16, LQ_REQUEST_ID_MAX = 64 };

struct lq_query {
    const char *name;
    const char *value; /* percent-decoded; "" where there is none */
};

struct lq_request {
    const char *method;
    const char *path;
    const char *param; /* what stands at {id} in the route's path, percent-decoded; or NULL */
    const char *body;  /* NUL-terminated behind body_size bytes */
    size_t body_size;
    const char *content_type;    /* media type with parameters, or NULL */
    const char *authorization;   /* header, or NULL; checked where the route has a scope */
    const char *idempotency_key; /* header, or NULL */
    const char *if_none_match;   /* header, or NULL */
    bool accepts_gzip;           /* Accept-Encoding takes gzip */
    const char *token_name;      /* name of the token that was checked, NULL where none is needed */
    const char *token_id;        /* and its id */
    struct lq_query query[LQ_QUERY_MAX];
    size_t query_count;
    char id[LQ_REQUEST_ID_MAX];
};

/* Filled by the handler; `body` is freed with `free_body` once it is copied (may be NULL: static),
 * or where it lasts once it is sent, by whichever thread. */
struct lq_reply {
    int status;               /* 0 means 200 */
    const char *content_type; /* NULL means application/json */
    const char *body;
    size_t body_size;
    void (*free_body)(void *body);
    bool body_lasts;              /* beyond the call and its arena */
    const char *content_encoding; /* of the body; NULL: none */
    const char *content_policy;   /* in place of the policy that lets an answer run nothing */
    bool varies_by_encoding;      /* another Accept-Encoding is answered otherwise */
    bool is_immutable;            /* behind this path the bytes never change */
    bool repeatable;              /* the same request on the same data gives the same bytes */
    char etag[72];                /* "" = none; with quotes */
    char location[192];           /* "" = none */
};

/* One call: the request, the catalog snapshot it is answered from, and where faults go. */
struct lq_call {
    struct lq_store *store;
    const struct lq_catalog *catalog; /* borrowed for the call; never changes */
    const struct lq_config *config;
    struct lq_queue *queue; /* of long work */
    struct lq_auth *auth;   /* who may call */
    struct lq_turns *turns; /* to decode large bodies; NULL: any number at once */
    const struct lq_request *request;
    struct lq_faults *faults;
};

/* Returns LQ_OK with `reply` filled, or the code of the first fault in `call->faults`. */
typedef enum lq_code (*lq_handler)(struct lq_call *call, struct lq_reply *reply);

/* The value of a query parameter, or NULL. */
const char *lq_query_get(const struct lq_request *request, const char *name);
