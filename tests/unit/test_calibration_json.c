/* Measured points and fits as they are posted and listed. */
#include "server/json/calibration.h"
#include "server/json/fit.h"
#include "server/json/lookup.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct lq_point_document document;
static struct lq_faults faults;

/* The least a point has, with `more` members; the later of two equal keys counts. */
static json_t *point_with(const char *more)
{
    char text[2048];
    snprintf(text, sizeof text,
             "{\"model\": \"small-moe\", \"gpu\": \"S1\", \"method\": \"lora\", "
             "\"stack\": \"hf-2024\", \"batch_size\": 4, \"sequence_tokens\": 512, "
             "\"queries_per_s\": 2.5%s%s}",
             more[0] != '\0' ? ", " : "", more);
    json_t *value = json_loads(text, 0, NULL);
    ck_assert_msg(value != NULL, "bad test: %s", text);
    return value;
}

static enum lq_code decode(json_t *value, const char *pointer)
{
    memset(&faults, 0, sizeof faults);
    const enum lq_code code = lq_point_decode(value, pointer, &TINY_LOOKUP, &document, &faults);
    json_decref(value);
    ck_assert_int_eq(code == LQ_OK, faults.count == 0);
    return code;
}

static void must_decode(const char *more)
{
    const enum lq_code code = decode(point_with(more), "");
    ck_assert_msg(code == LQ_OK, "%s: %s %s", more, faults.items[0].pointer,
                  faults.items[0].detail);
}

START_TEST(the_least_of_a_point_is_completed)
{
    must_decode("\"model\": \"SMALL-moe\", \"gpu\": \"s1\"");
    const struct lq_point *p = &document.point;
    ck_assert_str_eq(p->identity.model, "small-moe"); /* the catalog's own spelling */
    ck_assert_str_eq(p->identity.gpu, "S1");
    ck_assert_str_eq(p->identity.stack, "hf-2024");
    ck_assert_int_eq(p->identity.gpu_count, 1);
    ck_assert_int_eq(p->identity.method.rank, 16);
    ck_assert_int_eq(p->identity.precision, LQ_PRECISION_BF16);
    ck_assert_int_eq(p->identity.optimizer, LQ_OPTIMIZER_ADAMW);
    ck_assert_int_eq(p->identity.checkpointing, LQ_CHECKPOINTING_FULL);
    ck_assert_int_eq(p->conditions.active_experts, 2);
    ck_assert_int_eq(p->conditions.batch_size, 4);
    ck_assert_int_eq(p->conditions.accumulation_steps, 1);
    ck_assert_int_eq(p->conditions.sequence_tokens, 512);
    ck_assert_double_eq(p->conditions.row_tokens, 512.0);
    ck_assert_double_eq(p->conditions.queries_per_row, 1.0);
    ck_assert_double_eq(p->queries_per_s, 2.5);
    ck_assert_double_eq(p->step_time_s, 0.0);
    ck_assert_double_eq(p->peak_memory_bytes, 0.0);
    ck_assert_str_eq(document.measured_at, "");
    ck_assert(!p->shipped);
}
END_TEST

START_TEST(rows_may_be_drawn_from_a_distribution)
{
    must_decode("\"sequence_tokens\": null, \"lengths\": {\"name\": \"Two\"}, \"batch_size\": 2, "
                "\"padding_multiple\": 64");
    const struct lq_conditions *c = &document.point.conditions;
    ck_assert_str_eq(c->lengths, "two");
    ck_assert_int_eq(c->sequence_tokens, 0);
    /* 128 in 3 of 4, else 256: both are 128 in 9 of 16 pairs */
    assert_close("row", c->row_tokens, (9.0 * 128.0 + 7.0 * 256.0) / 16.0, 1e-12);
    must_decode("\"sequence_tokens\": null, \"lengths\": {\"fixed_tokens\": 100}, "
                "\"padding_multiple\": 64");
    ck_assert_int_eq(c->sequence_tokens, 128);
    must_decode("\"sequence_tokens\": null, \"lengths\": {\"name\": \"two\"}, \"padding\": "
                "\"packed\", \"cutoff_tokens\": 1000");
    ck_assert_double_eq(c->row_tokens, 1000.0);
    ck_assert_double_eq(c->queries_per_row, 8.0);
    ck_assert_int_eq(c->rule.padding, LQ_PADDING_PACKED);
}
END_TEST

START_TEST(a_step_time_stands_in_for_a_rate)
{
    must_decode("\"queries_per_s\": null, \"step_time_s\": 1.6, \"peak_memory_bytes\": 4e10");
    ck_assert_double_eq(document.point.queries_per_s, 0.0);
    ck_assert_double_eq(document.point.step_time_s, 1.6);
    ck_assert_double_eq(document.point.peak_memory_bytes, 4e10);
}
END_TEST

START_TEST(evidence_is_taken_as_it_comes)
{
    must_decode("\"phases\": {\"forward_s\": 1, \"backward_s\": 2.5, \"optimizer_s\": 0, "
                "\"kernels\": {\"router\": 0.1}}, \"expert_load\": [10, 20, 30, 0, 5, 6, 7, 8], "
                "\"device\": "
                "{\"name\": \"A40\"}, \"measured_at\": \"2026-07-20T10:00:00.25Z\", \"source\": "
                "\"worker-7\", \"dataset\": \"mine\", \"note\": \"a run\", \"active_experts\": 8");
    ck_assert_str_eq(document.measured_at, "2026-07-20T10:00:00.25Z");
    ck_assert_str_eq(document.point.source, "worker-7");
    ck_assert_str_eq(document.point.dataset, "mine");
    ck_assert_int_eq(document.point.conditions.active_experts, 8);
}
END_TEST

START_TEST(running_out_of_memory_is_a_measurement)
{
    must_decode("\"queries_per_s\": null, \"out_of_memory\": true");
    ck_assert(document.point.out_of_memory);
    ck_assert_double_eq(document.point.queries_per_s, 0.0);
    json_t *listed = lq_point_encode(&document.point);
    ck_assert(json_is_true(json_object_get(listed, "out_of_memory")));
    ck_assert(json_is_null(json_object_get(listed, "queries_per_s")));
    ck_assert(json_is_null(json_object_get(listed, "step_time_s")));
    json_decref(listed);
    must_decode("\"out_of_memory\": false");
    ck_assert(!document.point.out_of_memory);
}
END_TEST

START_TEST(a_point_that_says_nothing_ran_as_replicas)
{
    must_decode("\"gpu_count\": 16, \"stack\": \"unsloth-2024\"");
    const struct lq_identity *id = &document.point.identity;
    ck_assert_int_eq(id->layout.data, 16);
    ck_assert_int_eq(id->layout.nodes, 2);
    ck_assert_int_eq(id->layout.zero_stage, 0);
    ck_assert_int_eq(id->attention, LQ_ATTENTION_FLASH);
    ck_assert(!id->master_weights);
    ck_assert_uint_eq(id->options, lq_stack_options("unsloth-2024"));
    must_decode("\"gpu_count\": 16, \"layout\": {\"tensor\": 2, \"nodes\": 1}");
    ck_assert_int_eq(document.point.identity.layout.data, 8);
    ck_assert_int_eq(document.point.identity.layout.nodes, 1); /* hosts may hold more than 8 */
}
END_TEST

static const struct {
    const char *more;
    enum lq_code code;
    const char *pointer;
} BAD[] = {
    {"\"model\": \"gpt-9\"", LQ_EREFERENCE, "/model"},
    {"\"model\": 9", LQ_EFIELD, "/model"},
    {"\"gpu\": \"A41\"", LQ_EREFERENCE, "/gpu"},
    {"\"gpu_count\": 0", LQ_EFIELD, "/gpu_count"},
    {"\"method\": \"dora\"", LQ_EFIELD, "/method"},
    {"\"method\": {\"kind\": \"lora\", \"rank\": 1.5}", LQ_EFIELD, "/method/rank"},
    {"\"stack\": \"my stack\"", LQ_EFIELD, "/stack"},
    {"\"stack\": null", LQ_EFIELD, "/stack"},
    {"\"precision\": \"int4\"", LQ_EFIELD, "/precision"},
    {"\"optimizer\": \"lion\"", LQ_EFIELD, "/optimizer"},
    {"\"gradient_checkpointing\": \"full\"", LQ_EFIELD, "/gradient_checkpointing"},
    {"\"gradient_accumulation_steps\": 0", LQ_EFIELD, "/gradient_accumulation_steps"},
    {"\"active_experts\": 9", LQ_EFIELD, "/active_experts"},
    {"\"model\": \"small-dense\", \"active_experts\": 2", LQ_EFIELD, "/active_experts"},
    {"\"batch_size\": 0", LQ_EFIELD, "/batch_size"},
    {"\"batch_size\": null", LQ_EFIELD, "/batch_size"},
    {"\"batch_size\": 1.5", LQ_EFIELD, "/batch_size"},
    {"\"sequence_tokens\": null", LQ_EFIELD, "/sequence_tokens"},
    {"\"lengths\": {\"name\": \"two\"}", LQ_EFIELD, "/lengths"},
    {"\"sequence_tokens\": null, \"lengths\": {\"name\": \"ten\"}", LQ_EREFERENCE, "/lengths/name"},
    {"\"sequence_tokens\": null, \"lengths\": {\"sample\": []}", LQ_EFIELD, "/lengths/sample"},
    {"\"sequence_tokens\": null, \"lengths\": {\"name\": \"two\"}, \"padding\": \"packed\"",
     LQ_EFIELD, "/cutoff_tokens"},
    {"\"padding\": \"left\"", LQ_EFIELD, "/padding"},
    {"\"queries_per_s\": null", LQ_EFIELD, "/queries_per_s"},
    {"\"step_time_s\": 1", LQ_EFIELD, "/queries_per_s"},
    {"\"peak_memory_bytes\": 0", LQ_EFIELD, "/peak_memory_bytes"},
    {"\"out_of_memory\": true", LQ_EFIELD, "/queries_per_s"},
    {"\"out_of_memory\": \"yes\"", LQ_EFIELD, "/out_of_memory"},
    {"\"queries_per_s\": null, \"out_of_memory\": true, \"peak_memory_bytes\": 1e9", LQ_EFIELD,
     "/peak_memory_bytes"},
    {"\"attention\": \"xformers\"", LQ_EFIELD, "/attention"},
    {"\"master_weights\": 1", LQ_EFIELD, "/master_weights"},
    {"\"optimizations\": [\"magic\"]", LQ_EFIELD, "/optimizations/0"},
    {"\"layout\": \"auto\"", LQ_EFIELD, "/layout"}, /* what ran is known */
    {"\"gpu_count\": 4, \"layout\": {\"data\": 3}", LQ_EFIELD, "/layout/data"},
    {"\"gpu_count\": 4, \"layout\": {\"expert\": 3}", LQ_EFIELD, "/layout/expert"},
    {"\"phases\": 7", LQ_EFIELD, "/phases"},
    {"\"phases\": {\"forward_s\": -1}", LQ_EFIELD, "/phases/forward_s"},
    {"\"phases\": {\"sideways_s\": 1}", LQ_EFIELD, "/phases/sideways_s"},
    {"\"device\": \"A40\"", LQ_EFIELD, "/device"},
    {"\"expert_load\": 7", LQ_EFIELD, "/expert_load"},
    {"\"expert_load\": [1, 2, 3, 4, 5, 6, 7]", LQ_EFIELD, "/expert_load"},
    {"\"expert_load\": [1, -1, 1, 1, 1, 1, 1, 1]", LQ_EFIELD, "/expert_load/1"},
    {"\"model\": \"small-dense\", \"expert_load\": [1]", LQ_EFIELD, "/expert_load"},
    {"\"measured_at\": \"yesterday\"", LQ_EFIELD, "/measured_at"},
    {"\"measured_at\": \"2026-07-20\"", LQ_EFIELD, "/measured_at"},
    {"\"measured_at\": \"2026-07-20T10:00:00+02:00\"", LQ_EFIELD, "/measured_at"},
    {"\"measured_at\": \"2026-07-20T10:00:00\"", LQ_EFIELD, "/measured_at"},
    {"\"measured_at\": \"2026-07-20T10:00:00.Z\"", LQ_EFIELD, "/measured_at"},
    {"\"measured_at\": \"2026-13-20T10:00:00Z\"", LQ_EFIELD, "/measured_at"},
    {"\"measured_at\": \"2026-02-29T10:00:00Z\"", LQ_EFIELD, "/measured_at"},
    {"\"measured_at\": \"2026-07-00T10:00:00Z\"", LQ_EFIELD, "/measured_at"},
    {"\"measured_at\": \"2026-07-20T24:00:00Z\"", LQ_EFIELD, "/measured_at"},
    {"\"measured_at\": \"2026-07-20T10:60:00Z\"", LQ_EFIELD, "/measured_at"},
    {"\"source\": \"a source\"", LQ_EFIELD, "/source"},
    {"\"source\": \"xia2024-mine\"", LQ_EFIELD, "/source"}, /* looks like what is shipped */
    {"\"id\": \"p1\"", LQ_EFIELD, "/id"},
};

START_TEST(bad_members_are_refused_where_they_are_wrong)
{
    decode(point_with(BAD[_i].more), "/points/12");
    ck_assert_msg(faults.count == 1, "%s: %zu faults", BAD[_i].more, faults.count);
    ck_assert_int_eq(faults.items[0].code, BAD[_i].code);
    char pointer[LQ_POINTER_MAX];
    snprintf(pointer, sizeof pointer, "/points/12%s", BAD[_i].pointer);
    ck_assert_str_eq(faults.items[0].pointer, pointer);
}
END_TEST

START_TEST(leap_days_are_days)
{
    must_decode("\"measured_at\": \"2024-02-29T23:59:59Z\"");
    must_decode("\"measured_at\": \"2000-02-29T00:00:00Z\"");
    decode(point_with("\"measured_at\": \"2100-02-29T00:00:00Z\""), "");
    ck_assert_uint_eq(faults.count, 1);
}
END_TEST

START_TEST(all_bad_members_are_told_at_once)
{
    decode(point_with("\"phases\": 7, \"device\": 7, \"expert_load\": 7, \"measured_at\": \"x\", "
                      "\"gpu\": \"A41\", \"colour\": \"red\""),
           "");
    ck_assert_uint_eq(faults.count, 6);
    decode(json_pack("[]"), "/points/0");
    ck_assert_str_eq(faults.items[0].pointer, "/points/0");
}
END_TEST

/* What a listed point says of itself beside what was posted. */
static void drop_what_the_store_adds(json_t *listed)
{
    static const char *const ADDED[] = {"id",           "row_tokens", "longest_tokens",
                                        "implausible",  "outlier",    "excluded",
                                        "confirmed_at", "token",      "shipped"};
    for (size_t i = 0; i < sizeof ADDED / sizeof ADDED[0]; i++) {
        ck_assert_int_eq(json_object_del(listed, ADDED[i]), 0);
    }
}

START_TEST(a_listed_point_posts_as_the_same_point)
{
    static const char *const POINTS[] = {
        "",
        "\"sequence_tokens\": null, \"lengths\": {\"name\": \"two\"}, \"padding\": \"packed\", "
        "\"cutoff_tokens\": 256, \"padding_multiple\": 1, \"source\": \"w\", \"dataset\": \"d\"",
        "\"method\": {\"kind\": \"qlora\", \"targets\": [\"experts\", \"router\"]}, \"gpu_count\": "
        "8, \"precision\": \"fp8\", \"optimizer\": \"sgd\", \"gradient_checkpointing\": false, "
        "\"active_experts\": 8, \"peak_memory_bytes\": 41e9, \"gradient_accumulation_steps\": 4",
        "\"gpu_count\": 32, \"layout\": {\"tensor\": 4, \"expert\": 2, \"zero_stage\": 3, "
        "\"zero_group\": 4},"
        " \"attention\": \"eager\", \"master_weights\": true, \"stack\": \"torchtune\","
        " \"optimizations\": [\"offload-optimizer\"]",
    };
    must_decode(POINTS[_i]);
    struct lq_point posted = document.point;
    posted.step_time_s = 4.0 / posted.queries_per_s; /* what storing works out */
    json_t *listed = lq_point_encode(&posted);
    drop_what_the_store_adds(listed);
    json_object_del(listed, "step_time_s"); /* one of the two is posted */
    ck_assert_int_eq(decode(listed, ""), LQ_OK);
    const struct lq_point *again = &document.point;
    ck_assert(lq_identity_equal(&again->identity, &posted.identity));
    ck_assert_int_eq(again->conditions.active_experts, posted.conditions.active_experts);
    ck_assert_int_eq(again->conditions.batch_size, posted.conditions.batch_size);
    ck_assert_int_eq(again->conditions.accumulation_steps, posted.conditions.accumulation_steps);
    ck_assert_int_eq(again->conditions.sequence_tokens, posted.conditions.sequence_tokens);
    ck_assert_str_eq(again->conditions.lengths, posted.conditions.lengths);
    ck_assert_int_eq(again->conditions.rule.padding, posted.conditions.rule.padding);
    ck_assert_int_eq(again->conditions.rule.cutoff_tokens, posted.conditions.rule.cutoff_tokens);
    ck_assert_double_eq(again->conditions.row_tokens, posted.conditions.row_tokens);
    ck_assert_double_eq(again->queries_per_s, posted.queries_per_s);
    ck_assert_double_eq(again->peak_memory_bytes, posted.peak_memory_bytes);
    ck_assert_str_eq(again->source, posted.source);
    ck_assert_str_eq(again->dataset, posted.dataset);
}
END_TEST

/* A member of an object of numbers. */
static double number(const json_t *fit, const char *object, const char *name)
{
    return json_number_value(json_object_get(json_object_get(fit, object), name));
}

START_TEST(a_fit_names_its_factors_and_their_errors)
{
    struct lq_fit fit = {.id = "default-x",
                         .kind = LQ_FIT_STEP_TIME,
                         .scope = LQ_SCOPE_MODEL,
                         .identity = {.model = "small-moe", .stack = "hf-2024"},
                         .coefficients = LQ_FACTOR_COUNT,
                         .coefficient = {1.2, 0.9, 1.0, 1.0, 1.0, 1.5, 1.0, 1.0},
                         .belief = {.factors = LQ_FACTOR_COUNT},
                         .prior = {1.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0},
                         .points = 7,
                         .sources = "xia2024,worker"};
    fit.belief.covariance[LQ_FACTOR_MATMUL * (LQ_FACTORS_MAX + 1)] = 4e-4;
    fit.belief.covariance[LQ_FACTOR_HOST * (LQ_FACTORS_MAX + 1)] = 16e-4;
    json_t *o = lq_fit_encode(&fit);
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        assert_close("factor", number(o, "coefficients", LQ_FACTOR_NAMES[f]), fit.coefficient[f],
                     1e-12);
    }
    assert_close("error", number(o, "relative_standard_errors", "matmul"), 0.02, 1e-12);
    assert_close("another", number(o, "relative_standard_errors", "host"), 0.04, 1e-12);
    assert_close("prior", number(o, "prior", "matmul"), 1.1, 1e-12);
    ck_assert_str_eq(json_string_value(json_object_get(o, "scope")), "model");
    const json_t *group = json_object_get(o, "group");
    ck_assert_str_eq(json_string_value(json_object_get(group, "model")), "small-moe");
    ck_assert_str_eq(json_string_value(json_object_get(group, "stack")), "hf-2024");
    ck_assert_str_eq(json_string_value(json_object_get(group, "method")), "full");
    ck_assert(json_is_null(json_object_get(o, "identity"))); /* many */
    ck_assert_str_eq(json_string_value(json_object_get(o, "estimator")), "default");
    ck_assert_str_eq(json_string_value(json_object_get(o, "objective")), "pseudo-huber-relative");
    ck_assert(json_is_null(json_object_get(o, "lengths")));
    ck_assert_int_eq(json_integer_value(json_object_get(o, "points")), 7);
    const json_t *sources = json_object_get(o, "sources");
    ck_assert_uint_eq(json_array_size(sources), 2);
    ck_assert_str_eq(json_string_value(json_array_get(sources, 1)), "worker");
    json_decref(o);
}
END_TEST

START_TEST(every_kind_of_fit_is_written_under_its_own_names)
{
    static const char *const FIRST[] = {"matmul", "a", "c2", "activation_factor"};
    for (int kind = LQ_FIT_STEP_TIME; kind <= LQ_FIT_MEMORY; kind++) {
        const struct lq_fit fit = {.kind = (enum lq_fit_kind)kind,
                                   .scope = LQ_SCOPE_IDENTITY,
                                   .coefficients = kind == LQ_FIT_MEMORY ? 1 : 2,
                                   .coefficient = {1.5, 2.5},
                                   .prior = {1.0, 2.0},
                                   .constant = 1.8,
                                   .lengths = "math"};
        json_t *o = lq_fit_encode(&fit);
        assert_close(FIRST[kind], number(o, "coefficients", FIRST[kind]), 1.5, 1e-12);
        const bool form = kind == LQ_FIT_XIA2024 || kind == LQ_FIT_XIA2024_PRINTED;
        ck_assert_int_eq(json_is_null(json_object_get(o, "relative_standard_errors")), form);
        ck_assert_double_eq(number(o, "coefficients", "c3"), form ? 1.8 : 0.0);
        const json_t *identity = json_object_get(o, "identity");
        ck_assert(json_is_null(json_object_get(identity, "gpu"))); /* spans all */
        ck_assert_int_eq(json_object_get(o, "rmse_queries_per_s") != NULL, kind != LQ_FIT_MEMORY);
        json_decref(o);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calibration_json");
    TCase *tests = tcase_create("calibration_json");
    tcase_add_test(tests, the_least_of_a_point_is_completed);
    tcase_add_test(tests, rows_may_be_drawn_from_a_distribution);
    tcase_add_test(tests, a_step_time_stands_in_for_a_rate);
    tcase_add_test(tests, evidence_is_taken_as_it_comes);
    tcase_add_loop_test(tests, bad_members_are_refused_where_they_are_wrong, 0,
                        sizeof BAD / sizeof BAD[0]);
    tcase_add_test(tests, leap_days_are_days);
    tcase_add_test(tests, all_bad_members_are_told_at_once);
    tcase_add_loop_test(tests, a_listed_point_posts_as_the_same_point, 0, 4);
    tcase_add_test(tests, running_out_of_memory_is_a_measurement);
    tcase_add_test(tests, a_point_that_says_nothing_ran_as_replicas);
    tcase_add_test(tests, a_fit_names_its_factors_and_their_errors);
    tcase_add_test(tests, every_kind_of_fit_is_written_under_its_own_names);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
