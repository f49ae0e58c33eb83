/* Exclusions and confirmations in the store: kept, listed, taken back, and what came before them.
 */
#include "server/store/statement.h"
#include "server/store/trust.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <stdlib.h>
#include <string.h>

static struct lq_store *store;
static struct lq_error err;
static char ids[3][LQ_ID_MAX];

static void set_up(void)
{
    make_directory();
    store = open_store();
    err = (struct lq_error){0};
    size_t duplicates = 0;
    ck_assert_int_eq(post_points(store, 0, 3, NULL, ids, &duplicates), LQ_OK);
}

static void tear_down(void)
{
    lq_store_close(store);
    remove_directory();
}

static void reopen(void)
{
    lq_store_close(store);
    store = open_store();
}

static struct lq_point find(const char *id)
{
    settle(store);
    struct lq_point found = {.id = ""};
    const struct lq_catalog *catalog = lq_store_acquire(store);
    for (size_t i = 0; i < catalog->point_count; i++) {
        if (strcmp(catalog->points[i].id, id) == 0) {
            found = catalog->points[i];
        }
    }
    lq_store_release(store, catalog);
    ck_assert_str_eq(found.id, id);
    return found;
}

/* Sources of shipped points are not posted ones: "xia2024" names none. */
START_TEST(only_tokens_and_posted_sources_can_be_excluded)
{
    struct lq_exclusion exclusion;
    bool created = false;
    assert_code(lq_store_exclude(store, "xia2024", "me", &exclusion, &created, &err), LQ_ENOTFOUND);
    assert_code(lq_store_readmit(store, "xia2024", &err), LQ_ENOTFOUND);
    char secret[LQ_ID_MAX];
    assert_code(lq_store_create_token(store, "w", "calibrations:write", NULL, secret, &err), LQ_OK);
    struct lq_token token;
    assert_code(lq_store_check_token(store, secret, "calibrations:write", &token, &err), LQ_OK);
    assert_code(lq_store_exclude(store, token.id, "me", &exclusion, &created, &err), LQ_OK);
    ck_assert(created);
    ck_assert_int_eq(exclusion.points, 0);
}
END_TEST

START_TEST(a_source_stays_excluded_until_it_is_readmitted)
{
    const struct lq_point point = find(ids[0]);
    struct lq_exclusion exclusion;
    bool created = false;
    assert_code(lq_store_exclude(store, point.source, "me", &exclusion, &created, &err), LQ_OK);
    ck_assert(created && find(ids[0]).excluded);
    ck_assert_int_eq(exclusion.points, 3);
    reopen();
    ck_assert(find(ids[0]).excluded);
    assert_code(lq_store_exclude(store, point.source, "you", &exclusion, &created, &err), LQ_OK);
    ck_assert(!created);
    struct lq_exclusion *list = NULL;
    size_t count = 0;
    assert_code(lq_store_list_exclusions(store, &list, &count, &err), LQ_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(list[0].id, point.source);
    ck_assert_str_eq(list[0].excluded_by, "me");
    free(list);
    assert_code(lq_store_readmit(store, point.source, &err), LQ_OK);
    ck_assert(!find(ids[0]).excluded);
}
END_TEST

START_TEST(a_confirmation_keeps_its_first_time_and_goes_when_taken_back)
{
    assert_code(lq_store_confirm_point(store, ids[1], true, &err), LQ_OK);
    const struct lq_point point = find(ids[1]);
    ck_assert_uint_eq(strlen(point.confirmed_at), strlen("2026-07-20T10:00:00Z"));
    assert_code(lq_store_confirm_point(store, ids[1], true, &err), LQ_OK);
    reopen();
    ck_assert_str_eq(find(ids[1]).confirmed_at, point.confirmed_at);
    ck_assert_str_eq(find(ids[0]).confirmed_at, "");
    assert_code(lq_store_confirm_point(store, ids[1], false, &err), LQ_OK);
    ck_assert_str_eq(find(ids[1]).confirmed_at, "");
    assert_code(lq_store_confirm_point(store, "nothing", true, &err), LQ_ENOTFOUND);
}
END_TEST

START_TEST(points_know_their_token)
{
    ck_assert_str_eq(find(ids[2]).token_id, "tester"); /* as the fixture's batch says */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_trust");
    TCase *tests = tcase_create("store_trust");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, only_tokens_and_posted_sources_can_be_excluded);
    tcase_add_test(tests, a_source_stays_excluded_until_it_is_readmitted);
    tcase_add_test(tests, a_confirmation_keeps_its_first_time_and_goes_when_taken_back);
    tcase_add_test(tests, points_know_their_token);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
