/* Beliefs about a few factors, and how measurements move them: against normal equations solved by
 * hand. */
#include "core/finetune/regress.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

enum { MAX = 32 };

/* ln(predicted / measured) = x . ln(factor) - y: as linear as the objective can be. */
struct line {
    double x[LQ_FACTORS_MAX];
    double y;
};

static void evaluate_line(const void *context, size_t i, const double *factor, double *log_ratio,
                          double *gradient)
{
    const struct line *line = (const struct line *)context + i;
    *log_ratio = -line->y;
    for (int f = 0; f < 2; f++) {
        *log_ratio += line->x[f] * log(factor[f]);
        gradient[f] = line->x[f];
    }
}

/* Two factors around 1 with standard deviations 0.5 and 0.2. */
static struct lq_belief prior(void)
{
    struct lq_belief belief = {.factors = 2};
    lq_belief_widen(&belief, (const double[]){0.5, 0.2});
    return belief;
}

static struct lq_belief learn(const struct line *lines, size_t n, const double *log_sd,
                              const struct lq_belief *from, double *chi2)
{
    const struct lq_regression regression = {
        .evaluate = evaluate_line, .context = lines, .count = n, .log_sd = log_sd};
    struct lq_belief posterior;
    struct lq_error err = {0};
    const enum lq_code code = lq_regress(&regression, from, &posterior, chi2, &err);
    ck_assert_msg(code == LQ_OK, "%s", err.detail);
    return posterior;
}

static double variance(const struct lq_belief *belief, int f)
{
    return belief->covariance[f * LQ_FACTORS_MAX + f];
}

START_TEST(factors_are_the_exponentials_of_the_mean)
{
    const struct lq_belief belief = {.factors = 3, .mean = {0.0, log(2.0), log(0.25)}};
    double factor[] = {9.0, 9.0, 9.0, 9.0};
    lq_belief_factors(&belief, factor);
    ck_assert_double_eq(factor[0], 1.0);
    assert_close("two", factor[1], 2.0, 1e-15);
    assert_close("quarter", factor[2], 0.25, 1e-15);
    ck_assert_double_eq(factor[3], 9.0); /* no more than there are */
}
END_TEST

START_TEST(widening_adds_variances_and_moves_nothing_else)
{
    struct lq_belief belief = prior();
    belief.mean[0] = 0.3;
    belief.covariance[1] = 0.05;
    belief.covariance[LQ_FACTORS_MAX] = 0.05;
    lq_belief_widen(&belief, (const double[]){0.3, 0.0});
    assert_close("widened", variance(&belief, 0), 0.25 + 0.09, 1e-12);
    assert_close("left", variance(&belief, 1), 0.04, 1e-12);
    ck_assert_double_eq(belief.covariance[1], 0.05);
    ck_assert_double_eq(belief.mean[0], 0.3);
}
END_TEST

START_TEST(the_variance_of_a_sum_counts_what_moves_together)
{
    struct lq_belief belief = prior();
    const double gradient[] = {2.0, -1.0};
    assert_close("independent", lq_belief_variance(&belief, gradient), 4.0 * 0.25 + 0.04, 1e-12);
    belief.covariance[1] = 0.05;
    belief.covariance[LQ_FACTORS_MAX] = 0.05;
    assert_close("together", lq_belief_variance(&belief, gradient),
                 4.0 * 0.25 + 0.04 - 2.0 * 2.0 * 0.05, 1e-12);
}
END_TEST

START_TEST(without_measurements_the_posterior_is_the_prior)
{
    struct lq_belief from = prior();
    from.mean[1] = -0.4;
    from.covariance[1] = 0.05;
    from.covariance[LQ_FACTORS_MAX] = 0.05;
    double chi2 = 9.0;
    const struct lq_belief same = learn(NULL, 0, NULL, &from, &chi2);
    ck_assert_int_eq(same.factors, 2);
    for (int f = 0; f < 2; f++) {
        ck_assert_double_eq(same.mean[f], from.mean[f]);
        for (int g = 0; g < 2; g++) { /* inverted twice */
            assert_close("covariance", same.covariance[f * LQ_FACTORS_MAX + g],
                         from.covariance[f * LQ_FACTORS_MAX + g], 1e-12);
        }
    }
    ck_assert_double_eq(chi2, 0.0);
}
END_TEST

/* The means of many consistent measurements and of the prior, each by its precision: one that sees
 * only the first factor at 0.01 +- 0.1 is within what counts as square to 0.1 %. */
START_TEST(one_measurement_and_the_prior_meet_at_their_precisions)
{
    const struct line line = {.x = {1.0, 0.0}, .y = 0.01};
    const double log_sd[] = {0.1};
    const struct lq_belief from = prior();
    double chi2 = 0.0;
    const struct lq_belief after = learn(&line, 1, log_sd, &from, &chi2);
    const double weight = 1.0 / (0.1 * 0.1);
    const double precision = weight + 1.0 / 0.25;
    assert_close("mean", after.mean[0], weight * 0.01 / precision, 1e-3);
    assert_close("variance", variance(&after, 0), 1.0 / precision, 1e-3);
    ck_assert_double_eq(after.mean[1], 0.0); /* not seen: not moved */
    assert_close("unseen", variance(&after, 1), 0.04, 1e-12);
    const double off = (after.mean[0] - 0.01) / 0.1;
    assert_close("chi2", chi2, off * off, 1e-3);
}
END_TEST

START_TEST(a_sum_that_was_measured_is_known_better_than_its_parts)
{
    const struct line lines[] = {{.x = {1.0, 1.0}, .y = 0.2}, {.x = {1.0, 1.0}, .y = 0.2}};
    const double log_sd[] = {0.01, 0.01};
    const struct lq_belief from = prior();
    const struct lq_belief after = learn(lines, 2, log_sd, &from, NULL);
    const double sum[] = {1.0, 1.0};
    ck_assert_double_lt(lq_belief_variance(&after, sum), 1.1e-4 / 2.0 + 1e-5);
    assert_close("sum", after.mean[0] + after.mean[1], 0.2, 1e-3);
    /* the vaguer one takes the larger part, as 0.25 to 0.04 */
    assert_close("parts", after.mean[0] / after.mean[1], 0.25 / 0.04, 1e-6);
    ck_assert_double_gt(variance(&after, 0), 0.01);
    ck_assert_double_lt(after.covariance[1], 0.0);
}
END_TEST

START_TEST(clean_measurements_give_back_what_made_them)
{
    struct line lines[MAX];
    double log_sd[MAX];
    for (int i = 0; i < MAX; i++) {
        const double share = (double)i / (MAX - 1);
        lines[i] = (struct line){.x = {share, 1.0 - share}};
        lines[i].y = share * log(1.7) + (1.0 - share) * log(0.8);
        log_sd[i] = 1e-3;
    }
    const struct lq_belief from = prior();
    const struct lq_belief after = learn(lines, MAX, log_sd, &from, NULL);
    assert_close("first", after.mean[0], log(1.7), 1e-4); /* the prior pulls a little */
    assert_close("second", after.mean[1], log(0.8), 1e-4);
}
END_TEST

START_TEST(more_measurements_never_widen)
{
    struct line lines[MAX];
    double log_sd[MAX];
    const struct lq_belief from = prior();
    double before[] = {variance(&from, 0), variance(&from, 1)};
    for (int i = 0; i < MAX; i++) {
        lines[i] = (struct line){.x = {1.0, i % 3 == 0 ? 0.5 : 0.0}, .y = 0.001 * (i % 5)};
        log_sd[i] = 0.1;
        const struct lq_belief after = learn(lines, (size_t)i + 1, log_sd, &from, NULL);
        for (int f = 0; f < 2; f++) { /* residuals bend the curvature by less than 1e-4 */
            ck_assert_double_le(variance(&after, f), before[f] * (1.0 + 1e-4));
            before[f] = variance(&after, f);
        }
        ck_assert_double_eq_tol(after.covariance[1], after.covariance[LQ_FACTORS_MAX], 1e-12);
    }
    ck_assert_double_lt(before[0], 0.1 * 0.1 / MAX * 1.5);
}
END_TEST

START_TEST(an_outlier_pulls_no_harder_than_two_standard_deviations)
{
    struct line lines[9];
    double log_sd[9];
    for (int i = 0; i < 9; i++) {
        lines[i] = (struct line){.x = {1.0, 0.0}, .y = 0.1};
        log_sd[i] = 0.02;
    }
    const struct lq_belief from = prior();
    lines[8].y = 1.0; /* 45 standard deviations away */
    const double near = learn(lines, 9, log_sd, &from, NULL).mean[0];
    lines[8].y = 5.0; /* and 245 */
    const double far = learn(lines, 9, log_sd, &from, NULL).mean[0];
    /* eight pull at n times what the ninth may: 2 / 8 of a standard deviation, bent by a little */
    ck_assert_double_gt(near, 0.1);
    ck_assert_double_lt(near, 0.1 + 0.02 * 2.0 / 8.0 * 1.1);
    ck_assert_double_eq_tol(far, near, 1e-4);
}
END_TEST

/* A sum of two times, in which neither factor is linear. */
static void evaluate_sum(const void *context, size_t i, const double *factor, double *log_ratio,
                         double *gradient)
{
    const struct line *line = (const struct line *)context + i;
    const double first = line->x[0] * factor[0];
    const double second = line->x[1] * factor[1];
    *log_ratio = log((first + second) / line->y);
    gradient[0] = first / (first + second);
    gradient[1] = second / (first + second);
}

START_TEST(sums_of_times_are_fitted_as_well)
{
    struct line lines[MAX];
    double log_sd[MAX];
    for (int i = 0; i < MAX; i++) {
        lines[i] = (struct line){.x = {1.0, 0.1 * i}};
        lines[i].y = 6.0 * 1.0 + 0.3 * 0.1 * i; /* far from where the prior starts */
        log_sd[i] = 1e-3;
    }
    struct lq_belief from = {.factors = 2};
    lq_belief_widen(&from, (const double[]){2.0, 2.0});
    const struct lq_regression regression = {
        .evaluate = evaluate_sum, .context = lines, .count = MAX, .log_sd = log_sd};
    struct lq_belief after;
    struct lq_error err = {0};
    double chi2 = 1.0;
    ck_assert_int_eq(lq_regress(&regression, &from, &after, &chi2, &err), LQ_OK);
    double factor[2];
    lq_belief_factors(&after, factor);
    assert_close("first", factor[0], 6.0, 1e-3);
    assert_close("second", factor[1], 0.3, 1e-2);
    ck_assert_double_lt(chi2, 1e-3);
}
END_TEST

/* What is minimised, by its definition: pseudo-Huber of two standard deviations, and the prior. */
static double objective(const struct lq_regression *regression, const struct lq_belief *from,
                        const double mean[2])
{
    const double factor[] = {exp(mean[0]), exp(mean[1])};
    double sum = 0.0;
    for (size_t i = 0; i < regression->count; i++) {
        double ratio = 0.0;
        double gradient[2];
        regression->evaluate(regression->context, i, factor, &ratio, gradient);
        const double u = ratio / regression->log_sd[i] / 2.0;
        sum += 4.0 * (sqrt(1.0 + u * u) - 1.0);
    }
    for (int f = 0; f < 2; f++) {
        const double off = mean[f] - from->mean[f];
        sum += 0.5 * off * off / variance(from, f);
    }
    return sum;
}

START_TEST(the_posterior_is_where_prior_and_measurements_balance)
{
    const struct line lines[] = {{.x = {1.0, 0.2}, .y = 5.0}, {.x = {0.3, 2.0}, .y = 0.9}};
    const double log_sd[] = {0.2, 0.3};
    struct lq_belief from = {.factors = 2, .mean = {-1.0, 1.5}};
    lq_belief_widen(&from, (const double[]){0.4, 0.6}); /* as strong as the measurements */
    const struct lq_regression regression = {
        .evaluate = evaluate_sum, .context = lines, .count = 2, .log_sd = log_sd};
    struct lq_belief after;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_regress(&regression, &from, &after, NULL, &err), LQ_OK);
    const double least = objective(&regression, &from, after.mean);
    for (int f = 0; f < 2; f++) {
        for (int sign = -1; sign <= 1; sign += 2) { /* anywhere nearby is worse */
            double aside[] = {after.mean[0], after.mean[1]};
            aside[f] += 1e-4 * sign;
            ck_assert_double_gt(objective(&regression, &from, aside), least);
        }
    }
}
END_TEST

/* Flat far away, steep in the middle: a full step from there lands as far on the other side. */
static void evaluate_bend(const void *context, size_t i, const double *factor, double *log_ratio,
                          double *gradient)
{
    (void)context;
    (void)i;
    const double x = 5.0 * log(factor[0]);
    *log_ratio = atan(x);
    gradient[0] = 5.0 / (1.0 + x * x);
}

START_TEST(a_step_that_overshoots_is_shortened)
{
    const double log_sd[] = {0.01};
    const struct lq_regression regression = {
        .evaluate = evaluate_bend, .count = 1, .log_sd = log_sd};
    struct lq_belief from = {.factors = 1, .mean = {3.0}};
    lq_belief_widen(&from, (const double[]){10.0});
    struct lq_belief after;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_regress(&regression, &from, &after, NULL, &err), LQ_OK);
    ck_assert_double_eq_tol(after.mean[0], 0.0, 1e-4);
}
END_TEST

START_TEST(the_stated_variance_is_that_of_repeated_measurements)
{
    enum { RUNS = 400, POINTS = 12 };
    const double log_sd_one = 0.05;
    struct line lines[POINTS];
    double log_sd[POINTS];
    uint32_t state = 20240801;
    double squares = 0.0;
    double claimed = 0.0;
    struct lq_belief from = {.factors = 2};
    lq_belief_widen(&from, (const double[]){10.0, 10.0}); /* no say against the measurements */
    for (int run = 0; run < RUNS; run++) {
        for (int i = 0; i < POINTS; i++) {
            double noise = -6.0;
            for (int k = 0; k < 12; k++) {
                state = state * 1664525u + 1013904223u;
                noise += (double)state / 4294967296.0;
            }
            const double share = (double)i / (POINTS - 1);
            lines[i] = (struct line){.x = {share, 1.0 - share}, .y = log_sd_one * noise};
            log_sd[i] = log_sd_one;
        }
        const struct lq_belief after = learn(lines, POINTS, log_sd, &from, NULL);
        squares += after.mean[0] * after.mean[0] / RUNS;
        claimed += variance(&after, 0) / RUNS;
    }
    /* 400 runs tell a variance to 7 %; rounded corners count residuals of one standard deviation
     * a tenth less, so that the claim is a little wide */
    ck_assert_double_gt(claimed / squares, 0.85);
    ck_assert_double_lt(claimed / squares, 1.4);
}
END_TEST

START_TEST(what_determines_nothing_is_refused)
{
    const struct line line = {.x = {1.0, 1.0}, .y = 0.1};
    const double log_sd[] = {0.1};
    struct lq_regression regression = {
        .evaluate = evaluate_line, .context = &line, .count = 1, .log_sd = log_sd};
    struct lq_belief after;
    struct lq_error err = {0};
    struct lq_belief flat = {.factors = 2}; /* no variance: its inverse is none */
    ck_assert_int_eq(lq_regress(&regression, &flat, &after, NULL, &err), LQ_EFIT);
    struct lq_belief torn = prior();
    torn.covariance[1] = 1.0; /* more in common than each has */
    torn.covariance[LQ_FACTORS_MAX] = 1.0;
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_regress(&regression, &torn, &after, NULL, &err), LQ_EFIT);
    const struct line endless = {.x = {1.0, 1.0}, .y = HUGE_VAL};
    const struct lq_belief from = prior();
    regression.context = &endless;
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_regress(&regression, &from, &after, NULL, &err), LQ_EFIT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("regress");
    TCase *tests = tcase_create("regress");
    tcase_add_test(tests, factors_are_the_exponentials_of_the_mean);
    tcase_add_test(tests, widening_adds_variances_and_moves_nothing_else);
    tcase_add_test(tests, the_variance_of_a_sum_counts_what_moves_together);
    tcase_add_test(tests, without_measurements_the_posterior_is_the_prior);
    tcase_add_test(tests, one_measurement_and_the_prior_meet_at_their_precisions);
    tcase_add_test(tests, a_sum_that_was_measured_is_known_better_than_its_parts);
    tcase_add_test(tests, clean_measurements_give_back_what_made_them);
    tcase_add_test(tests, more_measurements_never_widen);
    tcase_add_test(tests, an_outlier_pulls_no_harder_than_two_standard_deviations);
    tcase_add_test(tests, sums_of_times_are_fitted_as_well);
    tcase_add_test(tests, the_posterior_is_where_prior_and_measurements_balance);
    tcase_add_test(tests, a_step_that_overshoots_is_shortened);
    tcase_add_test(tests, the_stated_variance_is_that_of_repeated_measurements);
    tcase_add_test(tests, what_determines_nothing_is_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
