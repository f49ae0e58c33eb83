/* Backups: which file one may go to, and the steps from a copy to a file that is sure to be whole.
 * How pages are copied stands in statement.c. */
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

/* Whether `file` is the database or one of the files that the engine keeps beside it. */
static bool belongs_to(const char *path, const struct stat *file)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof SUFFIXES / sizeof SUFFIXES[0]; i++) {
        char name[PATH_MAX];
        struct stat status;
        const int size = snprintf(name, sizeof name, "%s%s", path, SUFFIXES[i]);
        if (size < (int)sizeof name && stat(name, &status) == 0 && status.st_dev == file->st_dev &&
            status.st_ino == file->st_ino) {
            return true;
        }
    }
    return false;
}

/* Refuses a place that holds anything but nothing or, where it may be replaced, a plain file. */
static enum lq_code check_place(const struct backup *backup, const char *place, bool replace,
                                struct lq_error *err)
{
    struct stat status;
    if (lstat(place, &status) != 0) {
        return errno == ENOENT ? LQ_OK : fail(place, "cannot be a backup", err);
    }
    if (!S_ISREG(status.st_mode)) {
        return lq_fail(err, LQ_ECONFLICT, NULL, "%s: is %s, not a file to back up to", place,
                       S_ISDIR(status.st_mode)   ? "a directory"
                       : S_ISLNK(status.st_mode) ? "a symbolic link"
                                                 : "not a regular file");
    }
    if (belongs_to(backup->path, &status)) {
        return lq_fail(err, LQ_ECONFLICT, NULL, "%s: belongs to the database itself", place);
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
    snprintf(directory, sizeof directory, "%s", file);
    char *slash = strrchr(directory, '/');
    strcpy(slash == NULL        ? directory
           : slash == directory ? slash + 1
                                : slash,
           slash == NULL ? "." : "");
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
