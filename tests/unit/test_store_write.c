/* What users write: calibrations, and the answers that are remembered for retries. */
#include "server/store/statement.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHIPPED = 106, LARGE = 10000 };

static struct lq_store *store;
static char ids[LARGE][LQ_ID_MAX];
static size_t duplicates;

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

START_TEST(points_are_in_the_next_catalog_with_all_they_had)
{
    assert_code(post_points(store, 1, 2, NULL, ids, &duplicates), LQ_OK);
    ck_assert_uint_eq(duplicates, 0);
    settle(store);
    const struct lq_catalog *catalog = lq_store_acquire(store);
    ck_assert_uint_eq(catalog->point_count, SHIPPED + 2);
    ck_assert_uint_eq(catalog->fits[0].points, SHIPPED + 2); /* refitted with them */
    const struct lq_point *point = &catalog->points[SHIPPED + 1];
    const struct lq_point wanted = make_point(2).point;
    ck_assert_str_eq(point->id, ids[1]);
    ck_assert_int_eq(strncmp(point->id, "cal-", 4), 0);
    ck_assert_uint_eq(strlen(point->id), 20);
    ck_assert(lq_identity_equal(&point->identity, &wanted.identity));
    ck_assert_int_eq(point->conditions.batch_size, 4);
    ck_assert_int_eq(point->conditions.sequence_tokens, 512);
    ck_assert_double_eq(point->conditions.row_tokens, 512.0);
    ck_assert_double_eq(point->queries_per_s, 3.0);
    ck_assert_double_eq(point->step_time_s, 4.0 / 3.0);
    ck_assert_double_eq(point->peak_memory_bytes, 0.0);
    ck_assert_str_eq(point->source, "test");
    ck_assert(!point->shipped);
    lq_store_release(store, catalog);
}
END_TEST

START_TEST(a_point_on_a_named_distribution_gets_its_row_length)
{
    struct lq_new_point posted = make_point(1);
    struct lq_conditions *run = &posted.point.conditions;
    run->sequence_tokens = 0;
    run->row_tokens = 0.0;
    run->rule.cutoff_tokens = 1024;
    strcpy(run->lengths, "xia2024-cs");
    const struct lq_batch batch = {
        .points = &posted, .count = 1, .token_id = "tester", .token_name = "tester"};
    assert_code(lq_store_add_points(store, &batch, ids, &duplicates, NULL, &(struct lq_error){0}),
                LQ_OK);
    settle(store);
    const struct lq_catalog *catalog = lq_store_acquire(store);
    const double row_tokens = catalog->points[SHIPPED].conditions.row_tokens;
    for (size_t i = 0; i < SHIPPED; i++) { /* the same as a shipped one's of batch 4 */
        const struct lq_conditions *other = &catalog->points[i].conditions;
        if (other->batch_size == 4 && strcmp(other->lengths, "xia2024-cs") == 0) {
            ck_assert_double_eq(row_tokens, other->row_tokens);
        }
    }
    ck_assert(row_tokens > 99.89 && row_tokens < 512.0);
    lq_store_release(store, catalog);
}
END_TEST

START_TEST(equal_points_are_duplicates_with_one_id)
{
    char again[3][LQ_ID_MAX];
    assert_code(post_points(store, 1, 2, NULL, ids, &duplicates), LQ_OK);
    assert_code(post_points(store, 1, 3, NULL, again, &duplicates), LQ_OK);
    ck_assert_uint_eq(duplicates, 2);
    ck_assert_str_eq(again[0], ids[0]);
    ck_assert_str_eq(again[1], ids[1]);
    ck_assert_str_ne(again[2], ids[1]);
    ck_assert_uint_eq(count_points(store), SHIPPED + 3);
    const struct lq_new_point twice[2] = {make_point(9), make_point(9)};
    const struct lq_batch batch = {
        .points = twice, .count = 2, .token_id = "tester", .token_name = "tester"};
    assert_code(lq_store_add_points(store, &batch, again, &duplicates, NULL, &(struct lq_error){0}),
                LQ_OK);
    ck_assert_uint_eq(duplicates, 1);
    ck_assert_str_eq(again[0], again[1]);
}
END_TEST

START_TEST(points_that_differ_in_any_way_are_not_duplicates)
{
    struct lq_new_point points[8];
    for (size_t i = 0; i < 8; i++) {
        points[i] = make_point(1);
    }
    points[1].document = "{}";
    points[2].measured_at = "";
    points[3].point.peak_memory_bytes = 1.0;
    points[4].point.identity.method.train_embeddings = true;
    points[5].point.identity.optimizer = LQ_OPTIMIZER_SGD;
    points[6].point.conditions.rule.padding_multiple = 1;
    strcpy(points[7].point.identity.stack, "hf-2024");
    const struct lq_batch batch = {
        .points = points, .count = 8, .token_id = "tester", .token_name = "tester"};
    assert_code(lq_store_add_points(store, &batch, ids, &duplicates, NULL, &(struct lq_error){0}),
                LQ_OK);
    ck_assert_uint_eq(duplicates, 0);
}
END_TEST

START_TEST(a_key_answers_once_and_the_same_again)
{
    char again[2][LQ_ID_MAX];
    assert_code(post_points(store, 2, 1, NULL, again, &duplicates), LQ_OK);
    assert_code(post_points(store, 1, 2, "key", ids, &duplicates), LQ_OK);
    ck_assert_uint_eq(duplicates, 1);
    assert_code(lq_store_delete_point(store, ids[0], &(struct lq_error){0}), LQ_OK);
    duplicates = 99;
    assert_code(post_points(store, 1, 2, "key", again, &duplicates), LQ_OK);
    ck_assert_uint_eq(duplicates, 1);
    ck_assert_str_eq(again[0], ids[0]);
    ck_assert_str_eq(again[1], ids[1]);
    ck_assert_uint_eq(count_points(store), SHIPPED + 1); /* answered, not stored again */
}
END_TEST

START_TEST(a_key_with_another_body_is_a_conflict_but_not_for_another_token)
{
    assert_code(post_points(store, 1, 1, "key", ids, &duplicates), LQ_OK);
    assert_code(post_points(store, 2, 1, "key", ids, &duplicates), LQ_ECONFLICT);
    ck_assert_uint_eq(count_points(store), SHIPPED + 1);
    const struct lq_new_point point = make_point(2);
    const struct lq_batch batch = {.points = &point,
                                   .count = 1,
                                   .idempotency_key = "key",
                                   .body_digest = "other",
                                   .token_id = "somebody else",
                                   .token_name = "somebody else"};
    assert_code(lq_store_add_points(store, &batch, ids, &duplicates, NULL, &(struct lq_error){0}),
                LQ_OK);
}
END_TEST

START_TEST(a_batch_with_one_bad_point_stores_none)
{
    struct lq_new_point points[2] = {make_point(1), make_point(2)};
    points[1].point.conditions.batch_size = 0; /* what the schema itself refuses */
    const struct lq_batch batch = {.points = points,
                                   .count = 2,
                                   .idempotency_key = "key",
                                   .body_digest = "d",
                                   .token_id = "tester",
                                   .token_name = "tester"};
    assert_code(lq_store_add_points(store, &batch, ids, &duplicates, NULL, &(struct lq_error){0}),
                LQ_ESTORE);
    ck_assert_uint_eq(count_points(store), SHIPPED);
    lq_store_close(store);
    store = open_store();
    ck_assert_uint_eq(count_points(store), SHIPPED);
    assert_code(post_points(store, 1, 1, "key", ids, &duplicates), LQ_OK); /* nor the key */
}
END_TEST

static atomic_bool refuses;

static enum lq_code refuse(const struct lq_catalog *catalog, struct lq_fit **fits, size_t *count,
                           struct lq_error *err)
{
    if (atomic_load(&refuses)) {
        return lq_fail(err, LQ_EFIT, NULL, "refused");
    }
    return COUNTING_HOOKS.refit(catalog, fits, count, err);
}

START_TEST(a_rebuild_that_fails_is_told_and_tried_again_and_loses_nothing)
{
    struct lq_error err = {0};
    lq_store_close(store);
    const struct lq_hooks hooks = {.decode_model = COUNTING_HOOKS.decode_model, .refit = refuse};
    assert_code(lq_store_open(in_directory("llmquote.db"), &hooks, &store, &err), LQ_OK);
    atomic_store(&refuses, true);
    assert_code(post_points(store, 1, 1, NULL, ids, &duplicates), LQ_OK);
    while (lq_store_ready(store, &err) == LQ_OK) {
        usleep(1000);
    }
    ck_assert_ptr_nonnull(strstr(err.detail, "refused"));
    const struct lq_catalog *catalog = lq_store_acquire(store); /* the old one serves on */
    ck_assert_uint_eq(catalog->point_count, SHIPPED);
    ck_assert_int_eq(lq_store_pending_points(store, catalog), 1);
    lq_store_release(store, catalog);
    atomic_store(&refuses, false);
    ck_assert_uint_eq(count_points(store), SHIPPED + 1);
    while (lq_store_ready(store, &(struct lq_error){0}) != LQ_OK) {
        usleep(1000); /* the catalog is there a moment before its builder says so */
    }
}
END_TEST

START_TEST(documents_come_back_as_they_came_and_points_go)
{
    struct lq_error err = {0};
    char *document = NULL;
    assert_code(post_points(store, 5, 1, NULL, ids, &duplicates), LQ_OK);
    assert_code(get_document(store, ids[0], &document), LQ_OK);
    ck_assert_str_eq(document, "{\"number\":5}");
    free(document);
    assert_code(lq_store_delete_point(store, ids[0], &err), LQ_OK);
    ck_assert_uint_eq(count_points(store), SHIPPED);
    assert_code(get_document(store, ids[0], &document), LQ_ENOTFOUND);
    assert_code(lq_store_delete_point(store, ids[0], &err), LQ_ENOTFOUND);
}
END_TEST

START_TEST(an_id_is_found_however_it_is_written)
{
    char *document = NULL;
    char other[LQ_ID_MAX];
    assert_code(post_points(store, 5, 1, NULL, ids, &duplicates), LQ_OK);
    for (size_t i = 0; i < sizeof other; i++) {
        other[i] = (char)toupper((unsigned char)ids[0][i]);
    }
    assert_code(get_document(store, other, &document), LQ_OK);
    free(document);
    const size_t length = strlen(ids[0]);
    other[length] = '0'; /* a digit more */
    other[length + 1] = '\0';
    assert_code(get_document(store, other, &document), LQ_ENOTFOUND);
    other[length - 1] = '\0'; /* one less */
    assert_code(get_document(store, other, &document), LQ_ENOTFOUND);
}
END_TEST

START_TEST(points_of_several_settings_keep_their_own)
{
    struct lq_error err = {0};
    struct lq_new_point points[5];
    for (int i = 0; i < 5; i++) {
        points[i] = make_point(i);
        points[i].point.identity.method.rank = 8 + i % 2;
    }
    const struct lq_batch batch = {
        .points = points, .count = 5, .token_id = "tok", .token_name = "t", .body_digest = ""};
    assert_code(lq_store_add_points(store, &batch, ids, &duplicates, NULL, &err), LQ_OK);
    settle(store);
    const struct lq_catalog *catalog = lq_store_acquire(store);
    for (size_t i = 0; i < 5; i++) {
        const struct lq_point *stored = &catalog->points[SHIPPED + i];
        ck_assert_str_eq(stored->id, ids[i]);
        ck_assert_int_eq(stored->identity.method.rank, 8 + (int64_t)i % 2);
    }
    lq_store_release(store, catalog);
}
END_TEST

START_TEST(ten_thousand_points_are_one_batch)
{
    assert_code(post_points(store, 0, LARGE, "large", ids, &duplicates), LQ_OK);
    ck_assert_uint_eq(count_points(store), SHIPPED + LARGE);
    char last[LQ_ID_MAX];
    strcpy(last, ids[LARGE - 1]);
    memset(ids, 0, sizeof ids);
    assert_code(post_points(store, 0, LARGE, "large", ids, &duplicates), LQ_OK);
    ck_assert_str_eq(ids[LARGE - 1], last);
}
END_TEST

START_TEST(a_snapshot_outlives_the_writes_and_the_versions_tell)
{
    const struct lq_catalog *before = lq_store_acquire(store);
    char data_version[20];
    strcpy(data_version, before->data_version);
    assert_code(post_points(store, 1, 1, NULL, ids, &duplicates), LQ_OK);
    ck_assert_int_eq(lq_store_pending_points(store, before), 1);
    settle(store);
    const struct lq_catalog *after = lq_store_acquire(store);
    ck_assert_ptr_ne(before, after);
    ck_assert_str_eq(before->data_version, data_version);
    ck_assert_uint_eq(before->point_count, SHIPPED);
    ck_assert_str_ne(after->data_version, data_version);
    ck_assert_str_eq(after->catalog_version, before->catalog_version);
    ck_assert_str_eq(after->prices_version, before->prices_version);
    lq_store_release(store, before);
    lq_store_release(store, after);
    assert_code(lq_store_delete_point(store, ids[0], &(struct lq_error){0}), LQ_OK);
    settle(store);
    after = lq_store_acquire(store);
    ck_assert_str_eq(after->data_version, data_version); /* the same data, the same version */
    lq_store_release(store, after);
}
END_TEST

/* A write and its undoing, so that all is loaded again; whether the data's version changed. */
static bool version_changes(char version[20])
{
    static const char CONFIG[] =
        "{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":4,\"intermediate_size\":128,\"vocab_size\":100}";
    bool created = false;
    assert_code(lq_store_put_model(store, "mine", CONFIG, &created, &(struct lq_error){0}), LQ_OK);
    assert_code(lq_store_delete_model(store, "mine", &(struct lq_error){0}), LQ_OK);
    const struct lq_catalog *now = lq_store_acquire(store);
    const bool changed = strcmp(now->data_version, version) != 0;
    strcpy(version, now->data_version);
    lq_store_release(store, now);
    return changed;
}

/* Everything that evidence rests on and no user can change. */
static const char *const SHIPPED_CHANGES[] = {
    "UPDATE measured_models SET config_json = config_json || ' '",
    "UPDATE published_runs SET queries_per_s = 2 * queries_per_s WHERE id = 'torchtune-1'",
    "UPDATE gpus SET memory_bytes = 2 * memory_bytes WHERE is_listed = 0",
};

START_TEST(what_published_runs_are_made_of_is_in_the_data_version)
{
    struct lq_error err = {0};
    struct lq_database *database = NULL;
    char version[20] = "";
    ck_assert(version_changes(version));
    ck_assert(!version_changes(version));
    assert_code(lq_database_open(in_directory("llmquote.db"), &database, &err), LQ_OK);
    assert_code(lq_database_run(database, SHIPPED_CHANGES[_i], &err), LQ_OK);
    lq_database_close(&database);
    ck_assert(version_changes(version));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_write");
    TCase *points = tcase_create("points");
    tcase_add_checked_fixture(points, set_up, tear_down);
    tcase_add_test(points, points_are_in_the_next_catalog_with_all_they_had);
    tcase_add_test(points, a_point_on_a_named_distribution_gets_its_row_length);
    tcase_add_test(points, equal_points_are_duplicates_with_one_id);
    tcase_add_test(points, points_that_differ_in_any_way_are_not_duplicates);
    tcase_add_test(points, a_key_answers_once_and_the_same_again);
    tcase_add_test(points, a_key_with_another_body_is_a_conflict_but_not_for_another_token);
    tcase_add_test(points, a_batch_with_one_bad_point_stores_none);
    tcase_add_test(points, a_rebuild_that_fails_is_told_and_tried_again_and_loses_nothing);
    tcase_add_test(points, documents_come_back_as_they_came_and_points_go);
    tcase_add_test(points, an_id_is_found_however_it_is_written);
    tcase_add_test(points, points_of_several_settings_keep_their_own);
    tcase_add_test(points, ten_thousand_points_are_one_batch);
    tcase_add_test(points, a_snapshot_outlives_the_writes_and_the_versions_tell);
    tcase_add_loop_test(points, what_published_runs_are_made_of_is_in_the_data_version, 0,
                        (int)(sizeof SHIPPED_CHANGES / sizeof SHIPPED_CHANGES[0]));
    suite_add_tcase(suite, points);
    return run_suite(suite);
}
