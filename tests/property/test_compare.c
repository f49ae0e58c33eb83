/* What must hold of comparisons whatever the options: random ones, seeded, and random jobs of the
 * catalog. */
#include "core/finetune/compare.h"
#include "core/finetune/cost.h"
#include "tests/property/random.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdlib.h>

enum { CASES = 300, JOBS = 150, STREAM = 60, OPTIONS_MAX = 120 };

static const struct lq_catalog *catalog;
static struct lq_choice options[OPTIONS_MAX];
static size_t count;
static size_t trials;

static double spread(void)
{
    return 0.02 + 0.6 * random_share();
}

/* Up to four trials a device and four offers a trial; few different figures, so that some tie. */
static void draw(int number)
{
    random_case(STREAM, number);
    count = 0;
    trials = 0;
    const int64_t devices = random_between(1, 7);
    for (int64_t d = 0; d < devices; d++) {
        const double own = spread();
        const double log_sd = random_flag() ? own : hypot(own, spread());
        for (int64_t t = random_between(1, 4); t > 0; t--, trials++) {
            const double duration_s = (double)random_between(1, 40);
            for (int64_t k = random_between(0, 4); k > 0; k--, count++) {
                options[count] =
                    (struct lq_choice){.trial = trials,
                                       .device = (size_t)d,
                                       .duration_s = duration_s,
                                       .cost_usd = duration_s * (double)random_between(1, 6),
                                       .log_sd = log_sd,
                                       .own_log_sd = own,
                                       .tie = count};
            }
        }
    }
}

static int by_cost(const void *a, const void *b)
{
    return lq_choice_order(a, b, LQ_LEAST_COST);
}

static int by_time(const void *a, const void *b)
{
    return lq_choice_order(a, b, LQ_LEAST_TIME);
}

static bool dominates(const struct lq_choice *a, const struct lq_choice *b)
{
    return a->cost_usd <= b->cost_usd && a->duration_s <= b->duration_s &&
           (a->cost_usd < b->cost_usd || a->duration_s < b->duration_s);
}

START_TEST(the_front_is_exactly_what_nothing_dominates)
{
    for (int n = 0; n < CASES; n++) {
        draw(n);
        const enum lq_least objective = random_flag() ? LQ_LEAST_COST : LQ_LEAST_TIME;
        qsort(options, count, sizeof options[0], objective == LQ_LEAST_COST ? by_cost : by_time);
        lq_compare_front(options, count, objective);
        for (size_t i = 0; i < count; i++) {
            bool dominated = false;
            for (size_t j = 0; j < count; j++) {
                dominated = dominated || dominates(&options[j], &options[i]);
            }
            ck_assert_msg(options[i].on_front != dominated, "case %d: option %zu: %g s, %g USD", n,
                          i, options[i].duration_s, options[i].cost_usd);
        }
    }
}
END_TEST

START_TEST(chances_of_being_cheapest_are_a_distribution)
{
    static struct lq_contender work[OPTIONS_MAX];
    for (int n = 0; n < CASES; n++) {
        draw(n);
        if (count == 0) {
            continue;
        }
        lq_compare_share(options, count);
        lq_compare_cheapest(options, count, work, trials);
        double sum = 0.0;
        for (size_t i = 0; i < count; i++) {
            const double p = options[i].p_cheapest;
            ck_assert_msg(p >= 0.0 && p <= 1.0 + 1e-12, "case %d: %g", n, p);
            sum += p;
            for (size_t j = 0; j < count && p > 0.0; j++) {
                ck_assert_msg(options[j].trial != options[i].trial ||
                                  options[j].cost_usd >= options[i].cost_usd,
                              "case %d: a dearer offer of the same estimate is never cheapest", n);
            }
        }
        ck_assert_msg(fabs(sum - 1.0) < 1e-6, "case %d: they sum to %.9g", n, sum);
    }
}
END_TEST

START_TEST(a_lower_price_never_lowers_the_chance_of_being_cheapest)
{
    static struct lq_contender work[OPTIONS_MAX];
    for (int n = 0; n < CASES; n++) {
        draw(n);
        if (count == 0) {
            continue;
        }
        const size_t i = (size_t)random_between(0, (int64_t)count - 1);
        lq_compare_share(options, count);
        lq_compare_cheapest(options, count, work, trials);
        const double before = options[i].p_cheapest;
        options[i].cost_usd *= 0.8;
        lq_compare_cheapest(options, count, work, trials);
        /* sums to 1 after the quadrature, which is good to about 0.01 */
        ck_assert_msg(options[i].p_cheapest >= before - 0.01, "case %d: %g, then %g", n, before,
                      options[i].p_cheapest);
    }
}
END_TEST

START_TEST(wider_bounds_never_take_an_option_or_a_chance_away)
{
    for (int n = 0; n < CASES; n++) {
        draw(n);
        const struct lq_bounds tight = {1.0 + 100.0 * random_share(), 1.0 + 30.0 * random_share()};
        const struct lq_bounds wide = {1.5 * tight.budget_usd, 1.5 * tight.deadline_s};
        for (size_t i = 0; i < count; i++) {
            ck_assert(!lq_choice_allowed(&options[i], &tight) ||
                      lq_choice_allowed(&options[i], &wide));
            struct lq_choice more = options[i];
            lq_choice_chances(&options[i], &tight);
            lq_choice_chances(&more, &wide);
            ck_assert_double_ge(more.p_in_budget, options[i].p_in_budget);
            ck_assert_double_ge(more.p_in_time, options[i].p_in_time);
        }
    }
}
END_TEST

START_TEST(costs_are_linear_in_price_and_monotone_in_epochs_and_queries)
{
    const struct lq_evidence evidence = evidence_of(catalog);
    static struct random_job r;
    for (int n = 0; n < JOBS; n++) {
        random_case(STREAM + 1, n);
        random_roomy(catalog, &r);
        struct lq_estimate base;
        struct lq_error err = {0};
        ck_assert_msg(lq_estimate(&r.job, &evidence, &base, &err) == LQ_OK, "case %d: %s", n,
                      err.detail);
        const struct lq_offer offer = {random_between(1, 8), 1.0 + random_share()};
        const struct lq_offer dearer = {offer.gpu_count, 3.0 * offer.instance_usd_per_h};
        const double cost = lq_cost_of(&offer, r.job.gpu_count, base.duration_s).cost_usd;
        const double thrice = lq_cost_of(&dearer, r.job.gpu_count, base.duration_s).cost_usd;
        ck_assert_msg(fabs(thrice / cost - 3.0) < 1e-12, "case %d: %g, %g", n, cost, thrice);
        struct lq_job more = r.job;
        struct lq_estimate longer;
        more.epochs *= 1.0 + random_share();
        ck_assert_int_eq(lq_estimate(&more, &evidence, &longer, &err), LQ_OK);
        ck_assert_msg(fabs(longer.duration_s / base.duration_s - more.epochs / r.job.epochs) < 1e-9,
                      "case %d", n);
        more.queries *= 1.0 + random_share();
        struct lq_estimate larger;
        ck_assert_int_eq(lq_estimate(&more, &evidence, &larger, &err), LQ_OK);
        ck_assert_msg(larger.duration_s >= longer.duration_s, "case %d", n);
    }
}
END_TEST

int main(void)
{
    random_start();
    catalog = seeded_open();
    Suite *suite = suite_create("compare");
    TCase *tests = tcase_create("compare");
    tcase_add_test(tests, the_front_is_exactly_what_nothing_dominates);
    tcase_add_test(tests, chances_of_being_cheapest_are_a_distribution);
    tcase_add_test(tests, a_lower_price_never_lowers_the_chance_of_being_cheapest);
    tcase_add_test(tests, wider_bounds_never_take_an_option_or_a_chance_away);
    tcase_add_test(tests, costs_are_linear_in_price_and_monotone_in_epochs_and_queries);
    suite_add_tcase(suite, tests);
    const int result = run_suite(suite);
    seeded_close();
    return result;
}
