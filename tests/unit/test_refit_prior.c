/* What an identity's fit of the step time starts from, and fits without one of its points. */
#include "core/finetune/evidence.h"
#include "server/jobs/refit_step.h"
#include "tests/unit/check_main.h"
#include "tests/unit/refit_fixture.h"
#include "tests/unit/tiny.h"

#include <stdio.h>
#include <string.h>

static double variance(const struct lq_belief *belief, int f)
{
    return belief->covariance[f * (LQ_FACTORS_MAX + 1)];
}

START_TEST(a_prior_is_of_everything_but_ones_own_points)
{
    const struct lq_identity s1 = identity_on("S1");
    struct lq_belief before;
    struct lq_belief after;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit_prior(&catalog, &s1, &before, &err), LQ_OK);
    for (int i = 0; i < RUNS; i++) {
        points[i].queries_per_s *= 5.0;
    }
    ck_assert_int_eq(lq_refit_prior(&catalog, &s1, &after, &err), LQ_OK);
    ck_assert_mem_eq(&before, &after, sizeof before);
    points[RUNS].queries_per_s *= 2.0;
    ck_assert_int_eq(lq_refit_prior(&catalog, &s1, &after, &err), LQ_OK);
    ck_assert_mem_ne(before.mean, after.mean, sizeof before.mean);
}
END_TEST

START_TEST(the_prior_of_the_first_of_its_kind_is_doubt_and_all_that_lies_between)
{
    catalog.point_count = RUNS; /* nothing but its own */
    const struct lq_identity s1 = identity_on("S1");
    struct lq_belief prior;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit_prior(&catalog, &s1, &prior, &err), LQ_OK);
    struct lq_belief want = lq_evidence_doubt();
    for (int scope = LQ_SCOPE_ALL; scope < LQ_SCOPE_IDENTITY; scope++) {
        lq_belief_widen(&want, lq_evidence_member_log_sd((enum lq_scope)scope));
    }
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        ck_assert_double_eq(prior.mean[f], 0.0);
        assert_close("variance", variance(&prior, f), variance(&want, f), 1e-12);
    }
}
END_TEST

START_TEST(a_prior_rests_on_ones_own_stack)
{
    for (int i = 0; i < RUNS; i++) { /* S2's are another stack's, four times as slow */
        snprintf(points[RUNS + i].identity.stack, LQ_ID_MAX, "torchtune");
        points[RUNS + i].queries_per_s /= 2.0;
    }
    struct lq_step_observation o;
    ck_assert(lq_step_observe(&catalog, &points[5], &o));
    double seconds[2];
    const char *const stacks[] = {"hf-2024", "torchtune"};
    for (int i = 0; i < 2; i++) {
        struct lq_identity id = identity_on("S1");
        id.method.rank = 64; /* nobody's */
        snprintf(id.stack, sizeof id.stack, "%s", stacks[i]);
        struct lq_belief prior;
        struct lq_error err = {0};
        ck_assert_int_eq(lq_refit_prior(&catalog, &id, &prior, &err), LQ_OK);
        struct lq_fit fit = {.points = 0};
        lq_belief_factors(&prior, fit.coefficient);
        seconds[i] = lq_fit_step_s(&fit, &o.parts);
    }
    /* 1.3 and 4 times what the constants say, each drawn towards the other */
    ck_assert_double_gt(seconds[1] / seconds[0], 1.5);
    ck_assert_double_lt(seconds[1] / seconds[0], 4.0 / 1.3);
}
END_TEST

START_TEST(an_identity_is_refitted_without_a_point)
{
    const struct lq_point *own[RUNS];
    for (int i = 0; i < RUNS; i++) {
        own[i] = &points[i];
    }
    const struct lq_identity s1 = identity_on("S1");
    struct lq_belief prior;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit_prior(&catalog, &s1, &prior, &err), LQ_OK);
    points[7].queries_per_s *= 1.3; /* a slip of the pen */
    struct lq_fit with;
    struct lq_fit without;
    ck_assert_int_eq(lq_refit_identity(&catalog, own, RUNS, NULL, &prior, &with, &err), LQ_OK);
    ck_assert_int_eq(lq_refit_identity(&catalog, own, RUNS, own[7], &prior, &without, &err), LQ_OK);
    ck_assert_uint_eq(with.points, RUNS);
    ck_assert_str_eq(with.sources, "lab,laboratory");
    ck_assert_uint_eq(without.points, RUNS - 1);
    ck_assert_int_eq(without.scope, LQ_SCOPE_IDENTITY);
    assert_close("as it was", lq_fit_predict_point(&catalog, &without, own[7]),
                 points[7].queries_per_s / 1.3, 5e-3);
    ck_assert_double_gt(with.mape, without.mape);
    ck_assert_int_eq(lq_refit_identity(&catalog, own, 1, own[0], &prior, &without, &err), LQ_EFIT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refit_prior");
    TCase *tests = tcase_create("refit_prior");
    tcase_add_checked_fixture(tests, fill_catalog, NULL);
    tcase_add_test(tests, a_prior_is_of_everything_but_ones_own_points);
    tcase_add_test(tests, the_prior_of_the_first_of_its_kind_is_doubt_and_all_that_lies_between);
    tcase_add_test(tests, a_prior_rests_on_ones_own_stack);
    tcase_add_test(tests, an_identity_is_refitted_without_a_point);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
