/* Tokens: random, hashed, scoped, expiring and revocable. */
#include "server/store/database.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <string.h>

static struct lq_store *store;

static void set_up(void)
{
    make_directory();
    store = open_store();
}

static void tear_down(void)
{
    lq_store_close(store);
    remove_directory();
}

/* A new token's secret. */
static const char *create(const char *scopes, const char *expires)
{
    static char secret[LQ_ID_MAX];
    struct lq_error err = {0};
    ck_assert_msg(lq_store_create_token(store, "worker 1", scopes, expires, secret, &err) == LQ_OK,
                  "%s", err.detail);
    return secret;
}

static enum lq_code check(const char *secret, const char *scope)
{
    struct lq_token token = {0};
    struct lq_error err = {0};
    return lq_store_check_token(store, secret, scope, &token, &err);
}

/* Lets the time of every token be over. */
static void expire_all(void)
{
    struct lq_database *database = NULL;
    struct lq_error err = {0};
    assert_code(lq_database_open(in_directory("llmquote.db"), &database, &err), LQ_OK);
    assert_code(lq_database_run(database,
                                "UPDATE tokens SET expires_at_utc = '2020-01-01T00:00:00Z'", &err),
                LQ_OK);
    lq_database_close(&database);
}

START_TEST(a_token_is_random_and_opens_only_its_scopes)
{
    char first[LQ_ID_MAX];
    strcpy(first, create("calibrations:write", NULL));
    ck_assert_uint_eq(strlen(first), 46);
    ck_assert_uint_eq(strspn(first + 3, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                        "0123456789-_"),
                      43);
    ck_assert_str_ne(create("read", NULL), first);
    struct lq_token token = {0};
    struct lq_error err = {0};
    assert_code(lq_store_check_token(store, first, "calibrations:write", &token, &err), LQ_OK);
    ck_assert_str_eq(token.name, "worker 1");
    ck_assert_str_eq(token.scopes, "calibrations:write");
    ck_assert_str_eq(token.expires, "");
    assert_code(check(first, "catalog:write"), LQ_ESCOPE);
    assert_code(check(first, "calibrations"), LQ_ESCOPE);
    assert_code(check(create("admin", NULL), "catalog:write"), LQ_OK);
    assert_code(check(create("catalog:write  read read", NULL), "read"), LQ_OK);
}
END_TEST

START_TEST(unknown_tokens_are_refused)
{
    char secret[LQ_ID_MAX];
    strcpy(secret, create("admin", NULL));
    secret[20] = secret[20] == 'a' ? 'b' : 'a';
    assert_code(check(secret, "read"), LQ_ETOKEN);
    assert_code(check("", "read"), LQ_ETOKEN);
    assert_code(check("lq_' OR 1=1 --", "read"), LQ_ETOKEN);
}
END_TEST

START_TEST(tokens_expire)
{
    char secret[LQ_ID_MAX];
    strcpy(secret, create("read", "9999-01-01T00:00:00Z"));
    assert_code(check(secret, "read"), LQ_OK);
    expire_all();
    assert_code(check(secret, "read"), LQ_ETOKEN);
}
END_TEST

struct listing {
    size_t count;
    struct lq_token last;
};

static void note(const struct lq_token *token, void *context)
{
    struct listing *listing = context;
    listing->count++;
    listing->last = *token;
}

START_TEST(tokens_are_listed_and_revoked)
{
    char secret[LQ_ID_MAX];
    struct lq_error err = {0};
    struct listing listing = {0};
    create("read", NULL);
    strcpy(secret, create("read", "9999-01-01T00:00:00Z"));
    assert_code(lq_store_list_tokens(store, note, &listing, &err), LQ_OK);
    ck_assert_uint_eq(listing.count, 2);
    ck_assert_str_eq(listing.last.expires, "9999-01-01T00:00:00Z");
    ck_assert(!listing.last.revoked);
    assert_code(lq_store_revoke_token(store, listing.last.id, &err), LQ_OK);
    assert_code(check(secret, "read"), LQ_ETOKEN);
    assert_code(lq_store_list_tokens(store, note, &listing, &err), LQ_OK);
    ck_assert(listing.last.revoked);
    assert_code(lq_store_revoke_token(store, "tok-none", &err), LQ_ENOTFOUND);
}
END_TEST

START_TEST(bad_token_fields_are_named)
{
    static const struct {
        const char *name;
        const char *scopes;
        const char *expires;
        const char *pointer;
    } CASES[] = {
        {"", "read", NULL, "/name"},
        {"a\nb", "read", NULL, "/name"},
        {"0123456789012345678901234567890123456789012345678901234567890123", "read", NULL, "/name"},
        {"n", "", NULL, "/scopes"},
        {"n", "  ", NULL, "/scopes"},
        {"n", "read write", NULL, "/scopes"},
        {"n", "Read", NULL, "/scopes"},
        {"n", "read", "", "/expires"},
        {"n", "read", "tomorrow", "/expires"},
        {"n", "read", "2026-01-01", "/expires"},
        {"n", "read", "2020-01-01T00:00:00Z", "/expires"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char secret[LQ_ID_MAX] = "untouched";
        struct lq_error err = {0};
        assert_code(lq_store_create_token(store, CASES[i].name, CASES[i].scopes, CASES[i].expires,
                                          secret, &err),
                    LQ_EFIELD);
        ck_assert_str_eq(err.pointer, CASES[i].pointer);
        ck_assert_str_eq(secret, "untouched");
    }
}
END_TEST

START_TEST(secrets_are_not_in_the_database)
{
    char secret[LQ_ID_MAX];
    strcpy(secret, create("admin", NULL));
    static const char *const FILES[] = {"llmquote.db", "llmquote.db-wal"};
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(in_directory(FILES[i]), "rb");
        ck_assert_ptr_nonnull(file);
        static char data[8 << 20];
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        ck_assert_ptr_null(memmem(data, size, secret + 3, 43));
    }
}
END_TEST

START_TEST(tokens_made_beside_a_running_server_count_at_once)
{
    struct lq_store *server = store;
    store = open_store(); /* as the token command does */
    char secret[LQ_ID_MAX];
    strcpy(secret, create("read", NULL));
    lq_store_close(store);
    store = server;
    assert_code(check(secret, "read"), LQ_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_tokens");
    TCase *tokens = tcase_create("tokens");
    tcase_add_checked_fixture(tokens, set_up, tear_down);
    tcase_add_test(tokens, a_token_is_random_and_opens_only_its_scopes);
    tcase_add_test(tokens, unknown_tokens_are_refused);
    tcase_add_test(tokens, tokens_expire);
    tcase_add_test(tokens, tokens_are_listed_and_revoked);
    tcase_add_test(tokens, bad_token_fields_are_named);
    tcase_add_test(tokens, secrets_are_not_in_the_database);
    tcase_add_test(tokens, tokens_made_beside_a_running_server_count_at_once);
    suite_add_tcase(suite, tokens);
    return run_suite(suite);
}
