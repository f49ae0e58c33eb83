/* Counters and histograms as Prometheus' text. Each test runs in a process of its own, so that
 * counts begin at 0. */
#include "server/metrics.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <string.h>

enum { TEXT_MAX = 64 * 1024 };

static const char *text_of(void)
{
    static char text[TEXT_MAX];
    FILE *out = fmemopen(text, sizeof text, "w");
    lq_metrics_write(out);
    fclose(out);
    return text;
}

static void assert_line(const char *line)
{
    const char *text = text_of();
    const char *found = strstr(text, line);
    ck_assert_msg(found != NULL, "no \"%s\" in:\n%s", line, text);
    ck_assert(found == text || found[-1] == '\n');
    ck_assert_int_eq(found[strlen(line)], '\n');
}

START_TEST(requests_are_counted_by_route_and_status)
{
    lq_metrics_request(0, "GET", "/a", 200, 0.002);
    lq_metrics_request(0, "GET", "/a", 200, 0.002);
    lq_metrics_request(0, "GET", "/a", 404, 0.002);
    lq_metrics_request(1, "POST", "/b", 0, 0.002);
    assert_line("llmquote_requests_total{method=\"GET\",route=\"/a\",status=\"200\"} 2");
    assert_line("llmquote_requests_total{method=\"GET\",route=\"/a\",status=\"404\"} 1");
    assert_line("llmquote_requests_total{method=\"POST\",route=\"/b\",status=\"0\"} 1");
}
END_TEST

START_TEST(unknown_routes_and_statuses_share_the_last_place)
{
    lq_metrics_request(LQ_METRICS_ROUTES_MAX + 5, "", "", 999, 0.1);
    assert_line("llmquote_requests_total{method=\"\",route=\"\",status=\"0\"} 1");
}
END_TEST

START_TEST(buckets_add_up_from_below)
{
    lq_metrics_request(0, "GET", "/a", 200, 0.0005); /* a bound belongs to its bucket */
    lq_metrics_request(0, "GET", "/a", 200, 0.004);
    lq_metrics_request(0, "GET", "/a", 200, 60.0);
    static const char NAME[] = "llmquote_request_duration_seconds";
    char line[128];
    snprintf(line, sizeof line, "%s_bucket{method=\"GET\",route=\"/a\",le=\"0.0005\"} 1", NAME);
    assert_line(line);
    snprintf(line, sizeof line, "%s_bucket{method=\"GET\",route=\"/a\",le=\"0.005\"} 2", NAME);
    assert_line(line);
    snprintf(line, sizeof line, "%s_bucket{method=\"GET\",route=\"/a\",le=\"+Inf\"} 3", NAME);
    assert_line(line);
    snprintf(line, sizeof line, "%s_count{method=\"GET\",route=\"/a\"} 3", NAME);
    assert_line(line);
    snprintf(line, sizeof line, "%s_sum{method=\"GET\",route=\"/a\"} 60.004500", NAME);
    assert_line(line);
}
END_TEST

START_TEST(families_have_one_head_and_a_line_for_each_label)
{
    lq_metrics_count(LQ_COUNT_ESTIMATES_PRIOR, 3);
    lq_metrics_count(LQ_COUNT_POINTS_STORED, 10000);
    assert_line("llmquote_estimates_total{basis=\"prior\"} 3");
    assert_line("llmquote_estimates_total{basis=\"calibrated\"} 0");
    assert_line("llmquote_points_total{outcome=\"stored\"} 10000");
    const char *text = text_of();
    const char *first = strstr(text, "# TYPE llmquote_estimates_total counter\n");
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(strstr(first + 1, "# TYPE llmquote_estimates_total"));
}
END_TEST

START_TEST(what_is_no_number_is_counted_beyond_the_last_bound)
{
    lq_metrics_observe(LQ_DISTRIBUTION_DRIFT, (double)NAN);
    lq_metrics_observe(LQ_DISTRIBUTION_DRIFT, HUGE_VAL);
    lq_metrics_observe(LQ_DISTRIBUTION_DRIFT, 0.04);
    assert_line("llmquote_point_drift_ratio_bucket{le=\"0.05\"} 1");
    assert_line("llmquote_point_drift_ratio_bucket{le=\"9\"} 1");
    assert_line("llmquote_point_drift_ratio_count 3");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_test(tests, requests_are_counted_by_route_and_status);
    tcase_add_test(tests, unknown_routes_and_statuses_share_the_last_place);
    tcase_add_test(tests, buckets_add_up_from_below);
    tcase_add_test(tests, families_have_one_head_and_a_line_for_each_label);
    tcase_add_test(tests, what_is_no_number_is_counted_beyond_the_last_bound);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
