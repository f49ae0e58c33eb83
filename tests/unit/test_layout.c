/* Every way in which a layout contradicts itself, its model, its devices or its network. */
#include "core/arch/layout.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <string.h>

static const struct lq_network NODES_OF_8 = {.node_gpu_count = 8, .internode_bytes_per_s = 1e9};

static struct lq_layout layout_of(int64_t data, int64_t tensor, int64_t pipeline, int64_t context)
{
    return (struct lq_layout){.data = data,
                              .tensor = tensor,
                              .pipeline = pipeline,
                              .expert = 1,
                              .context = context,
                              .nodes = (data * tensor * pipeline * context + 7) / 8};
}

/* The failure of a layout of small_moe() (8 layers, 8 experts, 16 heads) that must have one. */
static struct lq_error fault(const struct lq_layout *layout, int64_t gpu_count)
{
    const struct lq_model model = small_moe();
    struct lq_error err = {0};
    ck_assert_int_eq(lq_layout_check(layout, &model, gpu_count, &NODES_OF_8, &err), LQ_EFIELD);
    ck_assert_int_eq(err.code, LQ_EFIELD);
    return err;
}

static void assert_says(const struct lq_error *err, const char *pointer, const char *part)
{
    ck_assert_str_eq(err->pointer, pointer);
    ck_assert_msg(strstr(err->detail, part) != NULL, "\"%s\" lacks \"%s\"", err->detail, part);
}

static void assert_good(const struct lq_layout *layout, int64_t gpu_count)
{
    const struct lq_model model = small_moe();
    struct lq_error err = {0};
    ck_assert_msg(lq_layout_check(layout, &model, gpu_count, &NODES_OF_8, &err) == LQ_OK, "%s: %s",
                  err.pointer, err.detail);
    ck_assert_int_eq(err.code, LQ_OK);
}

START_TEST(one_device_is_a_layout_of_every_model)
{
    const struct lq_model models[] = {tiny_dense(), tiny_moe(), tiny_mamba()};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct lq_error err = {0};
        ck_assert_int_eq(lq_layout_check(&LQ_LAYOUT_SINGLE, &models[i], 1,
                                         &(struct lq_network){.node_gpu_count = 1}, &err),
                         LQ_OK);
    }
}
END_TEST

START_TEST(a_full_layout_passes)
{
    struct lq_layout layout = layout_of(4, 2, 4, 2);
    layout.expert = 4;
    layout.zero_stage = 1;
    layout.zero_group = 4;
    assert_good(&layout, 64);
    ck_assert_int_eq(lq_layout_gpus(&layout), 64);
    ck_assert_int_eq(lq_layout_shards(&layout), 4);
    layout.zero_group = 0;
    ck_assert_int_eq(lq_layout_shards(&layout), 8);
}
END_TEST

static const struct {
    const char *pointer;
    struct lq_layout layout; /* of 64 devices */
    const char *part;        /* of the detail */
} SIZES[] = {
    {"/layout/data", {0, 1, 1, 1, 1, 0, 0, 8}, "1..64, got 0"},
    {"/layout/tensor", {64, 0, 1, 1, 1, 0, 0, 8}, "1..64, got 0"},
    {"/layout/pipeline", {64, 1, -1, 1, 1, 0, 0, 8}, "1..64, got -1"},
    {"/layout/expert", {64, 1, 1, 65, 1, 0, 0, 8}, "1..64, got 65"},
    {"/layout/context", {64, 1, 1, 1, INT64_MAX, 0, 0, 8}, "got 9223372036854775807"},
    {"/layout/zero_stage", {64, 1, 1, 1, 1, 4, 0, 8}, "0..3, got 4"},
    {"/layout/zero_stage", {64, 1, 1, 1, 1, -1, 0, 8}, "0..3, got -1"},
    {"/layout/zero_group", {64, 1, 1, 1, 1, 1, -8, 8}, "0..64, got -8"},
    {"/layout/nodes", {64, 1, 1, 1, 1, 0, 0, 0}, "1..64, got 0"},
    {"/layout/nodes", {64, 1, 1, 1, 1, 0, 0, 65}, "1..64, got 65"},
};

START_TEST(sizes_lie_between_one_and_the_devices)
{
    const struct lq_error err = fault(&SIZES[_i].layout, 64);
    assert_says(&err, SIZES[_i].pointer, SIZES[_i].part);
}
END_TEST

START_TEST(the_product_is_the_devices)
{
    struct lq_layout layout = layout_of(4, 2, 2, 1);
    const struct lq_error data = fault(&layout, 64);
    assert_says(&data, "/layout/data", "must be 16: 64 devices");
    layout = layout_of(1, 4, 3, 1);
    const struct lq_error others = fault(&layout, 64);
    assert_says(&others, "/layout", "tensor 4 * pipeline 3 * context 1 must divide the 64 devices");
}
END_TEST

START_TEST(products_beyond_64_bits_are_refused)
{
    const struct lq_layout layout = {INT64_MAX, INT64_MAX, INT64_MAX, 1,
                                     INT64_MAX, 0,         0,         INT64_MAX};
    const struct lq_error err = fault(&layout, INT64_MAX);
    assert_says(&err, "/layout", "must divide");
}
END_TEST

START_TEST(tensor_divides_the_query_heads)
{
    const struct lq_layout layout = layout_of(2, 32, 1, 1);
    const struct lq_error err = fault(&layout, 64);
    assert_says(&err, "/layout/tensor", "16 query heads, got 32; 16 would");
}
END_TEST

/* tiny_mamba's mixer is 16 wide, tiny_dense's network 16 beside 2 heads. */
START_TEST(tensor_divides_the_widths)
{
    struct lq_model model = tiny_mamba();
    const struct lq_layout layout = layout_of(1, 3, 1, 1);
    struct lq_error err = {0};
    ck_assert_int_eq(lq_layout_check(&layout, &model, 3, &NODES_OF_8, &err), LQ_EFIELD);
    assert_says(&err, "/layout/tensor", "16 channels of the Mamba mixer, got 3; 2 would");
    model = tiny_dense();
    model.layers[0].mixer.heads = 6;
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_layout_check(&layout, &model, 3, &NODES_OF_8, &err), LQ_EFIELD);
    assert_says(&err, "/layout/tensor", "16 channels of the feed-forward network, got 3; 2 would");
    model = small_moe();
    model.layers[0].ffn.shared_size = 6;
    err = (struct lq_error){0};
    const struct lq_layout fours = layout_of(1, 4, 1, 1);
    ck_assert_int_eq(lq_layout_check(&fours, &model, 4, &NODES_OF_8, &err), LQ_EFIELD);
    assert_says(&err, "/layout/tensor", "6 channels of the shared experts, got 4; 3 would");
}
END_TEST

START_TEST(every_stage_has_a_layer)
{
    struct lq_layout layout = layout_of(8, 1, 8, 1);
    assert_good(&layout, 64);
    layout = layout_of(4, 1, 16, 1);
    const struct lq_error err = fault(&layout, 64);
    assert_says(&err, "/layout/pipeline", "1..8, the model's layers, got 16");
}
END_TEST

START_TEST(experts_need_ranks_of_their_own)
{
    struct lq_layout layout = layout_of(16, 4, 1, 1);
    layout.expert = 16;
    const struct lq_error many = fault(&layout, 64);
    assert_says(&many, "/layout/expert", "8 routed experts, got 16; 8 would");
    layout = layout_of(4, 16, 1, 1);
    layout.expert = 8;
    const struct lq_error few = fault(&layout, 64);
    assert_says(&few, "/layout/expert", "data (4), got 8; 4 would");
}
END_TEST

START_TEST(a_dense_model_has_no_expert_groups)
{
    const struct lq_model model = tiny_dense();
    struct lq_layout layout = layout_of(2, 1, 1, 1);
    layout.expert = 2;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_layout_check(&layout, &model, 2, &NODES_OF_8, &err), LQ_EFIELD);
    assert_says(&err, "/layout/expert", "without routed experts, got 2");
}
END_TEST

START_TEST(shard_groups_divide_their_ranks)
{
    struct lq_layout layout = layout_of(8, 4, 1, 2);
    layout.zero_stage = 1;
    layout.zero_group = 16;
    assert_good(&layout, 64);
    layout.zero_group = 12;
    const struct lq_error err = fault(&layout, 64);
    assert_says(&err, "/layout/zero_group", "data * context (8 * 2), got 12; 8 would");
    layout.zero_stage = 0;
    const struct lq_error idle = fault(&layout, 64);
    assert_says(&idle, "/layout/zero_group", "zero_stage 0, which shards nothing, got 12");
}
END_TEST

START_TEST(nodes_hold_the_devices)
{
    struct lq_layout layout = layout_of(64, 1, 1, 1);
    assert_good(&layout, 64);
    layout.nodes = 7;
    const struct lq_error err = fault(&layout, 64);
    assert_says(&err, "/layout/nodes", "must be 8 or more: a node has 8 of the 64 devices, got 7");
    const struct lq_model model = small_moe();
    struct lq_error empty = {0};
    ck_assert_int_eq(lq_layout_check(&LQ_LAYOUT_SINGLE, &model, 1, &(struct lq_network){0}, &empty),
                     LQ_EFIELD);
    assert_says(&empty, "/node_gpu_count", "1 or more, got 0");
}
END_TEST

START_TEST(layouts_compare_by_every_size)
{
    const struct lq_layout a = layout_of(4, 2, 2, 2);
    ck_assert_int_eq(lq_layout_compare(&a, &a), 0);
    struct lq_layout b[8];
    for (size_t i = 0; i < 8; i++) {
        b[i] = a;
    }
    b[0].data++;
    b[1].tensor++;
    b[2].pipeline++;
    b[3].expert++;
    b[4].context++;
    b[5].zero_stage++;
    b[6].nodes++;
    b[7].zero_group = 9;
    for (size_t i = 0; i < 8; i++) {
        ck_assert_int_lt(lq_layout_compare(&a, &b[i]), 0);
        ck_assert_int_gt(lq_layout_compare(&b[i], &a), 0);
    }
    b[7].zero_group = 8; /* all of them, however it is said */
    ck_assert_int_eq(lq_layout_compare(&a, &b[7]), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layout");
    TCase *tests = tcase_create("layout");
    tcase_add_test(tests, one_device_is_a_layout_of_every_model);
    tcase_add_test(tests, a_full_layout_passes);
    tcase_add_loop_test(tests, sizes_lie_between_one_and_the_devices, 0,
                        sizeof SIZES / sizeof SIZES[0]);
    tcase_add_test(tests, the_product_is_the_devices);
    tcase_add_test(tests, products_beyond_64_bits_are_refused);
    tcase_add_test(tests, tensor_divides_the_query_heads);
    tcase_add_test(tests, tensor_divides_the_widths);
    tcase_add_test(tests, every_stage_has_a_layer);
    tcase_add_test(tests, experts_need_ranks_of_their_own);
    tcase_add_test(tests, a_dense_model_has_no_expert_groups);
    tcase_add_test(tests, shard_groups_divide_their_ranks);
    tcase_add_test(tests, nodes_hold_the_devices);
    tcase_add_test(tests, layouts_compare_by_every_size);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
