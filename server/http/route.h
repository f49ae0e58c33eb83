/* The route table: which method on which path is answered by which handler, as data. */
#pragma once

#include "core/base/error.h"
#include "server/api/call.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct lq_route {
    const char *method;
    const char *path; /* "{id}" stands for one segment that is not empty */
    lq_handler handler;
    const char *scope; /* the token's scope; NULL: open to all, unless reads are closed */
    size_t body_cap;   /* largest body in bytes; 0: the call takes none */
};

extern const struct lq_route LQ_ROUTES[];
extern const size_t LQ_ROUTE_COUNT;

enum { LQ_ALLOW_MAX = 64 };

struct lq_match {
    const struct lq_route *route; /* NULL unless found */
    const char *param;            /* where the segment at {id} starts in the path, or NULL */
    size_t param_size;
    char allow[LQ_ALLOW_MAX]; /* the methods of this path, as in an Allow field */
};

/* Finds the route of a call; HEAD is answered as GET. Errors: LQ_ENOTFOUND (no route has this
 * path), LQ_EMETHOD (none with this method); `match->allow` is filled unless it is LQ_ENOTFOUND. */
LQ_MUST_USE enum lq_code lq_route_find(const char *method, const char *path, struct lq_match *match,
                                       struct lq_error *err);

/* The scope that a call needs under this configuration: the route's own or, where reads are closed,
 * "read" for all under /v1; NULL: none. */
const char *lq_route_scope(const struct lq_route *route, const struct lq_config *config);

/* Whether no rate counts it: it is asked by what watches the service, or is a file of the
 * dashboard, of which a page takes many at once and which cost a copy. */
bool lq_route_is_free(const struct lq_route *route);

/* Whether the route takes its body as text/csv too. */
bool lq_route_takes_csv(const struct lq_route *route);

/* Whether the path or query tells what only its owner may know, and is not to be logged. */
bool lq_route_is_secret(const struct lq_route *route);

/* Writes "METHOD path" per line, in the order of the table. */
void lq_route_print(FILE *out);
