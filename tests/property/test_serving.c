/* What must hold of serving whatever the model, traffic and device: random ones, seeded. */
#include "core/planning/serving.h"
#include "core/planning/serving_moe.h"
#include "tests/unit/model_config_check.h"

#include <math.h>

enum { TRIALS = 300 };

static uint64_t state;

static double uniform(double low, double high)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(state >> 11) / 9007199254740992.0;
}

static double log_uniform(double low, double high)
{
    return exp(uniform(log(low), log(high)));
}

/* One case: a planned model on a device with traffic and a stack. */
struct trial {
    struct lq_moe_shape shape;
    struct lq_gpu gpu;
    struct lq_request_kind kind;
    struct lq_serving_setup setup;
};

static void draw(struct trial *t)
{
    const double experts = floor(log_uniform(1.0, 65.0));
    t->shape =
        (struct lq_moe_shape){log_uniform(1e8, 1e11), experts, floor(uniform(1.0, experts + 1.0)),
                              uniform(0.1, 0.9), uniform(0.1, 1.0)};
    t->gpu = (struct lq_gpu){.id = "any",
                             .memory_bytes = log_uniform(1.6e10, 3e11),
                             .memory_bandwidth_bytes_per_s = log_uniform(3e11, 8e12),
                             .fp16_flop_per_s = log_uniform(5e13, 2e15),
                             .interconnect_bytes_per_s = log_uniform(3e10, 2e12)};
    t->kind = (struct lq_request_kind){log_uniform(1.0, 8000.0), log_uniform(1.0, 4000.0), 1.0};
    t->setup = (struct lq_serving_setup){
        .gpu = &t->gpu,
        .stack = &LQ_SERVING_STACKS[(size_t)uniform(0.0, (double)LQ_SERVING_STACK_COUNT)],
        .max_concurrent_requests = (int64_t)log_uniform(1.0, 2000.0),
        .expert_parallel = uniform(0.0, 1.0) < 0.3};
}

/* Serves on `gpus`; false where it does not fit. */
static bool serve(const struct trial *t, int64_t gpus, struct lq_serving *out)
{
    static const struct lq_serving_format FORMAT = {.precision = LQ_PRECISION_BF16};
    const struct lq_traffic traffic = {.kinds = &t->kind, .count = 1};
    struct lq_serving_load load;
    struct lq_error err = {0};
    ck_assert_int_eq(
        lq_serving_count_moe(&t->shape, &FORMAT, t->setup.stack, &traffic, &load, &err), LQ_OK);
    const enum lq_code code = lq_serving_at(&load, &t->setup, gpus, out, &err);
    ck_assert_msg(code == LQ_OK || code == LQ_ENOFIT, "%s", err.detail);
    return code == LQ_OK;
}

static void assert_at_most(const char *what, double least, double most)
{
    ck_assert_msg(least <= most * (1.0 + 1e-12), "%s: %.17g > %.17g", what, least, most);
}

START_TEST(more_requests_at_once_never_lower_the_throughput)
{
    for (int i = 0; i < TRIALS; i++) {
        struct trial t;
        struct lq_serving few;
        struct lq_serving many;
        draw(&t);
        if (!serve(&t, 8, &few)) {
            continue;
        }
        t.setup.max_concurrent_requests *= 1 + (int64_t)uniform(0.0, 8.0);
        ck_assert(serve(&t, 8, &many));
        assert_at_most("tokens per second", few.tokens_per_s, many.tokens_per_s);
        assert_at_most("concurrent requests", few.concurrent_requests, many.concurrent_requests);
    }
}
END_TEST

START_TEST(longer_prompts_never_raise_the_throughput)
{
    for (int i = 0; i < TRIALS; i++) {
        struct trial t;
        struct lq_serving brief;
        struct lq_serving lengthy;
        draw(&t);
        const bool fitted = serve(&t, 8, &brief);
        t.kind.prompt_tokens *= uniform(1.0, 3.0);
        if (!serve(&t, 8, &lengthy)) {
            continue;
        }
        ck_assert(fitted);
        assert_at_most("tokens per second", lengthy.tokens_per_s, brief.tokens_per_s);
        assert_at_most("concurrent requests", lengthy.concurrent_requests,
                       brief.concurrent_requests);
        assert_at_most("prompt latency", brief.prompt_latency_s, lengthy.prompt_latency_s);
    }
}
END_TEST

START_TEST(more_memory_never_lowers_requests_or_throughput)
{
    for (int i = 0; i < TRIALS; i++) {
        struct trial t;
        struct lq_serving small;
        struct lq_serving large;
        draw(&t);
        const bool fitted = serve(&t, 4, &small);
        t.gpu.memory_bytes *= uniform(1.0, 4.0);
        if (!serve(&t, 4, &large)) {
            ck_assert(!fitted);
            continue;
        }
        if (fitted) {
            assert_at_most("concurrent requests", small.concurrent_requests,
                           large.concurrent_requests);
            assert_at_most("tokens per second", small.tokens_per_s, large.tokens_per_s);
        }
    }
}
END_TEST

START_TEST(faster_devices_never_take_longer)
{
    for (int i = 0; i < TRIALS; i++) {
        struct trial t;
        struct lq_serving slow;
        struct lq_serving fast;
        draw(&t);
        if (!serve(&t, 2, &slow)) {
            continue;
        }
        t.gpu.memory_bandwidth_bytes_per_s *= uniform(1.0, 3.0);
        t.gpu.fp16_flop_per_s *= uniform(1.0, 3.0);
        t.gpu.interconnect_bytes_per_s *= uniform(1.0, 3.0);
        ck_assert(serve(&t, 2, &fast));
        assert_at_most("iteration", fast.iteration_s, slow.iteration_s);
    }
}
END_TEST

START_TEST(memory_stays_within_what_is_usable_and_parts_make_the_whole)
{
    for (int i = 0; i < TRIALS; i++) {
        struct trial t;
        struct lq_serving s;
        draw(&t);
        if (!serve(&t, 4, &s)) {
            continue;
        }
        assert_at_most("memory", s.weights_bytes + s.cache_bytes, s.usable_bytes);
        ck_assert_double_ge(s.concurrent_requests, 1.0);
        const double parts = s.bound_s[0] + s.bound_s[1] + s.bound_s[2] + s.bound_s[3];
        ck_assert_double_eq_tol(parts / s.iteration_s, 1.0, 1e-9);
        ck_assert_double_eq_tol(s.gpu_s_per_token * s.tokens_per_s, 4.0, 1e-9);
    }
}
END_TEST

START_TEST(the_best_count_is_none_dearer_than_any)
{
    static const struct lq_serving_format FORMAT = {.precision = LQ_PRECISION_BF16};
    for (int i = 0; i < TRIALS; i++) {
        struct trial t;
        draw(&t);
        const struct lq_traffic traffic = {.kinds = &t.kind, .count = 1};
        struct lq_serving_load load;
        struct lq_serving best;
        struct lq_serving any;
        struct lq_error err = {0};
        ck_assert_int_eq(
            lq_serving_count_moe(&t.shape, &FORMAT, t.setup.stack, &traffic, &load, &err), LQ_OK);
        const bool fits = lq_serving_best(&load, &t.setup, 8, &best, &err) == LQ_OK;
        ck_assert(fits == (lq_serving_fewest(&load, &t.setup) <= 8 &&
                           lq_serving_fewest(&load, &t.setup) > 0));
        for (int64_t gpus = 1; fits && gpus <= 8; gpus *= 2) {
            if (serve(&t, gpus, &any)) {
                assert_at_most("GPU time", best.gpu_s_per_token, any.gpu_s_per_token);
            }
        }
    }
}
END_TEST

/* A mixture with as many active experts as it has reads what the dense model of its size reads. */
START_TEST(all_experts_active_are_a_dense_model)
{
    for (int i = 0; i < TRIALS; i++) {
        struct trial t;
        struct lq_serving mixture;
        struct lq_serving dense;
        draw(&t);
        t.setup.stack = lq_serving_stack_find("roofline");
        t.setup.expert_parallel = false;
        t.setup.max_concurrent_requests = 1;
        t.gpu.memory_bytes = 1e15;
        t.shape.active_experts = t.shape.experts;
        ck_assert(serve(&t, 1, &mixture));
        const double cache = mixture.cache_bytes;
        t.shape.parameters = lq_moe_total_parameters(&t.shape);
        t.shape.experts = 1.0;
        ck_assert(serve(&t, 1, &dense));
        ck_assert_double_eq_tol(mixture.weights_bytes / dense.weights_bytes, 1.0, 1e-12);
        assert_at_most("iteration", mixture.iteration_s, dense.iteration_s);
        assert_at_most("cache", cache, dense.cache_bytes);
    }
}
END_TEST

/* A batch visits more experts the more tokens it has, never more than there are. */
START_TEST(reads_grow_with_the_batch_up_to_all_experts)
{
    struct trial t = {.shape = {1e10, 64.0, 2.0, 2.0 / 3.0, 0.5},
                      .gpu = {.id = "any",
                              .memory_bytes = 1e15,
                              .memory_bandwidth_bytes_per_s = 1e12,
                              .fp16_flop_per_s = 1e18},
                      .kind = {1.0, 1.0, 1.0}};
    t.setup = (struct lq_serving_setup){
        .gpu = &t.gpu, .stack = lq_serving_stack_find("roofline"), .max_concurrent_requests = 1};
    const double all_s = lq_moe_total_parameters(&t.shape) * 2.0 / (0.83 * 1e12);
    double before_s = 0.0;
    for (int i = 0; i < 14; i++, t.setup.max_concurrent_requests *= 2) {
        struct lq_serving s;
        ck_assert(serve(&t, 1, &s));
        const double read_s = s.decode_s - s.cache_bytes / (0.83 * 1e12);
        assert_at_most("reads before", before_s, read_s);
        assert_at_most("reads of all", read_s, all_s);
        before_s = read_s;
    }
    ck_assert_double_ge(before_s, 0.999 * all_s);
}
END_TEST

static void seed(void)
{
    state = 20240403;
}

int main(void)
{
    Suite *suite = suite_create("serving");
    TCase *tests = tcase_create("serving");
    tcase_add_checked_fixture(tests, seed, NULL);
    tcase_add_test(tests, more_requests_at_once_never_lower_the_throughput);
    tcase_add_test(tests, longer_prompts_never_raise_the_throughput);
    tcase_add_test(tests, more_memory_never_lowers_requests_or_throughput);
    tcase_add_test(tests, faster_devices_never_take_longer);
    tcase_add_test(tests, memory_stays_within_what_is_usable_and_parts_make_the_whole);
    tcase_add_test(tests, the_best_count_is_none_dearer_than_any);
    tcase_add_test(tests, all_experts_active_are_a_dense_model);
    tcase_add_test(tests, reads_grow_with_the_batch_up_to_all_experts);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
