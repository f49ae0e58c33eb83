/* Cancelling: jobs that run and jobs that wait, by whom, when not, and all of them at the stop. */
#include "tests/unit/check_main.h"
#include "tests/unit/queue_fixture.h"

#include <string.h>

/* Can no longer be cancelled once it has begun. */
static enum lq_code seal_and_wait(void *context, struct lq_control *control, char **result,
                                  struct lq_error *err)
{
    if (!lq_control_seal(control)) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "could not seal");
    }
    return wait_at_gate(context, control, result, err);
}

static void expect_cancel(const char *id, const char *owner, enum lq_code code, const char *part)
{
    struct lq_error err = {0};
    ck_assert_int_eq(lq_queue_cancel(queue, id, owner, &err), code);
    ck_assert_msg(strstr(err.detail, part) != NULL, "\"%s\" lacks \"%s\"", err.detail, part);
}

START_TEST(a_running_job_is_cancelled_and_stops)
{
    char id[LQ_TASK_ID_SIZE];
    char next[LQ_TASK_ID_SIZE];
    start_queue(2, 4, 4, 60);
    ck_assert_int_eq(post_task(spread_parts, NULL, id), LQ_OK);
    wait_until(&parts_done[3], 1);
    expect_cancel(id, "owner", LQ_OK, "");
    ck_assert_int_eq(state_of(id), LQ_TASK_CANCELLED);
    expect_cancel(id, "owner", LQ_ECONFLICT, "cancelled already");
    wait_until(&released, 1);
    ck_assert_int_eq(parts_done[PARTS - 1], 0);
    ck_assert_int_eq(state_of(id), LQ_TASK_CANCELLED);
    const struct lq_task_status status = status_of(id);
    ck_assert_ptr_null(status.result);
    ck_assert_double_lt(status.progress, 1.0);
    open_gate = true; /* and its threads do other work */
    ck_assert_int_eq(post_task(wait_at_gate, NULL, next), LQ_OK);
    wait_for(next, LQ_TASK_DONE);
}
END_TEST

START_TEST(a_waiting_job_is_cancelled_and_never_begun)
{
    char first[LQ_TASK_ID_SIZE];
    char id[LQ_TASK_ID_SIZE];
    start_queue(1, 1, 4, 60);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, first), LQ_OK);
    wait_until(&begun, 1);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, id), LQ_OK);
    expect_cancel(id, "owner", LQ_OK, "");
    ck_assert_int_eq(released, 1);
    ck_assert_int_eq(post_task(fail_at_once, NULL, id), LQ_OK); /* its place is free again */
    open_gate = true;
    wait_for(id, LQ_TASK_FAILED);
    ck_assert_int_eq(begun, 1);
}
END_TEST

START_TEST(only_the_owner_cancels_and_only_what_is_there_and_unfinished)
{
    char id[LQ_TASK_ID_SIZE];
    start_queue(1, 4, 4, 60);
    ck_assert_int_eq(post_task(wait_at_gate, NULL, id), LQ_OK);
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
    start_queue(1, 4, 4, 60);
    ck_assert_int_eq(post_task(seal_and_wait, NULL, id), LQ_OK);
    wait_until(&begun, 1);
    expect_cancel(id, "owner", LQ_ECONFLICT, "is being stored");
    open_gate = true;
    wait_for(id, LQ_TASK_DONE);
}
END_TEST

START_TEST(stopping_cancels_what_runs_and_what_waits)
{
    char id[LQ_TASK_ID_SIZE];
    start_queue(2, 8, 4, 60);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(post_task(wait_at_gate, NULL, id), LQ_OK);
    }
    wait_until(&begun, 2);
    lq_queue_stop(queue); /* the gate is closed: only cancelling ends these */
    queue = NULL;
    ck_assert_int_eq(released, 5);
    ck_assert_int_eq(begun, 2);
    lq_queue_stop(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue_cancel");
    TCase *cases = tcase_create("queue_cancel");
    tcase_add_checked_fixture(cases, reset_queue, stop_queue);
    tcase_add_test(cases, a_running_job_is_cancelled_and_stops);
    tcase_add_test(cases, a_waiting_job_is_cancelled_and_never_begun);
    tcase_add_test(cases, only_the_owner_cancels_and_only_what_is_there_and_unfinished);
    tcase_add_test(cases, a_sealed_job_cannot_be_cancelled);
    tcase_add_test(cases, stopping_cancels_what_runs_and_what_waits);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
