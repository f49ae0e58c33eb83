/* Points that wait for delivery, in an append-only file that survives being killed at any instant.
 * What a server says to them is not known here. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* 128 random bits as hexadecimal digits. */
enum { LQ_SPOOL_KEY_MAX = 33, LQ_SPOOL_BATCH_POINTS_MAX = 500 };

/* An open spool; one thread at a time, one process at a time. */
struct lq_spool;

/* Points that are sent together, again and again with the same key and the same bytes, until they
 * are done or dissolved. */
struct lq_batch {
    char key[LQ_SPOOL_KEY_MAX]; /* the Idempotency-Key; "" where nothing waits */
    size_t count;
    char *body; /* {"points":[...]} */
    size_t body_size;
    size_t at[LQ_SPOOL_BATCH_POINTS_MAX]; /* where point i stands in the body, and its bytes */
    size_t size[LQ_SPOOL_BATCH_POINTS_MAX];
};

/* Opens, and makes where there is none, the spool in folder `dir` and locks it. The tail of an
 * append that never returned is cut off. Where the file is damaged otherwise, it is kept under the
 * name that is written to `aside` ("" where none was), and what is whole in it goes on.
 * Errors: LQ_EFILE, also where another process has it open. lq_spool_close(NULL) is allowed. */
LQ_MUST_USE enum lq_code lq_spool_open(const char *dir, struct lq_spool **out, char *aside,
                                       size_t aside_size, struct lq_error *err);
void lq_spool_close(struct lq_spool *spool);

/* Keeps a point, the text of one JSON object on one line; once this returns it is durable.
 * Errors: LQ_EFILE (a full disk: all that was there stays, and there is room left to deliver it),
 * LQ_ETOOLARGE, LQ_ESYNTAX where the text has line ends or is no object. */
LQ_MUST_USE enum lq_code lq_spool_append(struct lq_spool *spool, const char *point,
                                         struct lq_error *err);

/* Points that are neither delivered nor rejected. */
size_t lq_spool_waiting(const struct lq_spool *spool);

/* The batch that was begun and not ended, else a new one of the oldest points: at most points_max
 * (1..LQ_SPOOL_BATCH_POINTS_MAX) and less than 1 MiB. It is durable before this returns. The
 * caller frees it. Errors: LQ_EFILE. */
LQ_MUST_USE enum lq_code lq_spool_batch(struct lq_spool *spool, size_t points_max,
                                        struct lq_batch *batch, struct lq_error *err);
void lq_batch_free(struct lq_batch *batch);

/* Ends the batch: its points are delivered. Once nothing waits the file becomes empty. */
LQ_MUST_USE enum lq_code lq_spool_done(struct lq_spool *spool, struct lq_error *err);

/* Ends the batch undelivered: point i is given up where rejected[i], else it waits again. */
LQ_MUST_USE enum lq_code lq_spool_dissolve(struct lq_spool *spool, const bool *rejected,
                                           struct lq_error *err);

/* Appends a line to rejected.jsonl in the spool's folder, durable when this returns.
 * Errors: LQ_EFILE. */
LQ_MUST_USE enum lq_code lq_spool_set_aside(struct lq_spool *spool, const char *line,
                                            struct lq_error *err);
