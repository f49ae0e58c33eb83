/* One law's plan: optima against their neighbours, algorithms against what they promise, and every
 * refusal. */
#include "core/planning/plan.h"
#include "core/planning/plan_series.h"
#include "tests/unit/check_main.h"
#include "tests/unit/plan_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct lq_plan plan;
static struct lq_plan_question question;

static void make_plan(void)
{
    struct lq_error err = {0};
    ck_assert_msg(lq_plan(&question, &plan, &err) == LQ_OK, "%s: %s", err.pointer, err.detail);
}

static void expect_refusal(enum lq_code code, const char *pointer, const char *part)
{
    struct lq_error err = {0};
    ck_assert_int_eq(lq_plan(&question, &plan, &err), code);
    ck_assert_str_eq(err.pointer, pointer);
    ck_assert_msg(strstr(err.detail, part) != NULL, "\"%s\" is not in \"%s\"", part, err.detail);
}

static const struct lq_plan_option *option(double experts)
{
    for (size_t i = 0; i < plan.count; i++) {
        if (plan.options[i].loss_optimal.experts == experts) {
            return &plan.options[i];
        }
    }
    ck_abort_msg("no option with %g experts", experts);
    return NULL;
}

static void setup(void)
{
    question = plan_question("yun2024-reconstructed");
}

START_TEST(the_loss_optimal_size_beats_its_neighbours_and_spends_the_budget)
{
    make_plan();
    for (size_t i = 0; i < plan.count; i++) {
        const struct lq_allocation *at = &plan.options[i].loss_optimal;
        ck_assert_double_eq_tol(6.0 * at->parameters * at->tokens / 5.15e21, 1.0, 1e-12);
        ck_assert_double_eq_tol(at->training_gpu_s, 5.15e21 / (0.4 * 312e12), 1e-3);
        for (int step = -1; step <= 1; step += 2) {
            const double n = at->parameters * (1.0 + 0.02 * step);
            ck_assert_double_gt(lq_plan_at(&question, at->experts, n).loss, at->loss);
        }
    }
}
END_TEST

START_TEST(sizes_count_all_experts_and_the_two_active_ones)
{
    make_plan();
    const struct lq_allocation *at = &option(16.0)->loss_optimal;
    ck_assert_double_eq_tol(at->total_parameters / at->parameters, 6.0, 1e-12);
    ck_assert_double_eq_tol(at->active_parameters / at->parameters, 4.0 / 3.0, 1e-12);
    const struct lq_allocation *dense = &option(1.0)->loss_optimal;
    ck_assert_double_eq(dense->total_parameters, dense->parameters);
    ck_assert_double_eq(dense->active_parameters, dense->parameters);
}
END_TEST

START_TEST(a_law_read_in_activated_parameters_pays_for_them_and_gives_their_ratios)
{
    question = plan_question("yun2024-s5");
    make_plan();
    const struct lq_allocation *at = &option(16.0)->loss_optimal;
    ck_assert(plan.ratios_of_active);
    ck_assert_double_eq_tol(6.0 * at->active_parameters * at->tokens / 5.15e21, 1.0, 1e-12);
    const struct lq_allocation *dense = &option(1.0)->loss_optimal;
    ck_assert_double_eq_tol(lq_plan_parameters_ratio(&plan, at, dense),
                            4.0 / 3.0 * at->parameters / dense->parameters, 1e-12);
}
END_TEST

START_TEST(bounded_loss_is_the_smallest_model_at_the_base_s_loss)
{
    make_plan();
    const struct lq_plan_option *o = option(16.0);
    ck_assert_double_eq_tol(o->bounded_loss.at.loss, plan.base.loss, 1e-10);
    ck_assert_double_lt(o->bounded_loss.at.parameters, o->loss_optimal.parameters);
    const double less = 0.999 * o->bounded_loss.at.parameters;
    ck_assert_double_gt(lq_plan_at(&question, 16.0, less).loss, plan.base.loss);
}
END_TEST

START_TEST(fewer_experts_than_the_base_cannot_reach_its_loss_and_say_how_near_they_come)
{
    make_plan();
    const struct lq_plan_option *o = option(1.0);
    char nearest[16];
    snprintf(nearest, sizeof nearest, "%.4f", o->loss_optimal.loss);
    ck_assert(!o->bounded_loss.found);
    ck_assert_ptr_nonnull(strstr(o->bounded_loss.reason, nearest));
}
END_TEST

START_TEST(the_base_bounds_itself)
{
    make_plan();
    const struct lq_plan_option *o = option(4.0);
    ck_assert_double_eq(o->bounded_loss.at.parameters, plan.base.parameters);
    ck_assert_double_eq(o->bounded_cost.at.parameters, plan.base.parameters);
    ck_assert_double_eq(o->equal_loss.at.training_flop, plan.base.training_flop);
}
END_TEST

/* On the monotone envelope: nothing larger, up to the optimum, serves at the base's cost. */
START_TEST(bounded_cost_is_the_largest_model_at_the_base_s_cost)
{
    make_plan();
    const double bound = plan.base.serving.gpu_s_per_token;
    for (size_t i = 3; i < plan.count; i++) {
        const struct lq_plan_option *o = &plan.options[i];
        const struct lq_allocation *at = &o->bounded_cost.at;
        ck_assert(o->cost_binds);
        ck_assert_double_le(at->serving.gpu_s_per_token, bound * (1.0 + 1e-9));
        const double ratio = o->loss_optimal.parameters / at->parameters;
        for (int j = 1; j <= 50; j++) {
            const double n = at->parameters * pow(ratio, j / 50.0);
            const struct lq_allocation larger = lq_plan_at(&question, at->experts, n);
            ck_assert(!larger.served || larger.serving.gpu_s_per_token > bound);
        }
    }
}
END_TEST

START_TEST(a_model_that_serves_cheaper_at_its_optimum_is_not_bound_by_cost)
{
    make_plan();
    const struct lq_plan_option *o = option(1.0);
    ck_assert(!o->cost_binds);
    ck_assert_double_eq(o->bounded_cost.at.parameters, o->loss_optimal.parameters);
}
END_TEST

START_TEST(the_equal_loss_budget_reaches_that_loss_and_no_more)
{
    make_plan();
    const double loss = plan.base.loss;
    const double budget = option(16.0)->equal_loss.at.training_flop;
    question.budget_flop = budget;
    make_plan();
    ck_assert_double_eq_tol(option(16.0)->loss_optimal.loss, loss, 1e-9);
    ck_assert_double_lt(budget, 5.15e21);
}
END_TEST

START_TEST(the_least_total_cost_beats_smaller_and_larger_models_at_that_loss)
{
    question.served_tokens = 1e12;
    make_plan();
    const struct lq_plan_option *o = option(16.0);
    const struct lq_allocation *best = &o->least_total.at;
    const double total = best->training_gpu_s + best->served_gpu_s;
    ck_assert_double_eq_tol(best->loss, plan.base.loss, 1e-9);
    ck_assert_double_le(best->training_flop, 5.15e21 * (1.0 + 1e-9));
    const struct lq_allocation *ends[] = {&o->bounded_loss.at, &o->equal_loss.at};
    for (int i = 0; i < 2; i++) {
        ck_assert_double_lt(total, ends[i]->training_gpu_s + ends[i]->served_gpu_s);
    }
    ck_assert_double_eq_tol(best->served_gpu_s, 1e12 * best->serving.gpu_s_per_token, 1e-3);
}
END_TEST

START_TEST(more_served_tokens_make_the_model_smaller)
{
    double before = HUGE_VAL;
    for (double served = 1e10; served < 1e15; served *= 10.0) {
        question.served_tokens = served;
        make_plan();
        const double n = option(16.0)->least_total.at.parameters;
        ck_assert_double_le(n, before * (1.0 + 1e-6));
        before = n;
    }
}
END_TEST

START_TEST(the_lowest_loss_within_a_total_budget_spends_all_of_it)
{
    question.served_tokens = 1e12;
    question.total_gpu_s = 3e8;
    question.budget_flop = question.total_gpu_s * question.train_flop_per_s;
    make_plan();
    const struct lq_allocation *at = &option(16.0)->within_total.at;
    ck_assert_double_eq_tol((at->training_gpu_s + at->served_gpu_s) / 3e8, 1.0, 1e-9);
    ck_assert_int_eq(plan.recommendation.objective, LQ_OBJECTIVE_LOSS);
    for (size_t i = 0; i < plan.count; i++) {
        ck_assert_double_ge(plan.options[i].within_total.at.loss, plan.recommendation.at.loss);
    }
}
END_TEST

START_TEST(a_total_budget_that_serving_alone_exceeds_is_said)
{
    question.served_tokens = 1e12;
    question.total_gpu_s = 1e3;
    question.budget_flop = question.total_gpu_s * question.train_flop_per_s;
    make_plan();
    ck_assert(!option(4.0)->within_total.found);
    ck_assert_ptr_nonnull(strstr(option(4.0)->within_total.reason, "alone"));
    ck_assert(!plan.recommendation.found);
    ck_assert_ptr_nonnull(strstr(plan.recommendation.why, "times the total budget"));
}
END_TEST

START_TEST(a_limit_on_tokens_leaves_larger_models_with_no_more_than_that)
{
    question.max_training_tokens = 1e11;
    make_plan();
    for (size_t i = 0; i < plan.count; i++) {
        const struct lq_plan_option *o = &plan.options[i];
        ck_assert_double_le(o->loss_optimal.tokens, 1e11 * (1.0 + 1e-9));
        if (o->bounded_loss.found) {
            ck_assert_double_le(o->bounded_loss.at.tokens, 1e11 * (1.0 + 1e-9));
            ck_assert_double_eq_tol(o->bounded_loss.at.loss, plan.base.loss, 1e-9);
        }
    }
}
END_TEST

START_TEST(a_limit_on_total_parameters_holds_for_every_answer)
{
    question.max_total_parameters = 2e10;
    question.served_tokens = 1e12;
    make_plan();
    for (size_t i = 0; i < plan.count; i++) {
        const struct lq_plan_option *o = &plan.options[i];
        const struct lq_plan_answer *answers[] = {&o->bounded_loss, &o->bounded_cost,
                                                  &o->equal_loss, &o->least_total};
        ck_assert_double_le(o->loss_optimal.total_parameters, 2e10 * (1.0 + 1e-9));
        for (int j = 0; j < 4; j++) {
            ck_assert(!answers[j]->found || answers[j]->at.total_parameters <= 2e10 * (1.0 + 1e-9));
        }
    }
}
END_TEST

START_TEST(a_required_loss_is_what_the_recommendation_reaches)
{
    question.required_loss = 2.2;
    make_plan();
    ck_assert(!option(8.0)->required.found);
    ck_assert(option(16.0)->required.found);
    ck_assert_double_eq_tol(plan.recommendation.at.loss, 2.2, 1e-9);
    ck_assert_double_eq(plan.recommendation.loss_bound, 2.2);
    ck_assert_int_eq(plan.recommendation.objective, LQ_OBJECTIVE_SERVING);
}
END_TEST

START_TEST(the_recommendation_serves_cheapest_of_those_that_reach_the_loss)
{
    make_plan();
    for (size_t i = 0; i < plan.count; i++) {
        const struct lq_plan_answer *a = &plan.options[i].bounded_loss;
        ck_assert(!a->found ||
                  a->at.serving.gpu_s_per_token >= plan.recommendation.at.serving.gpu_s_per_token);
    }
    ck_assert_ptr_nonnull(strstr(plan.recommendation.why, "16 experts"));
}
END_TEST

START_TEST(counts_that_all_miss_the_base_s_loss_are_ranked_by_loss)
{
    question.expert_count = 2; /* 1 and 2, below the base */
    make_plan();
    ck_assert_double_eq(plan.recommendation.at.experts, 2.0);
    ck_assert_int_eq(plan.recommendation.objective, LQ_OBJECTIVE_LOSS);
    ck_assert_ptr_nonnull(strstr(plan.recommendation.why, "nearest"));
}
END_TEST

START_TEST(a_base_that_cannot_be_served_leaves_no_cost_to_hold_to)
{
    question.max_serving_gpu_count = 1;
    question.base_experts = 64.0;
    make_plan();
    ck_assert(!plan.base.served);
    ck_assert(!option(4.0)->bounded_cost.found);
    ck_assert_ptr_nonnull(strstr(option(4.0)->bounded_cost.reason, "cannot be served"));
}
END_TEST

START_TEST(laws_that_cannot_plan_are_refused)
{
    question.law = lq_law_find("clark2022-s-base");
    expect_refusal(LQ_EIMPOSSIBLE, "/law", "tokens");
    question.law = lq_law_find("tian2025");
    expect_refusal(LQ_EIMPOSSIBLE, "/law", "leverage");
    question.law = lq_law_find("besiroglu2024");
    expect_refusal(LQ_EIMPOSSIBLE, "/experts", "does not know experts");
    question.expert_count = 1;
    expect_refusal(LQ_EIMPOSSIBLE, "/base_experts", "does not know experts");
    question.base_experts = 1.0;
    make_plan();
}
END_TEST

START_TEST(what_nothing_can_meet_is_refused_with_the_nearest)
{
    question.required_loss = 1.9;
    expect_refusal(LQ_EIMPOSSIBLE, "/required_loss", "2.14093");
    setup();
    question.required_loss = 2.18;
    question.budget_flop = 1e22;
    question.max_serving_gpu_count = 1;
    question.experts = (const double[]){4.0, 16.0};
    question.expert_count = 2;
    expect_refusal(LQ_ENOFIT, "/max_serving_gpu_count", "models of loss 2.18 can be trained");
    setup();
    question.max_total_parameters = 1e4;
    expect_refusal(LQ_EFIELD, "/max_total_parameters", "smallest");
    setup();
    question.budget_flop = 1e25;
    question.max_serving_gpu_count = 1;
    expect_refusal(LQ_ENOFIT, "/max_serving_gpu_count", "would hold it");
    setup();
    question.budget_flop = 1e30;
    expect_refusal(LQ_EIMPOSSIBLE, "/law", "no optimum");
}
END_TEST

START_TEST(series_walk_sizes_around_the_optimum_and_budgets_around_the_question_s)
{
    struct lq_allocation at[LQ_SERIES_SIZES];
    make_plan();
    const struct lq_plan_option o = *option(8.0);
    ck_assert_uint_eq(lq_series_sizes(&question, &o, at), LQ_SERIES_SIZES);
    for (int i = 1; i < LQ_SERIES_SIZES; i++) {
        ck_assert_double_gt(at[i].parameters, at[i - 1].parameters);
        ck_assert_double_ge(at[i].loss, o.loss_optimal.loss);
    }
    double loss = HUGE_VAL;
    for (int i = 0; i < LQ_SERIES_BUDGETS; i++) {
        struct lq_error err = {0};
        ck_assert_int_eq(lq_series_plan(&question, i, &plan, &err), LQ_OK);
        ck_assert_double_lt(plan.base.loss, loss);
        loss = plan.base.loss;
    }
    ck_assert_double_eq_tol(lq_series_budget_flop(&question, 0) / 5.15e20, 1.0, 1e-9);
    ck_assert_double_eq_tol(plan.base.training_flop / 5.15e22, 1.0, 1e-9);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *cases = tcase_create("plan");
    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_add_test(cases, the_loss_optimal_size_beats_its_neighbours_and_spends_the_budget);
    tcase_add_test(cases, sizes_count_all_experts_and_the_two_active_ones);
    tcase_add_test(cases, a_law_read_in_activated_parameters_pays_for_them_and_gives_their_ratios);
    tcase_add_test(cases, bounded_loss_is_the_smallest_model_at_the_base_s_loss);
    tcase_add_test(cases,
                   fewer_experts_than_the_base_cannot_reach_its_loss_and_say_how_near_they_come);
    tcase_add_test(cases, the_base_bounds_itself);
    tcase_add_test(cases, bounded_cost_is_the_largest_model_at_the_base_s_cost);
    tcase_add_test(cases, a_model_that_serves_cheaper_at_its_optimum_is_not_bound_by_cost);
    tcase_add_test(cases, the_equal_loss_budget_reaches_that_loss_and_no_more);
    tcase_add_test(cases, the_least_total_cost_beats_smaller_and_larger_models_at_that_loss);
    tcase_add_test(cases, more_served_tokens_make_the_model_smaller);
    tcase_add_test(cases, the_lowest_loss_within_a_total_budget_spends_all_of_it);
    tcase_add_test(cases, a_total_budget_that_serving_alone_exceeds_is_said);
    tcase_add_test(cases, a_limit_on_tokens_leaves_larger_models_with_no_more_than_that);
    tcase_add_test(cases, a_limit_on_total_parameters_holds_for_every_answer);
    tcase_add_test(cases, a_required_loss_is_what_the_recommendation_reaches);
    tcase_add_test(cases, the_recommendation_serves_cheapest_of_those_that_reach_the_loss);
    tcase_add_test(cases, counts_that_all_miss_the_base_s_loss_are_ranked_by_loss);
    tcase_add_test(cases, a_base_that_cannot_be_served_leaves_no_cost_to_hold_to);
    tcase_add_test(cases, laws_that_cannot_plan_are_refused);
    tcase_add_test(cases, what_nothing_can_meet_is_refused_with_the_nearest);
    tcase_add_test(cases, series_walk_sizes_around_the_optimum_and_budgets_around_the_question_s);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
