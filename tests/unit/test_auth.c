/* Authorization: fields that are no token, what a token may, and how long it is remembered. */
#include "server/api/auth.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct lq_store *store;
static struct lq_auth *auth;

static void set_up(void)
{
    struct lq_error err = {0};
    make_directory();
    store = open_store();
    assert_code(lq_auth_new(store, &auth, &err), LQ_OK);
}

static void tear_down(void)
{
    lq_auth_free(auth);
    lq_store_close(store);
    remove_directory();
}

/* An Authorization field with a new token, and its id. */
static void create(const char *scopes, char field[LQ_ID_MAX + 8], char id[LQ_ID_MAX])
{
    char secret[LQ_ID_MAX];
    struct lq_error err = {0};
    struct lq_token token = {0};
    assert_code(lq_store_create_token(store, "t", scopes, NULL, secret, &err), LQ_OK);
    assert_code(lq_store_find_token(store, secret, &token, &err), LQ_OK);
    snprintf(field, LQ_ID_MAX + 8, "Bearer %s", secret);
    memcpy(id, token.id, LQ_ID_MAX);
}

static enum lq_code check(const char *field, const char *scope)
{
    struct lq_token token = {0};
    struct lq_error err = {0};
    enum lq_code code = lq_auth_check(auth, field, scope, &token, &err);
    ck_assert_msg((code == LQ_OK) == (token.id[0] != '\0'), "%s", err.detail);
    return code;
}

START_TEST(fields_that_are_no_token_are_refused)
{
    static const char *const BAD[] = {NULL,           "",         "Bearer",           "Bearer ",
                                      "Basic abc",    "Bearer x", "Bearer lq_abcdef", "Token lq_a",
                                      "Bearer  \xff "};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        assert_code(check(BAD[i], LQ_SCOPE_READ), LQ_ETOKEN);
    }
}
END_TEST

START_TEST(scopes_open_what_they_name_and_all_may_read)
{
    char field[LQ_ID_MAX + 8];
    char id[LQ_ID_MAX];
    create("read", field, id);
    for (int again = 0; again < 2; again++) { /* from the store, then from memory */
        assert_code(check(field, LQ_SCOPE_READ), LQ_OK);
        assert_code(check(field, "catalog:write"), LQ_ESCOPE);
        assert_code(check(field, LQ_SCOPE_STORING), LQ_ESCOPE);
    }
    create("catalog:write", field, id);
    assert_code(check(field, LQ_SCOPE_READ), LQ_OK);
    assert_code(check(field, LQ_SCOPE_STORING), LQ_OK);
    assert_code(check(field, "calibrations:write"), LQ_ESCOPE);
    create("admin", field, id);
    assert_code(check(field, "calibrations:write"), LQ_OK);
    assert_code(check(field, LQ_SCOPE_STORING), LQ_OK);
}
END_TEST

START_TEST(a_revocation_of_our_own_counts_at_once)
{
    char field[LQ_ID_MAX + 8];
    char id[LQ_ID_MAX];
    struct lq_error err = {0};
    create("admin", field, id);
    assert_code(check(field, LQ_SCOPE_READ), LQ_OK);
    assert_code(check(field, LQ_SCOPE_READ), LQ_OK);
    assert_code(lq_store_revoke_token(store, id, &err), LQ_OK);
    assert_code(check(field, LQ_SCOPE_READ), LQ_ETOKEN);
}
END_TEST

START_TEST(anothers_revocation_counts_within_a_second)
{
    char field[LQ_ID_MAX + 8];
    char id[LQ_ID_MAX];
    struct lq_error err = {0};
    create("admin", field, id);
    assert_code(check(field, LQ_SCOPE_READ), LQ_OK);
    struct lq_store *other = open_store(); /* as the token command does */
    assert_code(lq_store_revoke_token(other, id, &err), LQ_OK);
    lq_store_close(other);
    const struct timespec most = {.tv_nsec = 900 * 1000000L};
    nanosleep(&most, NULL);
    assert_code(check(field, LQ_SCOPE_READ), LQ_ETOKEN);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth");
    TCase *tests = tcase_create("auth");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, fields_that_are_no_token_are_refused);
    tcase_add_test(tests, scopes_open_what_they_name_and_all_may_read);
    tcase_add_test(tests, a_revocation_of_our_own_counts_at_once);
    tcase_add_test(tests, anothers_revocation_counts_within_a_second);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
