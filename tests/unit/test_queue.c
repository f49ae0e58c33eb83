/* The job queue: order, progress, sharing of threads, and what is kept. */
#include "tests/unit/check_main.h"
#include "tests/unit/queue_fixture.h"

#include <string.h>
#include <time.h>

static int order[8];
static atomic_int ordered;

static enum lq_code note_order(void *context, struct lq_control *control, char **result,
                               struct lq_error *err)
{
    (void)control;
    (void)result;
    (void)err;
    order[ordered++] = *(const int *)context;
    return LQ_OK;
}

static void note_part(void *context, size_t i)
{
    (void)context;
    order[ordered++] = (int)i;
}

START_TEST(a_job_runs_and_its_result_is_kept)
{
    char id[LQ_TASK_ID_SIZE];
    start_queue(1, 4, 4, 60);
    const time_t before = time(NULL);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, id), LQ_OK);
    ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 32);
    wait_until(&begun, 1);
    struct lq_task_status status = status_of(id);
    ck_assert_int_eq(status.state, LQ_TASK_RUNNING);
    ck_assert_ptr_null(status.result);
    ck_assert_int_ge(status.created, before);
    ck_assert_int_ge(status.started, status.created);
    ck_assert_int_eq(status.finished, 0);
    open_gate = true;
    wait_for(id, LQ_TASK_DONE);
    status = status_of(id);
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
    start_queue(1, 4, 4, 60);
    ck_assert_int_eq(post_task(fail_at_once, NULL, id), LQ_OK);
    wait_for(id, LQ_TASK_FAILED);
    const struct lq_task_status status = status_of(id);
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
    start_queue(1, 4, 8, 60);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, first), LQ_OK);
    wait_until(&begun, 1);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(post_task(note_order, &numbers[i], ids[i]), LQ_OK);
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
    start_queue(1, 2, 8, 60);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, running), LQ_OK);
    wait_until(&begun, 1);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, id), LQ_OK);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, id), LQ_OK);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, running), LQ_EBUSY);
    ck_assert_int_eq(released, 1); /* the refused one's context */
    open_gate = true;
    wait_for(id, LQ_TASK_DONE);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, id), LQ_OK);
    wait_for(id, LQ_TASK_DONE);
}
END_TEST

START_TEST(one_job_has_all_threads)
{
    char id[LQ_TASK_ID_SIZE];
    start_queue(4, 4, 4, 60);
    ck_assert_int_eq(post_task(spread_parts, NULL, id), LQ_OK);
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
    start_queue(2, 4, 4, 60);
    ck_assert_int_eq(post_task(spread_parts, NULL, big), LQ_OK);
    wait_until(&begun, 1);
    ck_assert_int_eq(post_task(note_order, &number, small), LQ_OK);
    wait_for(small, LQ_TASK_DONE);
    ck_assert_int_eq(state_of(big), LQ_TASK_RUNNING);
    wait_for(big, LQ_TASK_DONE);
}
END_TEST

START_TEST(progress_rises_from_0_to_1)
{
    char id[LQ_TASK_ID_SIZE];
    start_queue(2, 4, 4, 60);
    ck_assert_int_eq(post_task(spread_parts, NULL, id), LQ_OK);
    double last = 0.0;
    int steps = 0;
    while (state_of(id) != LQ_TASK_DONE) {
        const struct lq_task_status status = status_of(id);
        ck_assert_double_ge(status.progress, last);
        ck_assert_double_le(status.progress, 1.0);
        steps += status.progress > last;
        last = status.progress;
        pause_ms(1);
    }
    ck_assert_int_gt(steps, 5);
    ck_assert_double_eq(status_of(id).progress, 1.0);
}
END_TEST

START_TEST(only_the_newest_results_are_kept)
{
    char ids[5][LQ_TASK_ID_SIZE];
    struct lq_task_status status;
    struct lq_error err = {0};
    start_queue(1, 8, 3, 60);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(post_task(fail_at_once, NULL, ids[i]), LQ_OK);
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
    start_queue(1, 4, 4, -1); /* so what has just finished is too old */
    ck_assert_int_eq(post_task(wait_at_gate, NULL, id), LQ_OK);
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

START_TEST(work_outside_a_queue_runs_on_its_callers_thread)
{
    ordered = 0;
    lq_control_expect(NULL, PARTS);
    ck_assert(lq_control_spread(NULL, 8, note_part, NULL));
    ck_assert_int_eq(ordered, 8);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(order[i], i);
    }
    ck_assert(!lq_control_cancelled(NULL));
    ck_assert(lq_control_seal(NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *cases = tcase_create("queue");
    tcase_add_checked_fixture(cases, reset_queue, stop_queue);
    tcase_add_test(cases, a_job_runs_and_its_result_is_kept);
    tcase_add_test(cases, a_job_that_fails_keeps_its_problem);
    tcase_add_test(cases, jobs_are_begun_in_the_order_they_came);
    tcase_add_test(cases, a_full_queue_is_busy_and_takes_jobs_again_later);
    tcase_add_test(cases, one_job_has_all_threads);
    tcase_add_test(cases, a_waiting_job_is_begun_before_parts_of_a_running_one);
    tcase_add_test(cases, progress_rises_from_0_to_1);
    tcase_add_test(cases, only_the_newest_results_are_kept);
    tcase_add_test(cases, results_are_kept_for_a_limited_time);
    tcase_add_test(cases, work_outside_a_queue_runs_on_its_callers_thread);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
