/* What a queue and its jobs consist of, for queue.c and control.c alone. */
#pragma once

#include "server/jobs/control.h"
#include "server/jobs/queue.h"

#include <pthread.h>
#include <stdatomic.h>

/* Parts of a running job that are being handed out. */
struct spread {
    void (*part)(void *context, size_t i);
    void *context;
    size_t next;
    size_t count;
    size_t active; /* parts that threads are in */
};

/* One job; everything but the atomics is guarded by the queue's lock. */
struct lq_control {
    struct lq_control *newer;
    struct lq_queue *queue;
    struct lq_task task;
    char id[LQ_TASK_ID_SIZE];
    char owner[LQ_OWNER_SIZE];
    enum lq_task_state state;
    bool held;   /* a thread runs it, so it cannot be freed, whatever its state */
    bool sealed; /* cannot be cancelled any more */
    time_t created;
    time_t started;
    time_t finished;
    char *result;
    struct lq_error problem;
    struct spread spread;
    atomic_bool cancelled;
    atomic_size_t steps;
    atomic_size_t steps_done;
};

struct lq_queue {
    struct lq_queue_limits limits;
    pthread_mutex_t lock;
    pthread_cond_t work;       /* there is something to do */
    pthread_cond_t idle;       /* a part has returned */
    struct lq_control *oldest; /* all jobs in the order they came */
    bool stopping;
    int thread_count;
    pthread_t threads[];
};

/* Does the next part of a running job; the lock is held on entry and return. */
void lq_queue_take_part(struct lq_queue *queue, struct lq_control *job);
