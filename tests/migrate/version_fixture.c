/* A database at any version, for the tests of what becomes of it. */
#include "tests/migrate/version_fixture.h"

#include <check.h>

struct lq_database *database;

void tear_down(void)
{
    lq_database_close(&database);
    remove_directory();
}

void open_database(const char *name)
{
    struct lq_error err = {0};
    ck_assert_msg(lq_database_open(in_directory(name), &database, &err) == LQ_OK, "%s", err.detail);
}

void run(const char *sql)
{
    struct lq_error err = {0};
    ck_assert_msg(lq_database_run(database, sql, &err) == LQ_OK, "%s", err.detail);
}

int64_t number(const char *sql)
{
    struct lq_error err = {0};
    int64_t value = -1;
    ck_assert_msg(lq_database_number(database, sql, &value, &err) == LQ_OK, "%s", err.detail);
    return value;
}

void make_version(size_t version)
{
    struct lq_error err = {0};
    open_database("llmquote.db");
    ck_assert_msg(lq_migrate(database, LQ_MIGRATIONS, version, &err) == LQ_OK, "%s", err.detail);
    ck_assert_int_eq(number("PRAGMA user_version"), (int64_t)version);
}
