/* Wires the rooms together: settings, store, HTTP; serves until told to stop. */
#include "server/command.h"
#include "server/config.h"
#include "server/http/http.h"
#include "server/jobs/queue.h"
#include "server/jobs/refit.h"
#include "server/json/arena.h"
#include "server/json/model_config.h"
#include "server/log.h"
#include "server/store/receipts.h"
#include "server/store/retention.h"
#include "server/store/store.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    STOP_PATIENCE_MS = 10 * 1000,
    KEPT_RESULTS = 256, /* of finished jobs */
    KEPT_S = 24 * 3600,
    LARGE_BYTES = 1024 * 1024, /* blocks of this size go back to the system when they are freed */
    SPARE_BYTES = 2 * LARGE_BYTES, /* free at a heap's end that stays for the next request: without
                                      it a list of jobs takes a tenth longer */
    HEAPS_PER_CORE = 2 /* a quarter of what libc would have: each keeps its spare bytes */
};

static int fail(int status, const struct lq_error *err)
{
    fprintf(stderr, "llmquote-server: %s\n", err->detail);
    return status;
}

/* The signals that end the program, blocked in every thread so that main can wait for them. */
static sigset_t block_stop_signals(void)
{
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a failed write, answered as one */
    signal(SIGPIPE, SIG_IGN); /* a reader of the log that goes away must not end the service */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    return signals;
}

/* Deletes one kind of rows whose time is over; what fails today is tried again tomorrow. */
static void expire_one(struct lq_store *store, const char *what, int days,
                       enum lq_code (*expire)(struct lq_store *, int, size_t *, struct lq_error *))
{
    struct lq_error err = {0};
    size_t deleted = 0;
    if (expire(store, days, &deleted, &err) != LQ_OK) {
        lq_log_event("error", "expiry-failed", NULL, "%s: %s", what, err.detail);
    } else if (deleted > 0) {
        lq_log_event("info", "expired", NULL, "%zu %s older than %d days", deleted, what, days);
    }
}

static void expire(const struct lq_config *config, struct lq_store *store)
{
    expire_one(store, "estimates", config->estimate_retention_days, lq_store_expire_estimates);
    if (config->calibration_retention_days > 0) {
        expire_one(store, "calibrations", config->calibration_retention_days,
                   lq_store_expire_calibrations);
    }
}

/* Waits for a signal to stop, and tidies up once a day. */
static int wait_for_stop(const struct lq_config *config, struct lq_store *store,
                         const sigset_t *signals)
{
    static const struct timespec DAY = {.tv_sec = 24 * 3600};
    for (;;) {
        const int received = sigtimedwait(signals, NULL, &DAY);
        if (received > 0) {
            return received;
        }
        if (errno == EAGAIN) {
            expire(config, store);
        }
    }
}

static int serve(const struct lq_config *config, struct lq_store *store, struct lq_queue *queue,
                 const sigset_t *signals)
{
    struct lq_error err = {0};
    struct lq_http *http = NULL;
    expire(config, store);
    if (lq_http_start(config, store, queue, &http, &err) != LQ_OK) {
        return fail(LQ_EXIT_FAILED, &err);
    }
    const char *scheme = config->tls_cert[0] != '\0' ? "https" : "http";
    printf("listening on %s://%s\n", scheme, lq_http_address(http));
    fflush(stdout);
    lq_log_event("info", "started", NULL, "%s %s on %s with %s", "llmquote-server", LQ_VERSION,
                 lq_http_address(http), config->db);
    const int received = wait_for_stop(config, store, signals);
    lq_log_event("info", "stopping", NULL, "%s", strsignal(received));
    lq_http_stop(http, STOP_PATIENCE_MS);
    lq_log_event("info", "stopped", NULL, "all requests answered or given up");
    return LQ_EXIT_OK;
}

/* Opens what requests work with, serves, and closes it again. */
static int run(const struct lq_config *config, const struct lq_hooks *hooks)
{
    struct lq_error err = {0};
    sigset_t signals = block_stop_signals();
    struct lq_store *store = NULL;
    if (lq_store_open_alone(config->db, hooks, &store, &err) != LQ_OK) {
        return fail(LQ_EXIT_FAILED, &err);
    }
    const struct lq_queue_limits limits = {.threads = config->job_threads,
                                           .waiting = (size_t)config->job_queue,
                                           .finished = KEPT_RESULTS,
                                           .kept_s = KEPT_S};
    struct lq_queue *queue = NULL;
    int status = LQ_EXIT_FAILED;
    if (lq_queue_start(&limits, &queue, &err) == LQ_OK) {
        status = serve(config, store, queue, &signals);
    } else {
        fail(LQ_EXIT_FAILED, &err);
    }
    lq_queue_stop(queue);
    lq_store_close(store);
    return status;
}

int main(int argc, char **argv)
{
    static const struct lq_hooks HOOKS = {
        .decode_model = lq_model_decode, .plausible = lq_point_is_plausible, .refit = lq_refit};
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, SPARE_BYTES);
    mallopt(M_ARENA_MAX, HEAPS_PER_CORE * (int)sysconf(_SC_NPROCESSORS_ONLN));
    lq_arena_install();
    int status = lq_command_run(argc, argv, &HOOKS);
    if (status >= 0) {
        return status;
    }
    struct lq_error err = {0};
    struct lq_config config;
    if (lq_config_load(&config, argc - 1, argv + 1, &err) != LQ_OK) {
        return fail(LQ_EXIT_USAGE, &err);
    }
    return run(&config, &HOOKS);
}
