/* Databases of every age, and files that are not databases of ours. */
#include "core/finetune/efficiency.h"
#include "migrations/embed.h"
#include "server/store/migrate.h"
#include "server/store/rows.h"
#include "server/store/statement.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct lq_database *database;

static void tear_down(void)
{
    lq_database_close(&database);
    remove_directory();
}

static void open_database(const char *name)
{
    struct lq_error err = {0};
    ck_assert_msg(lq_database_open(in_directory(name), &database, &err) == LQ_OK, "%s", err.detail);
}

static void run(const char *sql)
{
    struct lq_error err = {0};
    ck_assert_msg(lq_database_run(database, sql, &err) == LQ_OK, "%s", err.detail);
}

static int64_t number(const char *sql)
{
    struct lq_error err = {0};
    int64_t value = -1;
    ck_assert_msg(lq_database_number(database, sql, &value, &err) == LQ_OK, "%s", err.detail);
    return value;
}

/* A database as the release with `version` migrations left it. */
static void make_version(size_t version)
{
    struct lq_error err = {0};
    open_database("llmquote.db");
    ck_assert_msg(lq_migrate(database, LQ_MIGRATIONS, version, &err) == LQ_OK, "%s", err.detail);
    ck_assert_int_eq(number("PRAGMA user_version"), (int64_t)version);
}

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

START_TEST(own_rows_survive_an_upgrade)
{
    make_version(1);
    run("INSERT INTO models (id, is_shipped, config_json, source, stored_at_utc) VALUES ('mine', 0,"
        " '{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":4,\"intermediate_size\":128,\"vocab_size\":100}', 'own', '')");
    lq_database_close(&database);
    struct lq_store *store = open_store();
    const struct lq_catalog *catalog = lq_store_acquire(store);
    ck_assert_ptr_nonnull(lq_catalog_model(catalog, "mine"));
    lq_store_release(store, catalog);
    lq_store_close(store);
}
END_TEST

START_TEST(points_of_before_ran_as_replicas)
{
    make_version(5);
    run("INSERT INTO calibrations (sequence_number, id, content_sha256_hex, is_shipped, model_id,"
        " gpu_id, stack, gpu_count, method_kind, adapter_rank, targets_bits, quantization,"
        " embeddings_are_trained, precision, optimizer, checkpointing, active_experts_count,"
        " batch_size_rows, accumulation_steps_count, sequence_tokens, lengths_id, padding,"
        " cutoff_tokens, padding_multiple_tokens, queries_per_s, source, dataset, document_json,"
        " stored_at_utc) VALUES (41, 'old', 'aa', 0, 'llama-2-7b', 'A40', 'torchtune', 16, 'lora',"
        " 8, 5, 'none', 0, 'bf16', 'adamw', 'full', 0, 2, 1, 512, '', 'longest', 0, 8, 3.0, 'mine',"
        " '', '{}', ''); DELETE FROM sqlite_sequence WHERE name = 'calibrations';"
        "INSERT INTO sqlite_sequence VALUES ('calibrations', 77)");
    lq_database_close(&database);
    struct lq_store *store = open_store();
    const struct lq_catalog *catalog = lq_store_acquire(store);
    const struct lq_point *old = &catalog->points[catalog->point_count - 1];
    ck_assert_str_eq(old->id, "old");
    ck_assert_int_eq(old->identity.layout.data, 16);
    ck_assert_int_eq(old->identity.layout.nodes, 2);
    ck_assert_int_eq(old->identity.layout.zero_stage, 0);
    ck_assert_uint_eq(old->identity.options, lq_stack_options("torchtune"));
    ck_assert(!old->out_of_memory);
    ck_assert_double_eq(old->step_time_s, 2.0 * 16.0 / 3.0);
    lq_store_release(store, catalog);
    lq_store_close(store);
    open_database("llmquote.db");
    ck_assert_int_ge(number("SELECT seq FROM sqlite_sequence WHERE name = 'calibrations'"), 77);
}
END_TEST

START_TEST(another_seed_replaces_shipped_rows_and_keeps_own_ones)
{
    lq_store_close(open_store());
    open_database("llmquote.db");
    run("UPDATE seed_state SET digest = 'an older release';"
        "DELETE FROM models WHERE id = 'dbrx';" /* came with this release */
        "INSERT INTO models (id, is_shipped, config_json, source, stored_at_utc)"
        " VALUES ('DBRX', 0, '{}', 'own', ''), ('odd', 0, '{}', 'own', '');"
        "INSERT INTO models (id, is_shipped, config_json, source, stored_at_utc)"
        " VALUES ('gone', 1, '{}', 'dropped by this release', '');"
        "UPDATE gpus SET memory_bytes = 1 WHERE id = 'A40'");
    lq_database_close(&database);
    struct lq_store *store = open_store();
    const struct lq_catalog *catalog = lq_store_acquire(store);
    /* The shipped one is in force. */
    ck_assert(lq_catalog_model(catalog, "dbrx")->provenance.shipped);
    ck_assert_str_eq(lq_catalog_model(catalog, "dbrx")->model.id, "dbrx");
    ck_assert_ptr_null(lq_catalog_model(catalog, "gone"));
    ck_assert_ptr_null(lq_catalog_model(catalog, "odd")); /* unreadable: kept, not in force */
    ck_assert_double_gt(lq_catalog_gpu(catalog, "A40")->gpu.memory_bytes, 4e10);
    ck_assert_uint_eq(catalog->model_count, 62);
    ck_assert_uint_eq(catalog->point_count, 106);
    lq_store_release(store, catalog);
    lq_store_close(store);
    open_database("llmquote.db");
    ck_assert_int_eq(number("SELECT count(*) FROM models WHERE is_shipped = 0"), 2);
    ck_assert_int_eq(number("SELECT count(*) FROM measured_runs"), 307);
}
END_TEST

START_TEST(the_same_seed_is_not_written_again)
{
    lq_store_close(open_store());
    open_database("llmquote.db");
    run("UPDATE seed_state SET applied_at_utc = 'then'");
    lq_database_close(&database);
    lq_store_close(open_store());
    open_database("llmquote.db");
    ck_assert_int_eq(number("SELECT applied_at_utc = 'then' FROM seed_state"), 1);
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

START_TEST(points_of_before_learn_their_token_where_its_name_tells)
{
    make_version(5);
    static const char *const NAMES[] = {"one", "two", "nobody"};
    run("INSERT INTO tokens (id, name, secret_sha256_hex, scopes_list, created_at_utc) VALUES"
        " ('tok-1', 'one', '1', 'admin', ''), ('tok-2', 'two', '2', 'admin', ''),"
        " ('tok-3', 'two', '3', 'admin', '')");
    for (size_t i = 0; i < 3; i++) {
        char sql[1024];
        snprintf(sql, sizeof sql,
                 "INSERT INTO calibrations (id, is_shipped, model_id, gpu_id, stack, gpu_count,"
                 " method_kind, adapter_rank, targets_bits, quantization, embeddings_are_trained,"
                 " precision, optimizer, checkpointing, active_experts_count, batch_size_rows,"
                 " accumulation_steps_count, sequence_tokens, lengths_id, padding, cutoff_tokens,"
                 " padding_multiple_tokens, step_time_s, source, dataset, document_json, posted_by,"
                 " stored_at_utc) VALUES ('%s', 0, 'm', 'g', 's', 1, 'full', 0, 0, 'none', 0,"
                 " 'bf16', 'adamw', 'on', 0, 1, 1, 128, '', 'longest', 0, 1, 1.0, '', '', '{}',"
                 " '%s', '')",
                 NAMES[i], NAMES[i]);
        run(sql);
    }
    lq_database_close(&database);
    make_version(LQ_MIGRATIONS_COUNT);
    ck_assert_int_eq(number("SELECT token_id = 'tok-1' FROM calibrations WHERE id = 'one'"), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM calibrations WHERE token_id = ''"), 2);
}
END_TEST

START_TEST(points_of_before_keep_their_ids_and_settings)
{
    /* the top bit set, capitals, a digit too many, another name; and which of them become numbers
     */
    static const char *const IDS[] = {"cal-fedcba9876543210", "cal-0000000000000ABC",
                                      "cal-0123456789abcdef0", "old"};
    make_version(11);
    for (size_t i = 0; i < 4; i++) {
        char sql[1024];
        snprintf(
            sql, sizeof sql,
            "INSERT INTO calibrations VALUES (%zu, '%s', 'aa', 0, '%s', 'A40', 'torchtune', 1,"
            " 'lora', 8, 5, 'none', 0, 'bf16', 'adamw', 'full', 'flash', 0, 3, 1, 1, 1, 1, 1, 0,"
            " 0, 1, 0, 2, 1, 512, '', 'longest', 0, 8, NULL, NULL, NULL, NULL, 0.5, NULL, 0,"
            " 'mine', '', '', '', '{}', '', '', '', '')",
            50 + i, IDS[i], i < 2 ? "llama-2-7b" : "Llama-2-7b");
        run(sql);
    }
    lq_database_close(&database);
    make_version(LQ_MIGRATIONS_COUNT);
    ck_assert_int_eq(number("SELECT count(*) FROM settings"), 2);
    ck_assert_int_eq(number("SELECT count(*) FROM points WHERE model_id = 'Llama-2-7b'"), 2);
    ck_assert_int_eq(number("SELECT digest_key FROM calibrations WHERE sequence_number = 51"),
                     0xabc);
    ck_assert_int_eq(number("SELECT count(digest_key) FROM calibrations"), 2);
    for (size_t i = 0; i < 4; i++) {
        struct lq_error err = {0};
        int64_t found = 0;
        assert_code(lq_point_find(database, IDS[i], &found, &err), LQ_OK);
        ck_assert_int_eq(found, 50 + (int64_t)i);
    }
    ck_assert_int_eq(number("SELECT id = 'cal-fedcba9876543210' FROM points"
                            " WHERE sequence_number = 50"),
                     1);
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
    tcase_add_test(cases, own_rows_survive_an_upgrade);
    tcase_add_test(cases, points_of_before_ran_as_replicas);
    tcase_add_test(cases, another_seed_replaces_shipped_rows_and_keeps_own_ones);
    tcase_add_test(cases, the_same_seed_is_not_written_again);
    tcase_add_test(cases, a_newer_database_is_refused_and_untouched);
    tcase_add_test(cases, another_programs_database_is_refused_and_untouched);
    tcase_add_test(cases, what_is_not_a_database_is_refused);
    tcase_add_test(cases, an_empty_file_becomes_a_database);
    tcase_add_test(cases, a_migration_that_fails_leaves_the_version_before_it);
    tcase_add_test(cases, a_first_migration_that_fails_leaves_an_empty_file);
    tcase_add_test(cases, points_of_before_learn_their_token_where_its_name_tells);
    tcase_add_test(cases, points_of_before_keep_their_ids_and_settings);
    tcase_add_test(cases, durability_is_as_promised);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
