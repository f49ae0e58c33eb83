/* Waits between attempts: back-off within its bounds, and what a server asks for. */
#include "kernels/delivery/retry.h"
#include "tests/unit/check_main.h"

/* Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110, section 5.6.7 */
#define EXAMPLE_S INT64_C(784111777)

START_TEST(back_off_doubles_from_half_a_second_to_a_minute)
{
    ck_assert_double_eq_tol(lq_retry_backoff_s(0, 0.5), 0.25, 1e-12);
    ck_assert_double_eq_tol(lq_retry_backoff_s(1, 0.5), 0.5, 1e-12);
    ck_assert_double_eq_tol(lq_retry_backoff_s(6, 0.5), 16.0, 1e-12);
    ck_assert_double_eq_tol(lq_retry_backoff_s(7, 0.5), 30.0, 1e-12);
    ck_assert_double_eq_tol(lq_retry_backoff_s(1000000, 0.5), 30.0, 1e-12);
    ck_assert_double_eq_tol(lq_retry_backoff_s(-1, 0.5), 0.25, 1e-12);
}
END_TEST

START_TEST(jitter_is_full)
{
    for (int failures = 0; failures < 12; failures++) {
        ck_assert_double_eq(lq_retry_backoff_s(failures, 0.0), 0.0);
        ck_assert_double_le(lq_retry_backoff_s(failures, 0.999999), LQ_BACKOFF_MOST_S);
    }
}
END_TEST

START_TEST(retry_after_is_seconds_up_to_ten_minutes)
{
    double wait_s = -1.0;
    ck_assert(lq_retry_after_s("0", EXAMPLE_S, &wait_s) && wait_s < 1e-12);
    ck_assert(lq_retry_after_s("120", EXAMPLE_S, &wait_s));
    ck_assert_double_eq_tol(wait_s, 120.0, 1e-12);
    ck_assert(lq_retry_after_s("99999999999999999999999999", EXAMPLE_S, &wait_s));
    ck_assert_double_eq_tol(wait_s, LQ_RETRY_AFTER_MOST_S, 1e-12);
}
END_TEST

START_TEST(retry_after_is_a_date_in_three_forms)
{
    static const char *const DATES[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < 3; i++) {
        double wait_s = -1.0;
        ck_assert_msg(lq_retry_after_s(DATES[i], EXAMPLE_S - 30, &wait_s), "%s", DATES[i]);
        ck_assert_double_eq_tol(wait_s, 30.0, 1e-12);
        ck_assert(lq_retry_after_s(DATES[i], EXAMPLE_S + 30, &wait_s));
        ck_assert_double_eq_tol(wait_s, 0.0, 1e-12);
        ck_assert(lq_retry_after_s(DATES[i], EXAMPLE_S - 86400, &wait_s));
        ck_assert_double_eq_tol(wait_s, LQ_RETRY_AFTER_MOST_S, 1e-12);
    }
}
END_TEST

START_TEST(anything_else_is_no_retry_after)
{
    static const char *const TEXTS[] = {
        "", " ", "-1", "1.5", "1e3", "soon", "12 ", "Sun, 06 Nov 1994 08:49:37 CET", "0x10"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        double wait_s = -1.0;
        ck_assert_msg(!lq_retry_after_s(TEXTS[i], EXAMPLE_S, &wait_s), "\"%s\"", TEXTS[i]);
        ck_assert_double_eq_tol(wait_s, -1.0, 1e-12);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("retry");
    TCase *tests = tcase_create("retry");
    tcase_add_test(tests, back_off_doubles_from_half_a_second_to_a_minute);
    tcase_add_test(tests, jitter_is_full);
    tcase_add_test(tests, retry_after_is_seconds_up_to_ten_minutes);
    tcase_add_test(tests, retry_after_is_a_date_in_three_forms);
    tcase_add_test(tests, anything_else_is_no_retry_after);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
