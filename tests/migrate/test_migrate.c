/* Databases of every age, and files that are not databases of ours. */
#include "migrations/embed.h"
#include "server/store/migrate.h"
#include "server/store/statement.h"
#include "tests/migrate/version_fixture.h"
#include "tests/unit/check_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opening the file as a store fails with a text that contains `part`. */
static void expect_refusal(const char *name, const char *part)
{
    struct lq_store *store = NULL;
    struct lq_error err = {0};
    assert_code(lq_store_open(in_directory(name), &COUNTING_HOOKS, &store, &err), LQ_ESTORE);
    ck_assert_ptr_null(store);
    ck_assert_msg(strstr(err.detail, part) != NULL, "\"%s\" lacks \"%s\"", err.detail, part);
    ck_assert_ptr_nonnull(strstr(err.detail, name)); /* and names the file */
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_directory(name), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(migrations_are_numbered_without_gaps)
{
    ck_assert_uint_ge(LQ_MIGRATIONS_COUNT, 4);
    for (size_t i = 0; i < LQ_MIGRATIONS_COUNT; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "%04zu_", i + 1);
        ck_assert_int_eq(strncmp(LQ_MIGRATIONS[i].name, prefix, 5), 0);
    }
}
END_TEST

START_TEST(every_earlier_version_becomes_this_one)
{
    make_version((size_t)_i);
    lq_database_close(&database);
    struct lq_store *store = open_store();
    const struct lq_catalog *catalog = lq_store_acquire(store);
    ck_assert_uint_eq(catalog->model_count, 62);
    ck_assert_uint_eq(catalog->point_count, 106);
    lq_store_release(store, catalog);
    lq_store_close(store);
    open_database("llmquote.db");
    ck_assert_int_eq(number("PRAGMA user_version"), (int64_t)LQ_MIGRATIONS_COUNT);
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
}
END_TEST

START_TEST(all_roads_lead_to_one_schema)
{
    static const char SCHEMA[] =
        "SELECT sum(length(sql) * (1 + unicode(name))) + count(*) FROM sqlite_schema";
    make_version(LQ_MIGRATIONS_COUNT);
    int64_t at_once = number(SCHEMA);
    lq_database_close(&database);
    remove_directory();
    make_directory();
    for (size_t version = 0; version <= LQ_MIGRATIONS_COUNT; version++) {
        make_version(version);
        lq_database_close(&database);
    }
    open_database("llmquote.db");
    ck_assert_int_eq(number(SCHEMA), at_once);
}
END_TEST

START_TEST(every_table_is_strict)
{
    make_version(LQ_MIGRATIONS_COUNT);
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_table_list WHERE type = 'table'"
                            " AND strict = 0 AND name NOT LIKE 'sqlite_%'"),
                     0);
    ck_assert_int_gt(number("SELECT count(*) FROM pragma_table_list WHERE strict = 1"), 10);
}
END_TEST

START_TEST(a_newer_database_is_refused_and_untouched)
{
    make_version(LQ_MIGRATIONS_COUNT);
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %zu", LQ_MIGRATIONS_COUNT + 1);
    run(sql);
    lq_database_close(&database);
    expect_refusal("llmquote.db", "a newer release wrote it");
    open_database("llmquote.db");
    ck_assert_int_eq(number("PRAGMA user_version"), (int64_t)LQ_MIGRATIONS_COUNT + 1);
    ck_assert_int_eq(number("SELECT count(*) FROM models"), 0);
}
END_TEST

START_TEST(another_programs_database_is_refused_and_untouched)
{
    open_database("other.db");
    run("CREATE TABLE theirs (x)");
    lq_database_close(&database);
    expect_refusal("other.db", "is another program's database");
    open_database("other.db");
    ck_assert_int_eq(number("SELECT count(*) FROM sqlite_schema"), 1);
    ck_assert_int_eq(number("SELECT journal_mode = 'delete' FROM pragma_journal_mode"), 1);
    lq_database_close(&database);
    open_database("marked.db");
    run("PRAGMA application_id = 7");
    lq_database_close(&database);
    expect_refusal("marked.db", "application id 7");
    open_database("numbered.db");
    run("PRAGMA user_version = 2");
    lq_database_close(&database);
    expect_refusal("numbered.db", "is another program's database");
}
END_TEST

START_TEST(what_is_not_a_database_is_refused)
{
    write_file("notes.txt", "These are notes, and quite a few of them.\n");
    expect_refusal("notes.txt", "not a database");
    ck_assert_int_eq(mkdir(in_directory("folder"), 0700), 0);
    expect_refusal("folder", "is a directory");
    ck_assert_int_eq(symlink("/nowhere/at/all", in_directory("dangling")), 0);
    expect_refusal("dangling", "is a symbolic link");
    ck_assert_int_eq(mkfifo(in_directory("pipe"), 0600), 0);
    expect_refusal("pipe", "is not a regular file");
    expect_refusal("no/such/folder.db", "No such file or directory");
    struct lq_store *store = NULL;
    static const char *const PATHS[] = {"", ":memory:"};
    for (size_t i = 0; i < 2; i++) {
        struct lq_error err = {0};
        assert_code(lq_store_open(PATHS[i], &COUNTING_HOOKS, &store, &err), LQ_ESTORE);
        ck_assert_ptr_nonnull(strstr(err.detail, "is not a path"));
    }
}
END_TEST

START_TEST(an_empty_file_becomes_a_database)
{
    write_file("llmquote.db", "");
    lq_store_close(open_store());
}
END_TEST

START_TEST(a_migration_that_fails_leaves_the_version_before_it)
{
    static const char BAD[] = "CREATE TABLE half (x INTEGER) STRICT;"
                              "INSERT INTO half VALUES (1);"
                              "INSERT INTO half VALUES ('no number');";
    struct lq_embedded migrations[32];
    struct lq_error err = {0};
    ck_assert_uint_lt(LQ_MIGRATIONS_COUNT, sizeof migrations / sizeof migrations[0]);
    memcpy(migrations, LQ_MIGRATIONS, LQ_MIGRATIONS_COUNT * sizeof migrations[0]);
    migrations[LQ_MIGRATIONS_COUNT] =
        (struct lq_embedded){.name = "9999_bad.sql", .data = BAD, .size = sizeof BAD - 1};
    open_database("llmquote.db");
    assert_code(lq_migrate(database, migrations, LQ_MIGRATIONS_COUNT + 1, &err), LQ_ESTORE);
    ck_assert_ptr_nonnull(strstr(err.detail, "9999_bad.sql"));
    ck_assert_int_eq(number("PRAGMA user_version"), (int64_t)LQ_MIGRATIONS_COUNT);
    ck_assert_int_eq(number("SELECT count(*) FROM sqlite_schema WHERE name = 'half'"), 0);
    lq_database_close(&database);
    lq_store_close(open_store()); /* and this release can use it */
}
END_TEST

START_TEST(a_first_migration_that_fails_leaves_an_empty_file)
{
    static const char BAD[] = "CREATE TABLE half (x INTEGER) STRICT; SYNTAX ERROR;";
    const struct lq_embedded bad = {.name = "0001_bad.sql", .data = BAD, .size = sizeof BAD - 1};
    struct lq_error err = {0};
    open_database("llmquote.db");
    assert_code(lq_migrate(database, &bad, 1, &err), LQ_ESTORE);
    ck_assert_int_eq(number("SELECT count(*) FROM sqlite_schema"), 0);
    lq_database_close(&database);
    lq_store_close(open_store());
}
END_TEST

START_TEST(durability_is_as_promised)
{
    make_version(LQ_MIGRATIONS_COUNT);
    ck_assert_int_eq(number("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    ck_assert_int_eq(number("PRAGMA synchronous"), 2); /* FULL */
    ck_assert_int_eq(number("PRAGMA foreign_keys"), 1);
    ck_assert_int_eq(number("PRAGMA busy_timeout"), 5000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migrate");
    TCase *cases = tcase_create("migrate");
    tcase_add_checked_fixture(cases, make_directory, tear_down);
    tcase_add_test(cases, migrations_are_numbered_without_gaps);
    tcase_add_loop_test(cases, every_earlier_version_becomes_this_one, 0,
                        (int)LQ_MIGRATIONS_COUNT + 1);
    tcase_add_test(cases, all_roads_lead_to_one_schema);
    tcase_add_test(cases, every_table_is_strict);
    tcase_add_test(cases, a_newer_database_is_refused_and_untouched);
    tcase_add_test(cases, another_programs_database_is_refused_and_untouched);
    tcase_add_test(cases, what_is_not_a_database_is_refused);
    tcase_add_test(cases, an_empty_file_becomes_a_database);
    tcase_add_test(cases, a_migration_that_fails_leaves_the_version_before_it);
    tcase_add_test(cases, a_first_migration_that_fails_leaves_an_empty_file);
    tcase_add_test(cases, durability_is_as_promised);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
