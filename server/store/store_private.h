/* What a store consists of, for the files of this room alone. */
#pragma once

#include "server/store/snapshot.h"
#include "server/store/statement.h"
#include "server/store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/* Two connections, so that looking up a token or a point never waits for a batch being written.
 * Locks are taken one at a time, but for `current_lock`, which may be taken under `write_lock`. */
struct lq_store {
    struct lq_hooks hooks;
    dev_t device; /* of the file, to notice when it is taken away */
    ino_t inode;
    pthread_mutex_t write_lock;
    struct lq_database *writer;
    pthread_mutex_t read_lock;
    struct lq_database *reader;
    pthread_mutex_t current_lock; /* held for the length of a counter's step */
    struct lq_snapshot *current;
    atomic_bool write_failed; /* the last write met an error of the database */
    atomic_uint revocations;  /* of tokens, by this process */
};

/* Work inside a write transaction; sets `*rebuild` where the catalog has changed. */
typedef enum lq_code (*lq_change)(struct lq_database *database, void *context, bool *rebuild,
                                  struct lq_error *err);

/* The only way anything is written: begins, makes the change, builds the new catalog from what the
 * transaction sees, commits durably and swaps the catalog. Any failure leaves both the database
 * and the catalog as they were. */
LQ_MUST_USE enum lq_code lq_store_write(struct lq_store *store, lq_change change, void *context,
                                        struct lq_error *err);

/* The read connection, locked until it is given back. */
struct lq_database *lq_store_lock_reader(struct lq_store *store);
void lq_store_unlock_reader(struct lq_store *store);

/* Inside a write transaction: stores points under ids made of their content; those that are there
 * already are counted. */
LQ_MUST_USE enum lq_code lq_points_insert(struct lq_database *database,
                                          const struct lq_batch *batch, char (*ids)[LQ_ID_MAX],
                                          size_t *duplicates, struct lq_error *err);
