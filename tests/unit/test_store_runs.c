/* Published runs in a catalog, and what posted points may say of how they were trained. */
#include "core/finetune/efficiency.h"
#include "tests/unit/check_main.h"
#include "tests/unit/store_fixture.h"

#include <stdio.h>
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

static const struct lq_point *run(const char *id)
{
    for (size_t i = 0; i < catalog->run_count; i++) {
        if (strcmp(catalog->runs[i].id, id) == 0) {
            return &catalog->runs[i];
        }
    }
    return NULL;
}

START_TEST(published_runs_are_evidence_of_their_own)
{
    ck_assert_uint_eq(catalog->run_count, 179); /* 216 rows, 18 capacities, 19 without evidence */
    ck_assert_uint_eq(catalog->run_capacity_count, 18);
    ck_assert_uint_eq(catalog->point_count, 106);
    for (size_t i = 0; i < catalog->run_count; i++) {
        const struct lq_point *p = &catalog->runs[i];
        const struct lq_identity *id = &p->identity;
        ck_assert(p->shipped);
        ck_assert_str_eq(p->source, p->dataset);
        ck_assert_msg(lq_catalog_any_model(catalog, id->model) != NULL, "%s", id->model);
        ck_assert_msg(lq_catalog_any_gpu(catalog, id->gpu) != NULL, "%s", id->gpu);
        ck_assert_int_eq(lq_layout_gpus(&id->layout), id->gpu_count);
        ck_assert_msg(p->conditions.row_tokens > 0.0, "%s", p->id);
        ck_assert_msg(p->longest_tokens >= p->conditions.row_tokens, "%s", p->id);
        ck_assert_msg(p->queries_per_s > 0.0 || p->peak_memory_bytes > 0.0 || p->out_of_memory,
                      "%s", p->id);
        ck_assert_int_eq(p->queries_per_s > 0.0, p->step_time_s > 0.0);
    }
}
END_TEST

START_TEST(every_layout_of_a_run_goes_together)
{
    for (size_t i = 0; i < catalog->run_count; i++) {
        const struct lq_identity *id = &catalog->runs[i].identity;
        const struct lq_network network = {.node_gpu_count = LQ_NODE_GPUS_DEFAULT};
        struct lq_error err = {0};
        ck_assert_msg(lq_layout_check(&id->layout, lq_catalog_any_model(catalog, id->model),
                                      id->gpu_count, &network, &err) == LQ_OK,
                      "%s: %s", catalog->runs[i].id, err.detail);
    }
}
END_TEST

/* What was published of a stack it can do. */
START_TEST(every_run_is_of_a_layout_that_its_stack_offers)
{
    for (size_t i = 0; i < catalog->run_count; i++) {
        const struct lq_identity *id = &catalog->runs[i].identity;
        const struct lq_stack *stack = lq_stack_find(id->stack);
        ck_assert_msg(stack != NULL, "%s", id->stack);
        const uint32_t used = lq_layout_parallelism(&id->layout);
        char text[LQ_PARALLELISM_TEXT_MAX];
        lq_parallelism_text(used & ~lq_stack_parallelism(stack, &id->method), text);
        ck_assert_msg(text[0] == '\0', "%s: %s has no %s", catalog->runs[i].id, id->stack, text);
    }
}
END_TEST

START_TEST(a_run_has_what_its_row_prints)
{
    const struct lq_point *p = run("internevo-25"); /* TP2, ZeRO-1 in groups of 4 */
    ck_assert_ptr_nonnull(p);
    ck_assert_str_eq(p->identity.model, "measured:internlm-7b");
    ck_assert_int_eq(p->identity.layout.data, 4);
    ck_assert_int_eq(p->identity.layout.tensor, 2);
    ck_assert_int_eq(p->identity.layout.zero_stage, 1);
    ck_assert_int_eq(p->identity.layout.zero_group, 4);
    ck_assert(p->identity.master_weights);
    ck_assert_double_eq_tol(p->queries_per_s * 2048.0 / 8.0, 3761.0, 1e-6);
    ck_assert_double_eq_tol(p->step_time_s, 4.0 * 4.0 / p->queries_per_s, 1e-6);
    p = run("litgpt-15"); /* "OOM" */
    ck_assert_ptr_nonnull(p);
    ck_assert(p->out_of_memory);
    ck_assert_double_eq(p->longest_tokens, 1304.0);
    ck_assert_uint_eq(p->identity.method.targets,
                      LQ_TARGET_BIT(LQ_TARGET_Q) | LQ_TARGET_BIT(LQ_TARGET_V));
    p = run("torchtune-16");
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(p->identity.optimizer, LQ_OPTIMIZER_ADAMW_8BIT);
    ck_assert_uint_eq(p->identity.options, LQ_OPTION_BIT(LQ_OPTION_COMPILE) |
                                               LQ_OPTION_BIT(LQ_OPTION_CHUNKED_LOSS) |
                                               LQ_OPTION_BIT(LQ_OPTION_OPTIMIZER_IN_BACKWARD) |
                                               LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_ACTIVATIONS));
    ck_assert_double_eq_tol(p->peak_memory_bytes, 17.6 * 1073741824.0, 1.0);
    ck_assert_ptr_null(run("torchtune-9")); /* padded to lengths nobody printed */
    p = run("xtuner-1");                    /* memory was not printed */
    ck_assert_ptr_nonnull(p);
    ck_assert_double_eq(p->peak_memory_bytes, 0.0);
    ck_assert_int_eq(p->identity.layout.context, 2);
}
END_TEST

START_TEST(the_longest_context_of_a_size_is_a_capacity)
{
    int misses = 0;
    for (size_t i = 0; i < catalog->run_capacity_count; i++) {
        const struct lq_capacity *c = &catalog->run_capacities[i];
        ck_assert_str_eq(c->identity.gpu, "");
        ck_assert_double_ge(c->capacity_bytes, 8.0 * 1073741824.0);
        ck_assert_int_ge(c->longest_tokens, 512);
        misses += c->max_batch_size == 0;
    }
    ck_assert_int_eq(misses, 2);
}
END_TEST

START_TEST(what_only_runs_have_is_found_and_not_listed)
{
    const struct lq_gpu *gpu = lq_catalog_any_gpu(catalog, "OWN:h100-96gb-hbm2e");
    ck_assert_ptr_nonnull(gpu);
    ck_assert_double_eq(gpu->memory_bandwidth_bytes_per_s, 2.4e12);
    ck_assert_ptr_null(lq_catalog_gpu(catalog, "own:h100-96gb-hbm2e"));
    ck_assert_ptr_nonnull(lq_catalog_any_model(catalog, "measured:phi-1.5"));
    ck_assert_ptr_null(lq_catalog_model(catalog, "measured:phi-1.5"));
    ck_assert_ptr_nonnull(lq_catalog_any_model(catalog, "mixtral-8x7b"));
    ck_assert_ptr_null(lq_catalog_any_model(catalog, "measured:nothing"));
    ck_assert_ptr_null(lq_catalog_any_gpu(catalog, "own:nothing"));
}
END_TEST

START_TEST(how_it_was_trained_comes_back_from_the_store)
{
    struct lq_new_point given = make_point(1);
    struct lq_identity *id = &given.point.identity;
    id->gpu_count = 32;
    id->attention = LQ_ATTENTION_EAGER;
    id->master_weights = true;
    id->options = LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_OPTIMIZER);
    id->layout = (struct lq_layout){.data = 2,
                                    .tensor = 4,
                                    .pipeline = 2,
                                    .expert = 2,
                                    .context = 2,
                                    .zero_stage = 3,
                                    .zero_group = 2,
                                    .nodes = 5};
    given.point.queries_per_s = 0.0;
    given.point.step_time_s = 0.0;
    given.point.out_of_memory = true;
    given.point.longest_tokens = 700.0;
    char ids[1][LQ_ID_MAX];
    size_t duplicates = 0;
    struct lq_error err = {0};
    const struct lq_batch batch = {.points = &given,
                                   .count = 1,
                                   .body_digest = "",
                                   .token_id = "tester",
                                   .token_name = "tester"};
    assert_code(lq_store_add_points(store, &batch, ids, &duplicates, NULL, &err), LQ_OK);
    settle(store);
    lq_store_release(store, catalog);
    catalog = lq_store_acquire(store);
    const struct lq_point *kept = &catalog->points[catalog->point_count - 1];
    ck_assert(lq_identity_equal(&kept->identity, id));
    ck_assert_int_eq(kept->identity.layout.zero_group, 2);
    ck_assert(kept->out_of_memory);
    ck_assert_double_eq(kept->queries_per_s, 0.0);
    ck_assert_double_eq(kept->step_time_s, 0.0);
    ck_assert_double_eq(kept->longest_tokens, 700.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_runs");
    TCase *cases = tcase_create("runs");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, published_runs_are_evidence_of_their_own);
    tcase_add_test(cases, every_layout_of_a_run_goes_together);
    tcase_add_test(cases, every_run_is_of_a_layout_that_its_stack_offers);
    tcase_add_test(cases, a_run_has_what_its_row_prints);
    tcase_add_test(cases, the_longest_context_of_a_size_is_a_capacity);
    tcase_add_test(cases, what_only_runs_have_is_found_and_not_listed);
    tcase_add_test(cases, how_it_was_trained_comes_back_from_the_store);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
