/* What every fit must obey: measurements narrow a belief, and never more than they tell. Over steps
 * of random jobs, at factors drawn from the prior. */
#include "core/finetune/estimate.h"
#include "core/finetune/interval.h"
#include "core/finetune/network.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CASES = 400, POINTS = 12, STREAM = 90 };

/* Scatter of repeated steps that fits of one identity count with. */
static const double SCATTER = 0.006;

static const struct lq_catalog *catalog;
static struct random_job r;
static struct lq_step_observation observations[POINTS];
static double truth[LQ_FACTOR_COUNT];
static struct lq_step_parts parts[POINTS];
static struct lq_timed_step steps[POINTS];
static double scratch[POINTS * (2 + LQ_FACTOR_COUNT)];

static double random_normal(void)
{
    double sum = -6.0;
    for (int i = 0; i < 12; i++) {
        sum += random_share();
    }
    return sum;
}

/* Steps of one job at several batches, rows and loads. */
static void random_observations(int stream, int number)
{
    random_case((uint64_t)(STREAM + stream), number);
    random_roomy(catalog, &r);
    r.job.network = (struct lq_network){.node_gpu_count = 8};
    if (!(lq_network_intra_bytes_per_s(&r.gpu, true) > 0.0)) {
        r.gpu.interconnect_bytes_per_s = 64e9;
    }
    r.job.layout = lq_layout_replicas(random_flag() ? 1 : 8, 8);
    const struct lq_belief doubt = lq_evidence_doubt();
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        truth[f] = exp(random_normal() * sqrt(doubt.covariance[f * (LQ_FACTORS_MAX + 1)]));
    }
    const int64_t experts = lq_model_experts(r.job.model);
    for (int i = 0; i < POINTS; i++) {
        r.job.active_experts = experts > 0 ? random_between(1, experts) : 0;
        const double rows = (double)random_between(1, 32);
        struct lq_step_observation *o = &observations[i];
        *o = (struct lq_step_observation){
            .parts = lq_job_step(&r.job, rows, (double)random_between(16, 2048)), .queries = rows};
        o->parts.peak_flop_per_s = HUGE_VAL; /* what runs at its peak tells nothing of factors */
        struct lq_step_time step;
        lq_step_evaluate(&o->parts, truth, &step);
        o->step_s = step.total_s * exp(SCATTER * random_normal());
    }
}

static struct lq_fit fit(size_t n, const double *member_log_sd)
{
    const struct lq_belief doubt = lq_evidence_doubt();
    struct lq_fit out = {.points = 0};
    struct lq_error err = {0};
    const struct lq_step_sample sample = {
        .parts = parts, .parts_count = n, .steps = steps, .count = n};
    for (size_t i = 0; i < n; i++) {
        parts[i] = observations[i].parts;
        steps[i] = (struct lq_timed_step){.parts = i,
                                          .step_s = observations[i].step_s,
                                          .queries = observations[i].queries,
                                          .siblings = 1.0};
    }
    ck_assert_uint_le(lq_step_sample_scratch(&sample), sizeof scratch / sizeof scratch[0]);
    const enum lq_code code = lq_fit_step_time(&sample, &doubt, member_log_sd, scratch, &out, &err);
    ck_assert_msg(code == LQ_OK, "%s: %s", random_describe(&r.job), err.detail);
    return out;
}

static void random_gradient(double gradient[LQ_FACTOR_COUNT])
{
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        gradient[f] = random_normal();
    }
}

START_TEST(no_measurement_widens_what_was_believed)
{
    for (int i = 0; i < CASES; i++) {
        random_observations(0, i);
        const struct lq_belief prior = lq_evidence_doubt();
        const double *apart =
            random_flag() ? NULL : lq_evidence_member_log_sd((enum lq_scope)random_between(0, 2));
        const struct lq_fit after = fit((size_t)random_between(1, POINTS), apart);
        for (int k = 0; k < 8; k++) {
            double gradient[LQ_FACTOR_COUNT];
            random_gradient(gradient);
            const double was = lq_belief_variance(&prior, gradient);
            const double is = lq_belief_variance(&after.belief, gradient);
            ck_assert_msg(is > 0.0 && is <= was * (1.0 + 1e-9), "case %d: %g after %g", i, is, was);
        }
    }
}
END_TEST

static void evaluate_nothing(const void *context, size_t i, const double *factor, double *log_ratio,
                             double *gradient)
{
    (void)context;
    (void)i;
    (void)factor;
    *log_ratio = (double)NAN; /* must not be asked */
    gradient[0] = (double)NAN;
}

START_TEST(without_measurements_the_posterior_is_the_prior)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 1, i);
        struct lq_belief prior = lq_evidence_doubt();
        for (int f = 0; f < LQ_FACTOR_COUNT; f++) { /* with correlations: a rank-one update */
            prior.mean[f] = random_normal();
        }
        double common[LQ_FACTOR_COUNT];
        random_gradient(common);
        for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
            for (int g = 0; g < LQ_FACTOR_COUNT; g++) {
                prior.covariance[f * LQ_FACTORS_MAX + g] += 0.1 * common[f] * common[g];
            }
        }
        const struct lq_regression none = {.evaluate = evaluate_nothing};
        struct lq_belief after;
        struct lq_error err = {0};
        ck_assert_int_eq(lq_regress(&none, &prior, &after, NULL, &err), LQ_OK);
        ck_assert_mem_eq(after.mean, prior.mean, sizeof after.mean);
        for (int k = 0; k < LQ_FACTORS_MAX * LQ_FACTORS_MAX; k++) { /* inverted twice */
            ck_assert_double_eq_tol(after.covariance[k], prior.covariance[k], 1e-9);
        }
    }
}
END_TEST

/* Variance of the first observation's step. */
static double known_to(const struct lq_fit *of)
{
    struct lq_step_time step;
    lq_step_evaluate(&observations[0].parts, truth, &step);
    return lq_belief_variance(&of->belief, step.share);
}

START_TEST(more_measurements_narrow_what_they_measure)
{
    for (int i = 0; i < CASES; i++) {
        random_observations(2, i);
        const double *apart = lq_evidence_member_log_sd(LQ_SCOPE_MODEL);
        const struct lq_fit few = fit(1, apart);
        const struct lq_fit more = fit(POINTS / 2, apart);
        const struct lq_fit all = fit(POINTS, apart);
        /* a residual that grows with the others' weight counts less: within 5 % */
        ck_assert_msg(known_to(&more) <= 1.05 * known_to(&few), "case %d: %g after %g", i,
                      known_to(&more), known_to(&few));
        ck_assert_msg(known_to(&all) <= 1.05 * known_to(&more), "case %d: %g after %g", i,
                      known_to(&all), known_to(&more));
        ck_assert_double_lt(known_to(&all), known_to(&few));
    }
}
END_TEST

START_TEST(what_was_measured_is_predicted_within_its_interval)
{
    int inside = 0;
    for (int i = 0; i < CASES; i++) {
        random_observations(3, i);
        const struct lq_fit of = fit(POINTS - 1, NULL);
        const struct lq_step_observation *left_out = &observations[POINTS - 1];
        struct lq_step_time step;
        lq_step_evaluate(&left_out->parts, of.coefficient, &step);
        const double log_sd = hypot(sqrt(lq_belief_variance(&of.belief, step.share)), SCATTER);
        const double off = fabs(log(step.total_s / left_out->step_s));
        inside += off <= lq_interval_z(0.9) * log_sd ? 1 : 0;
    }
    /* 90 % of 400 give or take three standard deviations of a count of that many */
    ck_assert_msg(inside >= 0.855 * CASES && inside <= 0.96 * CASES, "%d of %d", inside, CASES);
}
END_TEST

START_TEST(wider_levels_contain_narrower_ones)
{
    for (int i = 0; i < CASES; i++) {
        random_case(STREAM + 4, i);
        const double value = exp(10.0 * random_normal());
        const double log_sd = 0.001 + random_share();
        double half[2];
        double most[2];
        lq_interval_around(value, log_sd, lq_interval_z(0.5), half);
        lq_interval_around(value, log_sd, lq_interval_z(0.9), most);
        ck_assert(most[0] < half[0] && half[0] < value && value < half[1] && half[1] < most[1]);
    }
}
END_TEST

int main(void)
{
    random_start();
    catalog = seeded_open();
    Suite *suite = suite_create("beliefs");
    TCase *tests = tcase_create("beliefs");
    tcase_add_test(tests, no_measurement_widens_what_was_believed);
    tcase_add_test(tests, without_measurements_the_posterior_is_the_prior);
    tcase_add_test(tests, more_measurements_narrow_what_they_measure);
    tcase_add_test(tests, what_was_measured_is_predicted_within_its_interval);
    tcase_add_test(tests, wider_levels_contain_narrower_ones);
    suite_add_tcase(suite, tests);
    const int result = run_suite(suite);
    seeded_close();
    return result;
}
