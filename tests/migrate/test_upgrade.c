/* What becomes of stored rows: those of earlier versions, and those of an earlier seed. */
#include "core/finetune/efficiency.h"
#include "server/store/rows.h"
#include "tests/migrate/version_fixture.h"
#include "tests/unit/check_main.h"

#include <stdio.h>

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

int main(void)
{
    Suite *suite = suite_create("upgrade");
    TCase *cases = tcase_create("upgrade");
    tcase_add_checked_fixture(cases, make_directory, tear_down);
    tcase_add_test(cases, own_rows_survive_an_upgrade);
    tcase_add_test(cases, points_of_before_ran_as_replicas);
    tcase_add_test(cases, points_of_before_learn_their_token_where_its_name_tells);
    tcase_add_test(cases, points_of_before_keep_their_ids_and_settings);
    tcase_add_test(cases, another_seed_replaces_shipped_rows_and_keeps_own_ones);
    tcase_add_test(cases, the_same_seed_is_not_written_again);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
