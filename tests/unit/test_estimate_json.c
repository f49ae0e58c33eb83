/* The answer to a job as it is written. */
#include "server/json/estimate.h"
#include "server/json/lookup.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct lq_job_document document;
static struct lq_estimate estimate;

static void decode_job(const char *more)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model\": \"small-moe\", \"gpu\": \"S1\", \"batch_size\": 4, "
             "\"dataset\": {\"lengths\": {\"name\": \"two\"}}%s%s}",
             more[0] != '\0' ? ", " : "", more);
    json_t *value = json_loads(text, 0, NULL);
    struct lq_faults faults = {.count = 0};
    const enum lq_code code = lq_job_decode(value, "", &TINY_LOOKUP, &document, &faults);
    ck_assert_msg(code == LQ_OK, "%s %s", faults.items[0].pointer, faults.items[0].detail);
    json_decref(value);
}

static json_t *answer(const char *more, const struct lq_evidence *evidence,
                      const struct lq_cost_line *costs, size_t cost_count)
{
    decode_job(more);
    estimate = quote(&document.job, evidence);
    const struct lq_quote all = {.document = &document,
                                 .estimate = &estimate,
                                 .costs = costs,
                                 .cost_count = cost_count,
                                 .catalog_version = "cat",
                                 .prices_version = "pri"};
    json_t *o = lq_estimate_encode(&all);
    lq_job_release(&document);
    return o;
}

/* The value at a path like "memory/total_bytes"; the test fails where there is none. */
static const json_t *at(const json_t *o, const char *path)
{
    char copy[128];
    snprintf(copy, sizeof copy, "%s", path);
    char *rest = NULL;
    for (char *key = strtok_r(copy, "/", &rest); key != NULL; key = strtok_r(NULL, "/", &rest)) {
        o = key[0] >= '0' && key[0] <= '9' ? json_array_get(o, (size_t)atoi(key))
                                           : json_object_get(o, key);
        ck_assert_msg(o != NULL, "no %s", path);
    }
    return o;
}

static double number(const json_t *o, const char *path)
{
    const json_t *value = at(o, path);
    ck_assert_msg(json_is_number(value), "%s is no number", path);
    return json_number_value(value);
}

static bool warned(const json_t *o, const char *code)
{
    size_t i;
    const json_t *warning;
    json_array_foreach(at(o, "warnings"), i, warning)
    {
        if (strcmp(json_string_value(at(warning, "code")), code) == 0) {
            return true;
        }
    }
    return false;
}

static const struct lq_cost_line LINES[] = {
    {.provider = "cheap-2024",
     .region = "",
     .instance_type = "one",
     .date = "2024",
     .instances = 1,
     .instance_gpus = 1,
     .usd_per_gpu_hour = 0.79,
     .cost_usd = 10.0},
    {.provider = "dear", .region = "eu", .instance_type = "", .date = "2026-07", .cost_usd = 30.0},
};

START_TEST(everything_the_contract_promises_is_there)
{
    static const char *const NUMBERS[] = {"batch_size",
                                          "max_batch_size",
                                          "throughput/queries_per_s",
                                          "throughput/tokens_per_s",
                                          "throughput/unpadded_tokens_per_s",
                                          "throughput/tokens_per_s_per_gpu",
                                          "step_time/total_s",
                                          "step_time/forward_s",
                                          "step_time/backward_s",
                                          "step_time/optimizer_s",
                                          "step_time/recomputation_s",
                                          "step_time/moe_share",
                                          "step_time/terms/0/time_s",
                                          "step_time/terms/0/flop",
                                          "step_time/terms/0/bytes",
                                          "step_time/terms/0/efficiency",
                                          "layout/data",
                                          "layouts_tried",
                                          "memory/capacity_bytes",
                                          "memory/weights_bytes",
                                          "memory/adapter_bytes",
                                          "memory/gradient_bytes",
                                          "memory/optimizer_bytes",
                                          "memory/activation_bytes",
                                          "memory/logits_bytes",
                                          "memory/communication_bytes",
                                          "memory/overhead_bytes",
                                          "memory/total_bytes",
                                          "duration_s",
                                          "cost/0/usd_per_gpu_hour",
                                          "cost/0/cost_usd",
                                          "interval/level",
                                          "interval/queries_per_s/1",
                                          "interval/tokens_per_s_per_gpu/1",
                                          "interval/duration_s/1",
                                          "interval/cost_usd/1",
                                          "interval/memory_bytes/1",
                                          "interval/max_batch_size/1",
                                          "basis/points"};
    static const char *const TEXTS[] = {"model",
                                        "gpu",
                                        "method/kind",
                                        "step_time/terms/0/name",
                                        "step_time/terms/0/bound",
                                        "cost/0/provider",
                                        "cost/0/instance_type",
                                        "cost/0/price_date",
                                        "basis/kind",
                                        "basis/estimator",
                                        "versions/code",
                                        "versions/catalog",
                                        "versions/prices",
                                        "versions/fit",
                                        "warnings/0/code",
                                        "warnings/0/detail",
                                        "assumptions/stack"};
    json_t *o = answer("", &NOTHING, LINES, 2);
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++) {
        (void)number(o, NUMBERS[i]);
    }
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        ck_assert_msg(json_is_string(at(o, TEXTS[i])), "%s", TEXTS[i]);
    }
    ck_assert(json_is_boolean(at(o, "cost/0/stale")));
    ck_assert(json_is_null(at(o, "cost/1/instance_type"))); /* empty is unknown, not "" */
    json_decref(o);
}
END_TEST

START_TEST(the_written_numbers_are_cores_and_add_up)
{
    json_t *o = answer("", &NOTHING, LINES, 2);
    assert_close("rate", number(o, "throughput/queries_per_s"), estimate.queries_per_s, 1e-15);
    assert_close("total", number(o, "step_time/total_s"), estimate.step_s, 1e-15);
    double terms = 0.0;
    size_t i;
    const json_t *term;
    json_array_foreach(at(o, "step_time/terms"), i, term)
    {
        ck_assert_double_gt(number(term, "time_s"), 0.0);
        terms += number(term, "time_s");
    }
    assert_close("terms", terms, estimate.step_s, 1e-9);
    assert_close("stages",
                 number(o, "step_time/forward_s") + number(o, "step_time/backward_s") +
                     number(o, "step_time/optimizer_s"),
                 estimate.step_s, 1e-9);
    static const char *const PARTS[] = {"weights",    "adapter", "gradient",      "optimizer",
                                        "activation", "logits",  "communication", "overhead"};
    double parts = 0.0;
    for (int p = 0; p < 8; p++) {
        char path[64];
        snprintf(path, sizeof path, "memory/%s_bytes", PARTS[p]);
        parts += number(o, path);
    }
    ck_assert_double_eq_tol(parts, number(o, "memory/total_bytes"), 4.0); /* each is rounded */
    json_decref(o);
}
END_TEST

/* The term of that name; the test fails where there is none. */
static const json_t *term_of(const json_t *o, const char *name)
{
    size_t i;
    const json_t *term;
    json_array_foreach(at(o, "step_time/terms"), i, term)
    {
        if (strcmp(json_string_value(at(term, "name")), name) == 0) {
            return term;
        }
    }
    ck_abort_msg("no term %s", name);
    return NULL;
}

START_TEST(each_term_says_what_binds_it_and_at_which_batch_that_turns)
{
    json_t *o = answer("", &NOTHING, LINES, 2);
    double turning = 0.0;
    const enum lq_bound bound =
        lq_step_bound(&estimate.parts, estimate.factor, LQ_TERM_EXPERT_MATMUL, &turning);
    const json_t *experts = term_of(o, "expert_matmul");
    ck_assert_str_eq(json_string_value(at(experts, "bound")), LQ_BOUND_NAMES[bound]);
    assert_close("turns", number(experts, "turning_batch_size"), 4.0 * turning, 1e-12);
    const struct lq_amount amount =
        lq_step_amount(&estimate.parts, &estimate.step, LQ_TERM_EXPERT_MATMUL);
    assert_close("flop", number(experts, "flop"), amount.flop, 1e-12);
    assert_close("bytes", number(experts, "bytes"), amount.bytes, 1e-12);
    assert_close("efficiency", number(experts, "efficiency"), amount.efficiency, 1e-12);
    const json_t *norms = term_of(o, "norm");
    ck_assert_str_eq(json_string_value(at(norms, "bound")), "memory");
    ck_assert(json_is_null(at(norms, "turning_batch_size"))); /* never */
    json_decref(o);
}
END_TEST

START_TEST(the_cost_interval_is_the_durations_at_the_cheapest_offer)
{
    json_t *o = answer("", &NOTHING, LINES, 2);
    assert_close("low", number(o, "interval/cost_usd/0"),
                 10.0 * estimate.interval.duration_s[0] / estimate.duration_s, 1e-12);
    assert_close("high", number(o, "interval/cost_usd/1"),
                 10.0 * estimate.interval.duration_s[1] / estimate.duration_s, 1e-12);
    json_decref(o);
}
END_TEST

START_TEST(without_a_price_cost_is_empty_and_says_so)
{
    json_t *o = answer("", &NOTHING, NULL, 0);
    ck_assert_uint_eq(json_array_size(at(o, "cost")), 0);
    ck_assert(json_is_null(at(o, "interval/cost_usd")));
    ck_assert(warned(o, "unpriced"));
    json_decref(o);
}
END_TEST

START_TEST(a_stale_price_is_pointed_out)
{
    struct lq_cost_line lines[] = {LINES[0], LINES[1]};
    json_t *fresh = answer("", &NOTHING, lines, 2);
    ck_assert(!warned(fresh, "stale-price") && !warned(fresh, "unpriced"));
    json_decref(fresh);
    lines[1].stale = true;
    json_t *o = answer("", &NOTHING, lines, 2);
    ck_assert(warned(o, "stale-price"));
    ck_assert(json_is_true(at(o, "cost/1/stale")));
    json_decref(o);
}
END_TEST

START_TEST(the_basis_names_fit_points_and_sources)
{
    decode_job("");
    const struct lq_fit fit = {.id = "default-small",
                               .kind = LQ_FIT_STEP_TIME,
                               .scope = LQ_SCOPE_IDENTITY,
                               .identity = lq_job_identity(&document.job),
                               .belief = lq_evidence_doubt(),
                               .step_tokens = {1.0, 1e6},
                               .points = 5,
                               .sources = "paper,worker"};
    lq_job_release(&document);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    json_t *o = answer("", &evidence, LINES, 2);
    ck_assert_str_eq(json_string_value(at(o, "basis/kind")), "calibrated");
    ck_assert_str_eq(json_string_value(at(o, "basis/fit")), "default-small");
    ck_assert_str_eq(json_string_value(at(o, "basis/sources/0")), "paper");
    ck_assert_str_eq(json_string_value(at(o, "basis/sources/1")), "worker");
    ck_assert_double_eq(number(o, "basis/points"), 5.0);
    ck_assert_str_eq(json_string_value(at(o, "versions/fit")), "default-small");
    ck_assert_str_eq(json_string_value(at(o, "basis/memory/kind")), "prior");
    ck_assert(!warned(o, "prior") && warned(o, "memory-prior"));
    json_decref(o);
    json_t *none = answer("", &NOTHING, LINES, 2);
    ck_assert_str_eq(json_string_value(at(none, "basis/kind")), "prior");
    ck_assert(json_is_null(at(none, "basis/fit")));
    ck_assert_uint_eq(json_array_size(at(none, "basis/sources")), 0);
    ck_assert_str_eq(json_string_value(at(none, "versions/fit")), "prior");
    json_decref(none);
}
END_TEST

START_TEST(a_measured_answer_names_its_point)
{
    decode_job("");
    const struct lq_point point = {.id = "run-7",
                                   .identity = lq_job_identity(&document.job),
                                   .conditions = {.active_experts = 2,
                                                  .batch_size = 4,
                                                  .accumulation_steps = 1,
                                                  .lengths = "two",
                                                  .rule = {LQ_PADDING_LONGEST, 0, 8}},
                                   .queries_per_s = 3.0,
                                   .source = "paper"};
    lq_job_release(&document);
    const struct lq_evidence evidence = {.points = &point, .point_count = 1};
    json_t *o = answer("\"estimator\": \"measured\"", &evidence, LINES, 2);
    ck_assert_str_eq(json_string_value(at(o, "basis/point")), "run-7");
    ck_assert_str_eq(json_string_value(at(o, "basis/sources/0")), "paper");
    ck_assert_str_eq(json_string_value(at(o, "versions/fit")), "run-7");
    ck_assert_double_eq(number(o, "basis/points"), 1.0);
    ck_assert_double_eq(number(o, "throughput/queries_per_s"), 3.0);
    json_decref(o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("estimate_json");
    TCase *tests = tcase_create("estimate_json");
    tcase_add_test(tests, everything_the_contract_promises_is_there);
    tcase_add_test(tests, the_written_numbers_are_cores_and_add_up);
    tcase_add_test(tests, each_term_says_what_binds_it_and_at_which_batch_that_turns);
    tcase_add_test(tests, the_cost_interval_is_the_durations_at_the_cheapest_offer);
    tcase_add_test(tests, without_a_price_cost_is_empty_and_says_so);
    tcase_add_test(tests, a_stale_price_is_pointed_out);
    tcase_add_test(tests, the_basis_names_fit_points_and_sources);
    tcase_add_test(tests, a_measured_answer_names_its_point);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
