/* SQLite behind a dozen calls: prepared statements, beside the connections of database.h. */
#pragma once

#include "core/base/error.h"
#include "server/store/database.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lq_statement;

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
