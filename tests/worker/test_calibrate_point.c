/* A measured step as a point: what each method says of itself, and what the note tells. */
#include "kernels/worker/calibrate_point.h"
#include "tests/unit/check_main.h"

#include <jansson.h>
#include <string.h>

static struct lq_model model;
static struct lq_rig rig;
static struct lq_calibration_plan plan;
static struct lq_sweep_item item;
static struct lq_measured measured;
static json_t *point;

static void set_up(void)
{
    model = (struct lq_model){.id = "m", .layer_kinds = 1};
    model.layers[0] = (struct lq_layer){
        .count = 1, .ffn = {.kind = LQ_FFN_MOE, .experts = 4, .active_experts = 2}};
    rig = (struct lq_rig){.info = {.name = "a device", .memory_bytes = 8e9, .units = 2},
                          .precision = LQ_PRECISION_BF16};
    plan = (struct lq_calibration_plan){.model = &model,
                                        .gpu = "g",
                                        .source = "lab",
                                        .rank = 8,
                                        .targets = LQ_TARGETS_ALL_LINEAR,
                                        .checkpointing = LQ_CHECKPOINTING_FULL};
    item = (struct lq_sweep_item){.method = LQ_METHOD_LORA, .tokens = 100, .batch_size = 3};
    measured = (struct lq_measured){
        .step = {.median_s = 0.5, .p95_s = 0.6, .least_s = 0.4, .spread = 0.05, .samples = 7},
        .forward_s = 0.1,
        .backward_s = 0.3,
        .optimizer_s = 0.05,
        .term_s = {[LQ_TERM_ATTENTION] = 0.2, [LQ_TERM_HEAD] = 0.01},
        .peak_bytes = 7e9,
        .rounds = 1,
        .state = {.clock_hz = 2e9, .temperature_c = -1.0, .load = 0.5, .free_bytes = 6e9}};
}

static void tear_down(void)
{
    json_decref(point);
    point = NULL;
}

static void write_point(void)
{
    struct lq_error err = {0};
    char *text = NULL;
    ck_assert_msg(lq_item_write(&plan, &rig, &item, &measured, &text, &err) == LQ_OK, "%s: %s",
                  err.pointer, err.detail);
    ck_assert_ptr_null(strchr(text, '\n'));
    json_decref(point);
    point = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(point);
    free(text);
}

/* The member at "a/b" of the point; NULL where there is none. */
static const json_t *at(const char *path)
{
    const json_t *value = point;
    char copy[64];
    strncpy(copy, path, sizeof copy - 1);
    copy[sizeof copy - 1] = '\0';
    for (char *name = strtok(copy, "/"); name != NULL; name = strtok(NULL, "/")) {
        value = json_object_get(value, name);
    }
    return value;
}

static void expect_text(const char *path, const char *want)
{
    ck_assert_msg(json_is_string(at(path)), "%s is missing", path);
    ck_assert_str_eq(json_string_value(at(path)), want);
}

static void expect_number(const char *path, double want)
{
    ck_assert_msg(json_is_number(at(path)), "%s is missing", path);
    ck_assert_double_eq_tol(json_number_value(at(path)), want, 1e-9 * want);
}

START_TEST(a_point_says_all_that_was_measured)
{
    write_point();
    expect_text("model", "m");
    expect_text("gpu", "g");
    expect_text("stack", "llmquote-worker");
    expect_text("source", "lab");
    expect_text("precision", "bf16");
    expect_text("optimizer", "adamw");
    expect_text("attention", "flash");
    expect_number("gpu_count", 1.0);
    expect_number("batch_size", 3.0);
    expect_number("sequence_tokens", 100.0);
    expect_number("step_time_s", 0.5);
    expect_number("peak_memory_bytes", 7e9);
    expect_number("phases/forward_s", 0.1);
    expect_number("phases/backward_s", 0.3);
    expect_number("phases/optimizer_s", 0.05);
    expect_number("phases/kernels/attention", 0.2);
    expect_number("phases/kernels/head", 0.01);
    ck_assert_uint_eq(json_object_size(at("phases/kernels")),
                      2); /* terms that took no time: none */
    expect_text("device/name", "a device");
    expect_number("device/current_clock_hz", 2e9);
    ck_assert_ptr_null(at("device/temperature_c")); /* it cannot be read */
    ck_assert(json_is_true(at("gradient_checkpointing")));
    ck_assert_uint_eq(strlen(json_string_value(at("measured_at"))),
                      sizeof "2026-01-01T00:00:00Z" - 1);
    ck_assert_ptr_null(at("expert_load"));
    ck_assert_ptr_null(at("active_experts"));
    ck_assert_ptr_nonnull(strstr(json_string_value(at("note")), "median of 7 steps"));
    ck_assert_ptr_nonnull(strstr(json_string_value(at("note")), "spread 5.0 %, 1 round"));
    ck_assert_ptr_null(strstr(json_string_value(at("note")), "noisy"));
}
END_TEST

START_TEST(each_method_says_what_it_has)
{
    write_point();
    expect_text("method/kind", "lora");
    expect_number("method/rank", 8.0);
    ck_assert_ptr_nonnull(at("method/targets"));
    ck_assert_ptr_null(at("method/quantization"));
    item.method = LQ_METHOD_QLORA;
    write_point();
    expect_text("method/kind", "qlora");
    expect_number("method/rank", 8.0);
    expect_text("method/quantization", "nf4-dq");
    item.method = LQ_METHOD_FULL;
    write_point();
    expect_text("method/kind", "full");
    ck_assert_uint_eq(json_object_size(at("method")), 1);
}
END_TEST

START_TEST(methods_are_what_the_measurement_trains)
{
    struct lq_method method = lq_item_method(&plan, &item);
    ck_assert_int_eq(method.quantization, LQ_QUANTIZATION_NONE);
    ck_assert_int_eq(method.rank, 8);
    item.method = LQ_METHOD_QLORA;
    method = lq_item_method(&plan, &item);
    ck_assert_int_eq(method.quantization, LQ_QUANTIZATION_NF4_DQ);
    item.method = LQ_METHOD_FULL;
    method = lq_item_method(&plan, &item);
    ck_assert_int_eq(method.rank, 0);
    ck_assert_uint_eq(method.targets, 0);
}
END_TEST

START_TEST(without_checkpointing_the_point_says_so)
{
    plan.checkpointing = LQ_CHECKPOINTING_NONE;
    write_point();
    ck_assert(json_is_false(at("gradient_checkpointing")));
}
END_TEST

START_TEST(the_load_of_experts_is_told_in_tokens)
{
    measured.has_load = true;
    measured.load = (struct lq_expert_load){.experts = 4, .share = {0.5, 0.25, 0.25, 0.0}};
    write_point();
    const json_t *load = at("expert_load");
    ck_assert_uint_eq(json_array_size(load), 4);
    ck_assert_double_eq_tol(json_number_value(json_array_get(load, 0)), 300.0, 1e-9);
    ck_assert_double_eq(json_number_value(json_array_get(load, 3)), 0.0);
    item.active_experts = 1;
    write_point();
    expect_number("active_experts", 1.0);
    ck_assert_double_eq_tol(json_number_value(json_array_get(at("expert_load"), 0)), 150.0, 1e-9);
}
END_TEST

START_TEST(noise_and_several_rounds_stand_in_the_note)
{
    measured.is_noisy = true;
    measured.rounds = 3;
    measured.step.spread = 0.25;
    write_point();
    const char *note = json_string_value(at("note"));
    ck_assert_ptr_eq(strstr(note, "noisy: median"), note);
    ck_assert_ptr_nonnull(strstr(note, "spread 25.0 %, 3 rounds"));
    ck_assert_ptr_nonnull(strstr(note, "p95 0.6 s"));
}
END_TEST

START_TEST(a_model_that_the_device_cannot_hold_has_no_peak)
{
    measured.peak_bytes = 8e9;
    write_point();
    expect_number("peak_memory_bytes", 8e9); /* to the last byte */
    measured.peak_bytes = 8e9 + 1.0;
    write_point();
    ck_assert_ptr_null(at("peak_memory_bytes"));
    ck_assert_ptr_nonnull(
        strstr(json_string_value(at("note")), "the whole model does not fit this device: median"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_calibrate_point");
    TCase *tc = tcase_create("point");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_point_says_all_that_was_measured);
    tcase_add_test(tc, each_method_says_what_it_has);
    tcase_add_test(tc, methods_are_what_the_measurement_trains);
    tcase_add_test(tc, without_checkpointing_the_point_says_so);
    tcase_add_test(tc, the_load_of_experts_is_told_in_tokens);
    tcase_add_test(tc, noise_and_several_rounds_stand_in_the_note);
    tcase_add_test(tc, a_model_that_the_device_cannot_hold_has_no_peak);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
