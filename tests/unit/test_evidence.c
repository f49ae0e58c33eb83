/* Which fit of the step time speaks for a job. Memory and the paper's forms are in
 * test_evidence_memory.c, points in test_evidence_points.c. */
#include "core/finetune/evidence.h"
#include "tests/unit/check_main.h"
#include "tests/unit/identity_fixture.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double variance(const struct lq_belief *belief, int f)
{
    return belief->covariance[f * LQ_FACTORS_MAX + f];
}

/* What is known of every factor alike: twice what the constants say, give or take `log_sd`. */
static struct lq_belief believe(double log_sd)
{
    struct lq_belief belief = {.factors = LQ_FACTOR_COUNT};
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        belief.mean[f] = log(2.0);
        belief.covariance[f * LQ_FACTORS_MAX + f] = log_sd * log_sd;
    }
    return belief;
}

/* A fit of the data sets "c" and "d" in a scope around an identity. */
static struct lq_fit step_fit(enum lq_scope scope, const struct lq_identity *id, double log_sd)
{
    return (struct lq_fit){.kind = LQ_FIT_STEP_TIME,
                           .scope = scope,
                           .identity = *id,
                           .belief = believe(log_sd),
                           .points = 4,
                           .data = "c,d"};
}

static struct lq_basis choose(const struct lq_fit *fits, size_t n, const struct lq_identity *id)
{
    const struct lq_evidence evidence = {.fits = fits, .fit_count = n};
    const struct lq_applicant job = {id, 1, "d"};
    return lq_evidence_step(&evidence, &job);
}

START_TEST(nothing_measured_leaves_the_constants_and_their_doubt)
{
    const struct lq_identity id = identity();
    const struct lq_basis basis = choose(NULL, 0, &id);
    const struct lq_belief doubt = lq_evidence_doubt();
    const double *apart = lq_evidence_member_log_sd(LQ_SCOPE_ALL);
    ck_assert_int_eq(basis.kind, LQ_BASIS_PRIOR);
    ck_assert_ptr_null(basis.fit);
    ck_assert_double_eq(basis.log_sd, 0.0);
    ck_assert_int_eq(basis.belief.factors, LQ_FACTOR_COUNT);
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        ck_assert_double_eq(basis.belief.mean[f], 0.0);
        ck_assert_double_gt(variance(&doubt, f), 0.0);
        assert_close("doubt", variance(&basis.belief, f), variance(&doubt, f) + apart[f] * apart[f],
                     1e-12);
    }
}
END_TEST

START_TEST(members_of_every_group_differ_in_every_factor)
{
    const enum lq_scope scopes[] = {LQ_SCOPE_ALL, LQ_SCOPE_STACK, LQ_SCOPE_MODEL};
    for (int i = 0; i < 3; i++) {
        const double *apart = lq_evidence_member_log_sd(scopes[i]);
        for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
            ck_assert_double_gt(apart[f], 0.0);
            ck_assert_double_lt(apart[f], 2.0);
        }
    }
    ck_assert_ptr_null(lq_evidence_member_log_sd(LQ_SCOPE_IDENTITY)); /* it has no members */
}
END_TEST

/* Fits that may speak for identity(), the one to be preferred first. */
enum { OWN, OWN_MODEL, OWN_STACK, EVERYTHING, ELSEWHERE, GROUPS };

static struct lq_fit fit_of(int group, double log_sd)
{
    static const enum lq_scope SCOPES[] = {LQ_SCOPE_IDENTITY, LQ_SCOPE_MODEL, LQ_SCOPE_STACK,
                                           LQ_SCOPE_ALL, LQ_SCOPE_MODEL};
    struct lq_identity id = identity();
    if (group == ELSEWHERE) {
        snprintf(id.stack, sizeof id.stack, "other");
    }
    return step_fit(SCOPES[group], &id, log_sd);
}

START_TEST(the_nearest_is_taken_however_little_is_known_of_it)
{
    const struct lq_identity id = identity();
    for (int turned = 0; turned < 2; turned++) {
        for (int first = OWN; first < GROUPS; first++) {
            struct lq_fit fits[GROUPS];
            size_t n = 0;
            for (int i = first; i < GROUPS; i++) {
                const int group = turned ? GROUPS - 1 - i + first : i;
                fits[n++] = fit_of(group, 0.9 / (1.0 + group)); /* the nearer, the less */
            }
            const struct lq_basis basis = choose(fits, n, &id);
            ck_assert_ptr_eq(basis.fit, turned ? &fits[n - 1] : &fits[0]);
        }
    }
}
END_TEST

START_TEST(a_number_says_how_far_it_was_carried)
{
    const struct lq_identity id = identity();
    const enum lq_basis_kind kinds[] = {LQ_BASIS_CALIBRATED, LQ_BASIS_TRANSFERRED, LQ_BASIS_PRIOR,
                                        LQ_BASIS_PRIOR, LQ_BASIS_TRANSFERRED};
    for (int group = OWN; group < GROUPS; group++) {
        const struct lq_fit fit = fit_of(group, 0.1);
        const struct lq_basis basis = choose(&fit, 1, &id);
        ck_assert_ptr_eq(basis.fit, &fit);
        ck_assert_int_eq(basis.kind, kinds[group]);
    }
}
END_TEST

START_TEST(a_stack_calibrated_with_such_models_and_methods_is_carried_over)
{
    const struct lq_identity id = identity();
    struct lq_fit fit = fit_of(OWN_STACK, 0.1);
    fit.calibrated = lq_fit_class(LQ_METHOD_LORA, 1);
    ck_assert_int_eq(choose(&fit, 1, &id).kind, LQ_BASIS_TRANSFERRED);
    fit.calibrated = lq_fit_class(LQ_METHOD_FULL, 1) | lq_fit_class(LQ_METHOD_LORA, 0);
    ck_assert_int_eq(choose(&fit, 1, &id).kind, LQ_BASIS_PRIOR);
    struct lq_fit all = fit_of(EVERYTHING, 0.1);
    all.calibrated = lq_fit_class(LQ_METHOD_LORA, 1); /* on stacks that are not its own */
    ck_assert_int_eq(choose(&all, 1, &id).kind, LQ_BASIS_PRIOR);
}
END_TEST

START_TEST(what_is_carried_over_grows_by_what_lies_between)
{
    const struct lq_identity id = identity();
    const double *stacks = lq_evidence_member_log_sd(LQ_SCOPE_ALL);
    const double *models = lq_evidence_member_log_sd(LQ_SCOPE_STACK);
    for (int group = OWN; group < GROUPS; group++) {
        const struct lq_fit fit = fit_of(group, 0.1);
        const struct lq_basis basis = choose(&fit, 1, &id);
        const bool over_stacks = group == ELSEWHERE || group == EVERYTHING;
        const bool over_models = group == OWN_STACK || group == EVERYTHING;
        for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
            const double added = (over_stacks ? stacks[f] * stacks[f] : 0.0) +
                                 (over_models ? models[f] * models[f] : 0.0);
            assert_close("variance", variance(&basis.belief, f), 0.01 + added, 1e-12);
            ck_assert_double_eq(basis.belief.mean[f], log(2.0));
        }
    }
}
END_TEST

START_TEST(a_model_that_was_measured_on_another_stack_is_carried_over)
{
    const struct lq_identity id = identity();
    const int far[] = {OWN_STACK, EVERYTHING};
    for (int i = 0; i < 2; i++) {
        struct lq_fit fits[] = {fit_of(far[i], 0.1), fit_of(ELSEWHERE, 0.1)};
        const struct lq_basis basis = choose(fits, 2, &id);
        ck_assert_ptr_eq(basis.fit, &fits[0]); /* which knows of the other */
        ck_assert_int_eq(basis.kind, LQ_BASIS_TRANSFERRED);
        fits[1].identity.method.kind = LQ_METHOD_FULL;
        ck_assert_int_eq(choose(fits, 2, &id).kind, LQ_BASIS_PRIOR);
    }
}
END_TEST

START_TEST(of_equally_near_ones_that_with_the_most_points_is_taken)
{
    const struct lq_identity id = identity();
    struct lq_fit fits[] = {fit_of(ELSEWHERE, 0.1), fit_of(ELSEWHERE, 0.2), fit_of(ELSEWHERE, 0.3)};
    fits[1].points = 5;
    ck_assert_ptr_eq(choose(fits, 3, &id).fit, &fits[1]);
}
END_TEST

START_TEST(every_part_of_the_identity_counts)
{
    const struct lq_identity id = identity();
    struct lq_identity other = identity();
    change(&other, _i);
    ck_assert(!lq_identity_equal(&id, &other));
    ck_assert_int_eq(lq_identity_compare(&id, &other) < 0, lq_identity_compare(&other, &id) > 0);
    const struct lq_fit fit = step_fit(LQ_SCOPE_IDENTITY, &other, 0.1);
    ck_assert_ptr_null(choose(&fit, 1, &id).fit);
}
END_TEST

START_TEST(another_method_model_or_stack_is_no_evidence_of_ones_own)
{
    const struct lq_identity id = identity();
    struct lq_identity others[] = {identity(), identity(), identity()};
    others[0].method.kind = LQ_METHOD_FULL;
    snprintf(others[1].model, sizeof others[1].model, "other");
    snprintf(others[2].stack, sizeof others[2].stack, "other");
    const struct lq_fit fits[] = {step_fit(LQ_SCOPE_MODEL, &others[0], 0.1),
                                  step_fit(LQ_SCOPE_MODEL, &others[1], 0.1),
                                  step_fit(LQ_SCOPE_STACK, &others[2], 0.1)};
    ck_assert_ptr_null(choose(fits, 3, &id).fit);
}
END_TEST

START_TEST(other_data_stays_calibrated_with_a_spread)
{
    const struct lq_identity id = identity();
    struct lq_fit fit = fit_of(OWN, 0.1);
    const double own = choose(&fit, 1, &id).log_sd;
    ck_assert_double_eq(own, lq_evidence_scatter(&fit));
    snprintf(fit.data, sizeof fit.data, "c,dd");
    const struct lq_basis basis = choose(&fit, 1, &id);
    ck_assert_int_eq(basis.kind, LQ_BASIS_CALIBRATED);
    assert_close("5 %", basis.log_sd, hypot(own, 0.05), 1e-12);
    fit.scope = LQ_SCOPE_MODEL; /* that models' members differ is in the belief */
    ck_assert_double_eq(choose(&fit, 1, &id).log_sd, 0.0);
}
END_TEST

START_TEST(more_points_miss_by_less_in_ways_that_no_factor_tells)
{
    const struct lq_fit one = {.points = 1, .residual_log = 0.03};
    const struct lq_fit many = {.points = 25, .residual_log = 0.03};
    assert_close("one", lq_evidence_scatter(&one), hypot(0.03, 0.10), 1e-12);
    assert_close("many", lq_evidence_scatter(&many), hypot(0.03, 0.02), 1e-12);
}
END_TEST

START_TEST(a_spread_is_of_factors_form_and_repeated_runs)
{
    const struct lq_basis basis = {.log_sd = 0.3, .belief = believe(0.1)};
    const struct lq_step_time step = {.share = {0.6, 0.4}};
    assert_close("spread", lq_basis_log_sd(&basis, &step),
                 sqrt(0.01 * (0.36 + 0.16) + 0.09 + 0.02 * 0.02), 1e-12);
}
END_TEST

START_TEST(only_fits_of_the_step_time_speak_for_it)
{
    const struct lq_identity id = identity();
    struct lq_fit fits[3];
    const enum lq_fit_kind kinds[] = {LQ_FIT_MEMORY, LQ_FIT_XIA2024, LQ_FIT_XIA2024_PRINTED};
    for (int i = 0; i < 3; i++) {
        fits[i] = fit_of(OWN, 0.1);
        fits[i].kind = kinds[i];
    }
    ck_assert_ptr_null(choose(fits, 3, &id).fit);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("evidence");
    TCase *tests = tcase_create("evidence");
    tcase_add_test(tests, nothing_measured_leaves_the_constants_and_their_doubt);
    tcase_add_test(tests, members_of_every_group_differ_in_every_factor);
    tcase_add_test(tests, the_nearest_is_taken_however_little_is_known_of_it);
    tcase_add_test(tests, a_number_says_how_far_it_was_carried);
    tcase_add_test(tests, a_stack_calibrated_with_such_models_and_methods_is_carried_over);
    tcase_add_test(tests, what_is_carried_over_grows_by_what_lies_between);
    tcase_add_test(tests, a_model_that_was_measured_on_another_stack_is_carried_over);
    tcase_add_test(tests, of_equally_near_ones_that_with_the_most_points_is_taken);
    tcase_add_loop_test(tests, every_part_of_the_identity_counts, 0, CHANGES);
    tcase_add_test(tests, another_method_model_or_stack_is_no_evidence_of_ones_own);
    tcase_add_test(tests, other_data_stays_calibrated_with_a_spread);
    tcase_add_test(tests, more_points_miss_by_less_in_ways_that_no_factor_tells);
    tcase_add_test(tests, a_spread_is_of_factors_form_and_repeated_runs);
    tcase_add_test(tests, only_fits_of_the_step_time_speak_for_it);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
