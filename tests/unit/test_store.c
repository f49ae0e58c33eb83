/* The catalog of a new database: what is shipped, in which order, found by which ids; and own
 * entries beside it. */
#include "core/base/units.h"
#include "server/store/statement.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Takes the snapshot that now is. */
static void refresh(void)
{
    lq_store_release(store, catalog);
    catalog = lq_store_acquire(store);
}

START_TEST(a_new_database_holds_the_shipped_catalogs)
{
    ck_assert_uint_eq(catalog->gpu_count, 63);
    ck_assert_uint_eq(catalog->model_count, 62);
    ck_assert_uint_eq(catalog->price_count, 509);
    ck_assert_uint_eq(catalog->provider_count, 25);
    ck_assert_uint_eq(catalog->dataset_count, 3);
    ck_assert_uint_eq(catalog->capacity_count, 36);
    size_t throughput = 0;
    size_t fig4 = 0;
    for (size_t i = 0; i < catalog->point_count; i++) {
        throughput += strcmp(catalog->points[i].source, "xia2024") == 0;
        fig4 += strcmp(catalog->points[i].source, "xia2024-fig4") == 0;
        ck_assert(catalog->points[i].shipped);
    }
    ck_assert_uint_eq(throughput, 96);
    ck_assert_uint_eq(fig4, 10);
    ck_assert_uint_eq(catalog->point_count, 106);
    ck_assert_uint_eq(catalog->fit_count, 1);
    ck_assert_uint_eq(catalog->fits[0].points, 106);
}
END_TEST

START_TEST(ids_are_found_in_either_case)
{
    ck_assert_str_eq(lq_catalog_model(catalog, "MIXTRAL-8x7B")->model.id, "mixtral-8x7b");
    ck_assert_str_eq(lq_catalog_gpu(catalog, "a40")->gpu.id, "A40");
    ck_assert_str_eq(lq_catalog_provider(catalog, "AWS")->id, "aws");
    ck_assert_str_eq(lq_catalog_dataset(catalog, "XIA2024-cs")->id, "xia2024-cs");
    for (size_t i = 0; i < catalog->model_count; i++) {
        const char *id = catalog->models[i].model.id;
        ck_assert_ptr_eq(lq_catalog_model(catalog, id), &catalog->models[i]);
    }
    for (size_t i = 0; i < catalog->gpu_count; i++) {
        ck_assert_ptr_eq(lq_catalog_gpu(catalog, catalog->gpus[i].gpu.id), &catalog->gpus[i]);
    }
    ck_assert_ptr_null(lq_catalog_model(catalog, "mixtral"));
    ck_assert_ptr_null(lq_catalog_gpu(catalog, ""));
    ck_assert_ptr_null(lq_catalog_provider(catalog, "zzz"));
    ck_assert_ptr_null(lq_catalog_dataset(catalog, "xia2024-cs2"));
}
END_TEST

START_TEST(gpu_memory_is_what_the_driver_reports_where_known)
{
    size_t reported = 0;
    for (size_t i = 0; i < catalog->gpu_count; i++) {
        const struct lq_gpu *gpu = &catalog->gpus[i].gpu;
        reported += gpu->memory_is_reported;
        ck_assert(gpu->memory_is_reported || gpu->memory_bytes == gpu->memory_nominal_bytes);
    }
    ck_assert_uint_eq(reported, 27);
    const struct lq_gpu_entry *l40s = lq_catalog_gpu(catalog, "L40S"); /* row of gpus.csv */
    ck_assert_double_eq(l40s->gpu.memory_bytes, 46068.0 * LQ_MIB);
    ck_assert_double_eq(l40s->gpu.memory_nominal_bytes, 48.0 * LQ_GIB);
    const struct lq_gpu *h100 = &lq_catalog_gpu(catalog, "H100-PCIe-80GB")->gpu;
    ck_assert_double_eq(h100->memory_bandwidth_bytes_per_s, 2000e9);
    ck_assert_str_eq(h100->vendor, "NVIDIA");
}
END_TEST

START_TEST(provenance_travels_with_every_entry)
{
    size_t recalled_gpus = 0;
    size_t recalled_models = 0;
    for (size_t i = 0; i < catalog->gpu_count; i++) {
        const struct lq_provenance *from = &catalog->gpus[i].provenance;
        ck_assert(from->shipped && from->source[0] != '\0');
        ck_assert_int_eq(from->recalled, strstr(from->source, "recalled") != NULL);
        recalled_gpus += from->recalled;
    }
    for (size_t i = 0; i < catalog->model_count; i++) {
        const struct lq_provenance *from = &catalog->models[i].provenance;
        ck_assert(from->shipped && from->source[0] != '\0');
        recalled_models += from->recalled;
    }
    ck_assert_uint_eq(recalled_gpus, 44);   /* lines of gpus.csv that say so */
    ck_assert_uint_eq(recalled_models, 17); /* lines of models/index.csv that say so */
    ck_assert(strstr(lq_catalog_dataset(catalog, "xia2024-math")->provenance.source,
                     "2408.04693") != NULL);
}
END_TEST

START_TEST(model_configs_are_one_line_and_counted)
{
    const struct lq_model_entry *mixtral = lq_catalog_model(catalog, "mixtral-8x7b");
    ck_assert_int_eq(mixtral->parameters.total, 46702792704);
    ck_assert_int_eq(mixtral->parameters.active, 12879925248);
    ck_assert_int_eq(mixtral->published_active_parameters, 12900000000);
    for (size_t i = 0; i < catalog->model_count; i++) {
        ck_assert_ptr_null(strchr(catalog->models[i].config, '\n'));
        ck_assert_int_eq(catalog->models[i].config[0], '{');
    }
    ck_assert_ptr_nonnull(strstr(mixtral->config, "\"rms_norm_eps\":1e-05"));
}
END_TEST

START_TEST(prices_of_a_gpu_ascend_and_old_ones_are_stale)
{
    size_t all = 0;
    for (size_t i = 0; i < catalog->gpu_count; i++) {
        size_t count = 0;
        const struct lq_price *prices = lq_catalog_prices(catalog, catalog->gpus[i].gpu.id, &count);
        double last_usd_per_h = 0.0;
        for (size_t k = 0; k < count; k++) {
            double usd_per_h = prices[k].instance_usd_per_h / (double)prices[k].gpu_count;
            ck_assert(usd_per_h >= last_usd_per_h || usd_per_h == 0.0); /* spot only: last */
            last_usd_per_h = usd_per_h == 0.0 ? HUGE_VAL : usd_per_h;
        }
        all += count;
    }
    ck_assert_uint_eq(all, catalog->price_count); /* every price names a GPU of the catalog */
    size_t none = 1;
    lq_catalog_prices(catalog, "no such GPU", &none);
    ck_assert_uint_eq(none, 0);
    /* Newest: 2026-09. A year alone may be its December, but ages nobody else. */
    static const char *const STALE[] = {"cudo-2024", "paperspace", "runpod-2025"};
    for (size_t i = 0; i < catalog->provider_count; i++) {
        const struct lq_provider *provider = &catalog->providers[i];
        bool stale = false;
        for (size_t k = 0; k < sizeof STALE / sizeof STALE[0]; k++) {
            stale = stale || strcmp(provider->id, STALE[k]) == 0;
        }
        ck_assert_msg(provider->stale == stale, "%s of %s", provider->id, provider->date);
    }
    for (size_t i = 0; i < catalog->price_count; i++) {
        const struct lq_price *price = &catalog->prices[i];
        ck_assert_int_eq(price->stale, lq_catalog_provider(catalog, price->provider)->stale);
    }
}
END_TEST

START_TEST(data_sets_are_the_published_histograms)
{
    const struct lq_dataset *cs = lq_catalog_dataset(catalog, "xia2024-cs");
    const struct lq_dataset *math = lq_catalog_dataset(catalog, "xia2024-math");
    ck_assert_double_eq(cs->queries, 15119.0);
    ck_assert_double_eq(math->queries, 13921.0);
    ck_assert_uint_eq(cs->count + math->count, 1887);
    ck_assert_int_eq(cs->bins[0].tokens, 42);
    ck_assert_double_eq(cs->bins[0].queries, 364.0);
    ck_assert_int_eq(cs->bins[cs->count - 1].tokens, 512);
    ck_assert_int_eq(math->bins[math->count - 1].tokens, 1470);
    ck_assert_ptr_nonnull(strstr(cs->description, "commonsense_15k"));
}
END_TEST

START_TEST(published_points_know_their_identity_and_row_length)
{
    const struct lq_point *first = &catalog->points[0];
    ck_assert_str_eq(first->id, "xia2024-001");
    ck_assert_str_eq(first->dataset, "xia2024-mixtral-cs-a40");
    ck_assert_str_eq(first->identity.model, "mixtral-8x7b");
    ck_assert_str_eq(first->identity.gpu, "A40");
    ck_assert_str_eq(first->identity.stack, "hf-2024");
    ck_assert_int_eq(first->identity.method.kind, LQ_METHOD_QLORA);
    ck_assert_int_eq(first->identity.method.rank, 16);
    ck_assert_uint_eq(first->identity.method.targets,
                      LQ_TARGETS_EXPERTS | LQ_TARGET_BIT(LQ_TARGET_ROUTER));
    ck_assert_int_eq(first->identity.method.quantization, LQ_QUANTIZATION_NF4_DQ);
    ck_assert_int_eq(first->identity.checkpointing, LQ_CHECKPOINTING_FULL);
    ck_assert_int_eq(first->conditions.active_experts, 8);
    ck_assert_double_eq(first->queries_per_s, 0.3213791846);
    ck_assert_double_eq_tol(first->step_time_s, 1.0 / 0.3213791846, 1e-12);
    /* CS: mean 99.89 tokens (dataset_lengths.csv); rounding up to multiples of 8 adds 0 to 7. */
    ck_assert(first->conditions.row_tokens > 99.89 && first->conditions.row_tokens < 106.89);
    const struct lq_point *last = &catalog->points[95];
    ck_assert_str_eq(last->dataset, "xia2024-mixtral-math-h100");
    ck_assert_str_eq(last->identity.gpu, "H100-PCIe-80GB");
    ck_assert_int_eq(last->conditions.batch_size, 17);
    ck_assert_double_eq_tol(last->step_time_s, 17.0 / 4.89877178, 1e-12);
    ck_assert(last->conditions.row_tokens > 187.26 && last->conditions.row_tokens < 1024.0);
}
END_TEST

START_TEST(fixed_length_steps_are_the_sum_of_their_stages)
{
    const struct lq_point *point = &catalog->points[96]; /* Mixtral dense, batch 1 */
    ck_assert_str_eq(point->id, "xia2024-fig4-001");
    ck_assert_str_eq(point->dataset, "xia2024-fixed-128-mixtral");
    ck_assert_double_eq_tol(point->step_time_s, 1.1 + 1.85 + 0.05, 1e-12);
    ck_assert_double_eq_tol(point->queries_per_s, 1.0 / 3.0, 1e-12);
    ck_assert_double_eq(point->conditions.row_tokens, 128.0);
    const struct lq_point *last = &catalog->points[105]; /* BlackMamba sparse, batch 84 */
    ck_assert_str_eq(last->dataset, "xia2024-fixed-128-blackmamba");
    ck_assert_int_eq(last->conditions.batch_size, 84);
    ck_assert_int_eq(last->identity.method.kind, LQ_METHOD_FULL);
    ck_assert_double_eq_tol(last->queries_per_s, 84.0 / (0.35 + 0.94 + 0.21), 1e-9);
}
END_TEST

START_TEST(published_points_have_documents)
{
    char *document = NULL;
    assert_code(get_document(store, "xia2024-FIG4-001", &document), LQ_OK);
    ck_assert_ptr_nonnull(strstr(document, "\"phases\":{\"forward_s\":1.1,\"backward_s\":1.85,"));
    free(document);
}
END_TEST

START_TEST(capacities_tell_measured_from_claimed)
{
    size_t measured = 0;
    size_t elsewhere = 0;
    for (size_t i = 0; i < catalog->capacity_count; i++) {
        const struct lq_capacity *capacity = &catalog->capacities[i];
        measured += capacity->measured;
        elsewhere += lq_catalog_gpu(catalog, capacity->identity.gpu) == NULL;
        ck_assert(!capacity->measured || lq_catalog_gpu(catalog, capacity->identity.gpu) != NULL);
    }
    ck_assert_uint_eq(measured, 30); /* rows of max_batch.csv whose kind begins with it */
    ck_assert_uint_eq(elsewhere, 2); /* the two projections */
    ck_assert_int_eq(catalog->capacities[0].longest_tokens, 512);
    ck_assert_str_eq(catalog->capacities[0].lengths, "xia2024-cs");
    ck_assert_int_eq(catalog->capacities[34].longest_tokens, 128);
    ck_assert_str_eq(catalog->capacities[34].lengths, "");
    ck_assert_int_eq(catalog->capacities[34].max_batch_size, 84);
}
END_TEST

START_TEST(published_evidence_is_kept_whole)
{
    static const struct {
        const char *table;
        int64_t rows;
    } TABLES[] = {{"published_breakdowns", 464}, {"published_accuracies", 88},
                  {"published_costs", 4},        {"published_coefficients", 23},
                  {"published_fits", 70},        {"published_lengths", 8},
                  {"measured_runs", 307},        {"measured_runs_mapping", 307},
                  {"measured_models", 9},        {"yun2024_sets", 5},
                  {"published_runs", 216}};
    struct lq_database *database = NULL;
    struct lq_error err = {0};
    assert_code(lq_database_open(in_directory("llmquote.db"), &database, &err), LQ_OK);
    for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0]; i++) {
        char sql[80];
        int64_t rows = 0;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", TABLES[i].table);
        assert_code(lq_database_number(database, sql, &rows, &err), LQ_OK);
        ck_assert_msg(rows == TABLES[i].rows, "%s has %lld rows", TABLES[i].table, (long long)rows);
    }
    lq_database_close(&database);
}
END_TEST

static const char OWN_CONFIG[] =
    "{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":4,\"intermediate_size\":128,\"vocab_size\":100}";

START_TEST(own_models_come_change_and_go)
{
    struct lq_error err = {0};
    bool created = false;
    char before[20];
    strcpy(before, catalog->catalog_version);
    assert_code(lq_store_put_model(store, "Mine", OWN_CONFIG, &created, &err), LQ_OK);
    ck_assert(created);
    ck_assert_uint_eq(catalog->model_count, 62); /* a snapshot never changes */
    refresh();
    ck_assert_uint_eq(catalog->model_count, 63);
    ck_assert_str_ne(catalog->catalog_version, before);
    ck_assert(!lq_catalog_model(catalog, "mine")->provenance.shipped);
    ck_assert_str_eq(lq_catalog_model(catalog, "mine")->config, OWN_CONFIG);
    assert_code(lq_store_put_model(store, "mine", OWN_CONFIG, &created, &err), LQ_OK);
    ck_assert(!created);
    refresh();
    ck_assert_str_eq(lq_catalog_model(catalog, "MINE")->model.id, "Mine");
    assert_code(lq_store_delete_model(store, "mine", &err), LQ_OK);
    refresh();
    ck_assert_str_eq(catalog->catalog_version, before);
    assert_code(lq_store_delete_model(store, "mine", &err), LQ_ENOTFOUND);
}
END_TEST

START_TEST(shipped_entries_are_read_only)
{
    bool created = false;
    struct lq_gpu gpu = {.id = "a40", .memory_bytes = 1e9};
    assert_code(
        lq_store_put_model(store, "MIXTRAL-8x7b", OWN_CONFIG, &created, &(struct lq_error){0}),
        LQ_ECONFLICT);
    assert_code(lq_store_delete_model(store, "mixtral-8x7b", &(struct lq_error){0}), LQ_ECONFLICT);
    assert_code(lq_store_put_gpu(store, &gpu, "me", &created, &(struct lq_error){0}), LQ_ECONFLICT);
    assert_code(lq_store_delete_point(store, "xia2024-001", &(struct lq_error){0}), LQ_ECONFLICT);
    refresh();
    ck_assert_uint_eq(catalog->point_count, 106);
}
END_TEST

START_TEST(a_model_that_cannot_be_read_is_not_stored)
{
    struct lq_error err = {0};
    bool created = false;
    assert_code(lq_store_put_model(store, "mine", "{\"model_type\":\"llama\"}", &created, &err),
                LQ_EFIELD);
    ck_assert_str_ne(err.pointer, "");
    assert_code(lq_store_put_model(store, "", OWN_CONFIG, &created, &(struct lq_error){0}),
                LQ_EFIELD);
    refresh();
    ck_assert_uint_eq(catalog->model_count, 62);
}
END_TEST

START_TEST(own_gpus_keep_every_digit)
{
    struct lq_error err = {0};
    bool created = false;
    struct lq_gpu gpu = {.id = "Mine-1",
                         .vendor = "acme",
                         .memory_bytes = 12345678901.0,
                         .memory_is_reported = true,
                         .memory_nominal_bytes = 12.0 * LQ_GIB,
                         .memory_bandwidth_bytes_per_s = 1.1e11,
                         .fp16_flop_per_s = 1.0 / 3.0 * 1e14,
                         .pcie_generation = 4,
                         .sm_count = 7,
                         .boost_hz = 1.234e9};
    assert_code(lq_store_put_gpu(store, &gpu, "a data sheet", &created, &err), LQ_OK);
    ck_assert(created);
    refresh();
    const struct lq_gpu_entry *entry = lq_catalog_gpu(catalog, "mine-1");
    ck_assert_double_eq(entry->gpu.memory_bytes, gpu.memory_bytes);
    ck_assert_double_eq(entry->gpu.memory_nominal_bytes, gpu.memory_nominal_bytes);
    ck_assert_double_eq(entry->gpu.fp16_flop_per_s, gpu.fp16_flop_per_s);
    ck_assert_double_eq(entry->gpu.memory_bandwidth_bytes_per_s, 1.1e11);
    ck_assert_double_eq(entry->gpu.boost_hz, 1.234e9);
    ck_assert(entry->gpu.memory_is_reported && entry->gpu.sm_count == 7);
    ck_assert_str_eq(entry->provenance.source, "a data sheet");
    strcpy(gpu.id, "MINE-1");
    assert_code(lq_store_put_gpu(store, &gpu, "", &created, &err), LQ_OK);
    ck_assert(!created);
    refresh();
    ck_assert_str_eq(lq_catalog_gpu(catalog, "mine-1")->gpu.id, "Mine-1");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *shipped = tcase_create("shipped"); /* only look at its snapshot */
    tcase_add_checked_fixture(shipped, set_up, tear_down);
    tcase_add_test(shipped, a_new_database_holds_the_shipped_catalogs);
    tcase_add_test(shipped, ids_are_found_in_either_case);
    tcase_add_test(shipped, gpu_memory_is_what_the_driver_reports_where_known);
    tcase_add_test(shipped, provenance_travels_with_every_entry);
    tcase_add_test(shipped, model_configs_are_one_line_and_counted);
    tcase_add_test(shipped, prices_of_a_gpu_ascend_and_old_ones_are_stale);
    tcase_add_test(shipped, data_sets_are_the_published_histograms);
    tcase_add_test(shipped, published_points_know_their_identity_and_row_length);
    tcase_add_test(shipped, fixed_length_steps_are_the_sum_of_their_stages);
    tcase_add_test(shipped, capacities_tell_measured_from_claimed);
    suite_add_tcase(suite, shipped);
    TCase *own = tcase_create("own"); /* a database each */
    tcase_add_checked_fixture(own, set_up, tear_down);
    tcase_add_test(own, published_points_have_documents);
    tcase_add_test(own, published_evidence_is_kept_whole);
    tcase_add_test(own, own_models_come_change_and_go);
    tcase_add_test(own, shipped_entries_are_read_only);
    tcase_add_test(own, a_model_that_cannot_be_read_is_not_stored);
    tcase_add_test(own, own_gpus_keep_every_digit);
    suite_add_tcase(suite, own);
    return run_suite(suite);
}
