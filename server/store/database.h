/* Connections to a database and their transactions, which fail in the one way everything fails. */
#pragma once

#include "core/base/error.h"

#include <stdint.h>

struct lq_database;

/* Runs `close(&variable)` when the variable goes out of scope. */
#define LQ_AUTO(close) __attribute__((cleanup(close)))

/* Whether a regular file stands at `path`. Errors: LQ_ESTORE (nothing, a directory, a link, ...),
 * the path named. */
LQ_MUST_USE enum lq_code lq_database_check_file(const char *path, struct lq_error *err);

/* Opens the regular file at `path`, made (mode 0600) if nothing is there. Not thread-safe: one
 * caller at a time per connection. Errors: LQ_ESTORE (a directory, a link, not writable, not a
 * database, ...), the path named. `*database` is new. */
LQ_MUST_USE enum lq_code lq_database_open(const char *path, struct lq_database **database,
                                          struct lq_error *err);
/* The same for reading a file that is there: nothing is made and nothing can be written. */
LQ_MUST_USE enum lq_code lq_database_open_existing(const char *path, struct lq_database **database,
                                                   struct lq_error *err);

/* Takes the file at `path`, made as above, for one server alone as long as `*lock` stays open. The
 * descriptor is new, or -1 where the file cannot be read (which opening then tells) or its file
 * system has no such locks. Closing any descriptor of a file gives up the engine's own locks on it:
 * call this before the file's first connection is opened, and close after the last one is.
 * Errors: LQ_ESTORE (another server has it). */
LQ_MUST_USE enum lq_code lq_database_lock(const char *path, int *lock, struct lq_error *err);

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
