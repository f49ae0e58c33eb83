/* Kept estimates in the store: exact, owned, once, all or nothing, and gone when their time is. */
#include "server/store/receipts.h"
#include "server/store/statement.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lq_store *store;
static struct lq_error err;

static void set_up(void)
{
    make_directory();
    store = open_store();
    err = (struct lq_error){0};
}

static void tear_down(void)
{
    lq_store_close(store);
    remove_directory();
}

/* Numbers that no short decimal tells. */
static struct lq_new_receipt make_receipt(void)
{
    return (struct lq_new_receipt){.model = "mixtral-8x7b",
                                   .gpu = "A40",
                                   .request = "{\"model\":\"mixtral-8x7b\"}",
                                   .answer = "{\"duration_s\":100}",
                                   .level = 0.9,
                                   .figure = {{1.0 / 3.0, 0.3, 0.1 + 0.2}, {100.0, 80.0, 125.0}}};
}

static void keep(const char *token, char ids[][LQ_RECEIPT_ID_MAX], size_t count)
{
    struct lq_new_receipt receipts[8];
    for (size_t i = 0; i < count; i++) {
        receipts[i] = make_receipt();
    }
    assert_code(lq_store_keep_estimates(store, token, receipts, count, ids, &err), LQ_OK);
}

static void reopen(void)
{
    lq_store_close(store);
    store = open_store();
}

START_TEST(an_estimate_comes_back_as_it_was_kept)
{
    char ids[1][LQ_RECEIPT_ID_MAX];
    keep("mine", ids, 1);
    ck_assert_uint_eq(strspn(ids[0], "0123456789abcdef"), 32);
    for (int i = 0; i < 2; i++, reopen()) {
        struct lq_receipt got;
        char *request = NULL;
        char *answer = NULL;
        assert_code(lq_store_get_receipt(store, ids[0], &got, &request, &answer, &err), LQ_OK);
        const struct lq_new_receipt want = make_receipt();
        ck_assert_str_eq(request, want.request);
        ck_assert_str_eq(answer, want.answer);
        ck_assert_str_eq(got.id, ids[0]);
        ck_assert_str_eq(got.token_id, "mine");
        ck_assert_str_eq(got.model, "mixtral-8x7b");
        ck_assert_str_eq(got.gpu, "A40");
        ck_assert(got.level == 0.9);
        for (int q = 0; q < LQ_RECEIPT_QUANTITIES; q++) { /* to the last bit; no cost was told */
            ck_assert(memcmp(&got.figure[q], &want.figure[q], sizeof got.figure[q]) == 0);
        }
        ck_assert_str_eq(got.outcome.recorded_at, "");
        free(request);
        free(answer);
    }
}
END_TEST

START_TEST(ids_are_never_the_same)
{
    char ids[8][LQ_RECEIPT_ID_MAX];
    keep("mine", ids, 8);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < i; j++) {
            ck_assert_str_ne(ids[i], ids[j]);
        }
    }
}
END_TEST

START_TEST(estimates_are_kept_all_or_none)
{
    struct lq_new_receipt receipts[2] = {make_receipt(), make_receipt()};
    receipts[1].level = 2.0; /* the table refuses it */
    char ids[2][LQ_RECEIPT_ID_MAX];
    assert_code(lq_store_keep_estimates(store, "mine", receipts, 2, ids, &err), LQ_ESTORE);
    struct lq_receipt *list = NULL;
    size_t count = 1;
    err = (struct lq_error){0};
    assert_code(lq_store_list_receipts(store, "mine", &list, &count, &err), LQ_OK);
    ck_assert_uint_eq(count, 0);
    free(list);
}
END_TEST

START_TEST(lists_are_of_one_token_newest_first)
{
    char mine[3][LQ_RECEIPT_ID_MAX];
    char theirs[1][LQ_RECEIPT_ID_MAX];
    keep("mine", mine, 2);
    keep("theirs", theirs, 1);
    keep("mine", mine + 2, 1);
    struct lq_receipt *list = NULL;
    size_t count = 0;
    assert_code(lq_store_list_receipts(store, "mine", &list, &count, &err), LQ_OK);
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(list[i].id, mine[2 - i]);
    }
    free(list);
}
END_TEST

static enum lq_code tell(const char *id, const char *token, double duration_s)
{
    err = (struct lq_error){0};
    struct lq_outcome outcome = {.value = {0.0, duration_s, 0.0}, .note = "so it was"};
    return lq_store_record_outcome(store, id, token, &outcome, NULL, &err);
}

START_TEST(an_outcome_is_recorded_once_by_its_owner)
{
    char ids[1][LQ_RECEIPT_ID_MAX];
    keep("mine", ids, 1);
    assert_code(tell("0", "mine", 90.0), LQ_ENOTFOUND);
    assert_code(tell(ids[0], "theirs", 90.0), LQ_ESCOPE);
    assert_code(tell(ids[0], "mine", 90.0), LQ_OK);
    assert_code(tell(ids[0], "mine", 91.0), LQ_ECONFLICT);
    assert_code(tell(ids[0], "theirs", 91.0), LQ_ESCOPE);
    reopen();
    struct lq_receipt got;
    assert_code(lq_store_get_receipt(store, ids[0], &got, NULL, NULL, &err), LQ_OK);
    ck_assert(got.outcome.value[LQ_RECEIPT_DURATION_S] == 90.0);
    ck_assert_str_eq(got.outcome.note, "so it was");
    ck_assert_uint_eq(strlen(got.outcome.recorded_at), 20);
}
END_TEST

START_TEST(a_calibration_is_stored_with_its_outcome_or_not_at_all)
{
    char ids[1][LQ_RECEIPT_ID_MAX];
    keep("mine", ids, 1);
    const struct lq_new_point point = make_point(1);
    const struct lq_batch batch = {
        .points = &point, .count = 1, .token_id = "mine", .token_name = "tester"};
    struct lq_outcome outcome = {.value = {2.0, 0.0, 0.0}};
    const size_t before = count_points(store);
    assert_code(lq_store_record_outcome(store, ids[0], "theirs", &outcome, &batch, &err),
                LQ_ESCOPE);
    ck_assert_uint_eq(count_points(store), before);
    err = (struct lq_error){0};
    assert_code(lq_store_record_outcome(store, ids[0], "mine", &outcome, &batch, &err), LQ_OK);
    ck_assert_uint_eq(count_points(store), before + 1);
    ck_assert_int_eq(strncmp(outcome.calibration, "cal-", 4), 0);
    assert_code(lq_store_record_outcome(store, ids[0], "mine", &outcome, &batch, &err),
                LQ_ECONFLICT);
    ck_assert_uint_eq(count_points(store), before + 1);
}
END_TEST

START_TEST(outcomes_have_a_version_that_changes_with_them)
{
    char versions[4][LQ_OUTCOMES_VERSION_MAX];
    char ids[2][LQ_RECEIPT_ID_MAX];
    keep("mine", ids, 2);
    for (int i = 0; i < 3; i++) {
        assert_code(lq_store_outcomes_version(store, versions[i], &err), LQ_OK);
        if (i < 2) {
            assert_code(tell(ids[i], "mine", 90.0), LQ_OK);
        }
    }
    ck_assert_str_ne(versions[0], versions[1]);
    ck_assert_str_ne(versions[1], versions[2]);
    keep("mine", ids, 1);
    assert_code(lq_store_outcomes_version(store, versions[3], &err), LQ_OK);
    ck_assert_str_eq(versions[2], versions[3]);
}
END_TEST

/* Sets back the clock of what is kept. */
static void age(const char *id, const char *when)
{
    char sql[256];
    struct lq_database *database = NULL;
    snprintf(sql, sizeof sql, "UPDATE kept_estimates SET stored_at_utc = '%s' WHERE id = '%s'",
             when, id);
    assert_code(lq_database_open(in_directory("llmquote.db"), &database, &err), LQ_OK);
    assert_code(lq_database_run(database, sql, &err), LQ_OK);
    lq_database_close(&database);
}

START_TEST(what_is_too_old_goes_with_its_outcome)
{
    char ids[2][LQ_RECEIPT_ID_MAX];
    keep("mine", ids, 2);
    assert_code(tell(ids[0], "mine", 90.0), LQ_OK);
    assert_code(tell(ids[1], "mine", 90.0), LQ_OK);
    size_t deleted = 9;
    assert_code(lq_store_expire_estimates(store, 1, &deleted, &err), LQ_OK);
    ck_assert_uint_eq(deleted, 0);
    age(ids[0], "2020-01-01T00:00:00Z");
    assert_code(lq_store_expire_estimates(store, 365, &deleted, &err), LQ_OK);
    ck_assert_uint_eq(deleted, 1);
    struct lq_receipt *list = NULL;
    size_t count = 0;
    assert_code(lq_store_list_receipts(store, NULL, &list, &count, &err), LQ_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(list[0].id, ids[1]);
    ck_assert(list[0].outcome.value[LQ_RECEIPT_DURATION_S] == 90.0);
    free(list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_receipts");
    TCase *cases = tcase_create("store_receipts");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, an_estimate_comes_back_as_it_was_kept);
    tcase_add_test(cases, ids_are_never_the_same);
    tcase_add_test(cases, estimates_are_kept_all_or_none);
    tcase_add_test(cases, lists_are_of_one_token_newest_first);
    tcase_add_test(cases, an_outcome_is_recorded_once_by_its_owner);
    tcase_add_test(cases, a_calibration_is_stored_with_its_outcome_or_not_at_all);
    tcase_add_test(cases, outcomes_have_a_version_that_changes_with_them);
    tcase_add_test(cases, what_is_too_old_goes_with_its_outcome);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
