/* Sweeps as documents: axes and their values, where these stand in jobs, and what is refused. */
#include "core/finetune/estimate.h"
#include "server/json/sample.h"
#include "server/json/sweep.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct lq_sweep sweep;
static struct lq_faults faults;

static enum lq_code decode(const char *job, const char *axes)
{
    char text[2048];
    snprintf(text, sizeof text, "{\"job\": %s, \"axes\": %s}", job, axes);
    json_t *value = json_loads(text, 0, NULL);
    ck_assert_msg(value != NULL, "bad test: %s", text);
    memset(&faults, 0, sizeof faults);
    lq_sweep_release(&sweep);
    const enum lq_code code = lq_sweep_decode(value, &sweep, &faults);
    json_decref(value);
    ck_assert_int_eq(code == LQ_OK, faults.count == 0);
    return code;
}

static void must_decode(const char *job, const char *axes)
{
    const enum lq_code code = decode(job, axes);
    ck_assert_msg(code == LQ_OK, "%s: %s %s", axes, faults.items[0].pointer,
                  faults.items[0].detail);
}

static void expect(enum lq_code want, const char *pointer, const char *job, const char *axes)
{
    const enum lq_code code = decode(job, axes);
    ck_assert_msg(code == want && strcmp(faults.items[0].pointer, pointer) == 0,
                  "%s %s: got %s at \"%s\" (%s)", job, axes, lq_code_slug(code),
                  faults.items[0].pointer, faults.items[0].detail);
}

/* The job at a point as text. */
static void expect_job(size_t x, size_t by, const char *want)
{
    double memory_bytes = 0.0;
    json_t *job = lq_sweep_job(&sweep, x, by, &memory_bytes);
    json_t *wanted = json_loads(want, 0, NULL);
    ck_assert_msg(wanted != NULL, "bad test: %s", want);
    char *got = json_dumps(job, JSON_SORT_KEYS);
    ck_assert_msg(json_equal(job, wanted), "got %s, want %s", got, want);
    free(got);
    json_decref(job);
    json_decref(wanted);
}

START_TEST(values_take_the_place_of_the_jobs)
{
    must_decode("{\"epochs\": 7}", "[{\"name\": \"epochs\", \"values\": [1, 2]},"
                                   " {\"name\": \"gpu\", \"values\": [\"A\", \"B\"]}]");
    expect_job(0, 0, "{\"epochs\": 1, \"gpu\": \"A\"}");
    expect_job(1, 1, "{\"epochs\": 2, \"gpu\": \"B\"}");
    expect_job(0, 0, "{\"epochs\": 1, \"gpu\": \"A\"}"); /* the job itself stays */
}
END_TEST

START_TEST(members_below_members_are_set_there)
{
    must_decode("{\"dataset\": {\"queries\": 5, \"lengths\": {\"name\": \"two\"}}}",
                "[{\"name\": \"queries\", \"values\": [9]},"
                " {\"name\": \"sequence_tokens\", \"values\": [64]}]");
    expect_job(0, 0, "{\"dataset\": {\"queries\": 9, \"lengths\": {\"fixed_tokens\": 64}}}");
    must_decode("{\"method\": \"qlora\"}", "[{\"name\": \"rank\", \"values\": [4]}]");
    expect_job(0, 0, "{\"method\": {\"kind\": \"qlora\", \"rank\": 4}}");
    must_decode("{}", "[{\"name\": \"rank\", \"values\": [4]}]");
    expect_job(0, 0, "{\"method\": {\"kind\": \"lora\", \"rank\": 4}}");
    must_decode("{\"method\": {\"kind\": \"lora\", \"targets\": \"q\"}}",
                "[{\"name\": \"rank\", \"values\": [8, 4]},"
                " {\"name\": \"method\", \"values\": [\"qlora\"]}]");
    expect_job(1, 0, "{\"method\": {\"kind\": \"qlora\", \"rank\": 4, \"targets\": \"q\"}}");
}
END_TEST

START_TEST(memory_is_no_part_of_a_job)
{
    must_decode("{}", "[{\"name\": \"gpu_memory_bytes\", \"values\": [1e9, 2e9]}]");
    double memory_bytes = 0.0;
    json_t *job = lq_sweep_job(&sweep, 1, 0, &memory_bytes);
    ck_assert(memory_bytes == 2e9);
    ck_assert_uint_eq(json_object_size(job), 0);
    json_decref(job);
}
END_TEST

static void expect_values(const char *axis, size_t count, const double *values)
{
    must_decode("{}", axis);
    ck_assert_uint_eq(lq_sweep_size(&sweep, 0), count);
    ck_assert_uint_eq(lq_sweep_size(&sweep, 1), 1);
    for (size_t i = 0; i < count; i++) {
        const double got = json_number_value(json_array_get(sweep.axis[0].values, i));
        ck_assert_msg(fabs(got - values[i]) <= 1e-12 * fabs(values[i]), "%s: %zu is %.17g", axis, i,
                      got);
    }
}

START_TEST(ranges_have_both_ends_and_whole_numbers_once)
{
    expect_values("[{\"name\": \"epochs\", \"from\": 0.5, \"to\": 2, \"steps\": 4}]", 4,
                  (const double[]){0.5, 1.0, 1.5, 2.0});
    expect_values(
        "[{\"name\": \"epochs\", \"from\": 0.1, \"to\": 10, \"steps\": 3, \"scale\": \"log\"}]", 3,
        (const double[]){0.1, 1.0, 10.0});
    expect_values("[{\"name\": \"batch_size\", \"from\": 1, \"to\": 3, \"steps\": 9}]", 3,
                  (const double[]){1.0, 2.0, 3.0});
    expect_values("[{\"name\": \"rank\", \"from\": 4, \"to\": 64, \"steps\": 5,"
                  " \"scale\": \"log\"}]",
                  5, (const double[]){4.0, 8.0, 16.0, 32.0, 64.0});
}
END_TEST

START_TEST(every_fault_has_its_place)
{
    expect(LQ_EFIELD, "/job", "[]", "[{\"name\": \"epochs\", \"values\": [1]}]");
    expect(LQ_EFIELD, "/axes", "{}", "[]");
    expect(LQ_EFIELD, "/axes", "{}", "5");
    expect(LQ_EFIELD, "/axes/0", "{}", "[7]");
    expect(LQ_EFIELD, "/axes/0/name", "{}", "[{\"name\": \"epoch\", \"values\": [1]}]");
    expect(LQ_EFIELD, "/axes/0/values", "{}", "[{\"name\": \"gpu\"}]");
    expect(LQ_EFIELD, "/axes/0", "{}", "[{\"name\": \"rank\", \"from\": 1}]");
    expect(LQ_EFIELD, "/axes/0/values/0", "{}", "[{\"name\": \"rank\", \"values\": [true]}]");
    expect(LQ_EFIELD, "/axes/0/values", "{}", "[{\"name\": \"rank\", \"values\": {}}]");
    expect(LQ_EFIELD, "/axes/0/from", "{}",
           "[{\"name\": \"epochs\", \"from\": \"a\", \"to\": 2, \"steps\": 3}]");
    expect(LQ_EFIELD, "/axes/0/to", "{}",
           "[{\"name\": \"rank\", \"from\": 1, \"to\": 2.5, \"steps\": 3}]");
    expect(LQ_EFIELD, "/axes/1/name", "{}",
           "[{\"name\": \"rank\", \"values\": [1]}, {\"name\": \"rank\", \"values\": [2]}]");
}
END_TEST

START_TEST(points_and_bins_have_a_bound)
{
    static const char TWO_THOUSAND[] =
        "[{\"name\": \"epochs\", \"from\": 1, \"to\": 2, \"steps\": 2000}]";
    must_decode("{}", TWO_THOUSAND);
    expect(LQ_ETOOLARGE, "/axes", "{}",
           "[{\"name\": \"epochs\", \"from\": 1, \"to\": 2, \"steps\": 1001},"
           " {\"name\": \"gpu\", \"values\": [\"A\", \"B\"]}]");
}
END_TEST

/* What the job becomes with its sample counted. */
static void expect_condensed(const char *job, const char *want)
{
    json_t *value = json_loads(job, 0, NULL);
    json_t *wanted = json_loads(want, 0, NULL);
    json_t *got = lq_sample_condense(value);
    char *text = json_dumps(got, JSON_SORT_KEYS);
    ck_assert_msg(json_equal(got, wanted), "got %s, want %s", text, want);
    free(text);
    json_decref(value);
    json_decref(wanted);
    json_decref(got);
}

START_TEST(samples_are_counted_and_bad_ones_left)
{
    expect_condensed("{\"dataset\": {\"lengths\": {\"sample\": [3, 1, 3, 2.0]}, \"queries\": 4}}",
                     "{\"dataset\": {\"lengths\": {\"histogram\": [[1, 1], [2, 1], [3, 2]]},"
                     " \"queries\": 4}}");
    static const char *const SAME[] = {
        "{}",
        "{\"dataset\": 4}",
        "{\"dataset\": {\"lengths\": {\"name\": \"two\"}}}",
        "{\"dataset\": {\"lengths\": {\"sample\": []}}}",
        "{\"dataset\": {\"lengths\": {\"sample\": [1, 0]}}}",
        "{\"dataset\": {\"lengths\": {\"sample\": [1, \"x\"]}}}",
        "{\"dataset\": {\"lengths\": {\"sample\": [1, 1.5]}}}",
        "{\"dataset\": {\"lengths\": {\"sample\": [1], \"name\": \"two\"}}}",
    };
    for (size_t i = 0; i < sizeof SAME / sizeof SAME[0]; i++) {
        expect_condensed(SAME[i], SAME[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sweep_json");
    TCase *cases = tcase_create("sweep_json");
    tcase_add_test(cases, values_take_the_place_of_the_jobs);
    tcase_add_test(cases, members_below_members_are_set_there);
    tcase_add_test(cases, memory_is_no_part_of_a_job);
    tcase_add_test(cases, ranges_have_both_ends_and_whole_numbers_once);
    tcase_add_test(cases, every_fault_has_its_place);
    tcase_add_test(cases, points_and_bins_have_a_bound);
    tcase_add_test(cases, samples_are_counted_and_bad_ones_left);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
