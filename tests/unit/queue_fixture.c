/* See queue_fixture.h. */
#include "tests/unit/queue_fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct lq_queue *queue;
atomic_int released;
atomic_bool open_gate; /* what jobs wait at */
atomic_int begun;
atomic_int parts_done[PARTS];
static atomic_int together;
atomic_int most_together;

void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

void start_queue(int threads, size_t waiting, size_t finished, int kept_s)
{
    struct lq_error err = {0};
    const struct lq_queue_limits limits = {threads, waiting, finished, kept_s};
    ck_assert_int_eq(lq_queue_start(&limits, &queue, &err), LQ_OK);
}

void reset_queue(void)
{
    queue = NULL;
    released = 0;
    open_gate = false;
    begun = 0;
    memset(parts_done, 0, sizeof parts_done);
    together = most_together = 0;
}

void stop_queue(void)
{
    open_gate = true;
    lq_queue_stop(queue);
    queue = NULL;
}

static void count_release(void *context)
{
    (void)context;
    released++;
}

/* Waits at the gate until it opens or the job is cancelled. */
enum lq_code wait_at_gate(void *context, struct lq_control *control, char **result,
                          struct lq_error *err)
{
    begun++;
    while (!open_gate && !lq_control_cancelled(control)) {
        pause_ms(1);
    }
    (void)context;
    (void)err;
    *result = strdup("{\"passed\":true}");
    return LQ_OK;
}

enum lq_code fail_at_once(void *context, struct lq_control *control, char **result,
                          struct lq_error *err)
{
    (void)context;
    (void)control;
    (void)result;
    return lq_fail(err, LQ_EFIT, "/runs", "no good: %d", 7);
}

static void do_part(void *context, size_t i)
{
    struct lq_control *control = context;
    const int now = ++together;
    if (now > most_together) {
        most_together = now;
    }
    pause_ms(2);
    together--;
    parts_done[i]++;
    lq_control_step(control);
}

enum lq_code spread_parts(void *context, struct lq_control *control, char **result,
                          struct lq_error *err)
{
    (void)context;
    (void)result;
    lq_control_expect(control, PARTS);
    begun++;
    return lq_control_spread(control, PARTS, do_part, control)
               ? LQ_OK
               : lq_fail(err, LQ_EINTERNAL, NULL, "parts were left out");
}

enum lq_code post_task(run_function run, void *context, char id[LQ_TASK_ID_SIZE])
{
    struct lq_error err = {0};
    const struct lq_task task = {"test", run, count_release, context};
    return lq_queue_post(queue, &task, "owner", id, &err);
}

struct lq_task_status status_of(const char *id)
{
    struct lq_task_status status = {0};
    struct lq_error err = {0};
    ck_assert_msg(lq_queue_get(queue, id, &status, &err) == LQ_OK, "%s", err.detail);
    return status;
}

enum lq_task_state state_of(const char *id)
{
    struct lq_task_status status = status_of(id);
    free(status.result);
    return status.state;
}

void wait_for(const char *id, enum lq_task_state state)
{
    for (int i = 0; i < PATIENCE_MS && state_of(id) != state; i++) {
        pause_ms(1);
    }
    ck_assert_str_eq(LQ_TASK_STATE_NAMES[state_of(id)], LQ_TASK_STATE_NAMES[state]);
}

void wait_until(const atomic_int *number, int value)
{
    for (int i = 0; i < PATIENCE_MS && atomic_load(number) < value; i++) {
        pause_ms(1);
    }
    ck_assert_int_ge(atomic_load(number), value);
}
