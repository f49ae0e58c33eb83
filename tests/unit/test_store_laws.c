/* Users' scaling laws in the store: kept exactly, once, for good. */
#include "server/store/laws.h"
#include "server/store/statement.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

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

/* Numbers that no short decimal tells. */
static const double COEFFICIENTS[] = {482.01, 2085.4300000000003, 1.8172, 0.1 + 0.2, 1.0 / 3.0};
enum { COUNT = sizeof COEFFICIENTS / sizeof COEFFICIENTS[0] };

static enum lq_code add(const char *id, struct lq_error *err)
{
    struct lq_law law;
    assert_code(lq_law_user("besiroglu2024", id, &law, err), LQ_OK);
    ck_assert_int_eq(law.form->coefficients, COUNT);
    memcpy(law.coefficient, COEFFICIENTS, sizeof COEFFICIENTS);
    law.source = "a notebook";
    law.range.tokens[0] = 5e9;
    law.range.tokens_per_parameter[1] = 1e3;
    const struct lq_new_law new_law = {
        .law = &law, .fit = "{\"points\":240}", .token_name = "tester"};
    return lq_store_add_law(store, &new_law, err);
}

static void reopen(void)
{
    lq_store_close(store);
    store = open_store();
}

START_TEST(a_law_comes_back_as_it_was_stored)
{
    struct lq_error err = {0};
    assert_code(add("Mine", &err), LQ_OK);
    assert_code(add("another", &err), LQ_OK);
    for (int i = 0; i < 2; i++, reopen()) {
        const struct lq_catalog *catalog = lq_store_acquire(store);
        ck_assert_uint_eq(catalog->law_count, 2);
        const struct lq_law_entry *entry = lq_catalog_law(catalog, "MINE");
        ck_assert_ptr_nonnull(entry);
        ck_assert_str_eq(entry->law.id, "Mine");
        ck_assert_str_eq(entry->law.form->name, "besiroglu2024");
        ck_assert_int_eq(entry->law.status, LQ_LAW_USER);
        ck_assert_str_eq(entry->law.source, "a notebook");
        ck_assert_str_eq(entry->fit, "{\"points\":240}");
        ck_assert_str_eq(entry->posted_by, "tester");
        ck_assert_uint_eq(strlen(entry->created_at), 20);
        ck_assert_double_eq(entry->law.range.tokens[0], 5e9);
        ck_assert_double_eq(entry->law.range.tokens[1], 0.0);
        ck_assert_double_eq(entry->law.range.tokens_per_parameter[1], 1e3);
        for (int j = 0; j < COUNT; j++) { /* to the last bit */
            ck_assert(entry->law.coefficient[j] == COEFFICIENTS[j]);
        }
        ck_assert_ptr_null(lq_catalog_law(catalog, "min"));
        lq_store_release(store, catalog);
    }
}
END_TEST

START_TEST(a_taken_name_is_a_conflict_in_any_case)
{
    struct lq_error err = {0};
    assert_code(add("mine", &err), LQ_OK);
    assert_code(add("MINE", &err), LQ_ECONFLICT);
    ck_assert_str_eq(err.pointer, "/name");
    ck_assert_ptr_nonnull(strstr(err.detail, "never changes"));
}
END_TEST

START_TEST(names_have_a_length)
{
    char name[LQ_ID_MAX + 1];
    memset(name, 'a', LQ_ID_MAX);
    name[LQ_ID_MAX] = '\0';
    assert_code(add(name, &(struct lq_error){0}), LQ_EFIELD);
    assert_code(add("", &(struct lq_error){0}), LQ_EFIELD);
    assert_code(add(name + 1, &(struct lq_error){0}), LQ_OK);
}
END_TEST

START_TEST(laws_have_a_version_that_changes_with_them_alone)
{
    char before[3][20];
    const struct lq_catalog *catalog = lq_store_acquire(store);
    memcpy(before[0], catalog->laws_version, 20);
    memcpy(before[1], catalog->data_version, 20);
    memcpy(before[2], catalog->catalog_version, 20);
    lq_store_release(store, catalog);
    assert_code(add("mine", &(struct lq_error){0}), LQ_OK);
    catalog = lq_store_acquire(store);
    ck_assert_str_ne(catalog->laws_version, before[0]);
    ck_assert_str_eq(catalog->data_version, before[1]);
    ck_assert_str_eq(catalog->catalog_version, before[2]);
    lq_store_release(store, catalog);
}
END_TEST

static void run(const char *sql)
{
    struct lq_database *database = NULL;
    struct lq_error err = {0};
    assert_code(lq_database_open(in_directory("llmquote.db"), &database, &err), LQ_OK);
    ck_assert_msg(lq_database_run(database, sql, &err) == LQ_OK, "%s", err.detail);
    lq_database_close(&database);
}

START_TEST(a_law_of_an_unknown_form_stays_but_is_not_in_force)
{
    assert_code(add("mine", &(struct lq_error){0}), LQ_OK);
    run("INSERT INTO scaling_laws (id, form, posted_by, stored_at_utc)"
        " VALUES ('later', 'of-a-later-release', '', ''), ('half', 'besiroglu2024', '', '');"
        "INSERT INTO scaling_law_coefficients VALUES ('half', 'A', 1.0)");
    reopen();
    const struct lq_catalog *catalog = lq_store_acquire(store);
    ck_assert_uint_eq(catalog->law_count, 1);
    ck_assert_str_eq(catalog->laws[0].law.id, "mine");
    lq_store_release(store, catalog);
    assert_code(add("later", &(struct lq_error){0}), LQ_ECONFLICT);
}
END_TEST

START_TEST(the_database_itself_refuses_changes)
{
    static const char *const CHANGES[] = {
        "UPDATE scaling_laws SET form = 'x'", "DELETE FROM scaling_laws",
        "UPDATE scaling_law_coefficients SET value = 1", "DELETE FROM scaling_law_coefficients"};
    assert_code(add("mine", &(struct lq_error){0}), LQ_OK);
    struct lq_database *database = NULL;
    assert_code(lq_database_open(in_directory("llmquote.db"), &database, &(struct lq_error){0}),
                LQ_OK);
    for (size_t i = 0; i < 4; i++) {
        struct lq_error err = {0};
        assert_code(lq_database_run(database, CHANGES[i], &err), LQ_ESTORE);
        ck_assert_ptr_nonnull(strstr(err.detail, "a scaling law "));
    }
    lq_database_close(&database);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_laws");
    TCase *cases = tcase_create("store_laws");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_law_comes_back_as_it_was_stored);
    tcase_add_test(cases, a_taken_name_is_a_conflict_in_any_case);
    tcase_add_test(cases, names_have_a_length);
    tcase_add_test(cases, laws_have_a_version_that_changes_with_them_alone);
    tcase_add_test(cases, a_law_of_an_unknown_form_stays_but_is_not_in_force);
    tcase_add_test(cases, the_database_itself_refuses_changes);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
