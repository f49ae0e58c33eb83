/* Fits of the step time to data whose factors are known, and the measures of error. The paper's
 * forms and the memory fit are in test_forms.c, the regression itself in test_regress.c. */
#include "core/finetune/estimate.h"
#include "core/finetune/fit.h"
#include "core/finetune/validation.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

enum { POINTS = 24 };

/* Physics off by a third and more, each part another way. */
static const double TRUTH[LQ_FACTOR_COUNT] = {1.3, 0.8, 1.2, 1.25, 1.0, 1.5, 2.0, 1.0};

static double step_s(const struct lq_step_parts *parts, const double *factor)
{
    struct lq_step_time step;
    lq_step_evaluate(parts, factor, &step);
    return step.total_s;
}

/* What was seen of so many steps, each of work of its own, as a sample. */
static enum lq_code fit_steps(const struct lq_step_observation *o, size_t n, double siblings,
                              const struct lq_belief *prior, const double *member_log_sd,
                              struct lq_fit *out, struct lq_error *err)
{
    struct lq_step_parts parts[POINTS];
    struct lq_timed_step steps[POINTS];
    const struct lq_step_sample sample = {
        .parts = parts, .parts_count = n, .steps = steps, .count = n};
    for (size_t i = 0; i < n; i++) {
        parts[i] = o[i].parts;
        steps[i] = (struct lq_timed_step){
            .parts = i, .step_s = o[i].step_s, .queries = o[i].queries, .siblings = siblings};
    }
    double *scratch = calloc(lq_step_sample_scratch(&sample) + 1, sizeof *scratch);
    const enum lq_code code = lq_fit_step_time(&sample, prior, member_log_sd, scratch, out, err);
    free(scratch);
    return code;
}

/* Batches 1..6 of rows of 600 + 40 * batch tokens, with 1, 2, 4 and 8 experts, without noise. */
static void observe(struct lq_step_observation out[POINTS])
{
    struct lq_job job = small_job();
    job.layout = LQ_LAYOUT_SINGLE;
    for (int i = 0; i < POINTS; i++) {
        const double batch = 1.0 + i % 6;
        job.active_experts = 1 << i / 6;
        out[i] = (struct lq_step_observation){
            .parts = lq_job_step(&job, batch, 600.0 + 40.0 * batch), .queries = batch};
        out[i].step_s = step_s(&out[i].parts, TRUTH);
    }
}

static struct lq_fit must_fit(const struct lq_step_observation *o, size_t n,
                              const struct lq_belief *prior, const double *member_log_sd)
{
    struct lq_fit fit = {.kind = LQ_FIT_MEMORY, .objective = LQ_OBJECTIVE_MINIMAX};
    struct lq_error err = {0};
    const enum lq_code code = fit_steps(o, n, 1.0, prior, member_log_sd, &fit, &err);
    ck_assert_msg(code == LQ_OK, "%s", err.detail);
    return fit;
}

static struct lq_fit fit_from_doubt(const struct lq_step_observation *o, size_t n)
{
    const struct lq_belief prior = lq_evidence_doubt();
    return must_fit(o, n, &prior, NULL);
}

static double variance(const struct lq_belief *belief, int f)
{
    return belief->covariance[f * LQ_FACTORS_MAX + f];
}

START_TEST(clean_data_give_back_their_step_times)
{
    struct lq_step_observation o[POINTS];
    observe(o);
    const struct lq_fit fit = fit_from_doubt(o, POINTS);
    for (int i = 0; i < POINTS; i++) { /* the prior holds what 24 points of 0.6 % cannot tell */
        assert_close("step", lq_fit_step_s(&fit, &o[i].parts), o[i].step_s, 3e-3);
    }
    ck_assert_int_eq(fit.kind, LQ_FIT_STEP_TIME);
    ck_assert_int_eq(fit.objective, LQ_OBJECTIVE_ROBUST);
    ck_assert_int_eq(fit.coefficients, LQ_FACTOR_COUNT);
    ck_assert_uint_eq(fit.points, POINTS);
    ck_assert_double_lt(fit.mape, 2e-3);
    ck_assert_double_lt(fit.residual_log, 2e-3);
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        ck_assert_double_eq(fit.prior[f], 1.0);
        assert_close("factor", fit.coefficient[f], exp(fit.belief.mean[f]), 1e-15);
        /* within three of the standard deviations it states */
        const double off = log(fit.coefficient[f] / TRUTH[f]);
        ck_assert_double_lt(fabs(off), 3.0 * sqrt(variance(&fit.belief, f)));
    }
}
END_TEST

START_TEST(a_true_prior_is_not_moved_by_clean_data)
{
    struct lq_step_observation o[POINTS];
    observe(o);
    struct lq_belief prior = lq_evidence_doubt();
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        prior.mean[f] = log(TRUTH[f]);
    }
    const struct lq_fit fit = must_fit(o, POINTS, &prior, NULL);
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        assert_close("factor", fit.coefficient[f], TRUTH[f], 1e-9);
        assert_close("prior", fit.prior[f], TRUTH[f], 1e-15);
    }
}
END_TEST

START_TEST(what_no_point_saw_stays_as_it_was_believed)
{
    struct lq_step_observation o[POINTS];
    observe(o);
    const struct lq_belief prior = lq_evidence_doubt();
    const struct lq_fit fit = fit_from_doubt(o, POINTS);
    const int unseen[] = {LQ_FACTOR_DEQUANTIZATION, LQ_FACTOR_NETWORK}; /* LoRA on one device */
    for (int i = 0; i < 2; i++) {
        ck_assert_double_eq_tol(fit.belief.mean[unseen[i]], 0.0, 1e-12);
        assert_close("variance", variance(&fit.belief, unseen[i]), variance(&prior, unseen[i]),
                     1e-9);
    }
}
END_TEST

START_TEST(an_outlier_moves_the_fit_less_than_2_percent)
{
    struct lq_step_observation o[POINTS];
    observe(o);
    const double clean_s = o[5].step_s;
    o[5].step_s /= 1.5;
    const struct lq_fit fit = fit_from_doubt(o, POINTS);
    o[5].step_s = clean_s;
    for (int i = 0; i < POINTS; i++) {
        assert_close("step", lq_fit_step_s(&fit, &o[i].parts), o[i].step_s, 0.02);
    }
}
END_TEST

START_TEST(one_point_scales_what_it_saw_and_stays_near_the_prior)
{
    struct lq_step_observation o[POINTS];
    observe(o);
    const struct lq_belief prior = lq_evidence_doubt();
    const struct lq_fit fit = fit_from_doubt(&o[8], 1);
    assert_close("its own step", lq_fit_step_s(&fit, &o[8].parts), o[8].step_s, 0.01);
    double still_open = 0.0;
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) { /* moved no further than it was unsure */
        ck_assert_double_lt(fabs(fit.belief.mean[f]), 1.5 * sqrt(variance(&prior, f)));
        still_open = fmax(still_open, variance(&fit.belief, f) / variance(&prior, f));
    }
    ck_assert_double_gt(still_open, 0.5); /* one point cannot tell eight factors apart */
    struct lq_step_time step;
    lq_step_evaluate(&o[8].parts, fit.coefficient, &step);
    ck_assert_double_lt(lq_belief_variance(&fit.belief, step.share), 0.01 * 0.01);
}
END_TEST

START_TEST(covariances_are_symmetric_positive_and_below_the_priors)
{
    struct lq_step_observation o[POINTS];
    observe(o);
    const struct lq_belief prior = lq_evidence_doubt();
    const size_t counts[] = {1, 3, POINTS};
    for (int i = 0; i < 3; i++) {
        const struct lq_fit fit = fit_from_doubt(o, counts[i]);
        const double *c = fit.belief.covariance;
        for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
            const double own = variance(&fit.belief, f);
            ck_assert_double_gt(own, 0.0);
            ck_assert_double_le(own, variance(&prior, f) * (1.0 + 1e-9));
            for (int g = 0; g < LQ_FACTOR_COUNT; g++) {
                const double both = c[f * LQ_FACTORS_MAX + g];
                ck_assert_double_eq_tol(both, c[g * LQ_FACTORS_MAX + f], 1e-9);
                ck_assert_double_le(both * both, own * variance(&fit.belief, g) * 1.000001);
            }
        }
    }
}
END_TEST

START_TEST(scatter_shows_in_the_residual)
{
    struct lq_step_observation o[POINTS];
    observe(o);
    for (int i = 0; i < POINTS; i++) {
        o[i].step_s *= i / 2 % 2 == 0 ? 1.1 : 1.0 / 1.1; /* of no batch in particular */
    }
    const struct lq_fit fit = fit_from_doubt(o, POINTS);
    ck_assert_double_eq_tol(fit.residual_log, 0.1, 0.02);
    ck_assert_double_eq_tol(fit.mape, 0.095, 0.02);
    ck_assert_double_eq_tol(fit.bias, 0.0, 0.02);
}
END_TEST

static const double APART[LQ_FACTOR_COUNT] = {0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2};

/* Variance of the first point's step by a group's fit from the first n observations. */
static double group_variance(const struct lq_step_observation *o, size_t n, double siblings)
{
    const struct lq_belief prior = lq_evidence_doubt();
    struct lq_fit fit = {.points = 0};
    struct lq_error err = {0};
    ck_assert_int_eq(fit_steps(o, n, siblings, &prior, APART, &fit, &err), LQ_OK);
    struct lq_step_time step;
    lq_step_evaluate(&o[0].parts, fit.coefficient, &step);
    return lq_belief_variance(&fit.belief, step.share);
}

START_TEST(many_points_of_one_member_tell_little_more_of_the_group_than_one)
{
    struct lq_step_observation o[POINTS];
    observe(o);
    for (int i = 0; i < POINTS; i++) { /* the same run over and over */
        o[i] = o[0];
    }
    const double one = group_variance(o, 1, 1.0);
    const double strangers = group_variance(o, POINTS, 1.0);
    ck_assert_double_lt(strangers, 0.2 * one); /* 24 different members */
    const double siblings = group_variance(o, POINTS, POINTS);
    ck_assert_double_gt(siblings, 0.9 * one);
    ck_assert_double_le(siblings, one * (1.0 + 1e-9));
}
END_TEST

START_TEST(a_group_whose_members_differ_is_moved_less_than_one_identity)
{
    struct lq_step_observation o[POINTS];
    observe(o);
    const struct lq_belief prior = lq_evidence_doubt();
    const struct lq_fit own = must_fit(o, 3, &prior, NULL);
    const struct lq_fit group = must_fit(o, 3, &prior, APART);
    const double before = log(step_s(&o[0].parts, own.prior) / o[0].step_s);
    const double as_own = log(lq_fit_step_s(&own, &o[0].parts) / o[0].step_s);
    const double as_group = log(lq_fit_step_s(&group, &o[0].parts) / o[0].step_s);
    ck_assert_double_lt(fabs(as_own), fabs(as_group));
    ck_assert_double_lt(fabs(as_group), fabs(before));
}
END_TEST

START_TEST(no_points_are_refused)
{
    const struct lq_belief prior = lq_evidence_doubt();
    struct lq_fit fit = {.points = 0};
    struct lq_error err = {0};
    ck_assert_int_eq(fit_steps(NULL, 0, 1.0, &prior, NULL, &fit, &err), LQ_EFIT);
    struct lq_step_observation o[POINTS];
    observe(o);
    o[0].step_s = 0.0; /* a step of no time has no logarithm */
    err = (struct lq_error){0};
    ck_assert_int_eq(fit_steps(o, 1, 1.0, &prior, NULL, &fit, &err), LQ_EFIT);
}
END_TEST

START_TEST(errors_of_a_fit_are_counted_pair_by_pair)
{
    struct lq_fit_sums sums = {.n = 0};
    lq_fit_sums_add(&sums, 1.1, 1.0);
    lq_fit_sums_add(&sums, 1.8, 2.0);
    lq_fit_sums_add(&sums, -1.0, 4.0); /* a form may fall below 0: it has no logarithm */
    struct lq_fit fit = {.kind = LQ_FIT_STEP_TIME, .coefficients = 8};
    lq_fit_set_errors(&fit, &sums);
    ck_assert_uint_eq(fit.points, 3);
    assert_close("rmse", fit.rmse_queries_per_s, sqrt((0.01 + 0.04 + 25.0) / 3.0), 1e-9);
    assert_close("mape", fit.mape, (0.1 + 0.1 + 1.25) / 3.0, 1e-9);
    assert_close("bias", fit.bias, (0.1 - 0.1 - 1.25) / 3.0, 1e-9);
    const double squares = log(1.1) * log(1.1) + log(0.9) * log(0.9);
    assert_close("residual", fit.residual_log, sqrt(squares / 2.0), 1e-9); /* one is taken */
    fit = (struct lq_fit){.kind = LQ_FIT_XIA2024, .coefficients = 2};
    lq_fit_set_errors(&fit, &sums);
    assert_close("two are taken", fit.residual_log, sqrt(squares / 1.0), 1e-9);
    fit.coefficients = 5; /* never fewer than one is left */
    lq_fit_set_errors(&fit, &sums);
    assert_close("none is left", fit.residual_log, sqrt(squares), 1e-9);
}
END_TEST

START_TEST(classes_of_calibrations_do_not_mix)
{
    unsigned seen = 0;
    for (int kind = LQ_METHOD_FULL; kind <= LQ_METHOD_QLORA; kind++) {
        for (unsigned class = 0; class < 4; class ++) {
            const unsigned bit = lq_fit_class((enum lq_method_kind)kind, class);
            ck_assert_uint_ne(bit, 0);
            ck_assert_uint_eq(bit & (bit - 1), 0);
            ck_assert_uint_eq(seen & bit, 0);
            seen |= bit;
        }
    }
}
END_TEST

START_TEST(only_forms_predict_from_an_observation)
{
    const struct lq_observation o = {.batch_size = 4.0, .active_experts = 2.0};
    struct lq_fit fit = {.coefficient = {1.0, 1.0}, .constant = 1.0};
    const enum lq_fit_kind kinds[] = {LQ_FIT_STEP_TIME, LQ_FIT_MEMORY};
    for (int i = 0; i < 2; i++) {
        fit.kind = kinds[i];
        ck_assert_double_eq(lq_fit_predict(&fit, &o, 8.0), 0.0);
    }
    fit.kind = LQ_FIT_XIA2024;
    ck_assert_double_gt(lq_fit_predict(&fit, &o, 8.0), 0.0);
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
    tcase_add_test(tests, clean_data_give_back_their_step_times);
    tcase_add_test(tests, a_true_prior_is_not_moved_by_clean_data);
    tcase_add_test(tests, what_no_point_saw_stays_as_it_was_believed);
    tcase_add_test(tests, an_outlier_moves_the_fit_less_than_2_percent);
    tcase_add_test(tests, one_point_scales_what_it_saw_and_stays_near_the_prior);
    tcase_add_test(tests, covariances_are_symmetric_positive_and_below_the_priors);
    tcase_add_test(tests, scatter_shows_in_the_residual);
    tcase_add_test(tests, many_points_of_one_member_tell_little_more_of_the_group_than_one);
    tcase_add_test(tests, a_group_whose_members_differ_is_moved_less_than_one_identity);
    tcase_add_test(tests, no_points_are_refused);
    tcase_add_test(tests, errors_of_a_fit_are_counted_pair_by_pair);
    tcase_add_test(tests, classes_of_calibrations_do_not_mix);
    tcase_add_test(tests, only_forms_predict_from_an_observation);
    tcase_add_test(tests, errors_are_measured_in_rates_and_shares);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
