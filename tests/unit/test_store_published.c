/* Published profiles and accuracies as a new database has them, and in the version of its data. */
#include "server/store/statement.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/tiny.h"

#include <string.h>

static struct lq_store *store;
static const struct lq_catalog *catalog;

static void set_up(void)
{
    make_directory();
    store = open_store();
    catalog = lq_store_acquire(store);
}

static void tear_down(void)
{
    lq_store_release(store, catalog);
    lq_store_close(store);
    remove_directory();
}

static size_t bars_of(const char *figure)
{
    size_t n = 0;
    for (size_t i = 0; i < catalog->published.profile_count; i++) {
        n += strcmp(catalog->published.profiles[i].figure, figure) == 0;
    }
    return n;
}

START_TEST(rows_of_a_bar_are_one_profile)
{
    ck_assert_uint_eq(catalog->published.profile_count, 58);
    ck_assert_uint_eq(bars_of("Fig.4"), 10);
    ck_assert_uint_eq(bars_of("Fig.11"), 8);
    size_t items = 0;
    for (size_t i = 0; i < catalog->published.profile_count; i++) {
        items += catalog->published.profiles[i].count;
    }
    ck_assert_uint_eq(items, 404); /* 464 rows, 60 of them of the study that is in no figure */
    const struct lq_profile *first = &catalog->published.profiles[0];
    ck_assert_str_eq(first->figure, "Fig.4");
    ck_assert_str_eq(first->model, "mixtral-8x7b");
    ck_assert_str_eq(first->run, "dense");
    ck_assert_str_eq(first->level, "stage");
    ck_assert_str_eq(first->metric, "time");
    ck_assert_str_eq(first->source, "analytical_model/stack_bar/sweep_per.txt");
    ck_assert_str_eq(first->note, "");
    ck_assert_int_eq(first->active_experts, 8);
    ck_assert_int_eq(first->batch_size, 1);
    ck_assert_int_eq(first->sequence_tokens, 128);
    ck_assert_uint_eq(first->count, 3);
    ck_assert_str_eq(first->items[1].name, "backward");
    ck_assert_double_eq(first->items[1].value, 1.85);
}
END_TEST

START_TEST(values_are_in_base_units_and_kernels_have_one_name)
{
    const struct lq_published *all = &catalog->published;
    const struct lq_profile like = {
        .model = "blackmamba-2.8b", .run = "sparse", .active_experts = 2, .batch_size = 84};
    const struct lq_profile *times = lq_published_beside(all, &like, "Fig.6");
    const struct lq_profile *sm = lq_published_beside(all, &like, "Fig.9");
    ck_assert_ptr_nonnull(times);
    ck_assert_ptr_nonnull(sm);
    assert_close("w1", lq_profile_item(times, "matmul(w1)")->value, 409.14e-6, 1e-12);
    assert_close("w1", lq_profile_item(sm, "matmul(w1)")->value, 0.8044959089, 1e-12);
    ck_assert_ptr_nonnull(lq_profile_item(times, "matmul(router)"));
    ck_assert_ptr_nonnull(lq_profile_item(sm, "matmul(router)"));
}
END_TEST

START_TEST(rows_of_a_curve_are_in_the_order_of_the_epochs)
{
    ck_assert_uint_eq(catalog->published.curve_count, 8);
    for (size_t i = 0; i < 8; i++) {
        const struct lq_accuracy_curve *curve = &catalog->published.curves[i];
        ck_assert_uint_eq(curve->count, 11);
        ck_assert_int_eq(curve->active_experts, strcmp(curve->run, "dense") == 0 ? 8 : 2);
    }
    const struct lq_accuracy_curve *last = &catalog->published.curves[7];
    ck_assert_str_eq(last->model, "blackmamba-2.8b");
    ck_assert_str_eq(last->run, "sparse");
    ck_assert_str_eq(last->test_set, "GSM8K");
    ck_assert_str_eq(last->source, "analytical_model/data/tradeoff.csv");
    ck_assert_double_eq(last->accuracy[0], 0.018);
    ck_assert_double_eq(last->accuracy[5], 0.035);
}
END_TEST

/* The version after a script and a write, which has everything loaded again. */
static void version_after(const char *sql, char version[20])
{
    struct lq_error err = {0};
    struct lq_database *database = NULL;
    size_t duplicates = 0;
    char ids[1][LQ_ID_MAX];
    assert_code(lq_database_open(in_directory("llmquote.db"), &database, &err), LQ_OK);
    assert_code(lq_database_run(database, sql, &err), LQ_OK);
    lq_database_close(&database);
    assert_code(post_points(store, 1, 1, NULL, ids, &duplicates), LQ_OK);
    assert_code(lq_store_delete_point(store, ids[0], &err), LQ_OK);
    settle(store);
    const struct lq_catalog *now = lq_store_acquire(store);
    strcpy(version, now->data_version);
    lq_store_release(store, now);
}

START_TEST(published_figures_are_in_the_data_version)
{
    char version[20];
    version_after("", version);
    ck_assert_str_eq(version, catalog->data_version);
    version_after("UPDATE published_accuracies SET accuracy_share = 0.5 WHERE epoch_number = 3",
                  version);
    ck_assert_str_ne(version, catalog->data_version);
    char next[20];
    version_after("UPDATE published_breakdowns SET metric_value = 2.0 WHERE figure = 'Fig.9'",
                  next);
    ck_assert_str_ne(next, version);
}
END_TEST

START_TEST(rows_need_not_stand_together)
{
    static const char APART[] =
        "INSERT INTO published_breakdowns SELECT figure, model_label, sequence_tokens, run_label,"
        " active_experts_count, batch_size_rows, level_label, 'more', metric_label, 1.5,"
        " metric_unit, source, note FROM published_breakdowns WHERE rowid = 1";
    char version[20];
    version_after(APART, version);
    const struct lq_catalog *now = lq_store_acquire(store);
    ck_assert_uint_eq(now->published.profile_count, 58);
    ck_assert_uint_eq(now->published.profiles[0].count, 4);
    ck_assert_str_eq(now->published.profiles[0].items[3].name, "more");
    ck_assert_double_eq(now->published.profiles[1].items[0].value, 2.39);
    lq_store_release(store, now);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_published");
    TCase *tests = tcase_create("published");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, rows_of_a_bar_are_one_profile);
    tcase_add_test(tests, values_are_in_base_units_and_kernels_have_one_name);
    tcase_add_test(tests, rows_of_a_curve_are_in_the_order_of_the_epochs);
    tcase_add_test(tests, published_figures_are_in_the_data_version);
    tcase_add_test(tests, rows_need_not_stand_together);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
