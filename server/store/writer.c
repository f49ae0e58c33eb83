/* The one writer: it takes the changes that wait, makes each in a part of one transaction, commits
 * once and only then tells those who wait. What the changes are stands with those who hand them
 * over. */
#include "server/clock.h"
#include "server/metrics.h"
#include "server/store/store_private.h"

/* One commit costs a flush of the disk, however many changes are in it: up to so many share it, as
 * long as gathering them takes no longer than that. Nobody waits for others to come. */
enum { GROUP_MAX = 100, GATHER_MS = 5 };

/* Each thread that answers requests waits for one change: half of the most threads there may be. */
enum { WAITING_MAX = 128 };

/* The changes of one transaction. */
struct group {
    struct lq_pending *first;
    struct lq_pending **end;
    size_t count;
    size_t made;
    struct lq_effect effect;
    bool met_database_error;
    int64_t begun_ms;
};

static bool gathers(const struct group *group)
{
    return group->count < GROUP_MAX && lq_clock_ms() - group->begun_ms < GATHER_MS;
}

static struct lq_pending *take(struct lq_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    struct lq_pending *taken = writer->first;
    if (taken != NULL) {
        writer->first = taken->next;
        writer->last = writer->first != NULL ? writer->last : NULL;
        writer->waiting--;
        taken->next = NULL;
    }
    pthread_mutex_unlock(&writer->lock);
    return taken;
}

/* Makes one change; one that fails alone is undone alone. Errors: LQ_ESTORE, the transaction is
 * lost. */
static enum lq_code make(struct lq_store *store, struct lq_pending *pending, struct group *group,
                         struct lq_error *err)
{
    struct lq_database *database = store->database;
    LQ_TRY(lq_database_mark(database, err));
    pending->code = pending->change(database, pending->context, &pending->effect, pending->err);
    if (pending->code == LQ_OK && pending->effect.catalog) {
        /* a row that no catalog can be made of would keep the program from starting again */
        pending->code = lq_snapshot_try(database, &store->hooks, pending->err);
    }
    if (pending->code != LQ_OK) {
        group->met_database_error = group->met_database_error || pending->code == LQ_ESTORE;
        return lq_database_undo_part(database, err);
    }
    LQ_TRY(lq_database_keep_part(database, err));
    group->made++;
    group->effect.catalog = group->effect.catalog || pending->effect.catalog;
    group->effect.inserted += pending->effect.inserted;
    group->effect.repeated += pending->effect.repeated;
    group->effect.deleted += pending->effect.deleted;
    group->effect.judged += pending->effect.judged;
    return LQ_OK;
}

static enum lq_code make_all(struct lq_store *store, struct group *group, struct lq_error *err)
{
    struct lq_pending *pending = group->first;
    LQ_TRY(lq_store_in_place(store, err));           /* else the commit would be durable and lost */
    LQ_TRY(lq_database_begin(store->database, err)); /* may wait for another process */
    group->begun_ms = lq_clock_ms();
    while (pending != NULL) {
        LQ_TRY(make(store, pending, group, err));
        pending = gathers(group) ? take(&store->writer) : NULL;
        if (pending != NULL) {
            *group->end = pending;
            group->end = &pending->next;
            group->count++;
        }
    }
    return LQ_OK;
}

static enum lq_code commit(struct lq_store *store, const struct group *group, struct lq_error *err)
{
    if (group->made == 0) {
        lq_database_rollback(store->database);
        return LQ_OK;
    }
    pthread_mutex_lock(&store->commit_lock);
    const double start_s = lq_clock_s();
    const enum lq_code code = lq_database_commit(store->database, err);
    if (code == LQ_OK) {
        lq_metrics_observe(LQ_DISTRIBUTION_COMMIT_S, lq_clock_s() - start_s);
        lq_metrics_count(LQ_COUNT_POINTS_STORED, (uint64_t)group->effect.inserted);
        lq_metrics_count(LQ_COUNT_POINTS_DUPLICATE, (uint64_t)group->effect.repeated);
    } else {
        lq_metrics_count(LQ_COUNT_WRITE_FAILURES, 1);
    }
    const int64_t number = code == LQ_OK ? lq_builder_note(store, &group->effect) : 0;
    pthread_mutex_unlock(&store->commit_lock);
    for (struct lq_pending *pending = group->first; pending != NULL; pending = pending->next) {
        pending->commit = number;
    }
    return code;
}

/* Wakes those who wait. What they waited with is theirs again as soon as they are told. */
static void tell(struct lq_writer *writer, struct lq_pending *first)
{
    pthread_mutex_lock(&writer->lock);
    for (struct lq_pending *pending = first; pending != NULL;) {
        struct lq_pending *next = pending->next;
        pending->done = true;
        pthread_cond_signal(&pending->told);
        pending = next;
    }
    pthread_mutex_unlock(&writer->lock);
}

/* One transaction, beginning with a change that waited. */
static void write_group(struct lq_store *store, struct lq_pending *first)
{
    struct lq_error err = {0};
    struct group group = {.first = first, .end = &first->next, .count = 1};
    enum lq_code code = make_all(store, &group, &err);
    if (code == LQ_OK) {
        code = commit(store, &group, &err);
    }
    if (code != LQ_OK) {
        lq_database_rollback(store->database);
        for (struct lq_pending *pending = first; pending != NULL; pending = pending->next) {
            if (pending->code == LQ_OK) {
                pending->code = lq_fail(pending->err, code, NULL, "%s", err.detail);
            }
        }
    }
    if (code != LQ_OK || group.made > 0 || group.met_database_error) {
        atomic_store(&store->write_failed, code == LQ_ESTORE || group.met_database_error);
    } /* anything else says nothing about the disk */
    tell(&store->writer, first);
}

/* The next change, waited for; NULL when the store closes and none is left. */
static struct lq_pending *wait_for_change(struct lq_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (writer->first == NULL && !writer->closing) {
        pthread_cond_wait(&writer->arrived, &writer->lock);
    }
    pthread_mutex_unlock(&writer->lock);
    return take(writer);
}

static void *write_on(void *context)
{
    struct lq_store *store = context;
    pthread_setname_np(pthread_self(), "writer");
    for (struct lq_pending *next = wait_for_change(&store->writer); next != NULL;
         next = wait_for_change(&store->writer)) {
        write_group(store, next);
    }
    return NULL;
}

enum lq_code lq_writer_start(struct lq_store *store, struct lq_error *err)
{
    struct lq_writer *writer = &store->writer;
    writer->most_waiting = WAITING_MAX;
    pthread_mutex_init(&writer->lock, NULL); /* with default attributes neither can fail */
    pthread_cond_init(&writer->arrived, NULL);
    pthread_cond_init(&writer->left, NULL);
    writer->started = pthread_create(&writer->thread, NULL, write_on, store) == 0;
    if (!writer->started) {
        pthread_cond_destroy(&writer->left);
        pthread_cond_destroy(&writer->arrived);
        pthread_mutex_destroy(&writer->lock);
        return lq_fail(err, LQ_EINTERNAL, NULL, "cannot start the thread that writes");
    }
    return LQ_OK;
}

void lq_writer_stop(struct lq_store *store)
{
    struct lq_writer *writer = &store->writer;
    if (!writer->started) {
        return;
    }
    pthread_mutex_lock(&writer->lock);
    writer->closing = true;
    pthread_cond_signal(&writer->arrived);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    pthread_mutex_lock(&writer->lock);
    while (writer->inside > 0) {
        pthread_cond_wait(&writer->left, &writer->lock);
    }
    pthread_mutex_unlock(&writer->lock);
    pthread_cond_destroy(&writer->left);
    pthread_cond_destroy(&writer->arrived);
    pthread_mutex_destroy(&writer->lock);
    writer->started = false;
}

/* Puts the change behind those that wait. False: as many wait as may. */
static bool append(struct lq_writer *writer, struct lq_pending *pending)
{
    if (writer->closing || writer->waiting >= writer->most_waiting) {
        return false;
    }
    if (writer->last != NULL) {
        writer->last->next = pending;
    } else {
        writer->first = pending;
    }
    writer->last = pending;
    writer->waiting++;
    pthread_cond_signal(&writer->arrived);
    return true;
}

/* Hands the change over and waits until it is told. LQ_EBUSY: it was not taken. */
static enum lq_code hand_over(struct lq_writer *writer, struct lq_pending *pending,
                              struct lq_error *err)
{
    pthread_cond_init(&pending->told, NULL);
    pthread_mutex_lock(&writer->lock);
    writer->inside++;
    const bool taken = append(writer, pending);
    while (taken && !pending->done) {
        pthread_cond_wait(&pending->told, &writer->lock);
    }
    pthread_mutex_unlock(&writer->lock);
    pthread_cond_destroy(&pending->told);
    return taken ? pending->code
                 : lq_fail(err, LQ_EBUSY, NULL, "%zu changes wait to be stored; try again later",
                           writer->most_waiting);
}

enum lq_code lq_store_write(struct lq_store *store, lq_change change, void *context,
                            struct lq_error *err)
{
    struct lq_writer *writer = &store->writer;
    struct lq_pending pending = {.change = change, .context = context, .err = err};
    enum lq_code code = hand_over(writer, &pending, err);
    if (code == LQ_OK && pending.effect.catalog) {
        code = lq_builder_wait(store, pending.commit, err);
    }
    pthread_mutex_lock(&writer->lock);
    writer->inside--;
    pthread_cond_signal(&writer->left);
    pthread_mutex_unlock(&writer->lock);
    return code;
}

size_t lq_store_waiting_changes(struct lq_store *store)
{
    struct lq_writer *writer = &store->writer;
    pthread_mutex_lock(&writer->lock);
    const size_t waiting = writer->waiting;
    pthread_mutex_unlock(&writer->lock);
    return waiting;
}
