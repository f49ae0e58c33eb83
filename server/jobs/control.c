/* Steps, cancellation and parts of running jobs. The list of jobs is kept in queue.c. */
#include "server/jobs/control.h"

#include "server/jobs/queue_private.h"

void lq_queue_take_part(struct lq_queue *queue, struct lq_control *job)
{
    struct spread *spread = &job->spread;
    const size_t i = spread->next++;
    spread->active++;
    pthread_mutex_unlock(&queue->lock);
    spread->part(spread->context, i);
    pthread_mutex_lock(&queue->lock);
    spread->active--;
    if (spread->active == 0 && spread->next >= spread->count) {
        pthread_cond_broadcast(&queue->idle);
    }
}

bool lq_control_cancelled(const struct lq_control *control)
{
    return control != NULL && atomic_load_explicit(&control->cancelled, memory_order_relaxed);
}

void lq_control_expect(struct lq_control *control, size_t steps)
{
    if (control != NULL) {
        atomic_store(&control->steps, steps);
    }
}

void lq_control_step(struct lq_control *control)
{
    if (control != NULL) {
        atomic_fetch_add(&control->steps_done, 1);
    }
}

bool lq_control_spread(struct lq_control *control, size_t count,
                       void (*part)(void *context, size_t i), void *context)
{
    if (control == NULL) {
        for (size_t i = 0; i < count; i++) {
            part(context, i);
        }
        return true;
    }
    struct lq_queue *queue = control->queue;
    struct spread *spread = &control->spread;
    pthread_mutex_lock(&queue->lock);
    const bool begun = !lq_control_cancelled(control);
    *spread = (struct spread){.part = part, .context = context, .count = begun ? count : 0};
    pthread_cond_broadcast(&queue->work);
    while (spread->next < spread->count) {
        lq_queue_take_part(queue, control);
    }
    while (spread->active > 0) {
        pthread_cond_wait(&queue->idle, &queue->lock);
    }
    const bool whole = begun && spread->next == count;
    *spread = (struct spread){0};
    pthread_mutex_unlock(&queue->lock);
    return whole;
}

bool lq_control_seal(struct lq_control *control)
{
    if (control == NULL) {
        return true;
    }
    pthread_mutex_lock(&control->queue->lock);
    control->sealed = control->state == LQ_TASK_RUNNING;
    pthread_mutex_unlock(&control->queue->lock);
    return control->sealed;
}
