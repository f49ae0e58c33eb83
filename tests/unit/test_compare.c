/* Options side by side: order, front, chances, what-ifs, and what to change in a job. */
#include "core/base/normal.h"
#include "core/finetune/compare.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>

/* Options of so many devices, one trial each, at a cost and with a spread of its own. */
static void fill(struct lq_choice *o, size_t n, const double *cost, const double *log_sd)
{
    for (size_t i = 0; i < n; i++) {
        o[i] = (struct lq_choice){.trial = i,
                                  .device = i,
                                  .duration_s = 100.0,
                                  .cost_usd = cost[i],
                                  .log_sd = log_sd[i],
                                  .own_log_sd = log_sd[i],
                                  .tie = i};
    }
}

static void race(struct lq_choice *options, size_t n, size_t trials)
{
    static struct lq_contender work[16];
    lq_compare_cheapest(options, n, work, trials);
}

START_TEST(options_stand_by_the_objective_then_the_other_then_as_listed)
{
    const struct lq_choice a = {.cost_usd = 1.0, .duration_s = 5.0, .tie = 0};
    const struct lq_choice b = {.cost_usd = 2.0, .duration_s = 4.0, .tie = 1};
    const struct lq_choice c = {.cost_usd = 1.0, .duration_s = 6.0, .tie = 2};
    const struct lq_choice d = {.cost_usd = 1.0, .duration_s = 5.0, .tie = 3};
    ck_assert_int_lt(lq_choice_order(&a, &b, LQ_LEAST_COST), 0);
    ck_assert_int_gt(lq_choice_order(&a, &b, LQ_LEAST_TIME), 0);
    ck_assert_int_lt(lq_choice_order(&a, &c, LQ_LEAST_COST), 0);
    ck_assert_int_lt(lq_choice_order(&a, &d, LQ_LEAST_COST), 0);
    ck_assert_int_eq(lq_choice_order(&d, &d, LQ_LEAST_TIME), 0);
}
END_TEST

START_TEST(bounds_are_kept_at_equality)
{
    const struct lq_choice o = {.cost_usd = 10.0, .duration_s = 60.0};
    const struct lq_bounds none = {0.0, 0.0};
    const struct lq_bounds exact = {10.0, 60.0};
    const struct lq_bounds poor = {9.99, 0.0};
    const struct lq_bounds hurried = {0.0, 59.0};
    ck_assert(lq_choice_allowed(&o, &none));
    ck_assert(lq_choice_allowed(&o, &exact));
    ck_assert(!lq_choice_allowed(&o, &poor));
    ck_assert(!lq_choice_allowed(&o, &hurried));
}
END_TEST

START_TEST(the_front_holds_equals_and_nothing_dominated)
{
    struct lq_choice o[] = {
        {.cost_usd = 1.0, .duration_s = 9.0}, {.cost_usd = 1.0, .duration_s = 9.0},
        {.cost_usd = 2.0, .duration_s = 9.0}, {.cost_usd = 3.0, .duration_s = 5.0},
        {.cost_usd = 3.0, .duration_s = 6.0}, {.cost_usd = 4.0, .duration_s = 4.0}};
    static const bool WANT[] = {true, true, false, true, false, true};
    lq_compare_front(o, 6, LQ_LEAST_COST);
    for (size_t i = 0; i < 6; i++) {
        ck_assert_msg(o[i].on_front == WANT[i], "option %zu", i);
    }
    struct lq_choice by_time[] = {o[5], o[3], o[4], o[0], o[1], o[2]};
    lq_compare_front(by_time, 6, LQ_LEAST_TIME);
    static const bool WANT_BY_TIME[] = {true, true, false, true, true, false};
    for (size_t i = 0; i < 6; i++) {
        ck_assert_msg(by_time[i].on_front == WANT_BY_TIME[i], "option %zu by time", i);
    }
}
END_TEST

START_TEST(chances_are_those_of_a_log_normal)
{
    ck_assert_double_eq(lq_chance_below(10.0, 0.3, 0.0), 1.0);
    assert_close("median", lq_chance_below(10.0, 0.3, 10.0), 0.5, 1e-12);
    assert_close("one sd", lq_chance_below(10.0, 0.3, 10.0 * exp(0.3)), lq_normal_below(1.0),
                 1e-12);
    ck_assert_double_eq(lq_chance_below(10.0, 0.02, 1.0), 0.0); /* not 1e-2800 */
    struct lq_choice o = {.cost_usd = 10.0, .duration_s = 60.0, .log_sd = 0.5};
    const struct lq_bounds bounds = {10.0, 60.0 * exp(0.5)};
    lq_choice_chances(&o, &bounds);
    assert_close("budget", o.p_in_budget, 0.5, 1e-12);
    assert_close("time", o.p_in_time, lq_normal_below(1.0), 1e-12);
}
END_TEST

START_TEST(two_independent_devices_race_as_their_difference_does)
{
    static const double GAPS[] = {0.0, 0.05, 0.3, 1.0};
    static const double SDS[][2] = {{0.3, 0.3}, {0.1, 0.5}, {0.5, 0.02}};
    for (size_t g = 0; g < 4; g++) {
        for (size_t s = 0; s < 3; s++) {
            struct lq_choice o[2];
            const double cost[] = {10.0, 10.0 * exp(GAPS[g])};
            fill(o, 2, cost, SDS[s]);
            race(o, 2, 2);
            const double want = lq_normal_below(GAPS[g] / hypot(SDS[s][0], SDS[s][1]));
            ck_assert_msg(fabs(o[0].p_cheapest - want) <= 0.01, "gap %g, sd %g %g: %g, want %g",
                          GAPS[g], SDS[s][0], SDS[s][1], o[0].p_cheapest, want);
            ck_assert_double_eq_tol(o[0].p_cheapest + o[1].p_cheapest, 1.0, 1e-12);
        }
    }
}
END_TEST

START_TEST(equal_devices_have_equal_chances)
{
    struct lq_choice o[5];
    const double cost[] = {3.0, 3.0, 3.0, 3.0, 3.0};
    const double log_sd[] = {0.4, 0.4, 0.4, 0.4, 0.4};
    fill(o, 5, cost, log_sd);
    race(o, 5, 5);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_double_eq_tol(o[i].p_cheapest, 0.2, 1e-9);
    }
}
END_TEST

START_TEST(what_devices_share_does_not_decide_between_them)
{
    struct lq_choice o[2];
    const double cost[] = {10.0, 12.0};
    const double log_sd[] = {0.5, 0.6};
    fill(o, 2, cost, log_sd);
    o[0].own_log_sd = 0.3;
    o[1].own_log_sd = 0.1;
    lq_compare_share(o, 2);
    assert_close("shared", o[0].shared_log_sd, 0.4, 1e-12); /* sqrt(0.25 - 0.09) */
    ck_assert_double_eq(o[0].shared_log_sd, o[1].shared_log_sd);
    race(o, 2, 2);
    const double want = lq_normal_below(log(1.2) / sqrt(0.09 + 0.36 - 0.16));
    ck_assert_double_eq_tol(o[0].p_cheapest, want, 0.01);
}
END_TEST

START_TEST(a_measured_device_races_against_all_the_doubt_of_the_others)
{
    struct lq_choice o[2];
    const double cost[] = {10.0, 12.0};
    const double log_sd[] = {0.02, 0.5};
    fill(o, 2, cost, log_sd);
    o[1].own_log_sd = 0.2;
    lq_compare_share(o, 2);
    ck_assert_double_eq(o[0].shared_log_sd, 0.0);
    race(o, 2, 2);
    ck_assert_double_eq_tol(o[0].p_cheapest, lq_normal_below(log(1.2) / hypot(0.02, 0.5)), 0.01);
}
END_TEST

START_TEST(trials_of_one_device_miss_together)
{
    struct lq_choice o[3];
    const double cost[] = {10.0, 10.1, 10.0};
    const double log_sd[] = {0.4, 0.4, 0.4};
    fill(o, 3, cost, log_sd);
    o[1].device = 0;
    o[2].device = 1;
    race(o, 3, 3);
    ck_assert_double_eq(o[1].p_cheapest, 0.0); /* always 1 % above its sibling */
    ck_assert_double_eq_tol(o[0].p_cheapest, 0.5, 1e-9);
    o[1].log_sd = 0.8; /* wider: the cheaper one where the device is faster than thought */
    o[1].own_log_sd = 0.8;
    race(o, 3, 3);
    ck_assert_double_gt(o[1].p_cheapest, 0.3);
}
END_TEST

START_TEST(offers_of_one_trial_share_its_chance_where_they_cost_the_same)
{
    struct lq_choice o[4];
    const double cost[] = {10.0, 10.0, 10.5, 20.0};
    const double log_sd[] = {0.1, 0.1, 0.1, 0.1};
    fill(o, 4, cost, log_sd);
    for (size_t i = 0; i < 3; i++) {
        o[i].trial = 0;
        o[i].device = 0;
    }
    o[3].trial = 2; /* trial 1 has no option */
    race(o, 4, 3);
    ck_assert_double_eq_tol(o[0].p_cheapest, 0.5, 1e-4);
    ck_assert_double_eq(o[0].p_cheapest, o[1].p_cheapest);
    ck_assert_double_eq(o[2].p_cheapest, 0.0);
}
END_TEST

START_TEST(prices_break_even_where_bills_are_equal)
{
    const struct lq_choice winner = {.cost_usd = 8.0};
    const struct lq_choice second = {.cost_usd = 10.0};
    const struct lq_break_even at = lq_compare_break_even(&winner, 2.0, &second, 5.0);
    ck_assert_double_eq_tol(at.runner_up_usd_per_gpu_h, 4.0, 1e-12);
    ck_assert_double_eq_tol(at.winner_usd_per_gpu_h, 2.5, 1e-12);
}
END_TEST

START_TEST(elasticities_are_slopes_in_logarithms)
{
    assert_close("linear", lq_elasticity(0.75, 1.25, 0.75, 1.25), 1.0, 1e-12);
    assert_close("square", lq_elasticity(0.5625, 1.5625, 0.75, 1.25), 2.0, 1e-12);
    ck_assert_double_eq(lq_elasticity(3.0, 3.0, 0.75, 1.25), 0.0);
}
END_TEST

START_TEST(scenarios_move_time_price_and_who_is_first)
{
    struct lq_choice o[2];
    const double cost[] = {10.0, 12.0};
    const double log_sd[] = {0.1, 0.1};
    fill(o, 2, cost, log_sd);
    const struct lq_bounds none = {0.0, 0.0};
    const struct lq_bounds hurried = {0.0, 110.0};
    struct lq_scenario s = {.time_factor = 1.0, .price_factor = 1.0};
    ck_assert_uint_eq(lq_compare_best(o, 2, LQ_LEAST_COST, &none, &s), 0);
    s.price_factor = 1.25;
    ck_assert_uint_eq(lq_compare_best(o, 2, LQ_LEAST_COST, &none, &s), 1);
    ck_assert_double_eq(lq_choice_under(o, 0, &s).cost_usd, 12.5);
    s = (struct lq_scenario){.time_factor = 1.25, .price_factor = 1.0};
    ck_assert_uint_eq(lq_compare_best(o, 2, LQ_LEAST_COST, &hurried, &s), 2); /* nobody */
    const double trials[] = {0.0, 1.0};
    s = (struct lq_scenario){.time_factor = 1.0, .trial_factor = trials, .price_factor = 1.0};
    ck_assert_uint_eq(lq_compare_best(o, 2, LQ_LEAST_COST, &hurried, &s), 1);
}
END_TEST

START_TEST(longer_rows_are_padded_again)
{
    const struct lq_length_bin raw[] = {{100, 3.0}, {200, 1.0}};
    struct lq_length_bin bins[2];
    struct lq_length_bin scaled[2];
    struct lq_lengths lengths;
    struct lq_lengths longer;
    struct lq_error err = {0};
    const struct lq_padding_rule rule = {LQ_PADDING_LONGEST, 0, 8};
    ck_assert_int_eq(lq_lengths_prepare(raw, 2, &rule, bins, &lengths, &err), LQ_OK);
    lq_lengths_scaled(&lengths, 1.25, scaled, &longer);
    ck_assert_int_eq(longer.bins[0].tokens, 136); /* 104 * 1.25 = 130 */
    ck_assert_int_eq(longer.longest_tokens, 256); /* 250 */
    assert_close("mean", longer.mean_tokens, 125.0 * 1.25, 1e-12);
    ck_assert_double_eq(longer.bins[0].queries, lengths.bins[0].queries);
    const struct lq_padding_rule packed = {LQ_PADDING_PACKED, 1000, 8};
    ck_assert_int_eq(lq_lengths_prepare(raw, 2, &packed, bins, &lengths, &err), LQ_OK);
    lq_lengths_scaled(&lengths, 2.0, scaled, &longer);
    ck_assert_int_eq(longer.longest_tokens, lengths.longest_tokens);
    assert_close("packed", longer.queries_per_row, lengths.queries_per_row / 2.0, 1e-12);
}
END_TEST

START_TEST(what_is_measured_is_all_the_devices_own)
{
    const struct lq_job job = small_job();
    struct lq_estimate e = quote(&job, &NOTHING);
    const double own = lq_estimate_own_log_sd(&e);
    ck_assert_msg(own > 0.05 && own < e.log_sd, "%g of %g", own, e.log_sd);
    e.basis.kind = LQ_BASIS_CALIBRATED;
    ck_assert_double_eq(lq_estimate_own_log_sd(&e), e.log_sd);
}
END_TEST

/* The change that a small_job on a device of so many bytes needs. */
static enum lq_change change_of(struct lq_job job, double memory_bytes, double *to)
{
    SMALL_GPU.memory_bytes = memory_bytes;
    return lq_nearest_change(&job, &NOTHING, to);
}

START_TEST(the_nearest_change_is_the_least_that_fits)
{
    double to = 0.0;
    struct lq_job job = small_job();
    job.training.checkpointing = LQ_CHECKPOINTING_NONE;
    ck_assert_int_eq(change_of(job, 24e9, &to), LQ_CHANGE_CHECKPOINTING);
    job.training.checkpointing = LQ_CHECKPOINTING_FULL;
    job.batch_size = 100000;
    ck_assert_int_eq(change_of(job, 24e9, &to), LQ_CHANGE_BATCH);
    job.batch_size = 0;
    ck_assert_double_eq(to, (double)quote(&job, &NOTHING).max_batch_size);
    job.method = (struct lq_method){.kind = LQ_METHOD_FULL};
    ck_assert_int_eq(change_of(job, 5e9, &to), LQ_CHANGE_LORA);
    job = small_job();
    double least = 5e9;
    while (lq_nearest_change(&job, &NOTHING, &to) != LQ_CHANGE_NONE && least > 1e8) {
        least *= 0.9;
        SMALL_GPU.memory_bytes = least;
    }
    ck_assert_double_gt(least, 1e8); /* too small for anything: no change is enough */
    ck_assert_double_eq(to, 0.0);
}
END_TEST

START_TEST(several_devices_change_as_one_does)
{
    double to = 0.0;
    struct lq_job job = small_job();
    job.method = (struct lq_method){.kind = LQ_METHOD_FULL};
    job.gpu_count = 2;
    ck_assert_int_eq(change_of(job, 3.2e9, &to), LQ_CHANGE_LORA);
    job.stack = "unsloth-2024";
    ck_assert_int_eq(change_of(job, 24e9, &to), LQ_CHANGE_NONE); /* one device alone */
}
END_TEST

/* Where two devices of hf-2024 are one quantisation short, Lit-GPT, which has none there, cuts
 * rows. */
START_TEST(no_change_asks_more_of_a_stack_than_it_offers)
{
    double to = 0.0;
    struct lq_job job = small_job();
    job.gpu_count = 2;
    job.batch_size = 1;
    double bytes = 3.2e9;
    while (bytes > 0.5e9 && change_of(job, bytes, &to) != LQ_CHANGE_QLORA) {
        bytes *= 0.99;
    }
    ck_assert_double_gt(bytes, 0.5e9);
    job.stack = "litgpt-2023";
    while (bytes > 0.5e9) {
        ck_assert_int_ne(change_of(job, bytes, &to), LQ_CHANGE_QLORA);
        bytes *= 0.99;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compare");
    TCase *tests = tcase_create("compare");
    tcase_add_test(tests, options_stand_by_the_objective_then_the_other_then_as_listed);
    tcase_add_test(tests, bounds_are_kept_at_equality);
    tcase_add_test(tests, the_front_holds_equals_and_nothing_dominated);
    tcase_add_test(tests, chances_are_those_of_a_log_normal);
    tcase_add_test(tests, two_independent_devices_race_as_their_difference_does);
    tcase_add_test(tests, equal_devices_have_equal_chances);
    tcase_add_test(tests, what_devices_share_does_not_decide_between_them);
    tcase_add_test(tests, a_measured_device_races_against_all_the_doubt_of_the_others);
    tcase_add_test(tests, trials_of_one_device_miss_together);
    tcase_add_test(tests, offers_of_one_trial_share_its_chance_where_they_cost_the_same);
    tcase_add_test(tests, prices_break_even_where_bills_are_equal);
    tcase_add_test(tests, elasticities_are_slopes_in_logarithms);
    tcase_add_test(tests, scenarios_move_time_price_and_who_is_first);
    tcase_add_test(tests, longer_rows_are_padded_again);
    tcase_add_test(tests, what_is_measured_is_all_the_devices_own);
    tcase_add_test(tests, the_nearest_change_is_the_least_that_fits);
    tcase_add_test(tests, several_devices_change_as_one_does);
    tcase_add_test(tests, no_change_asks_more_of_a_stack_than_it_offers);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
