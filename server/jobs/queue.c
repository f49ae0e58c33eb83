/* The queue's list, its threads and its one lock. A thread takes the oldest waiting job; where none
 * waits it takes parts of jobs that run, so that a single job has all threads. */
#include "server/jobs/queue.h"

#include "server/jobs/queue_private.h"
#include "server/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const LQ_TASK_STATE_NAMES[] = {"queued", "running",   "done",
                                           "failed", "cancelled", NULL};

static bool is_finished(const struct lq_control *job)
{
    return job->state != LQ_TASK_QUEUED && job->state != LQ_TASK_RUNNING;
}

static void release(struct lq_task *task)
{
    if (task->release != NULL) {
        task->release(task->context);
    }
    task->release = NULL;
}

static void free_job(struct lq_control *job)
{
    release(&job->task);
    free(job->result);
    free(job);
}

/* ---- threads: what to do next ---- */

static struct lq_control *find_waiting(const struct lq_queue *queue)
{
    struct lq_control *job = queue->oldest;
    while (job != NULL && job->state != LQ_TASK_QUEUED) {
        job = job->newer;
    }
    return job;
}

static struct lq_control *find_spread(const struct lq_queue *queue)
{
    struct lq_control *job = queue->oldest;
    while (job != NULL && job->spread.next >= job->spread.count) {
        job = job->newer;
    }
    return job;
}

/* Runs a whole job; the lock is held on entry and return. */
static void run_job(struct lq_queue *queue, struct lq_control *job)
{
    job->state = LQ_TASK_RUNNING;
    job->started = time(NULL);
    job->held = true;
    pthread_mutex_unlock(&queue->lock);
    char *result = NULL;
    struct lq_error problem = {0};
    const enum lq_code code = job->task.run(job->task.context, job, &result, &problem);
    release(&job->task);
    pthread_mutex_lock(&queue->lock);
    job->held = false;
    if (is_finished(job)) { /* cancelled under its feet */
        free(result);
        return;
    }
    job->finished = time(NULL);
    job->state = code == LQ_OK ? LQ_TASK_DONE : LQ_TASK_FAILED;
    job->result = result;
    job->problem = problem;
}

static void *work(void *context)
{
    struct lq_queue *queue = context;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        struct lq_control *waiting = find_waiting(queue);
        struct lq_control *running = waiting == NULL ? find_spread(queue) : NULL;
        if (waiting != NULL) {
            run_job(queue, waiting);
        } else if (running != NULL) {
            lq_queue_take_part(queue, running);
        } else if (queue->stopping) {
            break;
        } else {
            pthread_cond_wait(&queue->work, &queue->lock);
        }
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

/* ---- the list ---- */

/* Drops finished jobs that are too old, and the oldest where there are too many. */
static void drop_old(struct lq_queue *queue)
{
    size_t finished = 0;
    for (const struct lq_control *job = queue->oldest; job != NULL; job = job->newer) {
        finished += is_finished(job);
    }
    const time_t least = time(NULL) - queue->limits.kept_s;
    struct lq_control **link = &queue->oldest;
    while (*link != NULL) {
        struct lq_control *job = *link;
        const bool old = job->finished < least || finished > queue->limits.finished;
        if (is_finished(job) && old && !job->held) {
            *link = job->newer;
            free_job(job);
            finished--;
        } else {
            link = &job->newer;
        }
    }
}

static struct lq_control *find(struct lq_queue *queue, const char *id)
{
    drop_old(queue);
    struct lq_control *job = queue->oldest;
    while (job != NULL && strcmp(job->id, id) != 0) {
        job = job->newer;
    }
    return job;
}

static enum lq_code fail_unknown(const char *id, struct lq_error *err)
{
    return lq_fail(err, LQ_ENOTFOUND, NULL,
                   "there is no job \"%.64s\", or its result is not kept "
                   "any more",
                   id);
}

/* Puts a job at the end; the lock is held. */
static enum lq_code append(struct lq_queue *queue, struct lq_control *job, struct lq_error *err)
{
    drop_old(queue);
    size_t waiting = 0;
    struct lq_control **link = &queue->oldest;
    for (; *link != NULL; link = &(*link)->newer) {
        waiting += (*link)->state == LQ_TASK_QUEUED;
    }
    if (queue->stopping || waiting >= queue->limits.waiting) {
        return lq_fail(err, LQ_EBUSY, NULL,
                       "%zu jobs are waiting, which is as many as may; try "
                       "again when some are done",
                       waiting);
    }
    *link = job;
    pthread_cond_signal(&queue->work);
    return LQ_OK;
}

struct lq_queue_depth lq_queue_depth(struct lq_queue *queue)
{
    struct lq_queue_depth depth = {.waiting = 0};
    pthread_mutex_lock(&queue->lock);
    for (const struct lq_control *job = queue->oldest; job != NULL; job = job->newer) {
        depth.waiting += job->state == LQ_TASK_QUEUED;
        depth.running += job->state == LQ_TASK_RUNNING;
    }
    pthread_mutex_unlock(&queue->lock);
    return depth;
}

enum lq_code lq_queue_post(struct lq_queue *queue, const struct lq_task *posted, const char *owner,
                           char id[LQ_TASK_ID_SIZE], struct lq_error *err)
{
    struct lq_control *job = calloc(1, sizeof *job);
    if (job == NULL) {
        struct lq_task given_up = *posted;
        release(&given_up);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for a job");
    }
    job->queue = queue;
    job->task = *posted;
    job->created = time(NULL);
    snprintf(job->owner, sizeof job->owner, "%s", owner);
    enum lq_code code = lq_random_hex(job->id, sizeof job->id / 2, err);
    if (code == LQ_OK) {
        memcpy(id, job->id, sizeof job->id);
        pthread_mutex_lock(&queue->lock);
        code = append(queue, job, err);
        pthread_mutex_unlock(&queue->lock);
    }
    if (code != LQ_OK) {
        free_job(job);
    }
    return code;
}

static double progress_of(const struct lq_control *job)
{
    if (job->state == LQ_TASK_DONE) {
        return 1.0;
    }
    const size_t steps = atomic_load(&job->steps);
    const size_t done = atomic_load(&job->steps_done);
    return steps > 0 ? (double)(done < steps ? done : steps) / (double)steps : 0.0;
}

enum lq_code lq_queue_get(struct lq_queue *queue, const char *id, struct lq_task_status *status,
                          struct lq_error *err)
{
    enum lq_code code = LQ_OK;
    pthread_mutex_lock(&queue->lock);
    const struct lq_control *job = find(queue, id);
    if (job == NULL) {
        code = fail_unknown(id, err);
    } else {
        *status = (struct lq_task_status){.kind = job->task.kind,
                                          .state = job->state,
                                          .progress = progress_of(job),
                                          .created = job->created,
                                          .started = job->started,
                                          .finished = job->finished,
                                          .problem = job->problem};
        memcpy(status->id, job->id, sizeof job->id);
        status->result = job->result != NULL ? strdup(job->result) : NULL;
        if (job->result != NULL && status->result == NULL) {
            code = lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for a job's result");
        }
    }
    pthread_mutex_unlock(&queue->lock);
    return code;
}

/* ---- cancelling ---- */

static enum lq_code check_cancel(const struct lq_control *job, const char *owner,
                                 struct lq_error *err)
{
    if (strcmp(job->owner, owner) != 0) {
        return lq_fail(err, LQ_ESCOPE, NULL, "only the token that posted the job can cancel it");
    }
    if (job->state == LQ_TASK_CANCELLED) {
        return lq_fail(err, LQ_ECONFLICT, NULL, "the job was cancelled already");
    }
    if (is_finished(job)) {
        return lq_fail(err, LQ_ECONFLICT, NULL, "the job has finished: it is %s",
                       LQ_TASK_STATE_NAMES[job->state]);
    }
    if (job->sealed) {
        return lq_fail(err, LQ_ECONFLICT, NULL,
                       "the job has finished and its result is being "
                       "stored");
    }
    return LQ_OK;
}

/* The lock is held. */
static void cancel(struct lq_queue *queue, struct lq_control *job)
{
    job->state = LQ_TASK_CANCELLED;
    job->finished = time(NULL);
    atomic_store(&job->cancelled, true);
    job->spread.count = job->spread.next; /* nobody begins another part */
    pthread_cond_broadcast(&queue->idle);
    if (!job->held) {
        release(&job->task);
    }
}

enum lq_code lq_queue_cancel(struct lq_queue *queue, const char *id, const char *owner,
                             struct lq_error *err)
{
    pthread_mutex_lock(&queue->lock);
    struct lq_control *job = find(queue, id);
    enum lq_code code = LQ_OK;
    if (job == NULL) {
        code = fail_unknown(id, err);
    } else {
        code = check_cancel(job, owner, err);
        if (code == LQ_OK) {
            cancel(queue, job);
        }
    }
    pthread_mutex_unlock(&queue->lock);
    return code;
}

/* ---- start and stop ---- */

static bool start_threads(struct lq_queue *queue)
{
    for (int i = 0; i < queue->limits.threads; i++) {
        if (pthread_create(&queue->threads[i], NULL, work, queue) != 0) {
            return false;
        }
        queue->thread_count++;
    }
    return true;
}

enum lq_code lq_queue_start(const struct lq_queue_limits *limits, struct lq_queue **queue,
                            struct lq_error *err)
{
    struct lq_queue *made =
        calloc(1, sizeof *made + (size_t)limits->threads * sizeof made->threads[0]);
    if (made == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory for the job queue");
    }
    made->limits = *limits;
    pthread_mutex_init(&made->lock, NULL); /* with default attributes these cannot fail */
    pthread_cond_init(&made->work, NULL);
    pthread_cond_init(&made->idle, NULL);
    if (!start_threads(made)) {
        lq_queue_stop(made);
        return lq_fail(err, LQ_EINTERNAL, NULL, "cannot start the threads of the job queue");
    }
    *queue = made;
    return LQ_OK;
}

void lq_queue_stop(struct lq_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    for (struct lq_control *job = queue->oldest; job != NULL; job = job->newer) {
        if (!is_finished(job) && !job->sealed) {
            cancel(queue, job);
        }
    }
    pthread_cond_broadcast(&queue->work);
    pthread_mutex_unlock(&queue->lock);
    for (int i = 0; i < queue->thread_count; i++) {
        pthread_join(queue->threads[i], NULL);
    }
    while (queue->oldest != NULL) {
        struct lq_control *job = queue->oldest;
        queue->oldest = job->newer;
        free_job(job);
    }
    pthread_cond_destroy(&queue->idle);
    pthread_cond_destroy(&queue->work);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}
