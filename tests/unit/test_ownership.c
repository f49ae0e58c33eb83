/* Tune or buy, in figures that can be done by hand. */
#include "core/base/normal.h"
#include "core/planning/ownership.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>

/* Tuning 600 USD; a group answers 1000 requests for 100 USD a month; a request is bought for 0.3.
 */
static const struct lq_ownership PLAIN = {.tuning_usd = 600.0,
                                          .group_usd_per_month = 100.0,
                                          .group_requests_per_month = 1000.0,
                                          .api_usd_per_request = 0.3};

static struct lq_ownership with_traffic(double requests_per_month)
{
    struct lq_ownership o = PLAIN;
    o.requests_per_month = requests_per_month;
    return o;
}

START_TEST(groups_are_rented_whole)
{
    static const double WANT[][2] = {{1.0, 1.0}, {1000.0, 1.0}, {1001.0, 2.0}, {3000.0, 3.0}};
    for (size_t i = 0; i < 4; i++) {
        const struct lq_ownership o = with_traffic(WANT[i][0]);
        ck_assert_double_eq(lq_own_groups(&o), WANT[i][1]);
    }
    const struct lq_ownership o = with_traffic(1500.0);
    assert_close("own", lq_own_usd(&o, 3.0), 600.0 + 3.0 * 200.0, 1e-12);
    assert_close("buy", lq_buy_usd(&o, 3.0), 3.0 * 450.0, 1e-12);
}
END_TEST

START_TEST(requests_break_even_where_both_bills_are_equal)
{
    /* over 12 months tuning is 50 a month: one group saves up to 200, so (50 + 100) / 0.3 */
    assert_close("12", lq_own_break_even_requests(&PLAIN, 12.0), 500.0, 1e-12);
    /* over 1 month it is 600: three groups save that, at (600 + 300) / 0.3 */
    assert_close("1", lq_own_break_even_requests(&PLAIN, 1.0), 3000.0, 1e-12);
    for (double months = 1.0; months < 30.0; months += 1.0) {
        const struct lq_ownership o = with_traffic(lq_own_break_even_requests(&PLAIN, months));
        assert_close("bills", lq_own_usd(&o, months), lq_buy_usd(&o, months), 1e-12);
    }
    struct lq_ownership dear = PLAIN;
    dear.api_usd_per_request = 0.1; /* a full group only pays for itself */
    ck_assert(isinf(lq_own_break_even_requests(&dear, 12.0)));
}
END_TEST

START_TEST(months_break_even_where_what_is_saved_has_paid_the_tuning)
{
    const struct lq_ownership o = with_traffic(1000.0);
    assert_close("months", lq_own_break_even_months(&o, 0.0), 3.0, 1e-12); /* 300 - 100 a month */
    const struct lq_ownership few = with_traffic(300.0);
    ck_assert(isinf(lq_own_break_even_months(&few, 0.0)));
}
END_TEST

START_TEST(intervals_come_from_both_parts)
{
    struct lq_ownership o = with_traffic(1000.0);
    double bounds[2];
    lq_own_interval(&o, lq_own_break_even_months, 0.0, 0.9, bounds);
    assert_close("sure, low", bounds[0], 3.0, 1e-12);
    assert_close("sure, high", bounds[1], 3.0, 1e-12);
    ck_assert_double_eq(lq_own_chance(&o, 4.0), 1.0);
    ck_assert_double_eq(lq_own_chance(&o, 2.0), 0.0);
    o.tuning_log_sd = 0.5;
    o.requests_per_month = 500.0; /* saves 50 a month */
    lq_own_interval(&o, lq_own_break_even_months, 0.0, 0.8, bounds);
    const double reach = exp(0.5 * lq_normal_quantile(0.9));
    assert_close("tuning, low", bounds[0], 12.0 / reach, 0.06);
    assert_close("tuning, high", bounds[1], 12.0 * reach, 0.06);
    ck_assert_double_eq_tol(lq_own_chance(&o, 12.0), 0.5, 0.03);
    o.serving_log_sd = 1.0; /* often one group is not enough, and owning then never pays */
    lq_own_interval(&o, lq_own_break_even_months, 0.0, 0.9, bounds);
    ck_assert(isinf(bounds[1]) && bounds[0] < 12.0);
    lq_own_interval(&o, lq_own_usd, 3.0, 0.9, bounds);
    ck_assert(bounds[0] < lq_own_usd(&o, 3.0) && lq_own_usd(&o, 3.0) < bounds[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ownership");
    TCase *tests = tcase_create("ownership");
    tcase_add_test(tests, groups_are_rented_whole);
    tcase_add_test(tests, requests_break_even_where_both_bills_are_equal);
    tcase_add_test(tests, months_break_even_where_what_is_saved_has_paid_the_tuning);
    tcase_add_test(tests, intervals_come_from_both_parts);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
