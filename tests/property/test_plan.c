/* What must hold for a plan under any law that knows tokens and experts, at any budget. */
#include "core/planning/plan.h"
#include "tests/unit/check_main.h"
#include "tests/unit/plan_fixture.h"

#include <math.h>

static const char *const LAWS[] = {"yun2024-reconstructed", "yun2024-s3", "yun2024-s5",
                                   "ludziejewski2025",      "abnar2025",  "zhao2025"};
enum { LAW_COUNT = sizeof LAWS / sizeof LAWS[0] };

static struct lq_plan plan;

/* Budgets from 1e18 to 1e24, some of which leave models that cannot be served. */
static bool make_plan(int law, double budget_flop, struct lq_plan_question *question)
{
    *question = plan_question(LAWS[law]);
    question->budget_flop = budget_flop;
    struct lq_error err = {0};
    const enum lq_code code = lq_plan(question, &plan, &err);
    ck_assert_msg(code == LQ_OK || code == LQ_ENOFIT, "%s at %g: %s", LAWS[law], budget_flop,
                  err.detail);
    return code == LQ_OK;
}

static void expect_finite(const struct lq_allocation *at)
{
    ck_assert(isfinite(at->parameters) && at->parameters > 0.0);
    ck_assert(isfinite(at->tokens) && at->tokens > 0.0);
    ck_assert(isfinite(at->loss) && at->loss > 0.0);
    ck_assert(isfinite(at->serving.gpu_s_per_token));
    ck_assert(at->served == (at->serving.gpu_count > 0));
}

START_TEST(no_size_beats_the_loss_optimal_one)
{
    struct lq_plan_question question;
    for (double budget = 1e18; budget < 1e24; budget *= 30.0) {
        if (!make_plan(_i, budget, &question)) {
            continue;
        }
        for (size_t i = 0; i < plan.count; i++) {
            const struct lq_allocation *best = &plan.options[i].loss_optimal;
            expect_finite(best);
            for (double factor = 0.01; factor < 100.0; factor *= 1.7) {
                const double loss =
                    lq_plan_at(&question, best->experts, best->parameters * factor).loss;
                ck_assert_msg(loss >= best->loss * (1.0 - 1e-12), "%s: %g experts at %g", LAWS[_i],
                              best->experts, budget);
            }
        }
    }
}
END_TEST

START_TEST(algorithms_keep_their_bounds)
{
    struct lq_plan_question question;
    for (double budget = 1e18; budget < 1e24; budget *= 30.0) {
        if (!make_plan(_i, budget, &question)) {
            continue;
        }
        for (size_t i = 0; i < plan.count; i++) {
            const struct lq_plan_option *o = &plan.options[i];
            const bool reaches = o->loss_optimal.loss <= plan.base.loss;
            ck_assert_int_eq(o->bounded_loss.found, reaches);
            ck_assert_int_eq(o->bounded_loss.reason[0] == '\0', reaches);
            if (reaches) {
                expect_finite(&o->bounded_loss.at);
                ck_assert_double_le(o->bounded_loss.at.parameters,
                                    o->loss_optimal.parameters * (1.0 + 1e-9));
                ck_assert_double_eq_tol(o->bounded_loss.at.loss / plan.base.loss, 1.0, 1e-9);
            }
            if (o->bounded_cost.found) {
                expect_finite(&o->bounded_cost.at);
                ck_assert_double_le(o->bounded_cost.at.serving.gpu_s_per_token,
                                    plan.base.serving.gpu_s_per_token * (1.0 + 1e-9));
                ck_assert_double_ge(o->bounded_cost.at.loss, o->loss_optimal.loss * (1 - 1e-12));
            }
        }
    }
}
END_TEST

START_TEST(a_larger_budget_never_raises_the_loss)
{
    struct lq_plan_question question;
    double before = HUGE_VAL;
    for (double budget = 1e18; budget < 1e24; budget *= 10.0) {
        if (make_plan(_i, budget, &question)) {
            ck_assert_double_lt(plan.base.loss, before);
            before = plan.base.loss;
        }
    }
}
END_TEST

START_TEST(equal_loss_needs_more_training_exactly_where_the_optimum_is_worse)
{
    struct lq_plan_question question;
    ck_assert(make_plan(_i, 1e21, &question));
    for (size_t i = 0; i < plan.count; i++) {
        const struct lq_plan_option *o = &plan.options[i];
        if (o->equal_loss.found && o->loss_optimal.experts != plan.base.experts) {
            const double ratio = o->equal_loss.at.training_flop / plan.base.training_flop;
            ck_assert_int_eq(ratio > 1.0, o->loss_optimal.loss > plan.base.loss);
            ck_assert_double_eq_tol(o->equal_loss.at.loss / plan.base.loss, 1.0, 1e-9);
        }
    }
}
END_TEST

/* GPU time is the only currency: a faster trainer changes hours, not sizes. */
START_TEST(sizes_do_not_depend_on_the_speed_of_training)
{
    struct lq_plan_question question;
    ck_assert(make_plan(_i, 1e21, &question));
    const struct lq_allocation slow = plan.options[4].loss_optimal;
    struct lq_error err = {0};
    question.train_flop_per_s *= 2.0;
    ck_assert_int_eq(lq_plan(&question, &plan, &err), LQ_OK);
    ck_assert_double_eq(plan.options[4].loss_optimal.parameters, slow.parameters);
    ck_assert_double_eq_tol(plan.options[4].loss_optimal.training_gpu_s / slow.training_gpu_s, 0.5,
                            1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("property_plan");
    TCase *cases = tcase_create("plan");
    tcase_add_loop_test(cases, no_size_beats_the_loss_optimal_one, 0, LAW_COUNT);
    tcase_add_loop_test(cases, algorithms_keep_their_bounds, 0, LAW_COUNT);
    tcase_add_loop_test(cases, a_larger_budget_never_raises_the_loss, 0, LAW_COUNT);
    tcase_add_loop_test(cases, equal_loss_needs_more_training_exactly_where_the_optimum_is_worse, 0,
                        LAW_COUNT);
    tcase_add_loop_test(cases, sizes_do_not_depend_on_the_speed_of_training, 0, LAW_COUNT);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
