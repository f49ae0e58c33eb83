/* Threads that wait for a range of work: the calling thread takes the first one. */
#include "kernels/cpu/cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 1024 };

/* One round of work, handed to all threads. */
struct round {
    lq_range_fn *run;
    void *context;
    int64_t n;
    int parts;
};

struct worker {
    struct lq_pool *pool;
    pthread_t thread;
    int number;
};

struct lq_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    pthread_cond_t done;
    struct round round;
    uint64_t rounds; /* handed out so far */
    int busy;        /* threads still at this round */
    int threads;
    bool closing;
    struct worker workers[];
};

static void run_part(const struct round *round, int part)
{
    const int64_t begin = round->n * part / round->parts;
    const int64_t end = round->n * (part + 1) / round->parts;
    if (begin < end) {
        round->run(round->context, begin, end, part);
    }
}

static void *serve(void *argument)
{
    const struct worker *worker = argument;
    struct lq_pool *pool = worker->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->rounds == seen && !pool->closing) {
            pthread_cond_wait(&pool->work, &pool->mutex);
        }
        if (pool->closing) {
            break;
        }
        seen = pool->rounds;
        const struct round round = pool->round;
        pthread_mutex_unlock(&pool->mutex);
        if (worker->number < round.parts) {
            run_part(&round, worker->number);
        }
        pthread_mutex_lock(&pool->mutex);
        pool->busy--;
        if (pool->busy == 0) {
            pthread_cond_signal(&pool->done);
        }
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static void start(struct lq_pool *pool, const struct round *round)
{
    pthread_mutex_lock(&pool->mutex);
    pool->round = *round;
    pool->rounds++;
    pool->busy = pool->threads - 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

static void finish(struct lq_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->busy > 0) {
        pthread_cond_wait(&pool->done, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void lq_parallel(struct lq_device *device, int64_t n, int64_t grain, lq_range_fn *run,
                 void *context)
{
    struct lq_pool *pool = device->pool;
    const int64_t most = grain > 0 ? n / grain : n;
    const int parts = most < 1 ? 1 : (most < pool->threads ? (int)most : pool->threads);
    const struct round round = {.run = run, .context = context, .n = n, .parts = parts};
    if (parts == 1) {
        run_part(&round, 0);
        return;
    }
    start(pool, &round);
    run_part(&round, 0);
    finish(pool);
}

enum lq_code lq_pool_open(int threads, struct lq_pool **out, struct lq_error *err)
{
    const int n = threads < 1 ? 1 : (threads > THREADS_MAX ? THREADS_MAX : threads);
    struct lq_pool *pool = calloc(1, sizeof *pool + (size_t)n * sizeof pool->workers[0]);
    if (pool == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "no memory for %d threads", n);
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (pool->threads = 1; pool->threads < n; pool->threads++) {
        struct worker *worker = &pool->workers[pool->threads];
        *worker = (struct worker){.pool = pool, .number = pool->threads};
        const int failed = pthread_create(&worker->thread, NULL, serve, worker);
        if (failed != 0) {
            const int number = worker->number + 1;
            lq_pool_close(pool);
            return lq_fail(err, LQ_EDEVICE, NULL, "cannot start thread %d of %d: %s", number, n,
                           strerror(failed));
        }
    }
    *out = pool;
    return LQ_OK;
}

void lq_pool_close(struct lq_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 1; i < pool->threads; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

int lq_pool_threads(const struct lq_pool *pool)
{
    return pool->threads;
}
