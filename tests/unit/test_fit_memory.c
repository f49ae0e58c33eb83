/* Fits of the memory model: what an observation says of its factors, how groups and one identity
 * are fitted, and where the largest batches decide. */
#include "core/finetune/fit.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>

enum { N = LQ_FACTORS_MAX, ROOM = 64 };

/* 10 bytes are held and lost, a row of one token takes 2 of activations and 1 of logits; of what is
 * gathered there are 2. What is lost is 4. */
static const struct lq_memory COUNTED = {.weights_bytes = 6.0,
                                         .communication_bytes = 2.0,
                                         .saved_token_bytes = 2.0,
                                         .logit_token_bytes = 1.0,
                                         .context_bytes = 4.0,
                                         .scope = LQ_MEMORY_DEVICE};

static struct lq_memory_observation seen(enum lq_memory_evidence kind, double batch, double bytes)
{
    return (struct lq_memory_observation){.memory = COUNTED,
                                          .kind = kind,
                                          .batch_size = batch,
                                          .row_tokens = 1.0,
                                          .held_bytes = bytes,
                                          .siblings = 1.0};
}

/* Independent beliefs of one standard deviation, all factors about 1. */
static struct lq_belief belief_of(double log_sd)
{
    struct lq_belief belief = {.factors = LQ_MEMORY_FACTORS};
    const double log_sds[] = {log_sd, log_sd, log_sd, log_sd};
    lq_belief_widen(&belief, log_sds);
    return belief;
}

static struct lq_fit fit(const struct lq_memory_observation *o, size_t n,
                         const struct lq_belief *prior, const double *member_log_sd)
{
    double scratch[ROOM];
    struct lq_fit out = {.scope = LQ_SCOPE_IDENTITY};
    struct lq_error err = {0};
    ck_assert_uint_le(n, ROOM);
    ck_assert_int_eq(lq_fit_memory(o, n, prior, member_log_sd, scratch, &out, &err), LQ_OK);
    return out;
}

static double total(const struct lq_fit *of, double batch)
{
    const struct lq_memory_factors factors = lq_memory_factors_of(&of->belief);
    return lq_memory_total_bytes(&COUNTED, &factors, batch, 1.0);
}

START_TEST(a_peak_says_what_it_is_off_by)
{
    const struct lq_memory_observation o = seen(LQ_MEMORY_PEAK, 4.0, 20.0); /* counted at 24 */
    double gradient[LQ_MEMORY_FACTORS];
    assert_close("ratio", lq_memory_log_ratio(&o, &LQ_MEMORY_FACTORS_ONE, gradient), log(1.2),
                 1e-12);
    const double shares[] = {8.0 / 24.0, 4.0 / 24.0, 4.0 / 24.0, 2.0 / 24.0};
    for (int f = 0; f < LQ_MEMORY_FACTORS; f++) {
        assert_close("share", gradient[f], shares[f], 1e-12);
    }
}
END_TEST

START_TEST(a_peak_counts_what_its_scope_counts)
{
    struct lq_memory_observation o = seen(LQ_MEMORY_PEAK, 4.0, 20.0);
    o.memory.scope = LQ_MEMORY_ALLOCATED; /* without the context: as counted */
    double gradient[LQ_MEMORY_FACTORS];
    ck_assert_double_eq_tol(lq_memory_log_ratio(&o, &LQ_MEMORY_FACTORS_ONE, gradient), 0.0, 1e-12);
    ck_assert_double_eq(gradient[2], 0.0);
    o.kind = LQ_MEMORY_TOO_LARGE; /* a device has to hold the context, too */
    assert_close("bytes", lq_memory_observed_bytes(&o, &LQ_MEMORY_FACTORS_ONE, NULL), 24.0, 1e-12);
}
END_TEST

/* A row takes 3 bytes: of 10 rows, 42 are needed, and 45 of 11. */
START_TEST(a_largest_batch_bounds_from_both_sides)
{
    const struct {
        double capacity;
        double ratio;
    } cases[] = {
        {42.0, 0.0}, {44.9, 0.0}, {40.0, log(42.0 / 40.0)}, {50.0, log(45.0 / 50.0)}, {43.0, 0.0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct lq_memory_observation o = seen(LQ_MEMORY_LARGEST, 10.0, cases[i].capacity);
        double gradient[LQ_MEMORY_FACTORS];
        ck_assert_double_eq_tol(lq_memory_log_ratio(&o, &LQ_MEMORY_FACTORS_ONE, gradient),
                                cases[i].ratio, 1e-12);
        ck_assert_double_gt(gradient[0], 0.0);
    }
}
END_TEST

START_TEST(a_failure_bounds_from_below)
{
    double gradient[LQ_MEMORY_FACTORS];
    const struct lq_memory_observation failed = seen(LQ_MEMORY_TOO_LARGE, 10.0, 40.0);
    ck_assert_double_eq(lq_memory_log_ratio(&failed, &LQ_MEMORY_FACTORS_ONE, gradient), 0.0);
    for (int f = 0; f < LQ_MEMORY_FACTORS; f++) {
        ck_assert_double_eq(gradient[f], 0.0);
    }
    const struct lq_memory_observation odd = seen(LQ_MEMORY_TOO_LARGE, 10.0, 50.0);
    assert_close("ratio", lq_memory_log_ratio(&odd, &LQ_MEMORY_FACTORS_ONE, gradient),
                 log(42.0 / 50.0), 1e-12);
    ck_assert_double_gt(gradient[0], 0.0);
}
END_TEST

START_TEST(what_no_factors_explain_is_not_usable)
{
    struct lq_memory_observation o = seen(LQ_MEMORY_PEAK, 4.0, 20.0);
    ck_assert(lq_memory_is_usable(&o));
    o.held_bytes = 11.0; /* less than what is held whatever the activations */
    ck_assert(!lq_memory_is_usable(&o));
    o.kind = LQ_MEMORY_LARGEST;
    ck_assert(!lq_memory_is_usable(&o));
    o.kind = LQ_MEMORY_TOO_LARGE; /* and so it did not fit */
    ck_assert(lq_memory_is_usable(&o));
    o.batch_size = 0.0;
    ck_assert(!lq_memory_is_usable(&o));
    o = seen(LQ_MEMORY_PEAK, 4.0, 20.0);
    o.row_tokens = 0.0;
    ck_assert(!lq_memory_is_usable(&o));
    o = seen(LQ_MEMORY_TOO_LARGE, 4.0, 0.0);
    ck_assert(!lq_memory_is_usable(&o));
}
END_TEST

START_TEST(peaks_move_an_identity_as_far_as_its_prior_lets)
{
    const struct lq_memory_observation o[] = {seen(LQ_MEMORY_PEAK, 4.0, 30.0),
                                              seen(LQ_MEMORY_PEAK, 8.0, 45.0)};
    const struct lq_belief wide = belief_of(0.5);
    const struct lq_belief narrow = belief_of(0.01);
    const struct lq_fit moved = fit(o, 2, &wide, NULL);
    assert_close("peak", total(&moved, 4.0), 30.0, 0.01);
    assert_close("peak", total(&moved, 8.0), 45.0, 0.01);
    const struct lq_fit held = fit(o, 2, &narrow, NULL);
    ck_assert_double_gt(total(&held, 8.0), 36.0);
    ck_assert_double_lt(total(&held, 8.0), 39.0);
    ck_assert_int_eq(moved.kind, LQ_FIT_MEMORY);
    ck_assert_int_eq(moved.objective, LQ_OBJECTIVE_ROBUST);
    ck_assert_int_eq(moved.coefficients, LQ_MEMORY_FACTORS);
    ck_assert_uint_eq(moved.points, 2);
    ck_assert_double_lt(moved.residual_log, held.residual_log);
    ck_assert_double_eq(moved.rmse_queries_per_s, 0.0);
    for (int f = 0; f < LQ_MEMORY_FACTORS; f++) {
        ck_assert_double_eq(moved.prior[f], 1.0);
        assert_close("coefficient", moved.coefficient[f], exp(moved.belief.mean[f]), 1e-12);
    }
}
END_TEST

START_TEST(members_of_a_group_weigh_as_one_each)
{
    const struct lq_belief prior = belief_of(0.2);
    const double apart[] = {0.3, 0.3, 0.3, 0.3};
    struct lq_memory_observation o[16];
    for (int i = 0; i < 16; i++) {
        o[i] = seen(LQ_MEMORY_PEAK, 8.0, 45.0);
        o[i].siblings = 16.0;
    }
    const struct lq_fit once = fit(&o[0], 1, &prior, apart);
    const struct lq_fit often = fit(o, 16, &prior, apart);
    struct lq_memory_observation alone = o[0];
    alone.siblings = 1.0;
    const struct lq_fit one = fit(&alone, 1, &prior, apart);
    ck_assert_double_lt(total(&once, 8.0), total(&one, 8.0));  /* a sixteenth of a member */
    ck_assert_double_gt(total(&often, 8.0), total(&one, 8.0)); /* its scatter averages out, */
    ck_assert_double_lt(total(&often, 8.0), 1.05 * total(&one, 8.0)); /* its difference does not */
    ck_assert_double_gt(often.belief.covariance[0], 0.5 * one.belief.covariance[0]);
}
END_TEST

START_TEST(failures_move_factors_only_where_they_contradict)
{
    const struct lq_belief prior = belief_of(0.3);
    const struct lq_memory_observation agrees = seen(LQ_MEMORY_TOO_LARGE, 10.0, 40.0);
    const struct lq_fit same = fit(&agrees, 1, &prior, NULL);
    for (int f = 0; f < LQ_MEMORY_FACTORS; f++) {
        ck_assert_double_eq_tol(same.belief.mean[f], 0.0, 1e-9);
        assert_close("variance", same.belief.covariance[f * (N + 1)], 0.09, 1e-9);
    }
    const struct lq_memory_observation contradicts = seen(LQ_MEMORY_TOO_LARGE, 10.0, 60.0);
    const struct lq_fit more = fit(&contradicts, 1, &prior, NULL);
    assert_close("bytes", total(&more, 10.0), 60.0, 0.03);
}
END_TEST

/* The largest batch on a device of `capacity` bytes where factors are what they are. */
static struct lq_memory_observation largest(const struct lq_memory_factors *truth, double capacity)
{
    const double batch = (double)lq_memory_max_batch(&COUNTED, truth, capacity, 1);
    return seen(LQ_MEMORY_LARGEST, batch, capacity);
}

START_TEST(largest_batches_of_an_identity_are_met)
{
    const struct lq_memory_factors truth = {
        .activation = 1.3, .logits = 1.3, .overhead = 1.8, .communication = 1.0};
    const double capacity[] = {40.0, 48.0, 80.0, 21.0, 241.0};
    struct lq_memory_observation o[5];
    for (int i = 0; i < 5; i++) {
        o[i] = largest(&truth, capacity[i]);
    }
    const struct lq_belief prior = belief_of(0.3);
    const struct lq_fit own = fit(o, 5, &prior, NULL);
    ck_assert_int_eq(own.objective, LQ_OBJECTIVE_MINIMAX);
    const struct lq_memory_factors factors = lq_memory_factors_of(&own.belief);
    for (int i = 0; i < 5; i++) { /* within what is allowed: one query, or 15 % */
        const double batch = (double)lq_memory_max_batch(&COUNTED, &factors, capacity[i], 1);
        ck_assert_msg(fabs(batch - o[i].batch_size) <= fmax(1.0, 0.15 * o[i].batch_size),
                      "%g bytes: got %g, want %g", capacity[i], batch, o[i].batch_size);
    }
    ck_assert_double_eq(factors.communication, 1.0);
    ck_assert_double_lt(own.residual_log, 0.05);
    ck_assert_double_lt(own.belief.covariance[0], prior.covariance[0]);
    const double apart[] = {0.1, 0.1, 0.1, 0.1}; /* a group of identities is a regression */
    ck_assert_int_eq(fit(o, 5, &prior, apart).objective, LQ_OBJECTIVE_ROBUST);
}
END_TEST

START_TEST(where_largest_batches_leave_a_choice_the_prior_makes_it)
{
    struct lq_belief prior = belief_of(0.2);
    prior.mean[0] = log(1.5);
    prior.mean[1] = log(0.8);
    prior.mean[2] = log(1.2);
    prior.mean[3] = log(0.9);
    const struct lq_memory_factors believed = lq_memory_factors_of(&prior);
    const struct lq_memory_observation o = largest(&believed, 60.0);
    const struct lq_fit own = fit(&o, 1, &prior, NULL);
    for (int f = 0; f < LQ_MEMORY_FACTORS; f++) {
        ck_assert_double_eq_tol(own.belief.mean[f], prior.mean[f], 0.01);
        assert_close("prior", own.prior[f], exp(prior.mean[f]), 1e-12);
    }
}
END_TEST

START_TEST(one_largest_batch_is_met_whatever_it_is)
{
    const struct lq_belief prior = belief_of(0.3);
    for (double activation = 0.5; activation < 3.0; activation += 0.1) {
        const struct lq_memory_factors truth = {
            .activation = activation, .logits = activation, .overhead = 1.0, .communication = 1.0};
        const struct lq_memory_observation o = largest(&truth, 60.0);
        const struct lq_fit own = fit(&o, 1, &prior, NULL);
        const struct lq_memory_factors factors = lq_memory_factors_of(&own.belief);
        const double batch = (double)lq_memory_max_batch(&COUNTED, &factors, 60.0, 1);
        ck_assert_msg(fabs(batch - o.batch_size) <= fmax(1.0, 0.15 * o.batch_size),
                      "batch %g: factors %g and %g give %g", o.batch_size, factors.activation,
                      factors.overhead, batch);
    }
}
END_TEST

START_TEST(nothing_seen_fits_nothing)
{
    const struct lq_belief prior = belief_of(0.2);
    double scratch[1];
    struct lq_fit out = {.scope = LQ_SCOPE_ALL};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_fit_memory(NULL, 0, &prior, NULL, scratch, &out, &err), LQ_EFIT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fit_memory");
    TCase *tests = tcase_create("fit_memory");
    tcase_add_test(tests, a_peak_says_what_it_is_off_by);
    tcase_add_test(tests, a_peak_counts_what_its_scope_counts);
    tcase_add_test(tests, a_largest_batch_bounds_from_both_sides);
    tcase_add_test(tests, a_failure_bounds_from_below);
    tcase_add_test(tests, what_no_factors_explain_is_not_usable);
    tcase_add_test(tests, peaks_move_an_identity_as_far_as_its_prior_lets);
    tcase_add_test(tests, members_of_a_group_weigh_as_one_each);
    tcase_add_test(tests, failures_move_factors_only_where_they_contradict);
    tcase_add_test(tests, largest_batches_of_an_identity_are_met);
    tcase_add_test(tests, where_largest_batches_leave_a_choice_the_prior_makes_it);
    tcase_add_test(tests, one_largest_batch_is_met_whatever_it_is);
    tcase_add_test(tests, nothing_seen_fits_nothing);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
