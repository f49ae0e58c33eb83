/* The one builder: after commits it reads the catalog anew, refits, and makes the result the
 * current snapshot. Many commits share one rebuild; what a rebuild reads stands in snapshot.c. */
#include "server/clock.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/store/store_private.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Below requests: a fit that comes a little later costs less than a quote that does. In steps of
 * nice(2); ASSUMED: a tenth of a busy core keeps fits within seconds, measurable by ingest_bench.
 */
enum { NICENESS = 10 };

/* Rests so many times as long as it worked: at most half of a core is its own, and an eighth while
 * points come in masses, when their storing matters more than fits of the moment. Masses: so many
 * since the last rebuild. ASSUMED: more than single posts bring in a second. */
static const double REST = 1.0;
static const double REST_IN_MASSES = 7.0;
enum { MASSES = 10000 };

/* 1 s: the least pause before a rebuild that failed is tried again. ASSUMED to outlast what passes
 * by itself, as another process's lock. */
static const double RETRY_S = 1.0;

/* Seconds that this thread has computed. */
static double used_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct timespec time_of(double s)
{
    const time_t whole = (time_t)s;
    return (struct timespec){.tv_sec = whole, .tv_nsec = (long)((s - (double)whole) * 1e9)};
}

/* Waits for commits that the current snapshot lacks, and then until `earliest_s` unless somebody
 * waits for a catalog. False: the store closes. */
static bool wait_for_work(struct lq_builder *builder, double earliest_s)
{
    const struct timespec earliest = time_of(earliest_s);
    pthread_mutex_lock(&builder->lock);
    bool is_due = false;
    while (!builder->closing && !is_due) {
        if (builder->committed.commits == builder->built.commits) {
            pthread_cond_wait(&builder->wanted, &builder->lock);
        } else if (builder->hurried == 0 && lq_clock_s() < earliest_s) {
            pthread_cond_timedwait(&builder->wanted, &builder->lock, &earliest);
        } else {
            is_due = true;
        }
    }
    pthread_mutex_unlock(&builder->lock);
    return is_due;
}

/* Begins a read transaction and says which commits it sees. */
static enum lq_code begin(struct lq_store *store, struct lq_mark *mark, struct lq_error *err)
{
    struct lq_builder *builder = &store->builder;
    int64_t rows = 0;
    pthread_mutex_lock(&store->commit_lock);
    enum lq_code code = lq_database_run(builder->database, "BEGIN", err);
    if (code == LQ_OK) { /* the first read fixes what the transaction sees */
        code = lq_database_number(builder->database, "SELECT count(*) FROM seed_state", &rows, err);
    }
    pthread_mutex_lock(&builder->lock);
    *mark = builder->committed;
    pthread_mutex_unlock(&builder->lock);
    pthread_mutex_unlock(&store->commit_lock);
    return code;
}

/* Makes a snapshot the current one. There is one builder, so an older never follows a newer. */
static void publish(struct lq_store *store, struct lq_snapshot *next)
{
    pthread_mutex_lock(&store->current_lock);
    struct lq_snapshot *last = store->current;
    store->current = next;
    pthread_mutex_unlock(&store->current_lock);
    lq_snapshot_release(last);
}

/* Tells those who wait, and the log where things changed for the worse or the better. */
static void report(struct lq_builder *builder, enum lq_code code, const struct lq_mark *mark,
                   const struct lq_error *err)
{
    pthread_mutex_lock(&builder->lock);
    const bool failed_before = builder->failed_commit != 0;
    if (code == LQ_OK) {
        builder->built = *mark;
        builder->failed_commit = 0;
    } else {
        builder->failed_commit = mark->commits;
        builder->failure = *err;
    }
    pthread_cond_broadcast(&builder->attempted);
    pthread_mutex_unlock(&builder->lock);
    if (code != LQ_OK && !failed_before) {
        lq_log_event("error", "rebuild-failed", NULL, "%s", err->detail);
    } else if (code == LQ_OK && failed_before) {
        lq_log_event("info", "rebuilt", NULL, "the catalog is up to date again");
    }
}

/* The catalog as it is now, without fits. The transaction ends with it: as long as one reads, the
 * log cannot begin anew, and every commit searches a longer one for what to put into the database.
 */
static enum lq_code read_catalog(struct lq_store *store, struct lq_mark *mark,
                                 struct lq_snapshot **next, struct lq_error *err)
{
    struct lq_builder *builder = &store->builder;
    enum lq_code code = begin(store, mark, err);
    if (code == LQ_OK) {
        /* nobody else replaces the current one, so it stays without a reference of ours */
        const struct lq_source source = {builder->database, &store->hooks, *mark, store->current};
        code = lq_snapshot_read(&source, next, err);
    }
    lq_database_rollback(builder->database); /* it has read only */
    return code;
}

/* One attempt. */
static enum lq_code rebuild(struct lq_store *store)
{
    struct lq_builder *builder = &store->builder;
    struct lq_error err = {0};
    struct lq_mark mark = {0};
    struct lq_snapshot *next = NULL;
    const double start_s = lq_clock_s();
    enum lq_code code = read_catalog(store, &mark, &next, &err);
    if (code == LQ_OK) {
        code = lq_snapshot_refit(next, &store->hooks, &err);
    }
    if (code == LQ_OK) {
        publish(store, next);
        lq_metrics_observe(LQ_DISTRIBUTION_REBUILD_S, lq_clock_s() - start_s);
    } else {
        lq_metrics_count(LQ_COUNT_REBUILD_FAILURES, 1);
        lq_snapshot_release(next);
    }
    report(builder, code, &mark, &err);
    return code;
}

static void *build_on(void *context)
{
    struct lq_store *store = context;
    pthread_setname_np(pthread_self(), "builder");
    double earliest_s = 0.0;
    /* of this thread alone, on Linux; one that may not yields less */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    while (wait_for_work(&store->builder, earliest_s)) {
        const double before_s = used_s();
        const int64_t known = store->builder.built.inserted; /* only this thread writes it */
        const enum lq_code code = rebuild(store);
        const bool in_masses = store->builder.built.inserted - known > MASSES;
        /* of what it computed, not of how long it waited */
        const double rest_s = (in_masses ? REST_IN_MASSES : REST) * (used_s() - before_s);
        const double pause_s = code != LQ_OK && rest_s < RETRY_S ? RETRY_S : rest_s;
        earliest_s = lq_clock_s() + pause_s;
    }
    return NULL;
}

enum lq_code lq_builder_start(struct lq_store *store, struct lq_error *err)
{
    struct lq_builder *builder = &store->builder;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&builder->lock, NULL);
    pthread_cond_init(&builder->wanted, &monotonic);
    pthread_cond_init(&builder->attempted, NULL);
    pthread_condattr_destroy(&monotonic);
    builder->started = pthread_create(&builder->thread, NULL, build_on, store) == 0;
    return builder->started
               ? LQ_OK
               : lq_fail(err, LQ_EINTERNAL, NULL, "cannot start the thread that builds catalogs");
}

void lq_builder_stop(struct lq_store *store)
{
    struct lq_builder *builder = &store->builder;
    if (!builder->started) {
        return;
    }
    pthread_mutex_lock(&builder->lock);
    builder->closing = true;
    pthread_cond_broadcast(&builder->wanted);
    pthread_cond_broadcast(&builder->attempted);
    pthread_mutex_unlock(&builder->lock);
    pthread_join(builder->thread, NULL);
    pthread_cond_destroy(&builder->attempted);
    pthread_cond_destroy(&builder->wanted);
    pthread_mutex_destroy(&builder->lock);
    builder->started = false;
}

int64_t lq_builder_note(struct lq_store *store, const struct lq_effect *effect)
{
    struct lq_builder *builder = &store->builder;
    pthread_mutex_lock(&builder->lock);
    if (effect->catalog || effect->inserted + effect->deleted > 0) {
        builder->committed.commits++;
        builder->committed.inserted += effect->inserted;
        builder->committed.deleted += effect->deleted;
        builder->committed.judged += effect->judged;
        pthread_cond_signal(&builder->wanted);
    }
    const int64_t number = builder->committed.commits;
    pthread_mutex_unlock(&builder->lock);
    return number;
}

enum lq_code lq_builder_wait(struct lq_store *store, int64_t commit, struct lq_error *err)
{
    struct lq_builder *builder = &store->builder;
    pthread_mutex_lock(&builder->lock);
    builder->hurried++;
    pthread_cond_signal(&builder->wanted);
    while (builder->built.commits < commit && builder->failed_commit < commit &&
           !builder->closing) {
        pthread_cond_wait(&builder->attempted, &builder->lock);
    }
    builder->hurried--;
    const bool is_built = builder->built.commits >= commit;
    const struct lq_error failure = builder->failure;
    pthread_mutex_unlock(&builder->lock);
    return is_built ? LQ_OK
                    : lq_fail(err, LQ_ESTORE, NULL, "stored, but not in the catalog yet: %s",
                              failure.detail);
}

enum lq_code lq_builder_check(struct lq_store *store, struct lq_error *err)
{
    struct lq_builder *builder = &store->builder;
    pthread_mutex_lock(&builder->lock);
    const bool failed = builder->failed_commit != 0;
    const struct lq_error failure = builder->failure;
    pthread_mutex_unlock(&builder->lock);
    return failed
               ? lq_fail(err, LQ_ESTORE, NULL, "the catalog cannot be rebuilt: %s", failure.detail)
               : LQ_OK;
}

int64_t lq_store_pending_points(struct lq_store *store, const struct lq_catalog *catalog)
{
    const struct lq_mark *held = lq_snapshot_mark(catalog);
    struct lq_builder *builder = &store->builder;
    pthread_mutex_lock(&builder->lock);
    const struct lq_mark committed = builder->committed;
    pthread_mutex_unlock(&builder->lock);
    return committed.inserted - held->inserted + committed.deleted - held->deleted;
}
