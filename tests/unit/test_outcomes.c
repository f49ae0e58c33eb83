/* Outcomes: what they say of estimates, month by month, and the calibration that one makes. */
#include "server/jobs/validate_outcomes.h"
#include "server/json/receipt.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An estimate of 100 s (80 to 125) and 2 dollars (1 to 4) with what became of it. */
static struct lq_receipt ended(const char *when, double duration_s, double cost_usd)
{
    struct lq_receipt receipt = {.level = 0.8,
                                 .figure = {{0}, {100.0, 80.0, 125.0}, {2.0, 1.0, 4.0}},
                                 .outcome.value = {3.0, duration_s, cost_usd}};
    snprintf(receipt.outcome.recorded_at, sizeof receipt.outcome.recorded_at, "%s", when);
    return receipt;
}

static void expect_row(const struct lq_outcome_validation *row, enum lq_receipt_quantity quantity,
                       const char *month, size_t n)
{
    ck_assert_int_eq(row->quantity, quantity);
    ck_assert_str_eq(row->month, month);
    ck_assert_uint_eq(row->errors.n, n);
}

START_TEST(outcomes_are_measured_in_all_and_by_month)
{
    const struct lq_receipt receipts[] = {ended("2026-01-30T00:00:00Z", 100.0, 0.0),
                                          ended("2026-01-31T23:59:59Z", 50.0, 0.0),
                                          ended("2026-02-01T00:00:00Z", 125.0, 4.0)};
    struct lq_outcome_validation *rows = NULL;
    size_t count = 0;
    ck_assert_int_eq(lq_validate_outcomes(receipts, 3, &rows, &count, NULL), LQ_OK);
    ck_assert_uint_eq(count, 5); /* nothing estimated the rate */
    expect_row(&rows[0], LQ_RECEIPT_DURATION_S, "", 3);
    ck_assert_double_eq_tol(rows[0].errors.bias, (0.0 + 1.0 - 0.2) / 3.0, 1e-12);
    ck_assert_double_eq_tol(rows[0].errors.mape, (0.0 + 1.0 + 0.2) / 3.0, 1e-12);
    ck_assert_double_eq_tol(rows[0].errors.median, 0.2, 1e-12);
    ck_assert_double_eq_tol(rows[0].coverage, 2.0 / 3.0, 1e-12);
    ck_assert_double_eq_tol(rows[0].level, 0.8, 1e-12);
    ck_assert_double_eq_tol(rows[0].width, 125.0 / 80.0, 1e-12);
    expect_row(&rows[1], LQ_RECEIPT_DURATION_S, "2026-01", 2);
    ck_assert_double_eq_tol(rows[1].coverage, 0.5, 1e-12);
    expect_row(&rows[2], LQ_RECEIPT_DURATION_S, "2026-02", 1);
    ck_assert_double_eq_tol(rows[2].errors.bias, -0.2, 1e-12);
    expect_row(&rows[3], LQ_RECEIPT_COST_USD, "", 1);
    expect_row(&rows[4], LQ_RECEIPT_COST_USD, "2026-02", 1);
    ck_assert_double_eq_tol(rows[4].coverage, 1.0, 1e-12);
    free(rows);
}
END_TEST

START_TEST(no_outcomes_are_no_rows)
{
    struct lq_outcome_validation *rows = NULL;
    size_t count = 9;
    ck_assert_int_eq(lq_validate_outcomes(NULL, 0, &rows, &count, NULL), LQ_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_ptr_null(rows);
}
END_TEST

static enum lq_code decode(const char *text, struct lq_outcome_document *out,
                           struct lq_faults *faults)
{
    json_t *value = json_loads(text, 0, NULL);
    ck_assert_msg(value != NULL, "bad test: %s", text);
    *faults = (struct lq_faults){.count = 0};
    const enum lq_code code = lq_outcome_decode(value, out, faults);
    json_decref(value);
    return code;
}

START_TEST(outcomes_are_decoded_strictly)
{
    struct lq_outcome_document out;
    struct lq_faults faults;
    ck_assert_int_eq(decode("{\"hours\": 2, \"cost_usd\": 3, \"note\": \"n\"}", &out, &faults),
                     LQ_OK);
    ck_assert(out.duration_s == 7200.0 && out.cost_usd == 3.0 && out.queries_per_s == 0.0);
    ck_assert_str_eq(out.note, "n");
    static const char *const BAD[][2] = {
        {"{}", ""},
        {"{\"note\": \"x\"}", ""},
        {"{\"hours\": 1, \"duration_s\": 1}", "/hours"},
        {"{\"cost_usd\": 0}", "/cost_usd"},
        {"{\"cost_usd\": 1, \"calibrate\": true}", "/calibrate"},
        {"{\"hours\": 1, \"eta\": 1}", "/eta"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        ck_assert_int_eq(decode(BAD[i][0], &out, &faults), LQ_EFIELD);
        ck_assert_str_eq(faults.items[0].pointer, BAD[i][1]);
    }
}
END_TEST

START_TEST(a_calibration_has_the_rate_that_the_time_means)
{
    json_t *request = json_loads(
        "{\"model\": \"m\", \"dataset\": {\"lengths\": {\"histogram\": [[7, 1]]}}}", 0, NULL);
    json_t *answer = json_loads("{\"model\": \"M\", \"gpu\": \"G\", \"batch_size\": 3,"
                                " \"layout\": {\"data\": 1}, \"assumptions\":"
                                " {\"queries\": 100, \"epochs\": 4.5, \"stack\": \"s\"}}",
                                0, NULL);
    const struct lq_outcome_document outcome = {.duration_s = 90.0, .calibrate = true};
    struct lq_faults faults = {.count = 0};
    json_t *point = NULL;
    ck_assert_int_eq(
        lq_outcome_point(request, answer, &outcome, "2026-01-01T00:00:00Z", &point, &faults),
        LQ_OK);
    ck_assert(json_number_value(json_object_get(point, "queries_per_s")) == 5.0);
    ck_assert_str_eq(json_string_value(json_object_get(point, "source")), "outcome");
    ck_assert_str_eq(json_string_value(json_object_get(point, "model")), "M");
    ck_assert_ptr_nonnull(json_object_get(point, "lengths"));
    lq_outcome_point_close(point);
    ck_assert_ptr_null(json_object_get(point, "lengths"));
    json_decref(point);
    json_object_set_new(request, "model", json_object());
    ck_assert_int_eq(lq_outcome_point(request, answer, &outcome, "", &point, &faults), LQ_EFIELD);
    ck_assert_str_eq(faults.items[0].pointer, "/calibrate");
    json_decref(request);
    json_decref(answer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outcomes");
    TCase *cases = tcase_create("outcomes");
    tcase_add_test(cases, outcomes_are_measured_in_all_and_by_month);
    tcase_add_test(cases, no_outcomes_are_no_rows);
    tcase_add_test(cases, outcomes_are_decoded_strictly);
    tcase_add_test(cases, a_calibration_has_the_rate_that_the_time_means);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
