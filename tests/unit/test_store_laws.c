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

static const struct lq_law_coefficient COEFFICIENTS[] = {
    {"B", 2085.4300000000003}, {"A", 482.01}, {"beta", 0.1 + 0.2}};

static enum lq_code add(const char *id, struct lq_error *err)
{
    const struct lq_new_law law = {.id = id,
                                   .form = "hoffmann2022",
                                   .coefficients = COEFFICIENTS,
                                   .coefficient_count = 3,
                                   .source = "a notebook",
                                   .fit = "{\"points\":240}",
                                   .token_name = "tester"};
    return lq_store_add_law(store, &law, err);
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
        const struct lq_law_entry *law = lq_catalog_law(catalog, "MINE");
        ck_assert_ptr_nonnull(law);
        ck_assert_str_eq(law->id, "Mine");
        ck_assert_str_eq(law->form, "hoffmann2022");
        ck_assert_str_eq(law->source, "a notebook");
        ck_assert_str_eq(law->fit, "{\"points\":240}");
        ck_assert_str_eq(law->posted_by, "tester");
        ck_assert_uint_eq(strlen(law->created_at), 20);
        ck_assert_uint_eq(law->coefficient_count, 3);
        ck_assert_str_eq(law->coefficients[0].name, "A"); /* by name, to the last bit */
        ck_assert(law->coefficients[0].value == 482.01);
        ck_assert_str_eq(law->coefficients[1].name, "B");
        ck_assert(law->coefficients[1].value == 2085.4300000000003);
        ck_assert_str_eq(law->coefficients[2].name, "beta");
        ck_assert(law->coefficients[2].value == 0.1 + 0.2);
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
    tcase_add_test(cases, the_database_itself_refuses_changes);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
