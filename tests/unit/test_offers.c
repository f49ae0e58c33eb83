/* The offers that a job's costs come from. */
#include "server/api/offers.h"
#include "server/json/lookup.h"
#include "server/store/catalog.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <stdio.h>
#include <string.h>

static struct lq_job_document document;

static void decode_job(const char *more)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model\": \"small-moe\", \"gpu\": \"S1\", \"batch_size\": 4, "
             "\"dataset\": {\"lengths\": {\"name\": \"two\"}}%s%s}",
             more[0] != '\0' ? ", " : "", more);
    json_t *value = json_loads(text, 0, NULL);
    struct lq_faults faults = {.count = 0};
    const enum lq_code code = lq_job_decode(value, "", &TINY_LOOKUP, &document, &faults);
    ck_assert_msg(code == LQ_OK, "%s %s", faults.items[0].pointer, faults.items[0].detail);
    json_decref(value);
}

/* Prices of "S1" between those of its neighbours, as the catalog keeps them. */
static const struct lq_price PRICES[] = {
    {.provider = "a",
     .region = "",
     .instance_type = "x",
     .gpu = "R9",
     .gpu_count = 1,
     .instance_usd_per_h = 0.1},
    {.provider = "b",
     .region = "",
     .instance_type = "pair",
     .gpu = "S1",
     .gpu_count = 2,
     .instance_usd_per_h = 1.0},
    {.provider = "b",
     .region = "",
     .instance_type = "spot",
     .gpu = "S1",
     .gpu_count = 1,
     .instance_spot_usd_per_h = 0.2},
    {.provider = "cheap-2024",
     .region = "eu",
     .instance_type = "one",
     .gpu = "S1",
     .gpu_count = 1,
     .instance_usd_per_h = 0.6},
    {.provider = "cheap-2024",
     .region = "us",
     .instance_type = "one",
     .gpu = "S1",
     .gpu_count = 1,
     .instance_usd_per_h = 0.6},
    {.provider = "a",
     .region = "",
     .instance_type = "x",
     .gpu = "T1",
     .gpu_count = 1,
     .instance_usd_per_h = 0.1},
};
static const struct lq_catalog CATALOG = {.prices = PRICES, .price_count = 6};

START_TEST(offers_stand_cheapest_first_for_the_job_as_a_whole)
{
    static struct lq_offer_quote offers[LQ_OFFERS_MAX];
    decode_job("");
    size_t n = lq_offers(&document, &CATALOG, 7200.0, offers);
    ck_assert_uint_eq(n, 3);                         /* spot alone is no offer */
    ck_assert_str_eq(offers[0].price->region, "eu"); /* equal cost: by provider, type, region */
    ck_assert_str_eq(offers[1].price->region, "us");
    ck_assert_double_eq(offers[0].cost.cost_usd, 1.2);
    ck_assert_double_eq(offers[2].cost.cost_usd, 2.0); /* a pair is paid whole */
    ck_assert_int_eq(offers[2].cost.idle_gpus, 1);
    lq_job_release(&document);
    decode_job("\"gpu_count\": 2");
    n = lq_offers(&document, &CATALOG, 7200.0, offers);
    ck_assert_uint_eq(n, 1); /* only the pair holds both */
    ck_assert_str_eq(offers[0].price->instance_type, "pair");
    ck_assert_int_eq(offers[0].cost.instances, 1);
    lq_job_release(&document);
    decode_job("\"gpu_count\": 3");
    n = lq_offers(&document, &CATALOG, 7200.0, offers);
    ck_assert_uint_eq(n, 1); /* none holds three: two pairs are fewer than three singles */
    ck_assert_int_eq(offers[0].cost.instances, 2);
    lq_job_release(&document);
}
END_TEST

START_TEST(offers_are_those_of_the_named_providers)
{
    static struct lq_offer_quote offers[LQ_OFFERS_MAX];
    decode_job("\"providers\": [\"CHEAP-2024\"]");
    ck_assert_uint_eq(lq_offers(&document, &CATALOG, 3600.0, offers), 2);
    document.terms.providers[0] = "a"; /* prices others only */
    ck_assert_uint_eq(lq_offers(&document, &CATALOG, 3600.0, offers), 0);
    lq_job_release(&document);
}
END_TEST

START_TEST(a_rate_of_ones_own_stands_alone)
{
    static struct lq_offer_quote offers[LQ_OFFERS_MAX];
    decode_job("\"usd_per_gpu_hour\": 2.5, \"gpu_count\": 3");
    ck_assert_uint_eq(lq_offers(&document, &CATALOG, 1800.0, offers), 1);
    ck_assert_ptr_null(offers[0].price);
    ck_assert_double_eq(offers[0].cost.cost_usd, 3.75);
    ck_assert_double_eq(offers[0].cost.usd_per_gpu_h, 2.5);
    lq_job_release(&document);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("offers");
    TCase *tests = tcase_create("offers");
    tcase_add_test(tests, offers_stand_cheapest_first_for_the_job_as_a_whole);
    tcase_add_test(tests, offers_are_those_of_the_named_providers);
    tcase_add_test(tests, a_rate_of_ones_own_stands_alone);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
