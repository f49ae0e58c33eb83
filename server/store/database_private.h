/* What a connection and its statements know of each other. Nobody else includes this. */
#pragma once

#include "core/base/error.h"

#include <sqlite3.h>
#include <stddef.h>

/* Statements kept per connection: more than any of ours uses again and again. */
enum { KEPT_STATEMENTS = 24 };

struct lq_database {
    sqlite3 *handle;
    char *path;
    struct lq_statement *kept[KEPT_STATEMENTS]; /* closed ones, NULL where there is room */
    size_t next_out;                            /* gives way where there is none */
};

struct lq_statement {
    sqlite3_stmt *handle;
    struct lq_database *database;
    int bind_code; /* first failure of a bind, reported by the next step */
};

/* The engine's own words about the last failure on this connection. */
enum lq_code lq_database_fail(const struct lq_database *database, int code, struct lq_error *err);

/* Frees a statement that is not kept; NULL is none. */
void lq_statement_finalize(struct lq_statement *statement);
