/* Backups: which file one may go to, and the steps from a copy to a file that is sure to be whole.
 * How pages are copied stands in database.c. */
#include "server/store/backup.h"

#include "migrations/embed.h"
#include "server/store/check.h"
#include "server/store/migrate.h"
#include "server/store/statement.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A backup under way. */
struct backup {
    const char *path; /* of the database */
    const char *file;
    char partial[PATH_MAX];
    int lock; /* FILE.partial, locked; -1: not yet */
    bool force;
};

static enum lq_code fail(const char *file, const char *what, struct lq_error *err)
{
    return lq_fail(err, LQ_ESTORE, NULL, "%s: %s: %s", file, what, strerror(errno));
}

/* What the engine keeps beside a database, by the database's name, which is the first. */
static const char *const SUFFIXES[] = {"", "-wal", "-shm", "-journal"};
enum { SUFFIX_COUNT = sizeof SUFFIXES / sizeof SUFFIXES[0] };

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void directory_of(const char *path, char directory[PATH_MAX])
{
    const int size = (int)(last_part(path) - path);
    snprintf(directory, PATH_MAX, "%.*s", size > 0 ? size : 1, size > 0 ? path : ".");
}

/* Whether `place` is the database or one of the files beside it, be it there or not. */
static bool belongs_to(const char *path, const char *place)
{
    struct stat held;
    struct stat named;
    char directories[2][PATH_MAX];
    directory_of(path, directories[0]);
    directory_of(place, directories[1]);
    const bool together = stat(directories[0], &held) == 0 && stat(directories[1], &named) == 0 &&
                          is_same(&held, &named);
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        char name[PATH_MAX];
        if (snprintf(name, sizeof name, "%s%s", path, SUFFIXES[i]) >= (int)sizeof name) {
            continue;
        }
        if ((together && strcmp(last_part(name), last_part(place)) == 0) ||
            (stat(name, &held) == 0 && stat(place, &named) == 0 && is_same(&held, &named))) {
            return true;
        }
    }
    return false;
}

/* Whether another process has the database in the file open: the engine keeps a lock on bytes of
 * it for as long (SQLite's file format, section 4). */
static bool is_in_use(const char *file)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000000, .l_len = 512};
    const int opened = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0) {
        return false;
    }
    const bool used = fcntl(opened, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(opened);
    return used;
}

/* What another database has left beside the file would be taken for the backup's own and played
 * into it: it goes where the file may be replaced, and is told where not. */
static enum lq_code clear_beside(const char *file, bool replace, struct lq_error *err)
{
    for (size_t i = 1; i < SUFFIX_COUNT; i++) {
        char name[PATH_MAX];
        struct stat status;
        if (snprintf(name, sizeof name, "%s%s", file, SUFFIXES[i]) >= (int)sizeof name) {
            return lq_fail(err, LQ_ECONFLICT, NULL, "the path of the backup is too long");
        }
        if (lstat(name, &status) != 0) {
            continue;
        }
        if (!replace) {
            return lq_fail(err, LQ_ECONFLICT, NULL,
                           "%s: is there already, of another database; --force removes it", name);
        }
        if (unlink(name) != 0) {
            return fail(name, "cannot be removed", err);
        }
    }
    return LQ_OK;
}

/* Refuses a place that holds anything but nothing or, where it may be replaced, a plain file. */
static enum lq_code check_place(const struct backup *backup, const char *place, bool replace,
                                struct lq_error *err)
{
    struct stat status;
    if (belongs_to(backup->path, place)) {
        return lq_fail(err, LQ_ECONFLICT, NULL, "%s: belongs to the database itself", place);
    }
    if (lstat(place, &status) != 0) {
        return errno == ENOENT ? LQ_OK : fail(place, "cannot be a backup", err);
    }
    if (!S_ISREG(status.st_mode)) {
        return lq_fail(err, LQ_ECONFLICT, NULL, "%s: is %s, not a file to back up to", place,
                       S_ISDIR(status.st_mode)   ? "a directory"
                       : S_ISLNK(status.st_mode) ? "a symbolic link"
                                                 : "not a regular file");
    }
    if (is_in_use(place)) {
        return lq_fail(err, LQ_ECONFLICT, NULL, "%s: is the database of a running server", place);
    }
    return replace ? LQ_OK
                   : lq_fail(err, LQ_ECONFLICT, NULL, "%s: is there already; --force replaces it",
                             place);
}

/* Makes FILE.partial, or takes over one that a backup left which was cut off. The lock keeps two
 * backups to one file apart. */
static enum lq_code take_partial(struct backup *backup, struct lq_error *err)
{
    const int size = snprintf(backup->partial, sizeof backup->partial, "%s.partial", backup->file);
    if (size >= (int)sizeof backup->partial) {
        return lq_fail(err, LQ_ECONFLICT, NULL, "the path of the backup is too long");
    }
    LQ_TRY(check_place(backup, backup->partial, true, err));
    backup->lock = open(backup->partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (backup->lock < 0) {
        return fail(backup->partial, "cannot be made", err);
    }
    struct stat held;
    struct stat named;
    if (flock(backup->lock, LOCK_EX | LOCK_NB) != 0 || fstat(backup->lock, &held) != 0 ||
        lstat(backup->partial, &named) != 0 || held.st_ino != named.st_ino) {
        return lq_fail(err, LQ_ECONFLICT, NULL, "%s: another backup is writing it",
                       backup->partial);
    }
    return ftruncate(backup->lock, 0) == 0 ? LQ_OK : fail(backup->partial, "ftruncate", err);
}

static enum lq_code copy(const struct backup *backup, struct lq_error *err)
{
    size_t version = 0;
    struct lq_database *database LQ_AUTO(lq_database_close) = NULL;
    LQ_TRY(lq_database_open_existing(backup->path, &database, err));
    LQ_TRY(lq_migrate_check(database, LQ_MIGRATIONS_COUNT, &version, err));
    LQ_TRY(lq_database_copy(database, backup->partial, err));
    if (fsync(backup->lock) != 0) {
        return fail(backup->partial, "cannot be flushed", err);
    }
    return lq_check_integrity(backup->partial, err);
}

/* Makes the new name durable. */
static enum lq_code flush_directory(const char *file, struct lq_error *err)
{
    char directory[PATH_MAX];
    directory_of(file, directory);
    const int opened = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool flushed = opened >= 0 && fsync(opened) == 0;
    enum lq_code code = flushed ? LQ_OK : fail(directory, "cannot be flushed", err);
    if (opened >= 0) {
        close(opened);
    }
    return code;
}

/* Gives the copy its name. File systems that cannot refuse to replace (EINVAL) were asked before.
 */
static enum lq_code name_copy(const struct backup *backup, struct lq_error *err)
{
    LQ_TRY(check_place(backup, backup->file, backup->force, err));
    LQ_TRY(clear_beside(backup->file, backup->force, err));
    int failed = renameat2(AT_FDCWD, backup->partial, AT_FDCWD, backup->file,
                           backup->force ? 0 : RENAME_NOREPLACE);
    if (failed != 0 && errno == EINVAL) {
        failed = rename(backup->partial, backup->file);
    }
    return failed == 0 ? flush_directory(backup->file, err)
                       : fail(backup->file, "cannot take its name", err);
}

enum lq_code lq_store_backup(const char *path, const char *file, bool force, struct lq_error *err)
{
    struct backup backup = {.path = path, .file = file, .lock = -1, .force = force};
    LQ_TRY(check_place(&backup, file, force, err));
    enum lq_code code = take_partial(&backup, err);
    if (code == LQ_OK) {
        code = copy(&backup, err);
        code = code == LQ_OK ? name_copy(&backup, err) : code;
        if (code != LQ_OK) {
            unlink(backup.partial); /* gone already where only the directory was not flushed */
        }
    }
    if (backup.lock >= 0) {
        close(backup.lock);
    }
    return code;
}
