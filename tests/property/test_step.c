/* What the step time must obey over random models of the catalog, GPUs, methods and layouts, at
 * random factors. */
#include "core/finetune/estimate.h"
#include "core/finetune/layout_search.h"
#include "core/finetune/network.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CASES = 3000, STREAM = 60 };

/* Sums of some hundred terms. */
static const double ROUNDING = 1e-12;

static const struct lq_catalog *catalog;
static struct random_job r;
static struct lq_expert_load load;
static double rows;
static double row_tokens;
static double factor[LQ_FACTOR_COUNT];

#define assert_case(condition, number, ...)                                                        \
    do {                                                                                           \
        char got[256];                                                                             \
        snprintf(got, sizeof got, __VA_ARGS__);                                                    \
        ck_assert_msg(condition, "case %d: %s, %s: " #condition ": %s", number,                    \
                      random_describe(&r.job), describe_layout(&r.job.layout), got);               \
    } while (0)

static const char *describe_layout(const struct lq_layout *l)
{
    static char text[128];
    snprintf(text, sizeof text, "data %d tensor %d pipeline %d expert %d context %d ZeRO-%d (%d)",
             (int)l->data, (int)l->tensor, (int)l->pipeline, (int)l->expert, (int)l->context,
             l->zero_stage, (int)l->zero_group);
    return text;
}

/* One of the layouts worth trying for so many devices. */
static struct lq_layout random_layout(int64_t gpu_count)
{
    struct lq_layout_space space = lq_layout_space(r.job.model, gpu_count, &r.job.network,
                                                   (int64_t)row_tokens, LQ_PARALLELISM_ALL);
    struct lq_layout next;
    struct lq_layout picked = LQ_LAYOUT_SINGLE;
    int seen = 0;
    while (lq_layout_next(&space, &next)) {
        picked = random_between(0, seen++) == 0 ? next : picked;
    }
    ck_assert_int_gt(seen, 0);
    return picked;
}

/* A job with everything at will; factors between a half and two. */
static void random_step(int stream, int number)
{
    random_case((uint64_t)(STREAM + stream), number);
    random_roomy(catalog, &r);
    rows = (double)r.job.batch_size;
    row_tokens = (double)random_between(8, random_flag() ? 512 : 8192);
    r.job.training.options = (uint32_t)random_between(0, (1 << LQ_OPTION_COUNT) - 1);
    r.job.network = (struct lq_network){.node_gpu_count = (int64_t)1 << random_between(0, 3),
                                        .internode_bytes_per_s = random_flag() ? 50e9 : 0.0};
    if (!(lq_network_intra_bytes_per_s(&r.gpu, true) > 0.0)) {
        r.gpu.interconnect_bytes_per_s = 64e9;
    }
    r.job.layout = random_layout(random_flag() ? 1 : random_between(2, 64));
    r.job.gpu_count = lq_layout_gpus(&r.job.layout);
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        factor[f] = exp2(2.0 * random_share() - 1.0);
    }
}

static struct lq_step_time evaluate(const struct lq_step_parts *parts)
{
    struct lq_step_time step;
    lq_step_evaluate(parts, factor, &step);
    return step;
}

static struct lq_step_time step_now(void)
{
    const struct lq_step_parts parts = lq_job_step(&r.job, rows, row_tokens);
    return evaluate(&parts);
}

static double step_s(void)
{
    return step_now().total_s;
}

START_TEST(terms_sum_to_the_total_and_none_is_negative)
{
    for (int i = 0; i < CASES; i++) {
        random_step(0, i);
        const struct lq_step_time step = step_now();
        double terms = 0.0;
        double stages[LQ_STAGE_COUNT] = {0.0};
        for (int t = 0; t < LQ_TERM_COUNT; t++) {
            terms += lq_step_term_s(&step, (enum lq_term)t);
            for (int s = 0; s < LQ_STAGE_COUNT; s++) {
                const double seconds = step.term_s[t][s];
                assert_case(isfinite(seconds) && seconds >= 0.0, i, "%s %g", LQ_TERM_NAMES[t],
                            seconds);
                stages[s] += seconds;
            }
        }
        const double sum = stages[0] + stages[1] + stages[2] + stages[3];
        assert_case(fabs(terms / step.total_s - 1.0) < ROUNDING, i, "%.17g of %.17g", terms,
                    step.total_s);
        assert_case(fabs(sum / step.total_s - 1.0) < ROUNDING, i, "%.17g of %.17g", sum,
                    step.total_s);
        assert_case(stages[LQ_STAGE_FORWARD] > 0.0, i, "%g", stages[LQ_STAGE_FORWARD]);
    }
}
END_TEST

START_TEST(shares_are_slopes_and_sum_to_one)
{
    static const double STEP = 1e-4; /* of ln(factor): the slope bends by 1e-8, rounds by 1e-11 */
    for (int i = 0; i < CASES; i++) {
        random_step(1, i);
        const struct lq_step_parts parts = lq_job_step(&r.job, rows, row_tokens);
        const struct lq_step_time step = evaluate(&parts);
        double sum = 0.0;
        for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
            const double kept = factor[f];
            factor[f] = kept * exp(STEP);
            const double up_s = evaluate(&parts).total_s;
            factor[f] = kept * exp(-STEP);
            const double down_s = evaluate(&parts).total_s;
            const double slope = log(up_s / down_s) / (2.0 * STEP);
            /* where a kernel just meets its peak, one side alone tells */
            const double beside = fmin(fabs(step.share[f] - log(up_s / step.total_s) / STEP),
                                       fabs(step.share[f] - log(step.total_s / down_s) / STEP));
            factor[f] = kept;
            assert_case(fabs(step.share[f] - slope) < 1e-5 || beside < 1e-4, i,
                        "%s: %.9g, slope %.9g", LQ_FACTOR_NAMES[f], step.share[f], slope);
            assert_case(step.share[f] >= -ROUNDING, i, "%s %g", LQ_FACTOR_NAMES[f], step.share[f]);
            sum += step.share[f];
        }
        assert_case(sum < 1.0 + 1e-9, i, "%.12g", sum); /* no factor moves what runs at its peak */
        const bool below_peak = factor[LQ_FACTOR_MATMUL] >= 1.0 &&
                                factor[LQ_FACTOR_EXPERT] >= 1.0 &&
                                factor[LQ_FACTOR_SEQUENCE] >= 1.0;
        assert_case(!below_peak || sum > 1.0 - 1e-9, i, "%.12g", sum);
    }
}
END_TEST

START_TEST(more_rows_take_longer_and_never_longer_each)
{
    for (int i = 0; i < CASES; i++) {
        random_step(2, i);
        const double few = rows;
        const double few_s = step_s();
        rows += (double)random_between(1, 64);
        const double many_s = step_s();
        assert_case(many_s > few_s, i, "%g after %g", many_s, few_s);
        assert_case(rows / many_s >= few / few_s * (1.0 - ROUNDING), i, "%g after %g rows/s",
                    rows / many_s, few / few_s);
    }
}
END_TEST

START_TEST(a_faster_device_or_network_never_lengthens)
{
    for (int i = 0; i < CASES; i++) {
        random_step(3, i);
        r.job.network.internode_bytes_per_s = 25e9;
        double *const rates[] = {
            &r.gpu.fp16_flop_per_s,          &r.gpu.fp32_flop_per_s,
            &r.gpu.fp8_flop_per_s,           &r.gpu.memory_bandwidth_bytes_per_s,
            &r.gpu.interconnect_bytes_per_s, &r.job.network.internode_bytes_per_s};
        double last_s = step_s();
        for (size_t j = 0; j < sizeof rates / sizeof rates[0]; j++) {
            *rates[j] *= 1.0 + 2.0 * random_share();
            const double now_s = step_s();
            assert_case(now_s <= last_s * (1.0 + ROUNDING), i, "rate %zu: %.12g after %.12g", j,
                        now_s, last_s);
            last_s = now_s;
        }
    }
}
END_TEST

START_TEST(more_active_experts_never_shorten)
{
    int tried = 0;
    for (int i = 0; i < 2 * CASES; i++) {
        random_step(4, i);
        const int64_t experts = lq_model_experts(r.job.model);
        if (experts < 2) {
            continue;
        }
        tried++;
        r.job.active_experts = random_between(1, experts - 1);
        const double fewer_s = step_s();
        r.job.active_experts = random_between(r.job.active_experts + 1, experts);
        const double more_s = step_s();
        assert_case(more_s >= fewer_s, i, "%g after %g", more_s, fewer_s);
    }
    ck_assert_int_gt(tried, 500);
}
END_TEST

START_TEST(the_more_is_recomputed_the_longer_it_takes)
{
    static const enum lq_checkpointing ORDER[] = {LQ_CHECKPOINTING_NONE, LQ_CHECKPOINTING_SELECTIVE,
                                                  LQ_CHECKPOINTING_FULL};
    for (int i = 0; i < CASES; i++) {
        random_step(5, i);
        double last_s = 0.0;
        for (int k = 0; k < 3; k++) {
            r.job.training.checkpointing = ORDER[k];
            const double now_s = step_s();
            assert_case(now_s >= last_s, i, "%g after %g", now_s, last_s);
            last_s = now_s;
        }
    }
}
END_TEST

START_TEST(compiling_never_slows_and_eager_attention_never_speeds)
{
    for (int i = 0; i < CASES; i++) {
        random_step(6, i);
        const uint32_t compile = LQ_OPTION_BIT(LQ_OPTION_COMPILE);
        r.job.training.options &= ~compile;
        const double plain_s = step_s();
        r.job.training.options |= compile;
        const double compiled_s = step_s();
        assert_case(compiled_s <= plain_s, i, "%g after %g", compiled_s, plain_s);
        r.job.training.attention = LQ_ATTENTION_FLASH;
        const double flash_s = step_s();
        r.job.training.attention = LQ_ATTENTION_EAGER;
        const double eager_s = step_s();
        assert_case(eager_s >= flash_s, i, "%g after %g", eager_s, flash_s);
    }
}
END_TEST

/* A variance, or shares of all experts; a router cannot give one expert more than every token. */
static void random_load(int64_t experts, int64_t active)
{
    static double tokens[LQ_EXPERTS_MAX];
    struct lq_error err = {0};
    if (random_flag()) {
        const double share = 1.0 / (double)experts;
        const double most = 1e4 * share * (1.0 - share) / (double)active;
        ck_assert_int_eq(lq_expert_load_vary(most * random_share(), experts, &load, &err), LQ_OK);
        return;
    }
    for (int64_t e = 0; e < experts; e++) {
        tokens[e] = 1.0 + 3.0 * random_share();
    }
    ck_assert_int_eq(lq_expert_load_set(tokens, (size_t)experts, experts, &load, &err), LQ_OK);
}

/* Where few tokens crowd at few experts, fewer of them are read: that is faster and is meant to be.
 * So rows enough for all. */
START_TEST(an_uneven_load_never_shortens)
{
    int tried = 0;
    for (int i = 0; i < 2 * CASES; i++) {
        random_step(7, i);
        const int64_t experts = lq_model_experts(r.job.model);
        if (experts < 2) {
            continue;
        }
        tried++;
        rows = ceil(1000.0 * (double)experts / row_tokens);
        const double even_s = step_s();
        random_load(experts, r.job.active_experts);
        r.job.expert_load = &load;
        const double uneven_s = step_s();
        assert_case(uneven_s >= even_s * (1.0 - ROUNDING), i, "%.12g after %.12g", uneven_s,
                    even_s);
    }
    ck_assert_int_gt(tried, 500);
}
END_TEST

static bool is_matmul(enum lq_term term)
{
    return term == LQ_TERM_ATTENTION || term == LQ_TERM_MLP || term == LQ_TERM_MAMBA ||
           term == LQ_TERM_ROUTER || term == LQ_TERM_EXPERT_MATMUL ||
           term == LQ_TERM_SHARED_EXPERT || term == LQ_TERM_HEAD;
}

START_TEST(quantised_weights_never_shorten_matmuls)
{
    for (int i = 0; i < CASES; i++) {
        random_step(8, i);
        if (r.job.method.quantization == LQ_QUANTIZATION_NONE) {
            continue;
        }
        const struct lq_step_time small = step_now();
        r.job.method.quantization = LQ_QUANTIZATION_NONE;
        const struct lq_step_time plain = step_now();
        for (int t = 0; t < LQ_TERM_COUNT; t++) {
            const enum lq_term term = (enum lq_term)t;
            assert_case(!is_matmul(term) ||
                            lq_step_term_s(&small, term) >= lq_step_term_s(&plain, term),
                        i, "%s", LQ_TERM_NAMES[t]);
        }
        assert_case(lq_step_term_s(&small, LQ_TERM_DEQUANTIZATION) > 0.0, i, "none");
        assert_case(lq_step_term_s(&plain, LQ_TERM_DEQUANTIZATION) == 0.0, i, "some");
    }
}
END_TEST

/* What a device itself computes, calls aside. */
static double device_s(void)
{
    const struct lq_step_time step = step_now();
    double sum = 0.0;
    for (int t = LQ_TERM_INPUT + 1; t < LQ_TERM_OVERHEAD; t++) {
        sum += lq_step_term_s(&step, (enum lq_term)t);
    }
    return sum;
}

START_TEST(more_devices_never_leave_more_for_each)
{
    for (int i = 0; i < CASES; i++) {
        random_step(9, i);
        r.job.expert_load = NULL;
        r.job.layout = LQ_LAYOUT_SINGLE;
        const double alone_s = device_s();
        r.job.layout = random_layout(random_between(2, 64));
        const double shared_s = device_s();
        assert_case(shared_s <= alone_s * (1.0 + ROUNDING), i, "%.12g after %.12g", shared_s,
                    alone_s);
    }
}
END_TEST

START_TEST(nothing_is_faster_than_its_flops_at_the_peak_rate)
{
    for (int i = 0; i < CASES; i++) {
        random_step(10, i);
        for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
            factor[f] = 1.0;
        }
        rows = random_flag() ? rows : (double)random_between(1000, 100000);
        const double least_s = lq_job_least_step_s(&r.job, rows, row_tokens);
        const double now_s = step_s();
        assert_case(now_s >= least_s, i, "%g of %g", now_s, least_s);
    }
}
END_TEST

int main(void)
{
    random_start();
    catalog = seeded_open();
    Suite *suite = suite_create("step");
    TCase *tests = tcase_create("step");
    tcase_add_test(tests, terms_sum_to_the_total_and_none_is_negative);
    tcase_add_test(tests, shares_are_slopes_and_sum_to_one);
    tcase_add_test(tests, more_rows_take_longer_and_never_longer_each);
    tcase_add_test(tests, a_faster_device_or_network_never_lengthens);
    tcase_add_test(tests, more_active_experts_never_shorten);
    tcase_add_test(tests, the_more_is_recomputed_the_longer_it_takes);
    tcase_add_test(tests, compiling_never_slows_and_eager_attention_never_speeds);
    tcase_add_test(tests, an_uneven_load_never_shortens);
    tcase_add_test(tests, quantised_weights_never_shorten_matmuls);
    tcase_add_test(tests, more_devices_never_leave_more_for_each);
    tcase_add_test(tests, nothing_is_faster_than_its_flops_at_the_peak_rate);
    suite_add_tcase(suite, tests);
    const int result = run_suite(suite);
    seeded_close();
    return result;
}
