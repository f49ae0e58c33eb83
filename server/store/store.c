/* Opening, closing, readers' snapshots and readiness. How is written stands in writer.c, what is
 * written in entries.c, ingest.c and tokens.c. */
#include "server/store/store.h"

#include "migrations/embed.h"
#include "server/store/migrate.h"
#include "server/store/seed.h"
#include "server/store/store_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Ids are digests, so that points come into their indices at random places: 16 MiB hold those of
 * some 100,000 points. The log is copied back every 4,000 pages, 16 MiB, in place of 1,000: pages
 * that were written several times until then are copied once. */
static const char WRITER_SETTINGS[] = "PRAGMA cache_size = -16384;"
                                      "PRAGMA wal_autocheckpoint = 4000";

static void close_lock(int lock)
{
    if (lock >= 0) {
        close(lock);
    }
}

static enum lq_code open_reader(const char *path, struct lq_database **database,
                                struct lq_error *err)
{
    LQ_TRY(lq_database_open(path, database, err));
    LQ_TRY(lq_database_configure(*database, err));
    return lq_database_run(*database, "PRAGMA query_only = ON", err);
}

/* Everything that can fail while opening; lq_store_close undoes any part of it. */
static enum lq_code open_parts(struct lq_store *store, const char *path, struct lq_error *err)
{
    LQ_TRY(lq_database_open(path, &store->database, err));
    LQ_TRY(lq_migrate(store->database, LQ_MIGRATIONS, LQ_MIGRATIONS_COUNT, err));
    LQ_TRY(lq_seed_apply(store->database, err));
    LQ_TRY(lq_database_run(store->database, WRITER_SETTINGS, err));
    LQ_TRY(open_reader(path, &store->reader, err));
    LQ_TRY(open_reader(path, &store->builder.database, err));
    struct stat status;
    if (stat(path, &status) != 0) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: %s", path, strerror(errno));
    }
    store->device = status.st_dev;
    store->inode = status.st_ino;
    /* One transaction, so that a process writing beside us shows wholly or not at all. */
    LQ_TRY(lq_database_run(store->database, "BEGIN", err));
    const struct lq_source source = {.database = store->database, .hooks = &store->hooks};
    LQ_TRY(lq_snapshot_build(&source, &store->current, err));
    LQ_TRY(lq_database_run(store->database, "COMMIT", err));
    LQ_TRY(lq_builder_start(store, err));
    return lq_writer_start(store, err);
}

/* Opens with what keeps other servers away, or -1, which is the store's from now on. */
static enum lq_code open_locked(const char *path, const struct lq_hooks *hooks, int lock,
                                struct lq_store **store, struct lq_error *err)
{
    struct lq_store *opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        close_lock(lock);
        return lq_fail(err, LQ_ESTORE, NULL, "%s: out of memory", path);
    }
    opened->hooks = *hooks;
    opened->lock = lock;
    pthread_mutex_init(&opened->commit_lock, NULL); /* with default attributes it cannot fail */
    pthread_mutex_init(&opened->read_lock, NULL);
    pthread_mutex_init(&opened->current_lock, NULL);
    enum lq_code code = open_parts(opened, path, err);
    if (code != LQ_OK) {
        lq_store_close(opened);
        return code;
    }
    *store = opened;
    return LQ_OK;
}

enum lq_code lq_store_open(const char *path, const struct lq_hooks *hooks, struct lq_store **store,
                           struct lq_error *err)
{
    return open_locked(path, hooks, -1, store, err);
}

enum lq_code lq_store_open_alone(const char *path, const struct lq_hooks *hooks,
                                 struct lq_store **store, struct lq_error *err)
{
    int lock = -1;
    LQ_TRY(lq_database_lock(path, &lock, err));
    return open_locked(path, hooks, lock, store, err);
}

enum lq_code lq_store_open_existing(const char *path, const struct lq_hooks *hooks,
                                    struct lq_store **store, struct lq_error *err)
{
    LQ_TRY(lq_database_check_file(path, err));
    return lq_store_open(path, hooks, store, err);
}

void lq_store_close(struct lq_store *store)
{
    if (store == NULL) {
        return;
    }
    lq_writer_stop(store);
    lq_builder_stop(store);
    lq_database_close(&store->reader);
    lq_database_close(&store->builder.database);
    lq_database_close(&store->database);
    close_lock(store->lock); /* not before the last connection: see lq_database_lock */
    lq_snapshot_release(store->current);
    pthread_mutex_destroy(&store->current_lock);
    pthread_mutex_destroy(&store->read_lock);
    pthread_mutex_destroy(&store->commit_lock);
    free(store);
}

const struct lq_catalog *lq_store_acquire(struct lq_store *store)
{
    pthread_mutex_lock(&store->current_lock);
    struct lq_snapshot *snapshot = store->current;
    atomic_fetch_add(&snapshot->references, 1);
    pthread_mutex_unlock(&store->current_lock);
    return &snapshot->catalog;
}

void lq_store_release(struct lq_store *store, const struct lq_catalog *catalog)
{
    (void)store;
    /* The catalog is its snapshot's first member; const only binds those who read it. */
    lq_snapshot_release((struct lq_snapshot *)(uintptr_t)catalog);
}

struct lq_database *lq_store_lock_reader(struct lq_store *store)
{
    pthread_mutex_lock(&store->read_lock);
    return store->reader;
}

void lq_store_unlock_reader(struct lq_store *store)
{
    pthread_mutex_unlock(&store->read_lock);
}

/* Changes one number, since writing what is there already would not reach the disk. */
static enum lq_code probe(struct lq_database *database, void *context, struct lq_effect *effect,
                          struct lq_error *err)
{
    (void)context;
    (void)effect;
    return lq_database_run(
        database, "UPDATE seed_state SET write_probes_count = write_probes_count + 1", err);
}

enum lq_code lq_store_in_place(const struct lq_store *store, struct lq_error *err)
{
    const char *path = lq_database_path(store->reader);
    struct stat status;
    if (stat(path, &status) != 0) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: %s", path, strerror(errno));
    }
    if (status.st_dev != store->device || status.st_ino != store->inode) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: another file stands in its place", path);
    }
    return LQ_OK;
}

static enum lq_code check_readable(struct lq_store *store, struct lq_error *err)
{
    LQ_TRY(lq_store_in_place(store, err));
    int64_t seeds = 0;
    struct lq_database *reader = lq_store_lock_reader(store);
    enum lq_code code = lq_database_number(reader, "SELECT count(*) FROM seed_state", &seeds, err);
    lq_store_unlock_reader(store);
    if (code == LQ_OK && seeds != 1) {
        return lq_fail(err, LQ_ESTORE, NULL, "%s: holds no catalog",
                       lq_database_path(store->reader));
    }
    return code;
}

enum lq_code lq_store_ready(struct lq_store *store, struct lq_error *err)
{
    LQ_TRY(check_readable(store, err));
    LQ_TRY(lq_builder_check(store, err));
    /* Trying the disk costs a flush, so it is tried only while the last write is known to have
     * failed: that is how a store whose disk has room again becomes ready without a real write. */
    return atomic_load(&store->write_failed) ? lq_store_write(store, probe, NULL, err) : LQ_OK;
}
