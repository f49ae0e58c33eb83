/* The job queue: order, progress, sharing of threads, cancelling, what is kept, and the stop. */
#include "server/jobs/control.h"
#include "server/jobs/queue.h"
#include "tests/unit/check_main.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARTS = 64, PATIENCE_MS = 5000 };

static struct lq_queue *queue;
static atomic_int released;
static atomic_bool open_gate; /* what jobs wait at */
static atomic_int begun;
static atomic_int parts_done[PARTS];
static atomic_int together;
static atomic_int most_together;
static int order[8];
static atomic_int ordered;

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static void start(int threads, size_t waiting, size_t finished, int kept_s)
{
    struct lq_error err = {0};
    const struct lq_queue_limits limits = {threads, waiting, finished, kept_s};
    ck_assert_int_eq(lq_queue_start(&limits, &queue, &err), LQ_OK);
}

static void reset(void)
{
    queue = NULL;
    released = 0;
    open_gate = false;
    begun = 0;
    memset(parts_done, 0, sizeof parts_done);
    together = most_together = 0;
    ordered = 0;
}

static void stop(void)
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
static enum lq_code wait_at_gate(void *context, struct lq_control *control, char **result,
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

static enum lq_code fail_at_once(void *context, struct lq_control *control, char **result,
                                 struct lq_error *err)
{
    (void)context;
    (void)control;
    (void)result;
    return lq_fail(err, LQ_EFIT, "/runs", "no good: %d", 7);
}

static enum lq_code note_order(void *context, struct lq_control *control, char **result,
                               struct lq_error *err)
{
    (void)control;
    (void)result;
    (void)err;
    order[ordered++] = *(const int *)context;
    return LQ_OK;
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

static enum lq_code spread_parts(void *context, struct lq_control *control, char **result,
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

/* Can no longer be cancelled once it has begun. */
static enum lq_code seal_and_wait(void *context, struct lq_control *control, char **result,
                                  struct lq_error *err)
{
    if (!lq_control_seal(control)) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "could not seal");
    }
    return wait_at_gate(context, control, result, err);
}

typedef enum lq_code (*run_function)(void *, struct lq_control *, char **, struct lq_error *);

static enum lq_code post(run_function run, void *context, char id[LQ_TASK_ID_SIZE])
{
    struct lq_error err = {0};
    const struct lq_task task = {"test", run, count_release, context};
    return lq_queue_post(queue, &task, "owner", id, &err);
}

static struct lq_task_status get(const char *id)
{
    struct lq_task_status status = {0};
    struct lq_error err = {0};
    ck_assert_msg(lq_queue_get(queue, id, &status, &err) == LQ_OK, "%s", err.detail);
    return status;
}

static enum lq_task_state state_of(const char *id)
{
    struct lq_task_status status = get(id);
    free(status.result);
    return status.state;
}

static void wait_for(const char *id, enum lq_task_state state)
{
    for (int i = 0; i < PATIENCE_MS && state_of(id) != state; i++) {
        pause_ms(1);
    }
    ck_assert_str_eq(LQ_TASK_STATE_NAMES[state_of(id)], LQ_TASK_STATE_NAMES[state]);
}

static void wait_until(const atomic_int *number, int value)
{
    for (int i = 0; i < PATIENCE_MS && atomic_load(number) < value; i++) {
        pause_ms(1);
    }
    ck_assert_int_ge(atomic_load(number), value);
}

static void expect_cancel(const char *id, const char *owner, enum lq_code code, const char *part)
{
    struct lq_error err = {0};
    ck_assert_int_eq(lq_queue_cancel(queue, id, owner, &err), code);
    ck_assert_msg(strstr(err.detail, part) != NULL, "\"%s\" lacks \"%s\"", err.detail, part);
}

START_TEST(a_job_runs_and_its_result_is_kept)
{
    char id[LQ_TASK_ID_SIZE];
    start(1, 4, 4, 60);
    const time_t before = time(NULL);
    ck_assert_int_eq(post(wait_at_gate, NULL, id), LQ_OK);
    ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 32);
    wait_until(&begun, 1);
    struct lq_task_status status = get(id);
    ck_assert_int_eq(status.state, LQ_TASK_RUNNING);
    ck_assert_ptr_null(status.result);
    ck_assert_int_ge(status.created, before);
    ck_assert_int_ge(status.started, status.created);
    ck_assert_int_eq(status.finished, 0);
    open_gate = true;
    wait_for(id, LQ_TASK_DONE);
    status = get(id);
    ck_assert_str_eq(status.result, "{\"passed\":true}");
    ck_assert_str_eq(status.kind, "test");
    ck_assert_str_eq(status.id, id);
    ck_assert_double_eq(status.progress, 1.0);
    ck_assert_int_ge(status.finished, status.started);
    ck_assert_int_eq(released, 1);
    free(status.result);
}
END_TEST

START_TEST(a_job_that_fails_keeps_its_problem)
{
    char id[LQ_TASK_ID_SIZE];
    start(1, 4, 4, 60);
    ck_assert_int_eq(post(fail_at_once, NULL, id), LQ_OK);
    wait_for(id, LQ_TASK_FAILED);
    const struct lq_task_status status = get(id);
    ck_assert_int_eq(status.problem.code, LQ_EFIT);
    ck_assert_str_eq(status.problem.pointer, "/runs");
    ck_assert_str_eq(status.problem.detail, "no good: 7");
    ck_assert_ptr_null(status.result);
    ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(jobs_are_begun_in_the_order_they_came)
{
    static int numbers[] = {0, 1, 2};
    char first[LQ_TASK_ID_SIZE];
    char ids[3][LQ_TASK_ID_SIZE];
    start(1, 4, 8, 60);
    ck_assert_int_eq(post(wait_at_gate, NULL, first), LQ_OK);
    wait_until(&begun, 1);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(post(note_order, &numbers[i], ids[i]), LQ_OK);
        ck_assert_int_eq(state_of(ids[i]), LQ_TASK_QUEUED);
    }
    open_gate = true;
    wait_for(ids[2], LQ_TASK_DONE);
    ck_assert_int_eq(order[0], 0);
    ck_assert_int_eq(order[1], 1);
    ck_assert_int_eq(order[2], 2);
}
END_TEST

START_TEST(a_full_queue_is_busy_and_takes_jobs_again_later)
{
    char running[LQ_TASK_ID_SIZE];
    char id[LQ_TASK_ID_SIZE];
    start(1, 2, 8, 60);
    ck_assert_int_eq(post(wait_at_gate, NULL, running), LQ_OK);
    wait_until(&begun, 1);
    ck_assert_int_eq(post(wait_at_gate, NULL, id), LQ_OK);
    ck_assert_int_eq(post(wait_at_gate, NULL, id), LQ_OK);
    ck_assert_int_eq(post(wait_at_gate, NULL, running), LQ_EBUSY);
    ck_assert_int_eq(released, 1); /* the refused one's context */
    open_gate = true;
    wait_for(id, LQ_TASK_DONE);
    ck_assert_int_eq(post(wait_at_gate, NULL, id), LQ_OK);
    wait_for(id, LQ_TASK_DONE);
}
END_TEST

START_TEST(one_job_has_all_threads)
{
    char id[LQ_TASK_ID_SIZE];
    start(4, 4, 4, 60);
    ck_assert_int_eq(post(spread_parts, NULL, id), LQ_OK);
    wait_for(id, LQ_TASK_DONE);
    for (int i = 0; i < PARTS; i++) {
        ck_assert_int_eq(parts_done[i], 1);
    }
    ck_assert_int_eq(most_together, 4);
}
END_TEST

START_TEST(a_waiting_job_is_begun_before_parts_of_a_running_one)
{
    char big[LQ_TASK_ID_SIZE];
    char small[LQ_TASK_ID_SIZE];
    static int number = 5;
    start(2, 4, 4, 60);
    ck_assert_int_eq(post(spread_parts, NULL, big), LQ_OK);
    wait_until(&begun, 1);
    ck_assert_int_eq(post(note_order, &number, small), LQ_OK);
    wait_for(small, LQ_TASK_DONE);
    ck_assert_int_eq(state_of(big), LQ_TASK_RUNNING);
    wait_for(big, LQ_TASK_DONE);
}
END_TEST

START_TEST(progress_rises_from_0_to_1)
{
    char id[LQ_TASK_ID_SIZE];
    start(2, 4, 4, 60);
    ck_assert_int_eq(post(spread_parts, NULL, id), LQ_OK);
    double last = 0.0;
    int steps = 0;
    while (state_of(id) != LQ_TASK_DONE) {
        const struct lq_task_status status = get(id);
        ck_assert_double_ge(status.progress, last);
        ck_assert_double_le(status.progress, 1.0);
        steps += status.progress > last;
        last = status.progress;
        pause_ms(1);
    }
    ck_assert_int_gt(steps, 5);
    ck_assert_double_eq(get(id).progress, 1.0);
}
END_TEST

START_TEST(a_running_job_is_cancelled_and_stops)
{
    char id[LQ_TASK_ID_SIZE];
    char next[LQ_TASK_ID_SIZE];
    start(2, 4, 4, 60);
    ck_assert_int_eq(post(spread_parts, NULL, id), LQ_OK);
    wait_until(&parts_done[3], 1);
    expect_cancel(id, "owner", LQ_OK, "");
    ck_assert_int_eq(state_of(id), LQ_TASK_CANCELLED);
    expect_cancel(id, "owner", LQ_ECONFLICT, "cancelled already");
    wait_until(&released, 1);
    ck_assert_int_eq(parts_done[PARTS - 1], 0);
    ck_assert_int_eq(state_of(id), LQ_TASK_CANCELLED);
    const struct lq_task_status status = get(id);
    ck_assert_ptr_null(status.result);
    ck_assert_double_lt(status.progress, 1.0);
    open_gate = true; /* and its threads do other work */
    ck_assert_int_eq(post(wait_at_gate, NULL, next), LQ_OK);
    wait_for(next, LQ_TASK_DONE);
}
END_TEST

START_TEST(a_waiting_job_is_cancelled_and_never_begun)
{
    char first[LQ_TASK_ID_SIZE];
    char id[LQ_TASK_ID_SIZE];
    start(1, 1, 4, 60);
    ck_assert_int_eq(post(wait_at_gate, NULL, first), LQ_OK);
    wait_until(&begun, 1);
    ck_assert_int_eq(post(wait_at_gate, NULL, id), LQ_OK);
    expect_cancel(id, "owner", LQ_OK, "");
    ck_assert_int_eq(released, 1);
    ck_assert_int_eq(post(fail_at_once, NULL, id), LQ_OK); /* its place is free again */
    open_gate = true;
    wait_for(id, LQ_TASK_FAILED);
    ck_assert_int_eq(begun, 1);
}
END_TEST

START_TEST(only_the_owner_cancels_and_only_what_is_there_and_unfinished)
{
    char id[LQ_TASK_ID_SIZE];
    start(1, 4, 4, 60);
    ck_assert_int_eq(post(wait_at_gate, NULL, id), LQ_OK);
    expect_cancel(id, "somebody", LQ_ESCOPE, "only the token that posted");
    expect_cancel("0123456789abcdef0123456789abcdef", "owner", LQ_ENOTFOUND, "there is no job");
    open_gate = true;
    wait_for(id, LQ_TASK_DONE);
    expect_cancel(id, "owner", LQ_ECONFLICT, "it is done");
    ck_assert_int_eq(state_of(id), LQ_TASK_DONE);
}
END_TEST

START_TEST(a_sealed_job_cannot_be_cancelled)
{
    char id[LQ_TASK_ID_SIZE];
    start(1, 4, 4, 60);
    ck_assert_int_eq(post(seal_and_wait, NULL, id), LQ_OK);
    wait_until(&begun, 1);
    expect_cancel(id, "owner", LQ_ECONFLICT, "is being stored");
    open_gate = true;
    wait_for(id, LQ_TASK_DONE);
}
END_TEST

START_TEST(only_the_newest_results_are_kept)
{
    char ids[5][LQ_TASK_ID_SIZE];
    struct lq_task_status status;
    struct lq_error err = {0};
    start(1, 8, 3, 60);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(post(fail_at_once, NULL, ids[i]), LQ_OK);
        for (int j = 0; j < i; j++) {
            ck_assert_str_ne(ids[i], ids[j]);
        }
    }
    wait_for(ids[4], LQ_TASK_FAILED);
    ck_assert_int_eq(lq_queue_get(queue, ids[1], &status, &err), LQ_ENOTFOUND);
    ck_assert_int_eq(state_of(ids[2]), LQ_TASK_FAILED);
}
END_TEST

START_TEST(results_are_kept_for_a_limited_time)
{
    char id[LQ_TASK_ID_SIZE];
    struct lq_task_status status;
    struct lq_error err = {0};
    start(1, 4, 4, -1); /* so what has just finished is too old */
    ck_assert_int_eq(post(wait_at_gate, NULL, id), LQ_OK);
    ck_assert_int_ne(state_of(id), LQ_TASK_DONE);
    open_gate = true;
    wait_until(&released, 1);
    enum lq_code code = LQ_OK;
    for (int i = 0; i < PATIENCE_MS && code == LQ_OK; i++) {
        code = lq_queue_get(queue, id, &status, &err);
        free(code == LQ_OK ? status.result : NULL);
        pause_ms(1);
    }
    ck_assert_int_eq(code, LQ_ENOTFOUND);
}
END_TEST

START_TEST(stopping_cancels_what_runs_and_what_waits)
{
    char id[LQ_TASK_ID_SIZE];
    start(2, 8, 4, 60);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(post(wait_at_gate, NULL, id), LQ_OK);
    }
    wait_until(&begun, 2);
    lq_queue_stop(queue); /* the gate is closed: only cancelling ends these */
    queue = NULL;
    ck_assert_int_eq(released, 5);
    ck_assert_int_eq(begun, 2);
    lq_queue_stop(NULL);
}
END_TEST

START_TEST(work_outside_a_queue_runs_on_its_callers_thread)
{
    lq_control_expect(NULL, PARTS);
    ck_assert(lq_control_spread(NULL, PARTS, do_part, NULL));
    ck_assert_int_eq(most_together, 1);
    for (int i = 0; i < PARTS; i++) {
        ck_assert_int_eq(parts_done[i], 1);
    }
    ck_assert(!lq_control_cancelled(NULL));
    ck_assert(lq_control_seal(NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *cases = tcase_create("queue");
    tcase_add_checked_fixture(cases, reset, stop);
    tcase_add_test(cases, a_job_runs_and_its_result_is_kept);
    tcase_add_test(cases, a_job_that_fails_keeps_its_problem);
    tcase_add_test(cases, jobs_are_begun_in_the_order_they_came);
    tcase_add_test(cases, a_full_queue_is_busy_and_takes_jobs_again_later);
    tcase_add_test(cases, one_job_has_all_threads);
    tcase_add_test(cases, a_waiting_job_is_begun_before_parts_of_a_running_one);
    tcase_add_test(cases, progress_rises_from_0_to_1);
    tcase_add_test(cases, a_running_job_is_cancelled_and_stops);
    tcase_add_test(cases, a_waiting_job_is_cancelled_and_never_begun);
    tcase_add_test(cases, only_the_owner_cancels_and_only_what_is_there_and_unfinished);
    tcase_add_test(cases, a_sealed_job_cannot_be_cancelled);
    tcase_add_test(cases, only_the_newest_results_are_kept);
    tcase_add_test(cases, results_are_kept_for_a_limited_time);
    tcase_add_test(cases, stopping_cancels_what_runs_and_what_waits);
    tcase_add_test(cases, work_outside_a_queue_runs_on_its_callers_thread);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
