/* What a store consists of, for the files of this room alone. */
#pragma once

#include "server/store/sha256.h"
#include "server/store/snapshot.h"
#include "server/store/statement.h"
#include "server/store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/* What a change did to what the catalog is made of. */
struct lq_effect {
    bool catalog; /* models, GPUs, prices or laws: who changed them reads them with the next call */
    int64_t inserted; /* points */
    int64_t repeated; /* points that came and were there */
    int64_t deleted;
    int64_t judged; /* exclusions and confirmations that came or went */
};

/* Work inside a write transaction. Whatever it returns but LQ_OK undoes what it wrote. */
typedef enum lq_code (*lq_change)(struct lq_database *database, void *context,
                                  struct lq_effect *effect, struct lq_error *err);

/* A change that waits for the writer; on the stack of whoever waits for it. */
struct lq_pending {
    struct lq_pending *next;
    lq_change change;
    void *context;
    struct lq_effect effect;
    int64_t commit; /* the number of the commit that it is part of */
    enum lq_code code;
    struct lq_error *err;
    bool done;
    pthread_cond_t told; /* under the queue's lock */
};

/* The changes that wait, and the one thread that makes them: writer.c. */
struct lq_writer {
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t arrived;
    pthread_cond_t left;
    size_t inside; /* callers of lq_store_write */
    struct lq_pending *first;
    struct lq_pending *last;
    size_t waiting;
    size_t most_waiting; /* more are refused */
    bool closing;
};

/* The one thread that builds catalogs beside the requests: rebuild.c. */
struct lq_builder {
    pthread_t thread;
    bool started;
    struct lq_database *database; /* of that thread alone */
    pthread_mutex_t lock;         /* of what follows */
    pthread_cond_t wanted;
    pthread_cond_t attempted;
    struct lq_mark committed; /* what the database holds */
    struct lq_mark built;     /* what the current snapshot holds */
    int64_t failed_commit;    /* the last commit that a failed attempt had seen; 0: none failed */
    struct lq_error failure;
    int hurried; /* callers that wait for a catalog */
    bool closing;
};

/* Three connections: the writer's; the builder's, which reads a whole catalog at leisure; and one
 * for whoever looks up a token or a point. No lock is taken while another is held, but the
 * builder's, the shortest, under `commit_lock`. */
struct lq_store {
    struct lq_hooks hooks;
    dev_t device; /* of the file, to notice when it is taken away */
    ino_t inode;
    int lock;                     /* against other servers; -1: none */
    struct lq_database *database; /* the writer's */
    struct lq_writer writer;
    struct lq_builder builder;
    pthread_mutex_t commit_lock; /* so that a builder knows which commits its transaction sees */
    pthread_mutex_t read_lock;
    struct lq_database *reader;
    pthread_mutex_t current_lock; /* held for the length of a counter's step */
    struct lq_snapshot *current;
    atomic_bool write_failed; /* the last write met an error of the database */
    atomic_uint revocations;  /* of tokens, by this process */
};

/* Errors: LQ_ESTORE (the file is gone, or another one stands in its place). */
LQ_MUST_USE enum lq_code lq_store_in_place(const struct lq_store *store, struct lq_error *err);

/* The only way anything is written: hands the change to the writer and waits until it is durable,
 * and where it changes the catalog until that is the current one. Any failure leaves both the
 * database and the catalog as they were. LQ_EBUSY: too many wait already. */
LQ_MUST_USE enum lq_code lq_store_write(struct lq_store *store, lq_change change, void *context,
                                        struct lq_error *err);

/* Starts the thread; stopping makes what waits, tells everybody and ends it. */
LQ_MUST_USE enum lq_code lq_writer_start(struct lq_store *store, struct lq_error *err);
void lq_writer_stop(struct lq_store *store);

/* The same for the builder, which leaves undone what nobody waits for. */
LQ_MUST_USE enum lq_code lq_builder_start(struct lq_store *store, struct lq_error *err);
void lq_builder_stop(struct lq_store *store);

/* Counts a commit: the builder is to follow. Called under `commit_lock`. Returns its number. */
int64_t lq_builder_note(struct lq_store *store, const struct lq_effect *effect);

/* Waits until the current catalog has this commit. Errors: those of building it; the commit stays.
 */
LQ_MUST_USE enum lq_code lq_builder_wait(struct lq_store *store, int64_t commit,
                                         struct lq_error *err);

/* Why the newest catalog could not be built; LQ_OK where it could. */
LQ_MUST_USE enum lq_code lq_builder_check(struct lq_store *store, struct lq_error *err);

/* The read connection, locked until it is given back. */
struct lq_database *lq_store_lock_reader(struct lq_store *store);
void lq_store_unlock_reader(struct lq_store *store);

/* The digests of a batch's points, of everything that was posted. */
void lq_points_digest(const struct lq_batch *batch, char (*contents)[LQ_SHA256_HEX]);

/* Inside a write transaction: stores points under ids made of their digests; those that are there
 * already are counted. */
LQ_MUST_USE enum lq_code lq_points_insert(struct lq_database *database,
                                          const struct lq_batch *batch,
                                          char (*contents)[LQ_SHA256_HEX], char (*ids)[LQ_ID_MAX],
                                          size_t *duplicates, struct lq_error *err);
