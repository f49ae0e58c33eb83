/* Fits of the step time, of the paper's forms and of the memory factor to data whose coefficients
 * are known, and the measures of error. */
#include "core/finetune/fit.h"
#include "core/finetune/validation.h"
#include "core/finetune/xia2024.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 24 };

static const struct lq_step_coefficients TRUE_STEP = {2.7, 1e-3, 6e-4};
/* Physics off by a third, each part another way. */
static const struct lq_step_coefficients PRIOR = {2.0, 1.4e-3, 5e-4};

/* Batches 1..6 of rows of 600 + 40 * batch tokens, with 1, 2, 4 and 8 experts, without noise. */
static void observe(struct lq_observation out[POINTS])
{
    const double experts[] = {1.0, 2.0, 4.0, 8.0};
    for (int i = 0; i < POINTS; i++) {
        struct lq_observation o = {.batch_size = 1.0 + i % 6,
                                   .active_experts = experts[i / 6],
                                   .row_tokens = 600.0 + 40.0 * (1.0 + i % 6),
                                   .queries_per_row = 1.0,
                                   .gpu_count = 1.0,
                                   .token_scale = 1.0};
        o.queries_per_s = lq_observation_rate(
            &o, lq_step_seconds(&TRUE_STEP, o.batch_size * o.row_tokens, o.active_experts));
        out[i] = o;
    }
}

static enum lq_code fit_step(const struct lq_observation *o, size_t n,
                             const struct lq_step_coefficients *prior,
                             enum lq_fit_objective objective, struct lq_fit *fit,
                             struct lq_error *err)
{
    double *workspace = calloc(lq_fit_workspace(n), sizeof *workspace);
    ck_assert_ptr_nonnull(workspace);
    memset(fit, 0, sizeof *fit);
    const enum lq_code code = lq_fit_step_time(o, n, prior, objective, workspace, fit, err);
    free(workspace);
    return code;
}

static struct lq_fit must_fit(const struct lq_observation *o, size_t n,
                              enum lq_fit_objective objective)
{
    struct lq_fit fit;
    struct lq_error err = {0};
    const enum lq_code code = fit_step(o, n, &PRIOR, objective, &fit, &err);
    ck_assert_msg(code == LQ_OK, "%s", err.detail);
    return fit;
}

static void assert_coefficients(const struct lq_fit *fit, double relative)
{
    assert_close("t0", fit->coefficient[0], TRUE_STEP.fixed_s, relative);
    assert_close("t1", fit->coefficient[1], TRUE_STEP.token_s, relative);
    assert_close("t1 per expert", fit->coefficient[2], TRUE_STEP.expert_token_s, relative);
}

START_TEST(clean_data_give_back_their_coefficients)
{
    struct lq_observation o[POINTS];
    observe(o);
    const enum lq_fit_objective objectives[] = {LQ_OBJECTIVE_ROBUST, LQ_OBJECTIVE_ABSOLUTE};
    const struct lq_fit fit = must_fit(o, POINTS, objectives[_i]);
    assert_coefficients(&fit, _i == 0 ? 1e-3 : 1e-6); /* the prior pulls the robust one */
    for (int i = 0; i < POINTS; i++) {
        assert_close("rate", lq_fit_predict(&fit, &o[i], 8.0), o[i].queries_per_s, 1e-3);
    }
    ck_assert_int_eq(fit.kind, LQ_FIT_STEP_TIME);
    ck_assert_int_eq(fit.objective, objectives[_i]);
    ck_assert_int_eq(fit.coefficients, 3);
    ck_assert_uint_eq(fit.points, POINTS);
    ck_assert_double_eq(fit.step_tokens[0], 640.0);
    ck_assert_double_eq(fit.step_tokens[1], 6.0 * 840.0);
    assert_close("mean row", fit.row_tokens, 740.0, 1e-12);
    ck_assert_double_eq(fit.prior[0], PRIOR.fixed_s);
    ck_assert_double_lt(fit.mape, 1e-3);
}
END_TEST

START_TEST(a_true_prior_is_not_moved_by_clean_data)
{
    struct lq_observation o[POINTS];
    observe(o);
    struct lq_fit fit;
    struct lq_error err = {0};
    ck_assert_int_eq(fit_step(o, POINTS, &TRUE_STEP, LQ_OBJECTIVE_ROBUST, &fit, &err), LQ_OK);
    assert_coefficients(&fit, 1e-9);
}
END_TEST

START_TEST(an_outlier_moves_the_robust_fit_less_than_2_percent)
{
    struct lq_observation o[POINTS];
    observe(o);
    o[5].queries_per_s *= 1.5; /* the fastest point, where least squares looks most */
    const struct lq_fit robust = must_fit(o, POINTS, LQ_OBJECTIVE_ROBUST);
    const struct lq_fit absolute = must_fit(o, POINTS, LQ_OBJECTIVE_ABSOLUTE);
    double worst_robust = 0.0;
    double worst_absolute = 0.0;
    observe(o);
    for (int i = 0; i < POINTS; i++) {
        const double want = o[i].queries_per_s;
        worst_robust = fmax(worst_robust, fabs(lq_fit_predict(&robust, &o[i], 8.0) / want - 1.0));
        worst_absolute =
            fmax(worst_absolute, fabs(lq_fit_predict(&absolute, &o[i], 8.0) / want - 1.0));
    }
    ck_assert_double_lt(worst_robust, 0.02);
    ck_assert_double_gt(worst_absolute, 0.02);
}
END_TEST

START_TEST(one_point_scales_what_it_saw_and_stays_near_the_prior)
{
    struct lq_observation o[POINTS];
    observe(o);
    const struct lq_fit fit = must_fit(&o[8], 1, LQ_OBJECTIVE_ROBUST);
    assert_close("its own rate", lq_fit_predict(&fit, &o[8], 8.0), o[8].queries_per_s, 0.01);
    const double prior[] = {PRIOR.fixed_s, PRIOR.token_s, PRIOR.expert_token_s};
    for (int j = 0; j < 3; j++) {
        ck_assert_double_lt(fabs(log(fit.coefficient[j] / prior[j])), 1.0);
        ck_assert_double_gt(fit.covariance[4 * j], 0.01); /* one point cannot tell three apart */
    }
}
END_TEST

START_TEST(points_at_one_expert_count_leave_the_split_to_the_prior)
{
    struct lq_observation o[POINTS];
    observe(o);
    const struct lq_fit fit = must_fit(&o[6], 6, LQ_OBJECTIVE_ROBUST); /* all top-2 */
    assert_close("t0", fit.coefficient[0], TRUE_STEP.fixed_s, 0.02);
    assert_close("t1 + 2 t1e", fit.coefficient[1] + 2.0 * fit.coefficient[2],
                 TRUE_STEP.token_s + 2.0 * TRUE_STEP.expert_token_s, 0.02);
    ck_assert_double_lt(fabs(log(fit.coefficient[1] / PRIOR.token_s)), 1.0);
}
END_TEST

START_TEST(covariances_are_symmetric_and_positive)
{
    struct lq_observation o[POINTS];
    observe(o);
    const size_t counts[] = {1, 3, POINTS};
    for (int i = 0; i < 3; i++) {
        const struct lq_fit fit = must_fit(o, counts[i], LQ_OBJECTIVE_ROBUST);
        const double *c = fit.covariance;
        for (int j = 0; j < 3; j++) {
            ck_assert_double_gt(c[4 * j], 0.0);
            for (int k = 0; k < 3; k++) {
                ck_assert_double_eq_tol(c[3 * j + k], c[3 * k + j], 1e-9);
                ck_assert_double_le(c[3 * j + k] * c[3 * j + k], c[4 * j] * c[4 * k] * 1.000001);
            }
        }
    }
}
END_TEST

START_TEST(scatter_widens_the_covariance)
{
    struct lq_observation clean[POINTS];
    struct lq_observation noisy[POINTS];
    observe(clean);
    observe(noisy);
    for (int i = 0; i < POINTS; i++) {
        noisy[i].queries_per_s *= i % 2 == 0 ? 1.1 : 1.0 / 1.1;
    }
    const struct lq_fit a = must_fit(clean, POINTS, LQ_OBJECTIVE_ROBUST);
    const struct lq_fit b = must_fit(noisy, POINTS, LQ_OBJECTIVE_ROBUST);
    ck_assert_double_gt(b.covariance[0], 4.0 * a.covariance[0]);
    ck_assert_double_eq_tol(b.residual_log, 0.1, 0.02);
}
END_TEST

/* The standard deviation of t0 from the scatter over 200 data sets, next to what one fit says. */
START_TEST(the_covariance_of_least_squares_is_that_of_repeated_runs)
{
    struct lq_observation o[POINTS];
    uint32_t state = 20240801;
    double sum = 0.0;
    double squares = 0.0;
    double claimed = 0.0;
    enum { RUNS = 200 };
    for (int run = 0; run < RUNS; run++) {
        observe(o);
        for (int i = 0; i < POINTS; i++) {
            double noise = -6.0;
            for (int k = 0; k < 12; k++) {
                state = state * 1664525u + 1013904223u;
                noise += (double)state / 4294967296.0;
            }
            o[i].queries_per_s += 0.01 * noise;
        }
        const struct lq_fit fit = must_fit(o, POINTS, LQ_OBJECTIVE_ABSOLUTE);
        const double log_t0 = log(fit.coefficient[0]);
        sum += log_t0;
        squares += log_t0 * log_t0;
        claimed += fit.covariance[0] / RUNS;
    }
    const double variance = squares / RUNS - sum / RUNS * sum / RUNS;
    assert_close("variance of ln t0", claimed, variance, 0.35);
}
END_TEST

START_TEST(a_dense_model_has_no_part_per_expert)
{
    const struct lq_step_coefficients prior = {2.0, 1e-3, 0.0};
    struct lq_observation o[3];
    for (int i = 0; i < 3; i++) {
        o[i] = (struct lq_observation){.batch_size = 1.0 + i,
                                       .row_tokens = 100.0,
                                       .queries_per_row = 1.0,
                                       .gpu_count = 2.0,
                                       .token_scale = 1.0};
        o[i].queries_per_s = lq_observation_rate(&o[i], 1.0 + 2e-3 * 100.0 * (1.0 + i));
    }
    struct lq_fit fit;
    struct lq_error err = {0};
    ck_assert_int_eq(fit_step(o, 3, &prior, LQ_OBJECTIVE_ROBUST, &fit, &err), LQ_OK);
    ck_assert_double_eq(fit.coefficient[2], 0.0);
    assert_close("t0", fit.coefficient[0], 1.0, 0.02);
    assert_close("t1", fit.coefficient[1], 2e-3, 0.02);
}
END_TEST

START_TEST(work_per_token_that_grows_with_the_row_is_not_mistaken_for_time)
{
    struct lq_observation o[POINTS];
    observe(o);
    for (int i = 0; i < POINTS; i++) {
        o[i].token_scale = o[i].row_tokens / 740.0;
        const struct lq_step_coefficients c = {
            TRUE_STEP.fixed_s, TRUE_STEP.token_s * o[i].token_scale, TRUE_STEP.expert_token_s};
        o[i].queries_per_s = lq_observation_rate(
            &o[i], lq_step_seconds(&c, o[i].batch_size * o[i].row_tokens, o[i].active_experts));
    }
    const struct lq_fit fit = must_fit(o, POINTS, LQ_OBJECTIVE_ABSOLUTE);
    assert_coefficients(&fit, 1e-6);
}
END_TEST

START_TEST(too_few_points_are_refused)
{
    struct lq_observation o[POINTS];
    observe(o);
    struct lq_fit fit;
    struct lq_error err = {0};
    ck_assert_int_eq(fit_step(o, 0, &PRIOR, LQ_OBJECTIVE_ROBUST, &fit, &err), LQ_EFIT);
    err = (struct lq_error){0};
    ck_assert_int_eq(fit_step(o, 2, &PRIOR, LQ_OBJECTIVE_ABSOLUTE, &fit, &err), LQ_EFIT);
}
END_TEST

START_TEST(a_rate_is_queries_over_the_step)
{
    const struct lq_observation o = {.batch_size = 3.0, .queries_per_row = 2.0, .gpu_count = 4.0};
    ck_assert_double_eq(lq_observation_rate(&o, 6.0), 4.0);
}
END_TEST

START_TEST(errors_are_measured_in_rates_and_shares)
{
    const double predicted[] = {1.1, 1.8, 4.0, 10.0};
    const double measured[] = {1.0, 2.0, 4.0, 8.0};
    double scratch[4];
    const struct lq_errors e = lq_errors_of(predicted, measured, 4, scratch);
    ck_assert_uint_eq(e.n, 4);
    assert_close("rmse", e.rmse, sqrt((0.01 + 0.04 + 0.0 + 4.0) / 4.0), 1e-12);
    assert_close("mape", e.mape, (0.1 + 0.1 + 0.0 + 0.25) / 4.0, 1e-9);
    assert_close("bias", e.bias, (0.1 - 0.1 + 0.0 + 0.25) / 4.0, 1e-9);
    assert_close("median", e.median, 0.1, 1e-9);
    assert_close("p90", e.p90, 0.25, 1e-9);
    const struct lq_errors one = lq_errors_of(predicted, measured, 1, scratch);
    assert_close("median of one", one.median, 0.1, 1e-9);
    const struct lq_errors three = lq_errors_of(&predicted[1], &measured[1], 3, scratch);
    assert_close("median of three", three.median, 0.1, 1e-9);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fit");
    TCase *tests = tcase_create("fit");
    tcase_add_loop_test(tests, clean_data_give_back_their_coefficients, 0, 2);
    tcase_add_test(tests, a_true_prior_is_not_moved_by_clean_data);
    tcase_add_test(tests, an_outlier_moves_the_robust_fit_less_than_2_percent);
    tcase_add_test(tests, one_point_scales_what_it_saw_and_stays_near_the_prior);
    tcase_add_test(tests, points_at_one_expert_count_leave_the_split_to_the_prior);
    tcase_add_test(tests, covariances_are_symmetric_and_positive);
    tcase_add_test(tests, scatter_widens_the_covariance);
    tcase_add_test(tests, the_covariance_of_least_squares_is_that_of_repeated_runs);
    tcase_add_test(tests, a_dense_model_has_no_part_per_expert);
    tcase_add_test(tests, work_per_token_that_grows_with_the_row_is_not_mistaken_for_time);
    tcase_add_test(tests, too_few_points_are_refused);
    tcase_add_test(tests, a_rate_is_queries_over_the_step);
    tcase_add_test(tests, errors_are_measured_in_rates_and_shares);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
