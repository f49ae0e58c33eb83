/* Connections and transactions. SQLite is called here and in statement.c, nowhere else. */
#include "server/store/database_private.h"
#include "server/store/statement.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long a writer waits for another process's transaction (token commands, backups). */
enum { BUSY_TIMEOUT_MS = 5000 };

/* Pages of 4 KiB that a copy reads at once. */
enum { COPY_PAGES = 1024 };

enum lq_code lq_database_fail(const struct lq_database *database, int code, struct lq_error *err)
{
    return lq_fail(err, LQ_ESTORE, NULL, "%s: %s (SQLite code %d)", database->path,
                   code == SQLITE_NOTADB ? "not a database" : sqlite3_errmsg(database->handle),
                   code);
}

/* Refuses all but a regular file. A link is refused because it may come to mean another file under
 * a running server: where a link is wanted, name what it points to. */
enum lq_code lq_database_check_file(const char *path, struct lq_error *err)
{
    struct stat status;
    if (lstat(path, &status) != 0) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: %s", path, strerror(errno));
    }
    if (S_ISREG(status.st_mode)) {
        return LQ_OK;
    }
    const char *what = S_ISDIR(status.st_mode)   ? "is a directory"
                       : S_ISLNK(status.st_mode) ? "is a symbolic link"
                                                 : "is not a regular file";
    return lq_fail(err, LQ_ESTORE, NULL, "%s: %s, not a database file", path, what);
}

/* Refuses all but a regular file or nothing; makes the file private where there is none. */
static enum lq_code make_file(const char *path, struct lq_error *err)
{
    if (path[0] == '\0' || path[0] == ':') {
        return lq_fail(err, LQ_ESTORE, NULL, "\"%s\" is not a path of a database file", path);
    }
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file >= 0) {
        close(file);
        return LQ_OK;
    }
    if (errno != EEXIST) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: cannot be created: %s", path, strerror(errno));
    }
    return lq_database_check_file(path, err);
}

enum lq_code lq_database_lock(const char *path, int *lock, struct lq_error *err)
{
    *lock = -1;
    LQ_TRY(make_file(path, err));
    const int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file >= 0 && flock(file, LOCK_EX | LOCK_NB) != 0) {
        const bool taken = errno == EWOULDBLOCK;
        close(file);
        return taken ? lq_fail(err, LQ_ESTORE, NULL, "%s: another server uses this database", path)
                     : LQ_OK;
    }
    *lock = file;
    return LQ_OK;
}

static enum lq_code open_checked(const char *path, struct lq_database **database,
                                 struct lq_error *err)
{
    struct lq_database *opened LQ_AUTO(lq_database_close) = calloc(1, sizeof *opened);
    if (opened == NULL || (opened->path = strdup(path)) == NULL) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: out of memory", path);
    }
    /* Our own locks order the callers of a connection; the engine's would only cost time. */
    int code =
        sqlite3_open_v2(path, &opened->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (code != SQLITE_OK) {
        return lq_database_fail(opened, code, err);
    }
    code = sqlite3_busy_timeout(opened->handle, BUSY_TIMEOUT_MS);
    if (code != SQLITE_OK) {
        return lq_database_fail(opened, code, err);
    }
    *database = opened;
    opened = NULL;
    return LQ_OK;
}

enum lq_code lq_database_open(const char *path, struct lq_database **database, struct lq_error *err)
{
    LQ_TRY(make_file(path, err));
    struct lq_database *opened LQ_AUTO(lq_database_close) = NULL;
    LQ_TRY(open_checked(path, &opened, err));
    if (sqlite3_db_readonly(opened->handle, "main") != 0) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: is not writable", path);
    }
    *database = opened;
    opened = NULL;
    return LQ_OK;
}

enum lq_code lq_database_open_existing(const char *path, struct lq_database **database,
                                       struct lq_error *err)
{
    LQ_TRY(lq_database_check_file(path, err));
    struct lq_database *opened LQ_AUTO(lq_database_close) = NULL;
    LQ_TRY(open_checked(path, &opened, err));
    LQ_TRY(lq_database_run(opened, "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF", err));
    *database = opened;
    opened = NULL;
    return LQ_OK;
}

void lq_database_close(struct lq_database **database)
{
    if (*database == NULL) {
        return;
    }
    for (size_t i = 0; i < KEPT_STATEMENTS; i++) {
        lq_statement_finalize((*database)->kept[i]);
    }
    lq_database_rollback(*database);
    sqlite3_close_v2((*database)->handle);
    free((*database)->path);
    free(*database);
    *database = NULL;
}

const char *lq_database_path(const struct lq_database *database)
{
    return database->path;
}

/* Changing to WAL needs the file for itself and does not wait for it, so waiting is up to us. */
static enum lq_code enter_wal(struct lq_database *database, struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, "PRAGMA journal_mode = WAL", &statement, err));
    int code = sqlite3_step(statement->handle);
    for (int waited_ms = 0; (code & 0xff) == SQLITE_BUSY && waited_ms < BUSY_TIMEOUT_MS;
         waited_ms += 10) {
        sqlite3_reset(statement->handle);
        usleep(10 * 1000);
        code = sqlite3_step(statement->handle);
    }
    if (code != SQLITE_ROW) {
        return lq_database_fail(database, code, err);
    }
    if (strcmp(lq_column_text(statement, 0), "wal") != 0) {
        return lq_fail(err, LQ_ESTORE, NULL,
                       "%s: its file system cannot hold a write-ahead log (journal mode stays %s)",
                       database->path, lq_column_text(statement, 0));
    }
    return LQ_OK;
}

enum lq_code lq_database_configure(struct lq_database *database, struct lq_error *err)
{
    LQ_TRY(enter_wal(database, err));
    return lq_database_run(database,
                           "PRAGMA synchronous = FULL;"
                           "PRAGMA foreign_keys = ON;"
                           "PRAGMA trusted_schema = OFF;"
                           "PRAGMA cache_size = -1024;", /* KiB; the catalog lives in memory */
                           err);
}

enum lq_code lq_database_run(struct lq_database *database, const char *sql, struct lq_error *err)
{
    int code = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? LQ_OK : lq_database_fail(database, code, err);
}

enum lq_code lq_database_number(struct lq_database *database, const char *sql, int64_t *number,
                                struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, sql, &statement, err));
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    if (!row) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: no row from \"%s\"", database->path, sql);
    }
    *number = lq_column_count(statement, 0);
    return LQ_OK;
}

/* All pages in steps, from the state that the source's open transaction sees. */
static int copy_pages(sqlite3 *target, sqlite3 *source)
{
    sqlite3_backup *backup = sqlite3_backup_init(target, "main", source, "main");
    if (backup == NULL) {
        return sqlite3_errcode(target);
    }
    int code = SQLITE_OK;
    while (code == SQLITE_OK) {
        code = sqlite3_backup_step(backup, COPY_PAGES);
    }
    const int finished = sqlite3_backup_finish(backup);
    return code == SQLITE_DONE ? finished : code;
}

enum lq_code lq_database_copy(struct lq_database *database, const char *path, struct lq_error *err)
{
    struct lq_database *target LQ_AUTO(lq_database_close) = NULL;
    LQ_TRY(open_checked(path, &target, err));
    /* A transaction that has read: without it every write of another process begins the copy anew,
     * and a busy server would never be copied. */
    int64_t objects = 0;
    LQ_TRY(lq_database_run(database, "BEGIN", err));
    LQ_TRY(lq_database_number(database, "SELECT count(*) FROM sqlite_master", &objects, err));
    const int code = copy_pages(target->handle, database->handle);
    lq_database_rollback(database);
    if (code != SQLITE_OK) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: cannot be copied to %s: %s (SQLite code %d)",
                       database->path, path, sqlite3_errstr(code), code);
    }
    return lq_database_run(target, "PRAGMA journal_mode = DELETE", err);
}

int64_t lq_database_changes(const struct lq_database *database)
{
    return sqlite3_changes64(database->handle);
}

/* One of the statements around changes, which are run so often that they are kept prepared. */
static enum lq_code run_kept(struct lq_database *database, const char *sql, struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, sql, &statement, err));
    return lq_statement_run(statement, err);
}

enum lq_code lq_database_begin(struct lq_database *database, struct lq_error *err)
{
    lq_database_rollback(database); /* what an earlier one had no memory for */
    return run_kept(database, "BEGIN IMMEDIATE", err);
}

enum lq_code lq_database_mark(struct lq_database *database, struct lq_error *err)
{
    return run_kept(database, "SAVEPOINT part", err);
}

enum lq_code lq_database_keep_part(struct lq_database *database, struct lq_error *err)
{
    return run_kept(database, "RELEASE part", err);
}

enum lq_code lq_database_undo_part(struct lq_database *database, struct lq_error *err)
{
    LQ_TRY(run_kept(database, "ROLLBACK TO part", err));
    return run_kept(database, "RELEASE part", err);
}

enum lq_code lq_database_commit(struct lq_database *database, struct lq_error *err)
{
    enum lq_code code = run_kept(database, "COMMIT", err);
    if (code != LQ_OK) {
        lq_database_rollback(database);
    }
    return code;
}

void lq_database_rollback(struct lq_database *database)
{
    if (database->handle != NULL && sqlite3_get_autocommit(database->handle) == 0) {
        /* A rollback that fails leaves the file to the recovery of whoever opens it next. */
        (void)sqlite3_exec(database->handle, "ROLLBACK", NULL, NULL, NULL);
    }
}
