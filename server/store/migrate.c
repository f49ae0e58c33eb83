/* Migrations are only ever appended: a database of any age replays those it lacks. What they say
 * stands in migrations/NNNN_*.sql. */
#include "server/store/migrate.h"

#include <inttypes.h>
#include <stdio.h>

/* "LQdb" in the header of the file tells our databases from other programs'. */
#define APPLICATION_ID INT64_C(0x4c516462)

struct header {
    int64_t application;
    int64_t version;
    int64_t objects; /* tables, indices and views */
};

/* Reads all three at one instant: another process may be migrating the same file. */
static enum lq_code read_header(struct lq_database *database, struct header *header,
                                struct lq_error *err)
{
    LQ_TRY(lq_database_run(database, "BEGIN", err));
    LQ_TRY(
        lq_database_number(database, "SELECT count(*) FROM sqlite_schema", &header->objects, err));
    LQ_TRY(lq_database_number(database, "PRAGMA application_id", &header->application, err));
    LQ_TRY(lq_database_number(database, "PRAGMA user_version", &header->version, err));
    return lq_database_run(database, "COMMIT", err);
}

/* Refuses all but our own databases up to version `known`, and files without any content. */
static enum lq_code check_header(const struct lq_database *database, const struct header *header,
                                 size_t known, struct lq_error *err)
{
    bool empty = header->application == 0 && header->version == 0 && header->objects == 0;
    if (!empty && header->application != APPLICATION_ID) {
        return lq_fail(err, LQ_ESTORE, NULL,
                       "%s: is another program's database (application id %" PRId64 ")",
                       lq_database_path(database), header->application);
    }
    if (header->version < 0 || header->version > (int64_t)known) {
        return lq_fail(err, LQ_ESTORE, NULL,
                       "%s: has schema version %" PRId64
                       " but this program knows up to %zu: a newer release wrote it",
                       lq_database_path(database), header->version, known);
    }
    return LQ_OK;
}

/* Inside a transaction: applies one migration and its number, unless somebody was faster. */
static enum lq_code apply(struct lq_database *database, const struct lq_embedded *migration,
                          size_t version, struct lq_error *err)
{
    int64_t now = 0;
    LQ_TRY(lq_database_number(database, "PRAGMA user_version", &now, err));
    if (now >= (int64_t)version) {
        return LQ_OK;
    }
    char mark[96];
    snprintf(mark, sizeof mark, "PRAGMA user_version = %zu; PRAGMA application_id = %" PRId64,
             version, APPLICATION_ID);
    struct lq_error cause = {0};
    enum lq_code code = lq_database_run(database, migration->data, &cause);
    if (code == LQ_OK) {
        code = lq_database_run(database, mark, &cause);
    }
    if (code != LQ_OK) {
        return lq_fail(err, code, NULL, "migration %s: %s", migration->name, cause.detail);
    }
    return LQ_OK;
}

enum lq_code lq_migrate(struct lq_database *database, const struct lq_embedded *migrations,
                        size_t count, struct lq_error *err)
{
    struct header header = {0};
    LQ_TRY(read_header(database, &header, err));
    LQ_TRY(check_header(database, &header, count, err));
    LQ_TRY(lq_database_configure(database, err));
    for (size_t i = (size_t)header.version; i < count; i++) {
        LQ_TRY(lq_database_begin(database, err));
        enum lq_code code = apply(database, &migrations[i], i + 1, err);
        if (code != LQ_OK) {
            lq_database_rollback(database);
            return code;
        }
        LQ_TRY(lq_database_commit(database, err));
    }
    return LQ_OK;
}

enum lq_code lq_migrate_check(struct lq_database *database, size_t known, size_t *version,
                              struct lq_error *err)
{
    struct header header = {0};
    LQ_TRY(read_header(database, &header, err));
    LQ_TRY(check_header(database, &header, known, err));
    if (header.version == 0) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: is empty", lq_database_path(database));
    }
    *version = (size_t)header.version;
    return LQ_OK;
}
