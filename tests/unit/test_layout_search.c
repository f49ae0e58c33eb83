/* Which layouts a search tries, in which order, and what it leaves out. */
#include "core/finetune/layout_search.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

enum { ROOM = 4096 };

static const struct lq_network NODES_OF_8 = {.node_gpu_count = 8};
static struct lq_layout found[ROOM];

static int walk_kinds(const struct lq_model *model, int64_t gpu_count, int64_t row_tokens,
                      uint32_t kinds)
{
    struct lq_layout_space space =
        lq_layout_space(model, gpu_count, &NODES_OF_8, row_tokens, kinds);
    int n = 0;
    while (lq_layout_next(&space, &found[n])) {
        struct lq_error err = {0};
        ck_assert_msg(lq_layout_check(&found[n], model, gpu_count, &NODES_OF_8, &err) == LQ_OK,
                      "%s: %s", err.pointer, err.detail);
        bool is_new = true; /* one assertion for all: each is a message between processes */
        for (int i = 0; i < n; i++) {
            is_new = is_new && lq_layout_compare(&found[i], &found[n]) != 0;
        }
        ck_assert_msg(is_new, "layout %d stands twice", n);
        n++;
        ck_assert_int_lt(n, ROOM);
    }
    ck_assert(!lq_layout_next(&space, &found[n])); /* the end stays the end */
    return n;
}

static int walk(const struct lq_model *model, int64_t gpu_count, int64_t row_tokens)
{
    return walk_kinds(model, gpu_count, row_tokens, LQ_PARALLELISM_ALL);
}

static bool has(int n, struct lq_layout layout)
{
    for (int i = 0; i < n; i++) {
        if (lq_layout_compare(&found[i], &layout) == 0) {
            return true;
        }
    }
    return false;
}

START_TEST(one_device_has_one_layout)
{
    const struct lq_model model = small_moe();
    ck_assert_int_eq(walk(&model, 1, 512), 1);
    ck_assert_int_eq(lq_layout_compare(&found[0], &LQ_LAYOUT_SINGLE), 0);
}
END_TEST

/* tiny_dense: 3 layers, 2 heads. Replicas, three stages of sharding, and a tensor pair. */
START_TEST(two_devices_have_five)
{
    const struct lq_model model = tiny_dense();
    ck_assert_int_eq(walk(&model, 2, 512), 5);
    for (int stage = 0; stage < 4; stage++) {
        ck_assert_int_eq(found[stage].data, 2);
        ck_assert_int_eq(found[stage].zero_stage, stage);
    }
    ck_assert_int_eq(found[4].tensor, 2);
}
END_TEST

START_TEST(three_devices_are_a_pipeline_of_three_layers)
{
    const struct lq_model model = tiny_dense();
    const int n = walk(&model, 3, 512);
    ck_assert_int_eq(n, 5);
    ck_assert_int_eq(found[4].pipeline, 3);
}
END_TEST

START_TEST(sixty_four_devices_have_a_few_hundred)
{
    const struct lq_model model = small_moe();
    const int n = walk(&model, 64, 512);
    ck_assert_int_gt(n, 50);
    ck_assert_int_lt(n, 250);
    ck_assert(has(n, (struct lq_layout){64, 1, 1, 8, 1, 3, 0, 8}));
    ck_assert(has(n, (struct lq_layout){8, 8, 1, 1, 1, 0, 0, 8}));
    ck_assert(has(n, (struct lq_layout){64, 1, 1, 1, 1, 1, 8, 8}));
    ck_assert(has(n, (struct lq_layout){4, 4, 4, 4, 1, 1, 0, 8}));
    ck_assert(!has(n, (struct lq_layout){4, 16, 1, 1, 1, 0, 0, 8}));
    ck_assert(!has(n, (struct lq_layout){32, 1, 2, 1, 1, 3, 0, 8}));
}
END_TEST

/* By kinds: the walk of two_devices_have_five with some of them only. */
START_TEST(kinds_that_are_not_offered_are_left_out)
{
    const struct lq_model model = tiny_dense();
    const uint32_t zero_3 = LQ_PARALLELISM_BIT(LQ_PARALLELISM_ZERO_3);
    const uint32_t tensor = LQ_PARALLELISM_BIT(LQ_PARALLELISM_TENSOR);
    ck_assert_int_eq(walk_kinds(&model, 2, 512, 0), 0);
    ck_assert_int_eq(walk_kinds(&model, 1, 512, 0), 1); /* one device needs none */
    ck_assert_int_eq(walk_kinds(&model, 2, 512, zero_3), 1);
    ck_assert_int_eq(found[0].zero_stage, 3);
    ck_assert_int_eq(walk_kinds(&model, 2, 512, zero_3 | tensor), 2);
    ck_assert_int_eq(found[1].tensor, 2);
    ck_assert_int_eq(walk_kinds(&model, 4, 512, zero_3 | tensor), 2); /* 2 heads */
    ck_assert_int_eq(found[1].zero_stage, 3);
}
END_TEST

/* Stage 1 is the better one beside a pipeline; where there is none the others are tried. */
START_TEST(pipelines_shard_by_stage_3_where_there_is_no_stage_1)
{
    const struct lq_model model = small_moe();
    const struct lq_layout sharded = {2, 1, 2, 1, 1, 3, 0, 1};
    const uint32_t kinds =
        LQ_PARALLELISM_BIT(LQ_PARALLELISM_ZERO_3) | LQ_PARALLELISM_BIT(LQ_PARALLELISM_PIPELINE);
    ck_assert(has(walk_kinds(&model, 4, 512, kinds), sharded));
    const uint32_t staged = kinds | LQ_PARALLELISM_BIT(LQ_PARALLELISM_ZERO_1);
    ck_assert(!has(walk_kinds(&model, 4, 512, staged), sharded));
}
END_TEST

START_TEST(long_rows_are_cut_where_attention_allows)
{
    const struct lq_model model = small_moe();
    const struct lq_layout cut = {2, 1, 1, 1, 4, 3, 0, 1};
    ck_assert(!has(walk(&model, 8, 16383), cut));
    ck_assert(has(walk(&model, 8, 16384), cut));
    const struct lq_model mamba = tiny_mamba();
    ck_assert(!has(walk(&mamba, 8, 16384), cut));
}
END_TEST

START_TEST(uneven_pipelines_are_left_out)
{
    struct lq_model model = tiny_dense();
    model.layers[0].count = 10;
    const int n = walk(&model, 64, 512);
    for (int i = 0; i < n; i++) {
        ck_assert(found[i].pipeline == 1 || found[i].pipeline == 2);
    }
}
END_TEST

START_TEST(many_devices_stay_bounded)
{
    const struct lq_model model = small_moe();
    ck_assert_int_lt(walk(&model, 55440, 1 << 20), ROOM);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layout_search");
    TCase *tests = tcase_create("layout_search");
    tcase_add_test(tests, one_device_has_one_layout);
    tcase_add_test(tests, two_devices_have_five);
    tcase_add_test(tests, three_devices_are_a_pipeline_of_three_layers);
    tcase_add_test(tests, sixty_four_devices_have_a_few_hundred);
    tcase_add_test(tests, kinds_that_are_not_offered_are_left_out);
    tcase_add_test(tests, pipelines_shard_by_stage_3_where_there_is_no_stage_1);
    tcase_add_test(tests, long_rows_are_cut_where_attention_allows);
    tcase_add_test(tests, uneven_pipelines_are_left_out);
    tcase_add_test(tests, many_devices_stay_bounded);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
