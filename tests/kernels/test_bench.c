/* Operations of a step by themselves: what is counted without a device is what the CPU counts as it
 * computes, what is timed has a time, and rooflines. */
#include "kernels/cpu/cpu.h"
#include "kernels/measure/bench.h"
#include "kernels/measure/counting.h"
#include "tests/kernels/layer_fixture.h"
#include "tests/unit/check_main.h"

#include <string.h>

enum { TOKENS = 40 };

static struct lq_error err;
static struct lq_bench counted;
static struct lq_bench computed;

static struct lq_model model_at(int i)
{
    struct lq_model models[] = {dense(), moe(), mamba(), mla()};
    models[1].layers[0].ffn.experts = 8; /* each gets some of 40 tokens */
    models[1].layers[0].ffn.active_experts = 3;
    models[1].layers[0].count = 7;
    return models[i];
}

static struct lq_bench_job job_of(const struct lq_model *model, const struct lq_method *method)
{
    return (struct lq_bench_job){.backend = lq_cpu_backend(),
                                 .device = device,
                                 .element = LQ_ELEMENT_F32,
                                 .model = model,
                                 .method = method,
                                 .tokens = TOKENS};
}

START_TEST(what_is_counted_is_what_the_cpu_counts)
{
    static const struct lq_method *const METHODS[] = {&FULL, &LORA, &QLORA};
    const struct lq_model model = model_at(_i / 3);
    const struct lq_bench_job job = job_of(&model, METHODS[_i % 3]);
    ck_assert_msg(lq_bench_run(&job, &computed, &err) == LQ_OK, "%s", err.detail);
    ck_assert_msg(lq_bench_count(&job, &counted, &err) == LQ_OK, "%s", err.detail);
    ck_assert_uint_eq(counted.count, computed.count);
    ck_assert_uint_gt(counted.count, 15);
    for (size_t i = 0; i < counted.count; i++) {
        const struct lq_bench_row *a = &counted.row[i];
        const struct lq_bench_row *b = &computed.row[i];
        ck_assert_str_eq(a->name, b->name);
        ck_assert_str_eq(a->shape, b->shape);
        ck_assert_double_eq(a->calls, b->calls);
        ck_assert_msg(memcmp(&a->work, &b->work, sizeof a->work) == 0, "%s %s", a->name, a->shape);
        ck_assert_double_eq(a->work.calls, 1.0);
        ck_assert_int_eq(b->time.samples, 0);
    }
}
END_TEST

/* The row of a name, of which there must be one at least. */
static const struct lq_bench_row *row_named(const struct lq_bench *bench, const char *name)
{
    for (size_t i = 0; i < bench->count; i++) {
        if (strcmp(bench->row[i].name, name) == 0) {
            return &bench->row[i];
        }
    }
    ck_abort_msg("no %s", name);
    return NULL;
}

START_TEST(every_operation_is_timed_at_its_own_shape)
{
    const struct lq_model model = model_at(1);
    struct lq_bench_job job = job_of(&model, &QLORA);
    job.budget_s = 1e-5;
    ck_assert_msg(lq_bench_run(&job, &computed, &err) == LQ_OK, "%s", err.detail);
    for (size_t i = 0; i < computed.count; i++) {
        ck_assert_int_ge(computed.row[i].time.samples, 5);
        ck_assert_double_gt(computed.row[i].time.median_s, 0.0);
    }
    ck_assert_str_eq(row_named(&computed, "sort")->shape, "40 x 3, 8 experts");
    ck_assert_double_eq(row_named(&computed, "sort")->calls, 7.0); /* once in each layer */
    ck_assert_double_eq(row_named(&computed, "loss backward")->calls, 1.0);
    ck_assert_str_eq(row_named(&computed, "gather backward")->shape, "40 x 3 x 128");
    (void)row_named(&computed, "linear adapter weight gradient");
}
END_TEST

START_TEST(a_step_of_a_model_far_too_large_is_counted)
{
    struct lq_model model = model_at(0);
    model.hidden_size = 1 << 16;
    model.layers[0].ffn.intermediate_size = 1 << 18;
    struct lq_bench_job job = job_of(&model, &FULL);
    job.element = LQ_ELEMENT_BF16;
    ck_assert_msg(lq_bench_count(&job, &counted, &err) == LQ_OK, "%s", err.detail);
    const struct lq_bench_row *row = row_named(&counted, "norm forward");
    ck_assert_double_eq(row->work.traffic_bytes, 2.0 * TOKENS * 65536.0 * 2.0); /* of 2 bytes */
}
END_TEST

START_TEST(the_slowest_side_of_a_roofline_bounds)
{
    const struct lq_roofline roofline = {.flop_per_s = 100.0, .bytes_per_s = 10.0, .launch_s = 0.5};
    static const struct {
        struct lq_tally work;
        double seconds;
        enum lq_bound bound;
    } CASES[] = {{{.flop = 300.0, .weight_bytes = 20.0}, 3.0, LQ_BOUND_COMPUTE},
                 {{.flop = 100.0, .weight_bytes = 5.0, .stream_bytes = 10.0, .traffic_bytes = 15.0},
                  3.0,
                  LQ_BOUND_MEMORY},
                 {{.flop = 10.0, .traffic_bytes = 1.0}, 0.5, LQ_BOUND_LAUNCH}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        enum lq_bound bound = LQ_BOUND_LAUNCH;
        ck_assert_double_eq(lq_roofline_s(&roofline, &CASES[i].work, &bound), CASES[i].seconds);
        ck_assert_int_eq(bound, CASES[i].bound);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench");
    TCase *tests = tcase_create("bench");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, what_is_counted_is_what_the_cpu_counts, 0, 12);
    tcase_add_test(tests, every_operation_is_timed_at_its_own_shape);
    tcase_add_test(tests, a_step_of_a_model_far_too_large_is_counted);
    tcase_add_test(tests, the_slowest_side_of_a_roofline_bounds);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
