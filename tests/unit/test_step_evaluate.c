/* What factors make of a micro-batch's seconds: terms, totals, shares, bounds. */
#include "core/finetune/step_time.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

static const double ONES[LQ_FACTOR_COUNT] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0};

#define CELL(parts, name, stage) ((parts).cell[LQ_TERM_##name][LQ_STAGE_##stage])

/* One term for each factor, in several stages; calls and feeding too. No communication. */
static struct lq_step_parts one_device(void)
{
    struct lq_step_parts p = {.peak_flop_per_s = 100.0,
                              .bytes_per_s = 10.0,
                              .pipeline_stretch = 1.0,
                              .accumulation_steps = 1.0};
    CELL(p, MLP, FORWARD) = (struct lq_step_cell){.compute_s = 3.0, .operands_s = 4.0};
    CELL(p, MLP, BACKWARD) = (struct lq_step_cell){.compute_s = 12.0, .operands_s = 5.0};
    CELL(p, EXPERT_MATMUL, FORWARD) = (struct lq_step_cell){.compute_s = 6.0, .operands_s = 8.0};
    CELL(p, ATTENTION_SCORES, RECOMPUTATION) = (struct lq_step_cell){.compute_s = 2.0};
    CELL(p, MAMBA_SCAN, FORWARD) = (struct lq_step_cell){.compute_s = 0.5};
    CELL(p, NORM, FORWARD) = (struct lq_step_cell){.traffic_s = 1.0, .stream_s = 0.5};
    CELL(p, DEQUANTIZATION, FORWARD) = (struct lq_step_cell){.stream_s = 2.5};
    CELL(p, EXPERT_DEQUANTIZATION, FORWARD) = (struct lq_step_cell){.stream_s = 1.5};
    CELL(p, OVERHEAD, FORWARD) = (struct lq_step_cell){.call_s = 9.0};
    CELL(p, OVERHEAD, BACKWARD) = (struct lq_step_cell){.call_s = 3.0};
    CELL(p, EXPERT_OVERHEAD, RECOMPUTATION) = (struct lq_step_cell){.call_s = 6.0};
    CELL(p, INPUT, FORWARD) = (struct lq_step_cell){.call_s = 7.0};
    CELL(p, OPTIMIZER, OPTIMIZER) = (struct lq_step_cell){.stream_s = 4.0, .call_s = 2.0};
    return p;
}

/* The same with flows of every kind on top. */
static struct lq_step_parts several_devices(void)
{
    struct lq_step_parts p = one_device();
    p.pipeline_stretch = 1.5;
    p.accumulation_steps = 4.0;
    p.flow[LQ_TERM_TENSOR_PARALLEL] = (struct lq_step_flow){.exposed_s = 5.0};
    p.flow[LQ_TERM_WEIGHT_GATHER] = (struct lq_step_flow){.exposed_s = 1.0, .hideable_s = 30.0};
    p.flow[LQ_TERM_ALL_REDUCE] = (struct lq_step_flow){.hideable_s = 20.0, .hideable_once_s = 4.0};
    return p;
}

static struct lq_step_time evaluate(const struct lq_step_parts *parts, const double *factor)
{
    struct lq_step_time step;
    lq_step_evaluate(parts, factor, &step);
    return step;
}

static double sum_of(const struct lq_step_time *step)
{
    double sum = 0.0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        sum += lq_step_term_s(step, (enum lq_term)t);
    }
    return sum;
}

/* Two side by side that wait for each other now and then. */
static double beside(double a, double b)
{
    return pow(pow(a, 1.6) + pow(b, 1.6), 1.0 / 1.6);
}

/* Seconds of one_device's forward and backward on the device: MLP 5 + 13, experts 10, scores 2,
 * scan 0.5, norms 1.5, dequantisation 4. */
static const double DEVICE_S = 36.0;
static const double HOST_S = 18.0;

START_TEST(flops_and_their_operands_share_kernels_and_other_traffic_has_its_own)
{
    const struct lq_step_parts p = one_device();
    const struct lq_step_time s = evaluate(&p, ONES);
    assert_close("hypot", s.term_s[LQ_TERM_MLP][LQ_STAGE_FORWARD], 5.0, 1e-12);
    assert_close("backward", s.term_s[LQ_TERM_MLP][LQ_STAGE_BACKWARD], 13.0, 1e-12);
    assert_close("sum", lq_step_term_s(&s, LQ_TERM_MLP), 18.0, 1e-12);
    assert_close("experts", lq_step_term_s(&s, LQ_TERM_EXPERT_MATMUL), 10.0, 1e-12);
    assert_close("traffic", lq_step_term_s(&s, LQ_TERM_NORM), 1.5, 1e-12);
    assert_close("rows", lq_step_term_s(&s, LQ_TERM_INPUT), 7.0, 1e-12);
    assert_close("optimizer", lq_step_term_s(&s, LQ_TERM_OPTIMIZER), 6.0, 1e-12);
    assert_close("total", s.total_s, beside(DEVICE_S, HOST_S) + 7.0 + 6.0, 1e-12);
    assert_close("terms", sum_of(&s), s.total_s, 1e-12);
}
END_TEST

START_TEST(what_the_host_adds_is_shared_by_calls)
{
    const struct lq_step_parts p = one_device();
    const struct lq_step_time s = evaluate(&p, ONES);
    const double added_s = beside(DEVICE_S, HOST_S) - DEVICE_S;
    assert_close("forward", s.term_s[LQ_TERM_OVERHEAD][LQ_STAGE_FORWARD], added_s * 9.0 / 18.0,
                 1e-12);
    assert_close("backward", s.term_s[LQ_TERM_OVERHEAD][LQ_STAGE_BACKWARD], added_s * 3.0 / 18.0,
                 1e-12);
    assert_close("experts", s.term_s[LQ_TERM_EXPERT_OVERHEAD][LQ_STAGE_RECOMPUTATION],
                 added_s * 6.0 / 18.0, 1e-12);
    ck_assert_double_lt(added_s, HOST_S); /* less than one after the other */
    struct lq_step_parts idle = one_device();
    CELL(idle, OVERHEAD, FORWARD).call_s = 0.0;
    CELL(idle, OVERHEAD, BACKWARD).call_s = 0.0;
    CELL(idle, EXPERT_OVERHEAD, RECOMPUTATION).call_s = 0.0;
    const struct lq_step_time none = evaluate(&idle, ONES);
    ck_assert_double_eq(lq_step_term_s(&none, LQ_TERM_OVERHEAD), 0.0);
    assert_close("device alone", none.total_s, DEVICE_S + 13.0, 1e-12);
}
END_TEST

START_TEST(each_factor_scales_its_own_seconds)
{
    const struct lq_step_parts p = one_device();
    double factor[LQ_FACTOR_COUNT];
    memcpy(factor, ONES, sizeof factor);
    factor[LQ_FACTOR_MATMUL] = 2.0;
    struct lq_step_time s = evaluate(&p, factor);
    assert_close("matmul", s.term_s[LQ_TERM_MLP][LQ_STAGE_FORWARD], hypot(6.0, 4.0), 1e-12);
    assert_close("experts", lq_step_term_s(&s, LQ_TERM_EXPERT_MATMUL), 10.0, 1e-12);
    factor[LQ_FACTOR_EXPERT] = 3.0;
    s = evaluate(&p, factor);
    assert_close("expert", lq_step_term_s(&s, LQ_TERM_EXPERT_MATMUL), hypot(18.0, 8.0), 1e-12);
    factor[LQ_FACTOR_TRAFFIC] = 0.5;
    s = evaluate(&p, factor);
    assert_close("operands", lq_step_term_s(&s, LQ_TERM_EXPERT_MATMUL), hypot(18.0, 4.0), 1e-12);
    assert_close("elements", lq_step_term_s(&s, LQ_TERM_NORM), 0.75, 1e-12);
    assert_close("states", lq_step_term_s(&s, LQ_TERM_OPTIMIZER), 2.0 + 2.0, 1e-12);
    factor[LQ_FACTOR_SEQUENCE] = 5.0;
    factor[LQ_FACTOR_DEQUANTIZATION] = 7.0;
    s = evaluate(&p, factor);
    assert_close("scores", lq_step_term_s(&s, LQ_TERM_ATTENTION_SCORES), 10.0, 1e-12);
    assert_close("scan", lq_step_term_s(&s, LQ_TERM_MAMBA_SCAN), 2.5, 1e-12);
    assert_close("dequantisation", lq_step_term_s(&s, LQ_TERM_DEQUANTIZATION), 17.5, 1e-12);
    assert_close("of experts", lq_step_term_s(&s, LQ_TERM_EXPERT_DEQUANTIZATION), 10.5, 1e-12);
    factor[LQ_FACTOR_HOST] = 4.0;
    factor[LQ_FACTOR_INPUT] = 6.0;
    s = evaluate(&p, factor);
    assert_close("input", lq_step_term_s(&s, LQ_TERM_INPUT), 42.0, 1e-12);
    assert_close("optimizer's calls", lq_step_term_s(&s, LQ_TERM_OPTIMIZER), 2.0 + 8.0, 1e-12);
    const double device_s =
        hypot(6.0, 2.0) + hypot(24.0, 2.5) + hypot(18.0, 4.0) + 10.0 + 2.5 + 0.75 + 17.5 + 10.5;
    assert_close("total", s.total_s, beside(device_s, 4.0 * HOST_S) + 10.0 + 42.0, 1e-12);
}
END_TEST

START_TEST(accumulation_shares_the_optimizer)
{
    struct lq_step_parts p = one_device();
    p.accumulation_steps = 8.0;
    const struct lq_step_time s = evaluate(&p, ONES);
    assert_close("optimizer", lq_step_term_s(&s, LQ_TERM_OPTIMIZER), 6.0 / 8.0, 1e-12);
    assert_close("rest", s.total_s - 6.0 / 8.0, beside(DEVICE_S, HOST_S) + 7.0, 1e-12);
}
END_TEST

START_TEST(a_pipelines_bubble_is_its_terms)
{
    struct lq_step_parts p = one_device();
    p.pipeline_stretch = 1.75;
    const struct lq_step_time s = evaluate(&p, ONES);
    const double step_s = beside(DEVICE_S, HOST_S);
    assert_close("bubble", lq_step_term_s(&s, LQ_TERM_PIPELINE), 0.75 * step_s, 1e-12);
    assert_close("total", s.total_s, 1.75 * step_s + 13.0, 1e-12);
    assert_close("terms", sum_of(&s), s.total_s, 1e-12);
}
END_TEST

static double network_s(const struct lq_step_time *step)
{
    double sum = 0.0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        sum += lq_term_is_network((enum lq_term)t) ? lq_step_term_s(step, (enum lq_term)t) : 0.0;
    }
    return sum;
}

START_TEST(what_nothing_runs_beside_adds_whole)
{
    struct lq_step_parts p = one_device();
    const double before_s = evaluate(&p, ONES).total_s;
    p.flow[LQ_TERM_EXPERT_EXCHANGE].exposed_s = 3.0;
    double factor[LQ_FACTOR_COUNT];
    memcpy(factor, ONES, sizeof factor);
    factor[LQ_FACTOR_NETWORK] = 2.0;
    const struct lq_step_time s = evaluate(&p, factor);
    assert_close("exchange", lq_step_term_s(&s, LQ_TERM_EXPERT_EXCHANGE), 6.0, 1e-12);
    assert_close("total", s.total_s, before_s + 6.0, 1e-12);
}
END_TEST

START_TEST(what_may_hide_shows_little_where_it_is_short_and_its_excess_where_long)
{
    struct lq_step_parts p = one_device();
    const double step_s = beside(DEVICE_S, HOST_S);
    const double times[] = {0.2, 1.0, 5.0};
    for (int i = 0; i < 3; i++) {
        p.flow[LQ_TERM_WEIGHT_GATHER].hideable_s = times[i] * step_s;
        const struct lq_step_time s = evaluate(&p, ONES);
        const double shown = step_s * (pow(1.0 + pow(times[i], 4.0), 0.25) - 1.0);
        assert_close("shown", network_s(&s), shown, 1e-9);
        ck_assert_double_ge(network_s(&s), fmax(times[i] - 1.0, 0.0) * step_s);
    }
}
END_TEST

START_TEST(what_is_sent_once_hides_behind_the_last_backward)
{
    struct lq_step_parts p = one_device();
    p.accumulation_steps = 4.0;
    p.flow[LQ_TERM_ALL_REDUCE].hideable_once_s = 3.0;
    const double room_s = 0.6 * beside(DEVICE_S, HOST_S) / 4.0;
    const struct lq_step_time s = evaluate(&p, ONES);
    assert_close("shown", network_s(&s), pow(pow(3.0, 4.0) + pow(room_s, 4.0), 0.25) - room_s,
                 1e-9);
}
END_TEST

START_TEST(no_second_is_hidden_behind_twice)
{
    struct lq_step_parts p = one_device();
    const double step_s = beside(DEVICE_S, HOST_S);
    p.flow[LQ_TERM_WEIGHT_GATHER].hideable_s = 100.0 * step_s; /* fills all there is */
    p.flow[LQ_TERM_ALL_REDUCE].hideable_once_s = 0.5 * step_s;
    const struct lq_step_time s = evaluate(&p, ONES);
    assert_close("both show", network_s(&s), 99.5 * step_s, 1e-6);
    double slower[LQ_FACTOR_COUNT];
    memcpy(slower, ONES, sizeof slower);
    slower[LQ_FACTOR_MATMUL] = 1.5; /* a slower device hides no more than the time it takes */
    ck_assert_double_ge(evaluate(&p, slower).total_s, s.total_s);
}
END_TEST

/* d ln(total) / d ln(factor) by central differences, against what evaluation says. */
static void assert_shares(const struct lq_step_parts *parts, const double *factor)
{
    const struct lq_step_time s = evaluate(parts, factor);
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        double up[LQ_FACTOR_COUNT];
        double down[LQ_FACTOR_COUNT];
        memcpy(up, factor, sizeof up);
        memcpy(down, factor, sizeof down);
        up[f] *= exp(1e-4);
        down[f] *= exp(-1e-4);
        const double slope =
            log(evaluate(parts, up).total_s / evaluate(parts, down).total_s) / 2e-4;
        ck_assert_msg(fabs(s.share[f] - slope) < 1e-7, "%s: got %.9g, slope %.9g",
                      LQ_FACTOR_NAMES[f], s.share[f], slope);
    }
}

START_TEST(shares_are_the_slopes_of_the_total)
{
    const double factor[] = {1.3, 0.7, 2.0, 0.9, 1.1, 0.6, 3.0, 1.4};
    const struct lq_step_parts one = one_device();
    const struct lq_step_parts several = several_devices();
    assert_shares(&one, ONES);
    assert_shares(&one, factor);
    assert_shares(&several, ONES);
    assert_shares(&several, factor);
    double sum = 0.0;
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        sum += evaluate(&several, factor).share[f];
    }
    assert_close("all twice as slow is twice as slow", sum, 1.0, 1e-12);
}
END_TEST

START_TEST(a_term_reaches_a_share_of_the_peak)
{
    struct lq_step_parts p = one_device();
    CELL(p, MLP, FORWARD).flop = 200.0; /* 2 s at the peak rate */
    CELL(p, MLP, BACKWARD).flop = 700.0;
    CELL(p, MLP, BACKWARD).bytes = 30.0; /* 3 s */
    CELL(p, NORM, FORWARD).bytes = 9.0;
    CELL(p, OPTIMIZER, OPTIMIZER).bytes = 80.0;
    p.accumulation_steps = 4.0;
    const struct lq_step_time s = evaluate(&p, ONES);
    const struct lq_amount mlp = lq_step_amount(&p, &s, LQ_TERM_MLP);
    assert_close("flop", mlp.flop, 900.0, 1e-12);
    assert_close("bytes", mlp.bytes, 30.0, 1e-12);
    assert_close("of the matrix rate", mlp.efficiency, 9.0 / 18.0, 1e-12);
    const struct lq_amount norm = lq_step_amount(&p, &s, LQ_TERM_NORM);
    assert_close("of the bandwidth", norm.efficiency, 0.9 / 1.5, 1e-12);
    const struct lq_amount optimizer = lq_step_amount(&p, &s, LQ_TERM_OPTIMIZER);
    assert_close("a quarter's bytes", optimizer.bytes, 20.0, 1e-12);
    ck_assert_double_eq(optimizer.efficiency, 1.0); /* 2 s at peak in 1.5 s: never above it */
    ck_assert_double_eq(lq_step_amount(&p, &s, LQ_TERM_OVERHEAD).efficiency, 0.0);
    ck_assert_double_eq(lq_step_amount(&p, &s, LQ_TERM_ALL_REDUCE).efficiency, 0.0);
}
END_TEST

START_TEST(the_larger_side_bounds_a_term_and_more_tokens_turn_it)
{
    struct lq_step_parts p = one_device();
    double turning = 9.0;
    CELL(p, MLP, BACKWARD).operands_s = 14.0; /* 15 s of FLOPs, 18 s of operands */
    ck_assert_int_eq(lq_step_bound(&p, ONES, LQ_TERM_MLP, &turning), LQ_BOUND_MEMORY);
    assert_close("turns at", turning, 18.0 / 15.0, 1e-12);
    CELL(p, MLP, FORWARD).traffic_s = 3.0; /* grows as the FLOPs do */
    ck_assert_int_eq(lq_step_bound(&p, ONES, LQ_TERM_MLP, &turning), LQ_BOUND_MEMORY);
    assert_close("turns later", turning, 18.0 / (15.0 - 3.0), 1e-12);
    double factor[LQ_FACTOR_COUNT];
    memcpy(factor, ONES, sizeof factor);
    factor[LQ_FACTOR_MATMUL] = 2.0; /* slower than thought: 30 s of FLOPs */
    ck_assert_int_eq(lq_step_bound(&p, factor, LQ_TERM_MLP, &turning), LQ_BOUND_COMPUTE);
    assert_close("turned at", turning, 18.0 / 27.0, 1e-12);
    ck_assert_int_eq(lq_step_bound(&p, ONES, LQ_TERM_NORM, &turning), LQ_BOUND_MEMORY);
    ck_assert_double_eq(turning, 0.0); /* never */
    ck_assert_int_eq(lq_step_bound(&p, ONES, LQ_TERM_ATTENTION_SCORES, &turning), LQ_BOUND_COMPUTE);
    ck_assert_double_eq(turning, 0.0); /* at any size */
}
END_TEST

START_TEST(the_host_and_the_network_bound_what_is_theirs)
{
    struct lq_step_parts p = one_device();
    double turning = 9.0;
    ck_assert_int_eq(lq_step_bound(&p, ONES, LQ_TERM_INPUT, &turning), LQ_BOUND_OVERHEAD);
    ck_assert_double_eq(turning, 0.0);
    ck_assert_int_eq(lq_step_bound(&p, ONES, LQ_TERM_ALL_REDUCE, &turning), LQ_BOUND_NETWORK);
    ck_assert_double_eq(turning, 0.0);
    ck_assert_int_eq(lq_step_bound(&p, ONES, LQ_TERM_OPTIMIZER, &turning), LQ_BOUND_MEMORY);
    CELL(p, OPTIMIZER, OPTIMIZER).call_s = 4.5; /* many small tensors */
    ck_assert_int_eq(lq_step_bound(&p, ONES, LQ_TERM_OPTIMIZER, &turning), LQ_BOUND_OVERHEAD);
    /* calls 18 s, streams 4.5 s; FLOPs and traffic 24.5 s for these tokens */
    const enum lq_term overheads[] = {LQ_TERM_OVERHEAD, LQ_TERM_EXPERT_OVERHEAD};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(lq_step_bound(&p, ONES, overheads[i], &turning), LQ_BOUND_OVERHEAD);
        assert_close("device overtakes host", turning, (18.0 - 4.5) / 24.5, 1e-12);
    }
    CELL(p, OVERHEAD, FORWARD).call_s = 0.0;
    CELL(p, EXPERT_OVERHEAD, RECOMPUTATION).call_s = 0.0; /* 3 s are hidden at any size */
    ck_assert_int_eq(lq_step_bound(&p, ONES, LQ_TERM_OVERHEAD, &turning), LQ_BOUND_OVERHEAD);
    ck_assert_double_eq(turning, 0.0);
}
END_TEST

START_TEST(factors_and_bounds_have_names)
{
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        ck_assert_ptr_nonnull(LQ_FACTOR_NAMES[f]);
    }
    ck_assert_ptr_null(LQ_FACTOR_NAMES[LQ_FACTOR_COUNT]);
    ck_assert_str_eq(LQ_BOUND_NAMES[LQ_BOUND_COMPUTE], "compute");
    ck_assert_str_eq(LQ_BOUND_NAMES[LQ_BOUND_MEMORY], "memory");
    ck_assert_str_eq(LQ_BOUND_NAMES[LQ_BOUND_OVERHEAD], "overhead");
    ck_assert_str_eq(LQ_BOUND_NAMES[LQ_BOUND_NETWORK], "network");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("step_evaluate");
    TCase *tests = tcase_create("step_evaluate");
    tcase_add_test(tests, flops_and_their_operands_share_kernels_and_other_traffic_has_its_own);
    tcase_add_test(tests, what_the_host_adds_is_shared_by_calls);
    tcase_add_test(tests, each_factor_scales_its_own_seconds);
    tcase_add_test(tests, accumulation_shares_the_optimizer);
    tcase_add_test(tests, a_pipelines_bubble_is_its_terms);
    tcase_add_test(tests, what_nothing_runs_beside_adds_whole);
    tcase_add_test(tests, what_may_hide_shows_little_where_it_is_short_and_its_excess_where_long);
    tcase_add_test(tests, what_is_sent_once_hides_behind_the_last_backward);
    tcase_add_test(tests, no_second_is_hidden_behind_twice);
    tcase_add_test(tests, shares_are_the_slopes_of_the_total);
    tcase_add_test(tests, a_term_reaches_a_share_of_the_peak);
    tcase_add_test(tests, the_larger_side_bounds_a_term_and_more_tokens_turn_it);
    tcase_add_test(tests, the_host_and_the_network_bound_what_is_theirs);
    tcase_add_test(tests, factors_and_bounds_have_names);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
