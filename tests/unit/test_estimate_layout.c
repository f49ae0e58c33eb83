/* A quote for several devices: which layout it is of, and what is pointed out. */
#include "core/finetune/estimate.h"
#include "core/finetune/layout_search.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <string.h>

START_TEST(the_layout_asked_for_is_kept)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    job.gpu_count = 4;
    job.layout = (struct lq_layout){.data = 2,
                                    .tensor = 2,
                                    .pipeline = 1,
                                    .expert = 1,
                                    .context = 1,
                                    .zero_stage = 2,
                                    .nodes = 1};
    const struct lq_estimate e = quote(&job, &NOTHING);
    ck_assert_int_eq(lq_layout_compare(&e.layout, &job.layout), 0);
    ck_assert_int_eq(e.layouts_tried, 1);
    assert_close("two data ranks", e.queries_per_s, 4.0 * 2.0 / e.step_s, 1e-12);
}
END_TEST

START_TEST(the_fastest_layout_that_fits_is_found)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    job.gpu_count = 4;
    const struct lq_estimate best = quote(&job, &NOTHING);
    struct lq_layout_space space =
        lq_layout_space(job.model, 4, &job.network, 512, lq_job_parallelism(&job, &NOTHING));
    int64_t tried = 0;
    while (lq_layout_next(&space, &job.layout)) {
        struct lq_estimate e;
        struct lq_error err = {0};
        tried++;
        if (lq_estimate(&job, &NOTHING, &e, &err) == LQ_OK) {
            ck_assert_double_le(e.queries_per_s, best.queries_per_s * (1.0 + 1e-9));
        }
    }
    ck_assert_int_gt(tried, 3);
    ck_assert_int_eq(best.layouts_tried, tried);
    ck_assert_int_eq(lq_layout_gpus(&best.layout), 4);
}
END_TEST

START_TEST(where_no_layout_fits_the_refusal_says_so)
{
    struct lq_job job = small_job();
    job.gpu_count = 2;
    SMALL_GPU.memory_bytes = 1e6;
    const struct lq_error err = refusal(&job, &NOTHING);
    ck_assert_int_eq(err.code, LQ_ENOFIT);
    ck_assert_ptr_nonnull(strstr(err.detail, "no layout of 2 GPUs"));
}
END_TEST

/* Whether the refusal on some device of 0.1 to 20 GB says that QLoRA would fit. */
static bool ever_advises_qlora(const struct lq_job *job)
{
    bool advised = false;
    for (double bytes = 20e9; bytes > 1e8 && !advised; bytes *= 0.99) {
        struct lq_estimate e;
        struct lq_error err = {0};
        SMALL_GPU.memory_bytes = bytes;
        advised =
            lq_estimate(job, &NOTHING, &e, &err) != LQ_OK && strstr(err.detail, "qlora") != NULL;
    }
    return advised;
}

START_TEST(no_method_is_advised_that_the_stack_cannot_spread)
{
    struct lq_job job = small_job();
    struct lq_model large = *job.model;
    large.layers[0].count = 64;
    job.model = &large;
    job.gpu_count = 2;
    job.batch_size = 1;
    ck_assert(ever_advises_qlora(&job));
    job.stack = "litgpt-2023"; /* it shards no quantised weights */
    ck_assert(!ever_advises_qlora(&job));
    job.gpu_count = 1;
    ck_assert(ever_advises_qlora(&job));
}
END_TEST

START_TEST(networks_between_nodes_that_nobody_described_are_pointed_out)
{
    struct lq_job job = small_job();
    job.batch_size = 1;
    job.gpu_count = 16;
    job.layout = lq_layout_replicas(16, 8);
    const struct lq_estimate e = quote(&job, &NOTHING);
    ck_assert(warns(&e, LQ_WARN_INTERNODE));
    job.network.internode_bytes_per_s = 50e9;
    const struct lq_estimate told = quote(&job, &NOTHING);
    ck_assert(!warns(&told, LQ_WARN_INTERNODE));
}
END_TEST

START_TEST(devices_without_a_known_interconnect_are_not_joined)
{
    struct lq_job job = small_job();
    SMALL_GPU.interconnect_bytes_per_s = 0.0;
    (void)quote(&job, &NOTHING); /* one needs none */
    job.gpu_count = 2;
    const struct lq_error err = refusal(&job, &NOTHING);
    ck_assert_int_eq(err.code, LQ_EIMPOSSIBLE);
    ck_assert_str_eq(err.pointer, "/gpu_count");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("estimate_layout");
    TCase *tests = tcase_create("estimate_layout");
    tcase_add_test(tests, the_layout_asked_for_is_kept);
    tcase_add_test(tests, the_fastest_layout_that_fits_is_found);
    tcase_add_test(tests, where_no_layout_fits_the_refusal_says_so);
    tcase_add_test(tests, no_method_is_advised_that_the_stack_cannot_spread);
    tcase_add_test(tests, networks_between_nodes_that_nobody_described_are_pointed_out);
    tcase_add_test(tests, devices_without_a_known_interconnect_are_not_joined);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
