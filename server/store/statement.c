/* Prepared statements: parameters in, rows out. What they say stands with those who need them. */
#include "server/store/statement.h"

#include "core/base/hash.h"
#include "server/store/database_private.h"

#include <stdlib.h>
#include <string.h>

void lq_statement_finalize(struct lq_statement *statement)
{
    if (statement != NULL) {
        sqlite3_finalize(statement->handle);
        free(statement);
    }
}

/* A kept statement with this text, or NULL. */
static struct lq_statement *take_kept(struct lq_database *database, const char *sql)
{
    for (size_t i = 0; i < KEPT_STATEMENTS; i++) {
        struct lq_statement *kept = database->kept[i];
        if (kept != NULL && strcmp(sqlite3_sql(kept->handle), sql) == 0) {
            database->kept[i] = NULL;
            return kept;
        }
    }
    return NULL;
}

enum lq_code lq_statement_open(struct lq_database *database, const char *sql,
                               struct lq_statement **statement, struct lq_error *err)
{
    struct lq_statement *opened = take_kept(database, sql);
    if (opened != NULL) {
        *statement = opened;
        return LQ_OK;
    }
    opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: out of memory", database->path);
    }
    opened->database = database;
    int code = sqlite3_prepare_v2(database->handle, sql, -1, &opened->handle, NULL);
    if (code != SQLITE_OK) {
        lq_statement_finalize(opened);
        return lq_database_fail(database, code, err);
    }
    *statement = opened;
    return LQ_OK;
}

void lq_statement_close(struct lq_statement **statement)
{
    struct lq_statement *closed = *statement;
    *statement = NULL;
    if (closed == NULL) {
        return;
    }
    struct lq_database *database = closed->database;
    sqlite3_reset(closed->handle);
    sqlite3_clear_bindings(closed->handle);
    closed->bind_code = SQLITE_OK;
    for (size_t i = 0; i < KEPT_STATEMENTS; i++) {
        if (database->kept[i] == NULL) {
            database->kept[i] = closed;
            return;
        }
    }
    lq_statement_finalize(database->kept[database->next_out]);
    database->kept[database->next_out] = closed;
    database->next_out = (database->next_out + 1) % KEPT_STATEMENTS;
}

static void note_bind(struct lq_statement *statement, int code)
{
    if (statement->bind_code == SQLITE_OK) {
        statement->bind_code = code;
    }
}

void lq_bind_text(struct lq_statement *statement, int parameter, const char *text)
{
    note_bind(statement, sqlite3_bind_text(statement->handle, parameter, text, -1, SQLITE_STATIC));
}

void lq_bind_text_or_null(struct lq_statement *statement, int parameter, const char *text)
{
    lq_bind_text(statement, parameter, text != NULL && text[0] != '\0' ? text : NULL);
}

void lq_bind_count(struct lq_statement *statement, int parameter, int64_t count)
{
    note_bind(statement, sqlite3_bind_int64(statement->handle, parameter, count));
}

void lq_bind_number(struct lq_statement *statement, int parameter, double number)
{
    note_bind(statement, sqlite3_bind_double(statement->handle, parameter, number));
}

void lq_bind_number_or_null(struct lq_statement *statement, int parameter, double number)
{
    if (number > 0.0 || number < 0.0) {
        lq_bind_number(statement, parameter, number);
    } else {
        note_bind(statement, sqlite3_bind_null(statement->handle, parameter));
    }
}

enum lq_code lq_statement_step(struct lq_statement *statement, bool *row, struct lq_error *err)
{
    if (statement->bind_code != SQLITE_OK) {
        return lq_database_fail(statement->database, statement->bind_code, err);
    }
    int code = sqlite3_step(statement->handle);
    *row = code == SQLITE_ROW;
    if (code == SQLITE_ROW) {
        return LQ_OK;
    }
    enum lq_code result =
        code == SQLITE_DONE ? LQ_OK : lq_database_fail(statement->database, code, err);
    sqlite3_reset(statement->handle);
    return result;
}

enum lq_code lq_statement_run(struct lq_statement *statement, struct lq_error *err)
{
    bool row = true;
    while (row) {
        LQ_TRY(lq_statement_step(statement, &row, err));
    }
    return LQ_OK;
}

void lq_statement_reset(struct lq_statement *statement)
{
    sqlite3_reset(statement->handle);
}

const char *lq_column_text(const struct lq_statement *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement->handle, column);
    return text != NULL ? (const char *)text : "";
}

int64_t lq_column_count(const struct lq_statement *statement, int column)
{
    return sqlite3_column_int64(statement->handle, column);
}

double lq_column_number(const struct lq_statement *statement, int column)
{
    return sqlite3_column_double(statement->handle, column);
}

void lq_statement_hash(const struct lq_statement *statement, uint64_t *hash)
{
    for (int i = 0; i < sqlite3_column_count(statement->handle); i++) {
        int type = sqlite3_column_type(statement->handle, i);
        *hash = lq_hash_bytes(*hash, &type, sizeof type);
        if (type == SQLITE_INTEGER) {
            int64_t count = lq_column_count(statement, i);
            *hash = lq_hash_bytes(*hash, &count, sizeof count);
        } else if (type == SQLITE_FLOAT) {
            double number = lq_column_number(statement, i);
            *hash = lq_hash_bytes(*hash, &number, sizeof number);
        } else {
            const char *text = lq_column_text(statement, i);
            *hash = lq_hash_bytes(*hash, text, strlen(text) + 1);
        }
    }
}
