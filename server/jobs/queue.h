/* Work that outlives its request: a bounded queue, the threads that do it, and what became of each
 * job. What a job computes is not known here. */
#pragma once

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct lq_queue;
struct lq_control;

/* 128 random bits in hex: who knows the id may read the job. */
enum { LQ_TASK_ID_SIZE = 33, LQ_OWNER_SIZE = 80 };

enum lq_task_state {
    LQ_TASK_QUEUED,
    LQ_TASK_RUNNING,
    LQ_TASK_DONE,
    LQ_TASK_FAILED,
    LQ_TASK_CANCELLED
};
extern const char *const LQ_TASK_STATE_NAMES[]; /* by enum lq_task_state, NULL at the end */

/* One job as it is handed over. */
struct lq_task {
    const char *kind; /* static, as "law-fit" */
    /* Called once, on one of the queue's threads. On success `*result` may be set to a new text
     * (free()): a JSON object. A job that stops because it was cancelled may return anything. */
    enum lq_code (*run)(void *context, struct lq_control *control, char **result,
                        struct lq_error *err);
    void (*release)(void *context); /* called once, whatever became of the job */
    void *context;
};

struct lq_queue_limits {
    int threads;     /* at least 1 */
    size_t waiting;  /* jobs that no thread has begun */
    size_t finished; /* jobs whose outcome is kept, the newest ones */
    int kept_s;      /* and for how long */
};

/* Starts the threads. `*queue` is new. Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_queue_start(const struct lq_queue_limits *limits,
                                        struct lq_queue **queue, struct lq_error *err);
/* Cancels every job, waits for those that run, and frees. NULL is fine. */
void lq_queue_stop(struct lq_queue *queue);

/* Hands a job over; `owner` alone can cancel it. The task is released by the queue, also where this
 * fails. `id` is filled on success. Errors: LQ_EBUSY (as many wait as may), LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_queue_post(struct lq_queue *queue, const struct lq_task *task,
                                       const char *owner, char id[LQ_TASK_ID_SIZE],
                                       struct lq_error *err);

/* How many jobs wait for a thread, and how many run. */
struct lq_queue_depth {
    size_t waiting;
    size_t running;
};
struct lq_queue_depth lq_queue_depth(struct lq_queue *queue);

/* What is known of a job. Times are 0 where they have not come. */
struct lq_task_status {
    char id[LQ_TASK_ID_SIZE];
    const char *kind;
    enum lq_task_state state;
    double progress; /* 0..1 */
    time_t created;
    time_t started;
    time_t finished;
    char *result;            /* new (free()); NULL unless it is done and gave one */
    struct lq_error problem; /* of a failed one */
};

/* Errors: LQ_ENOTFOUND (no such job, or it finished too long ago), LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_queue_get(struct lq_queue *queue, const char *id,
                                      struct lq_task_status *status, struct lq_error *err);

/* Cancels a job that waits or runs: it counts as cancelled at once, and its threads turn to other
 * work as soon as it notices. Errors: LQ_ENOTFOUND; LQ_ESCOPE (another's job); LQ_ECONFLICT (it is
 * cancelled or finished already, or is writing down its result). */
LQ_MUST_USE enum lq_code lq_queue_cancel(struct lq_queue *queue, const char *id, const char *owner,
                                         struct lq_error *err);
