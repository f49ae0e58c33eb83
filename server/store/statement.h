/* SQLite behind a dozen calls: connections, transactions and prepared statements that fail in the
 * one way everything fails. The only header of this room that knows there is a database engine. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lq_database;
struct lq_statement;

/* Runs `close(&variable)` when the variable goes out of scope. */
#define LQ_AUTO(close) __attribute__((cleanup(close)))

/* Opens the regular file at `path`, made (mode 0600) if nothing is there. Not thread-safe: one
 * caller at a time per connection. Errors: LQ_ESTORE (a directory, a link, not writable, not a
 * database, ...), the path named. `*database` is new. */
LQ_MUST_USE enum lq_code lq_database_open(const char *path, struct lq_database **database,
                                          struct lq_error *err);
/* The same for reading a file that is there: nothing is made and nothing can be written. */
LQ_MUST_USE enum lq_code lq_database_open_existing(const char *path, struct lq_database **database,
                                                   struct lq_error *err);
void lq_database_close(struct lq_database **database);

/* The path it was opened at; borrowed. */
const char *lq_database_path(const struct lq_database *database);

/* Durability and limits of this connection: WAL, synchronous FULL, foreign keys, a small cache.
 * Kept apart from opening because it writes to the file: first see whose database it is. */
LQ_MUST_USE enum lq_code lq_database_configure(struct lq_database *database, struct lq_error *err);

/* Runs a script of statements whose results do not matter. */
LQ_MUST_USE enum lq_code lq_database_run(struct lq_database *database, const char *sql,
                                         struct lq_error *err);

/* The integer that a query yields in its first row and column. */
LQ_MUST_USE enum lq_code lq_database_number(struct lq_database *database, const char *sql,
                                            int64_t *number, struct lq_error *err);

/* Copies all of the database, as it stands when the copy begins, into the file at `path`, which is
 * there and holds nothing. Whoever writes meanwhile does not wait and is not waited for. The copy
 * needs no log beside it. */
LQ_MUST_USE enum lq_code lq_database_copy(struct lq_database *database, const char *path,
                                          struct lq_error *err);

/* Rows that the last statement wrote or deleted. */
int64_t lq_database_changes(const struct lq_database *database);

/* A write transaction: begin waits for other processes up to the busy timeout; a commit that fails
 * has rolled back; rollback is a no-op outside a transaction. */
LQ_MUST_USE enum lq_code lq_database_begin(struct lq_database *database, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_database_commit(struct lq_database *database, struct lq_error *err);
void lq_database_rollback(struct lq_database *database);

/* Inside a transaction: a part of it that can be undone alone. Undoing fails where the engine has
 * given up the whole transaction. Parts do not nest. */
LQ_MUST_USE enum lq_code lq_database_mark(struct lq_database *database, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_database_keep_part(struct lq_database *database, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_database_undo_part(struct lq_database *database, struct lq_error *err);

/* Prepares one statement; `*statement` must be closed before its database. A closed statement is
 * kept with its connection for whoever opens the same text again. */
LQ_MUST_USE enum lq_code lq_statement_open(struct lq_database *database, const char *sql,
                                           struct lq_statement **statement, struct lq_error *err);
void lq_statement_close(struct lq_statement **statement);

/* Parameters count from 1. Texts are borrowed until the statement is run. A bind that fails makes
 * the next step fail. `_or_null` turns "", 0 and NULL into SQL NULL. */
void lq_bind_text(struct lq_statement *statement, int parameter, const char *text);
void lq_bind_text_or_null(struct lq_statement *statement, int parameter, const char *text);
void lq_bind_count(struct lq_statement *statement, int parameter, int64_t count);
void lq_bind_number(struct lq_statement *statement, int parameter, double number);
void lq_bind_number_or_null(struct lq_statement *statement, int parameter, double number);

/* The next row: `*row` false at the end, and the statement is then ready for new parameters. */
LQ_MUST_USE enum lq_code lq_statement_step(struct lq_statement *statement, bool *row,
                                           struct lq_error *err);
/* Runs a statement that yields no rows. */
LQ_MUST_USE enum lq_code lq_statement_run(struct lq_statement *statement, struct lq_error *err);
/* Gives up the rest of the rows. */
void lq_statement_reset(struct lq_statement *statement);

/* Columns of the current row count from 0. NULL reads as "", 0 and 0.0; texts are borrowed until
 * the next step. */
const char *lq_column_text(const struct lq_statement *statement, int column);
int64_t lq_column_count(const struct lq_statement *statement, int column);
double lq_column_number(const struct lq_statement *statement, int column);

/* Mixes all columns of the current row into a 64-bit FNV-1a hash that starts at LQ_HASH_START. */
void lq_statement_hash(const struct lq_statement *statement, uint64_t *hash);
