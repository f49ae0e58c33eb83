/* Price lists in the store: versions, what is in force, and what is shipped. */
#include "server/json/price_sheet.h"
#include "server/store/price_lists.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <stdlib.h>
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

/* Two rows, of which the first asks `usd_per_h`. */
static enum lq_code put(const char *provider, double usd_per_h, struct lq_put_prices *out)
{
    const struct lq_price prices[] = {{.region = "eu",
                                       .instance_type = "x",
                                       .gpu = "A40",
                                       .gpu_count = 2,
                                       .instance_usd_per_h = usd_per_h,
                                       .date = "2026-07",
                                       .source = "test"},
                                      {.region = "",
                                       .instance_type = "",
                                       .gpu = "L4",
                                       .gpu_count = 1,
                                       .instance_spot_usd_per_h = 0.25,
                                       .date = "2026-08-01",
                                       .source = "test"}};
    const struct lq_new_price_list list = {.provider = provider,
                                           .layout = "json",
                                           .token_name = "tester",
                                           .prices = prices,
                                           .count = 2};
    struct lq_error err = {0};
    return lq_store_put_prices(store, &list, out, &err);
}

static struct lq_put_prices put_ok(double usd_per_h)
{
    struct lq_put_prices out;
    assert_code(put("mine", usd_per_h, &out), LQ_OK);
    return out;
}

/* The provider's first price in the catalog, 0 where it has none. */
static double price_in_force(char version[20])
{
    const struct lq_catalog *catalog = lq_store_acquire(store);
    double price = 0.0;
    for (size_t i = 0; i < catalog->price_count && !(price > 0.0); i++) {
        if (strcmp(catalog->prices[i].provider, "mine") == 0) {
            price = catalog->prices[i].instance_usd_per_h;
        }
    }
    memcpy(version, catalog->prices_version, 20);
    lq_store_release(store, catalog);
    return price;
}

static size_t versions(struct lq_price_list **lists)
{
    size_t count = 0;
    struct lq_error err = {0};
    assert_code(lq_store_price_lists(store, "MINE", lists, &count, &err), LQ_OK);
    return count;
}

START_TEST(the_newest_list_is_in_force_and_all_are_kept)
{
    char before[20];
    char first[20];
    char second[20];
    ck_assert_double_eq(price_in_force(before), 0.0);
    struct lq_put_prices one = put_ok(1.0);
    ck_assert(one.created && !one.unchanged);
    ck_assert_int_eq(one.list.version, 1);
    ck_assert_int_eq(one.list.prices, 2);
    ck_assert_str_eq(one.list.date, "2026-08-01");
    ck_assert_double_eq(price_in_force(first), 1.0);
    struct lq_put_prices two = put_ok(2.0);
    ck_assert(!two.created && !two.unchanged);
    ck_assert_double_eq(price_in_force(second), 2.0);
    ck_assert_str_ne(before, first);
    ck_assert_str_ne(first, second);
    struct lq_price_list *lists = NULL;
    ck_assert_uint_eq(versions(&lists), 2);
    ck_assert_int_eq(lists[0].version, 2);
    ck_assert_str_eq(lists[0].ended_at, "");
    ck_assert_str_eq(lists[0].posted_by, "tester");
    ck_assert_str_eq(lists[1].ended_at, lists[0].stored_at);
    struct lq_pool pool = {0};
    struct lq_price *prices = NULL;
    struct lq_error err = {0};
    assert_code(lq_store_prices_of(store, &lists[1], &pool, &prices, &err), LQ_OK);
    ck_assert_double_eq(prices[0].instance_usd_per_h, 1.0);
    ck_assert_double_eq(prices[1].instance_usd_per_h, 0.0);
    ck_assert_double_eq(prices[1].instance_spot_usd_per_h, 0.25);
    ck_assert_str_eq(prices[1].gpu, "L4");
    lq_pool_clear(&pool);
    free(lists);
}
END_TEST

START_TEST(equal_rows_are_no_new_version)
{
    char before[20];
    char after[20];
    put_ok(1.0);
    price_in_force(before);
    struct lq_put_prices again = put_ok(1.0);
    ck_assert(again.unchanged && !again.created);
    ck_assert_int_eq(again.list.version, 1);
    price_in_force(after);
    ck_assert_str_eq(before, after);
    put_ok(2.0);
    ck_assert_int_eq(put_ok(1.0).list.version, 3); /* what once was in force is not now */
}
END_TEST

START_TEST(a_deleted_list_leaves_its_versions_and_its_number)
{
    char version[20];
    char before[20];
    struct lq_error err = {0};
    price_in_force(before);
    put_ok(1.0);
    assert_code(lq_store_delete_prices(store, "Mine", &err), LQ_OK);
    ck_assert_double_eq(price_in_force(version), 0.0);
    ck_assert_str_eq(version, before);
    assert_code(lq_store_delete_prices(store, "mine", &err), LQ_ENOTFOUND);
    struct lq_put_prices next = put_ok(1.0);
    ck_assert(next.created && !next.unchanged);
    ck_assert_int_eq(next.list.version, 2);
}
END_TEST

START_TEST(shipped_providers_cannot_be_put_or_deleted)
{
    struct lq_put_prices out;
    struct lq_error err = {0};
    assert_code(put("AWS", 1.0, &out), LQ_ECONFLICT);
    assert_code(lq_store_delete_prices(store, "aws", &err), LQ_ECONFLICT);
    assert_code(lq_store_delete_prices(store, "nobody", &(struct lq_error){0}), LQ_ENOTFOUND);
    struct lq_price_list *lists = NULL;
    ck_assert_uint_eq(versions(&lists), 0);
    ck_assert_ptr_null(lists);
}
END_TEST

START_TEST(lists_are_there_when_the_store_is_opened_again)
{
    char before[20];
    char after[20];
    put_ok(1.0);
    put_ok(2.0);
    price_in_force(before);
    lq_store_close(store);
    store = open_store();
    ck_assert_double_eq(price_in_force(after), 2.0);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(what_is_stale_is_measured_from_the_newest_price)
{
    put_ok(1.0);
    const struct lq_catalog *catalog = lq_store_acquire(store);
    const struct lq_provider *provider = lq_catalog_provider(catalog, "mine");
    ck_assert_ptr_nonnull(provider);
    ck_assert(!provider->shipped && !provider->stale);
    ck_assert(lq_catalog_provider(catalog, "aws")->shipped);
    ck_assert(lq_price_is_stale(catalog, "2024"));
    ck_assert(!lq_price_is_stale(catalog, "2026-08-01"));
    ck_assert(lq_price_is_stale(catalog, "no date"));
    lq_store_release(store, catalog);
}
END_TEST

START_TEST(every_gpu_that_names_are_mapped_to_is_in_the_catalog)
{
    const struct lq_catalog *catalog = lq_store_acquire(store);
    size_t k = 0;
    for (; lq_price_gpu_at(k) != NULL; k++) {
        const struct lq_gpu_entry *entry = lq_catalog_gpu(catalog, lq_price_gpu_at(k));
        ck_assert_msg(entry != NULL && strcmp(entry->gpu.id, lq_price_gpu_at(k)) == 0, "%s",
                      lq_price_gpu_at(k));
    }
    ck_assert_uint_gt(k, 40);
    lq_store_release(store, catalog);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_prices");
    TCase *cases = tcase_create("store_prices");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, the_newest_list_is_in_force_and_all_are_kept);
    tcase_add_test(cases, equal_rows_are_no_new_version);
    tcase_add_test(cases, a_deleted_list_leaves_its_versions_and_its_number);
    tcase_add_test(cases, shipped_providers_cannot_be_put_or_deleted);
    tcase_add_test(cases, lists_are_there_when_the_store_is_opened_again);
    tcase_add_test(cases, what_is_stale_is_measured_from_the_newest_price);
    tcase_add_test(cases, every_gpu_that_names_are_mapped_to_is_in_the_catalog);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
