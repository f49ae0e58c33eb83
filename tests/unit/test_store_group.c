/* Many writers at once: what one commit holds, who fails with whom, and what closing waits for. */
#include "server/store/statement.h"
#include "server/store/store_private.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHIPPED = 106, WRITERS = 16, EACH = 20 };

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

/* One of several threads that write. */
struct poster {
    pthread_t thread;
    int first;
    int count;
    bool some_are_bad; /* every third */
    enum lq_code code[EACH];
    char ids[EACH][LQ_ID_MAX];
};

static void *post_all(void *context)
{
    struct poster *poster = context;
    for (int i = 0; i < poster->count; i++) {
        struct lq_new_point point = make_point(poster->first + i);
        if (poster->some_are_bad && i % 3 == 0) {
            point.point.conditions.batch_size = 0; /* what the schema itself refuses */
        }
        const struct lq_batch batch = {
            .points = &point, .count = 1, .token_id = "tester", .token_name = "tester"};
        size_t duplicates = 0;
        poster->code[i] = lq_store_add_points(store, &batch, &poster->ids[i], &duplicates, NULL,
                                              &(struct lq_error){0});
    }
    return NULL;
}

static void start(struct poster *posters, int count, int each, bool some_are_bad)
{
    for (int i = 0; i < count; i++) {
        posters[i] =
            (struct poster){.first = i * EACH, .count = each, .some_are_bad = some_are_bad};
        ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
}

static void join(struct poster *posters, int count)
{
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(pthread_join(posters[i].thread, NULL), 0);
    }
}

START_TEST(a_change_that_fails_does_so_alone)
{
    static struct poster posters[WRITERS];
    size_t stored = 0;
    start(posters, WRITERS, EACH, true);
    join(posters, WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        for (int k = 0; k < EACH; k++) {
            char *document = NULL;
            char wanted[32];
            assert_code(posters[i].code[k], k % 3 == 0 ? LQ_ESTORE : LQ_OK);
            if (posters[i].code[k] == LQ_OK) {
                stored++;
                snprintf(wanted, sizeof wanted, "{\"number\":%d}", i * EACH + k);
                assert_code(get_document(store, posters[i].ids[k], &document), LQ_OK);
                ck_assert_str_eq(document, wanted);
                free(document);
            }
        }
    }
    ck_assert_uint_eq(count_points(store), SHIPPED + stored);
}
END_TEST

/* A second connection that keeps all others from writing until it rolls back. */
static struct lq_database *block(void)
{
    struct lq_database *database = NULL;
    struct lq_error err = {0};
    assert_code(lq_database_open(in_directory("llmquote.db"), &database, &err), LQ_OK);
    assert_code(lq_database_begin(database, &err), LQ_OK);
    return database;
}

static void wait_for_waiting(size_t count)
{
    size_t waiting = 0;
    while (waiting < count) {
        pthread_mutex_lock(&store->writer.lock);
        waiting = store->writer.waiting;
        pthread_mutex_unlock(&store->writer.lock);
        usleep(1000);
    }
}

START_TEST(what_waits_shares_a_commit_and_too_many_are_refused)
{
    static struct poster posters[WRITERS];
    struct lq_database *blocking = block();
    start(posters, WRITERS, 1, false); /* the first of them is the writer's, which is held up */
    wait_for_waiting(WRITERS - 1);
    pthread_mutex_lock(&store->writer.lock);
    store->writer.most_waiting = WRITERS - 1;
    pthread_mutex_unlock(&store->writer.lock);
    struct poster late = {.first = 1000, .count = 1};
    post_all(&late);
    assert_code(late.code[0], LQ_EBUSY);
    lq_database_close(&blocking);
    join(posters, WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        assert_code(posters[i].code[0], LQ_OK);
    }
    ck_assert_uint_eq(count_points(store), SHIPPED + WRITERS);
    pthread_mutex_lock(&store->builder.lock);
    const int64_t commits = store->builder.committed.commits;
    pthread_mutex_unlock(&store->builder.lock);
    ck_assert_int_lt(commits, WRITERS / 4); /* one, but on a machine that takes over 5 ms for it */
}
END_TEST

START_TEST(closing_writes_what_waits)
{
    static struct poster posters[4];
    struct lq_database *blocking = block();
    start(posters, 4, 1, false);
    wait_for_waiting(3);
    lq_database_close(&blocking);
    lq_store_close(store);
    join(posters, 4);
    for (int i = 0; i < 4; i++) {
        assert_code(posters[i].code[0], LQ_OK);
    }
    store = open_store();
    ck_assert_uint_eq(count_points(store), SHIPPED + 4);
}
END_TEST

START_TEST(own_entries_are_read_with_the_next_call_while_points_come)
{
    static const char CONFIG[] =
        "{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":4,\"intermediate_size\":128,\"vocab_size\":100}";
    static struct poster posters[2];
    struct lq_error err = {0};
    start(posters, 2, EACH, false);
    for (int i = 0; i < 5; i++) {
        bool created = false;
        assert_code(lq_store_put_model(store, "mine", CONFIG, &created, &err), LQ_OK);
        const struct lq_catalog *catalog = lq_store_acquire(store);
        ck_assert_ptr_nonnull(lq_catalog_model(catalog, "mine"));
        lq_store_release(store, catalog);
        assert_code(lq_store_delete_model(store, "mine", &err), LQ_OK);
        catalog = lq_store_acquire(store);
        ck_assert_ptr_null(lq_catalog_model(catalog, "mine"));
        lq_store_release(store, catalog);
    }
    join(posters, 2);
    ck_assert_uint_eq(count_points(store), SHIPPED + 2 * EACH);
}
END_TEST

START_TEST(points_that_are_taken_over_give_what_loading_all_gives)
{
    char version[20];
    char ids[3][LQ_ID_MAX];
    size_t duplicates = 0;
    for (int i = 0; i < 5; i++) { /* each is added to the catalog before it */
        assert_code(post_points(store, 3 * i, 3, NULL, ids, &duplicates), LQ_OK);
        settle(store);
    }
    const struct lq_catalog *added = lq_store_acquire(store);
    strcpy(version, added->data_version);
    lq_store_close(store);
    store = open_store();
    const struct lq_catalog *loaded = lq_store_acquire(store);
    ck_assert_str_eq(loaded->data_version, version);
    ck_assert_uint_eq(loaded->point_count, SHIPPED + 15);
    ck_assert_str_eq(loaded->points[SHIPPED + 14].id, ids[2]);
    lq_store_release(store, loaded);
    assert_code(lq_store_delete_point(store, ids[0], &(struct lq_error){0}), LQ_OK);
    ck_assert_uint_eq(count_points(store), SHIPPED + 14);
    lq_store_release(store, added); /* outlives its store */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_group");
    TCase *cases = tcase_create("group");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_change_that_fails_does_so_alone);
    tcase_add_test(cases, what_waits_shares_a_commit_and_too_many_are_refused);
    tcase_add_test(cases, closing_writes_what_waits);
    tcase_add_test(cases, own_entries_are_read_with_the_next_call_while_points_come);
    tcase_add_test(cases, points_that_are_taken_over_give_what_loading_all_gives);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
