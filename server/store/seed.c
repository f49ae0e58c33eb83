/* When to seed, in which transaction, and how the embedded files are read. What the rows are stands
 * in seed_catalogs.c, seed_xia2024.c and seed_evidence.c. */
#include "server/store/seed.h"

#include "server/csv.h"
#include "server/store/rows.h"
#include "server/store/utc.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Counts up whenever the rows made from unchanged files change. */
#define SEED_FORMAT "1"

enum { SEED_MARK_MAX = 80 };

static void write_mark(char mark[SEED_MARK_MAX])
{
    snprintf(mark, SEED_MARK_MAX, "%s-%s", SEED_FORMAT, LQ_SEED_DIGEST);
}

enum lq_code lq_seed_file(const char *name, const struct lq_embedded **file, struct lq_error *err)
{
    for (size_t i = 0; i < LQ_SEED_COUNT; i++) {
        if (strcmp(LQ_SEED[i].name, name) == 0) {
            *file = &LQ_SEED[i];
            return LQ_OK;
        }
    }
    return lq_fail(err, LQ_ESTORE, NULL, "%s is not part of this program", name);
}

enum lq_code lq_seed_read(const char *name, const char *header, lq_seed_record handle,
                          void *context, struct lq_error *err)
{
    const struct lq_embedded *file = NULL;
    LQ_TRY(lq_seed_file(name, &file, err));
    struct lq_csv csv;
    LQ_TRY(lq_csv_open(&csv, name, file->data, file->size, header, err));
    bool more = false;
    LQ_TRY(lq_csv_next(&csv, &more, err));
    while (more) {
        LQ_TRY(handle(&csv, context, err));
        LQ_TRY(lq_csv_next(&csv, &more, err));
    }
    return LQ_OK;
}

static enum lq_code is_current(struct lq_database *database, const char *mark, bool *current,
                               struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, "SELECT digest FROM seed_state", &statement, err));
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    *current = row && strcmp(lq_column_text(statement, 0), mark) == 0;
    return LQ_OK;
}

static enum lq_code keep_mark(const struct lq_seeding *seeding, const char *mark,
                              struct lq_error *err)
{
    static const char KEEP_MARK[] =
        "INSERT INTO seed_state (only_row, digest, applied_at_utc) VALUES (1, ?1, ?2)"
        " ON CONFLICT (only_row) DO UPDATE SET digest = ?1, applied_at_utc = ?2";
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(seeding->database, KEEP_MARK, &statement, err));
    lq_bind_text(statement, 1, mark);
    lq_bind_text(statement, 2, seeding->now);
    return lq_statement_run(statement, err);
}

/* Inside a transaction. */
static enum lq_code replace(const struct lq_seeding *seeding, const char *mark,
                            struct lq_error *err)
{
    static const char DELETE_SHIPPED[] = "DELETE FROM models WHERE is_shipped = 1;"
                                         "DELETE FROM gpus WHERE is_shipped = 1;"
                                         "DELETE FROM prices WHERE is_shipped = 1;"
                                         "DELETE FROM datasets WHERE is_shipped = 1;"
                                         "DELETE FROM calibrations WHERE is_shipped = 1;"
                                         "DELETE FROM capacities WHERE is_shipped = 1;";
    bool current = false;
    LQ_TRY(is_current(seeding->database, mark, &current, err));
    if (current) { /* another process was faster */
        return LQ_OK;
    }
    LQ_TRY(lq_database_run(seeding->database, DELETE_SHIPPED, err));
    LQ_TRY(lq_seed_catalogs(seeding, err));
    LQ_TRY(lq_seed_xia2024(seeding, err));
    LQ_TRY(lq_seed_evidence(seeding, err));
    LQ_TRY(lq_settings_sweep(seeding->database, err));
    return keep_mark(seeding, mark, err);
}

enum lq_code lq_seed_apply(struct lq_database *database, struct lq_error *err)
{
    char mark[SEED_MARK_MAX];
    char now[LQ_UTC_MAX];
    write_mark(mark);
    lq_utc_text(time(NULL), now);
    bool current = false;
    LQ_TRY(is_current(database, mark, &current, err));
    if (current) {
        return LQ_OK;
    }
    LQ_TRY(lq_database_begin(database, err));
    struct lq_error cause = {0};
    const struct lq_seeding seeding = {.database = database, .now = now};
    if (replace(&seeding, mark, &cause) != LQ_OK) {
        lq_database_rollback(database);
        return lq_fail(err, LQ_ESTORE, NULL, "the shipped catalog cannot be written: %s",
                       cause.detail);
    }
    return lq_database_commit(database, err);
}
