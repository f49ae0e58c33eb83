/* Token buckets: bursts, refills, and whom the table forgets. */
#include "server/http/rate.h"
#include "tests/unit/check_main.h"

enum { SETS = 4096, WAYS = 8 }; /* as in rate.c */

static const int64_t S = 1000000000;

static struct lq_rate *make(double per_s, double burst)
{
    struct lq_rate *rate = NULL;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_rate_new(per_s, burst, &rate, &err), LQ_OK);
    return rate;
}

START_TEST(a_burst_is_granted_and_then_the_rate)
{
    struct lq_rate *rate = make(2.0, 3.0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(lq_rate_take(rate, 7, S), 0);
    }
    ck_assert_int_eq(lq_rate_take(rate, 7, S), 1);
    ck_assert_int_eq(lq_rate_take(rate, 8, S), 0); /* another's bucket */
    ck_assert_int_eq(lq_rate_take(rate, 7, S + S / 2), 0);
    ck_assert_int_eq(lq_rate_take(rate, 7, S + S / 2), 1);
    for (int i = 0; i < 3; i++) { /* never more than a burst */
        ck_assert_int_eq(lq_rate_take(rate, 7, 1000 * S), 0);
    }
    ck_assert_int_ne(lq_rate_take(rate, 7, 1000 * S), 0);
    lq_rate_free(rate);
}
END_TEST

START_TEST(refusals_cost_nothing_and_say_how_long)
{
    struct lq_rate *rate = make(0.1, 1.0);
    ck_assert_int_eq(lq_rate_take(rate, 7, S), 0);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_ge(lq_rate_take(rate, 7, S), 10);
    }
    ck_assert_int_le(lq_rate_take(rate, 7, S + 7 * S), 4);
    ck_assert_int_eq(lq_rate_take(rate, 7, S + 11 * S), 0);
    ck_assert_int_ne(lq_rate_take(rate, 7, S), 0); /* a clock behind grants nothing */
    lq_rate_free(rate);
}
END_TEST

START_TEST(many_keys_do_not_free_the_one_that_asked_too_often)
{
    struct lq_rate *rate = make(1.0, 4.0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(lq_rate_take(rate, 7, S), 0);
    }
    for (uint64_t i = 1; i <= 100 * WAYS; i++) { /* all in its set */
        ck_assert_int_eq(lq_rate_take(rate, 7 + i * SETS, S), 0);
    }
    ck_assert_int_ne(lq_rate_take(rate, 7, S), 0);
    lq_rate_free(rate);
}
END_TEST

START_TEST(no_rate_is_no_limit)
{
    struct lq_rate *rate = make(0.0, 1.0);
    ck_assert_ptr_null(rate);
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(lq_rate_take(rate, 7, S), 0);
    }
    lq_rate_free(rate);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rate");
    TCase *tests = tcase_create("rate");
    tcase_add_test(tests, a_burst_is_granted_and_then_the_rate);
    tcase_add_test(tests, refusals_cost_nothing_and_say_how_long);
    tcase_add_test(tests, many_keys_do_not_free_the_one_that_asked_too_often);
    tcase_add_test(tests, no_rate_is_no_limit);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
