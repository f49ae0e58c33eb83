/* Models, devices and suggestions as JSON: what is read, what is refused, and that no damage to a
 * text does more than that. Models of the catalog are compared in cases_measure.py. */
#include "kernels/document/catalog.h"
#include "tests/unit/check_main.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* As GET /v1/models/{id} answers: attention with a dense part, MLA with experts, Mamba alone. */
static const char MODEL[] =
    "{\"id\":\"all-kinds\",\"total_parameters\":1,\"layers\":6,\"hidden_size\":64,"
    "\"vocab_size\":256,\"tied_embeddings\":true,\"experts\":8,\"active_experts\":2,"
    "\"context_tokens\":null,\"parameters\":{\"embedding\":16384,\"head\":0,\"rest\":5},"
    "\"layer_kinds\":["
    "{\"count\":1,\"norm_parameters\":128,\"mixer\":{\"kind\":\"attention\",\"heads\":4,"
    "\"kv_heads\":2,\"head_size\":16,\"window_tokens\":32,\"bias_parameters\":7},"
    "\"ffn\":{\"kind\":\"dense\",\"gated\":true,\"intermediate_size\":128,\"bias_parameters\":0}},"
    "{\"count\":2,\"norm_parameters\":129,\"mixer\":{\"kind\":\"mla\",\"heads\":4,\"q_rank\":0,"
    "\"kv_rank\":16,\"nope_size\":8,\"rope_size\":4,\"value_size\":8},"
    "\"ffn\":{\"kind\":\"moe\",\"gated\":false,\"intermediate_size\":32,\"experts\":8,"
    "\"active_experts\":2,\"shared_size\":64,\"router_parameters\":9}},"
    "{\"count\":3,\"norm_parameters\":64,\"mixer\":{\"kind\":\"mamba\",\"inner_size\":128,"
    "\"state_size\":16,\"conv_size\":4,\"dt_rank\":4,\"small_parameters\":3000},"
    "\"ffn\":{\"kind\":\"none\"}}],"
    "\"provenance\":{\"source\":\"s\",\"note\":\"\"},\"config\":{\"hidden_size\":1}}";

static struct lq_model model;
static struct lq_error err;

static void set_up(void)
{
    err = (struct lq_error){0};
}

static enum lq_code read_text(const char *text)
{
    err = (struct lq_error){0};
    return lq_model_read(text, strlen(text), &model, &err);
}

START_TEST(every_kind_of_layer_is_read)
{
    ck_assert_msg(read_text(MODEL) == LQ_OK, "%s", err.detail);
    ck_assert_str_eq(model.id, "all-kinds");
    ck_assert_int_eq(model.hidden_size, 64);
    ck_assert_int_eq(model.vocab_size, 256);
    ck_assert(model.tied_embeddings);
    ck_assert_int_eq(model.context_tokens, 0);
    ck_assert_int_eq(model.embedding_parameters, 16384);
    ck_assert_int_eq(model.layer_kinds, 3);
    const struct lq_layer *l = model.layers;
    ck_assert_int_eq(l[0].mixer.kind, LQ_MIXER_ATTENTION);
    ck_assert_int_eq(l[0].mixer.kv_heads, 2);
    ck_assert_int_eq(l[0].mixer.window_tokens, 32);
    ck_assert_int_eq(l[0].ffn.kind, LQ_FFN_DENSE);
    ck_assert(l[0].ffn.gated);
    ck_assert_int_eq(l[0].ffn.experts, 0);
    ck_assert_int_eq(l[1].mixer.kind, LQ_MIXER_MLA);
    ck_assert_int_eq(l[1].mixer.kv_rank, 16);
    ck_assert_int_eq(l[1].ffn.shared_size, 64);
    ck_assert(!l[1].ffn.gated);
    ck_assert_int_eq(l[1].norm_parameters, 129);
    ck_assert_int_eq(l[2].mixer.kind, LQ_MIXER_MAMBA);
    ck_assert_int_eq(l[2].mixer.small_parameters, 3000);
    ck_assert_int_eq(l[2].ffn.kind, LQ_FFN_NONE);
    ck_assert_int_eq(lq_model_layers(&model), 6);
}
END_TEST

START_TEST(a_text_that_breaks_off_anywhere_is_refused)
{
    for (size_t size = 0; size + 1 < sizeof MODEL - 1; size++) {
        char *cut = malloc(size + 1); /* of its own size: reading past it is seen */
        memcpy(cut, MODEL, size);
        err = (struct lq_error){0};
        ck_assert_int_eq(lq_model_read(cut, size, &model, &err), LQ_ESYNTAX);
        free(cut);
    }
}
END_TEST

START_TEST(whatever_a_byte_becomes_a_model_is_read_or_refused)
{
    static const char BYTES[] = "\"{}[]:,-.e019x\\ \x80";
    char text[sizeof MODEL];
    for (size_t at = 0; at + 1 < sizeof MODEL; at++) {
        for (size_t b = 0; b < sizeof BYTES; b++) { /* with the zero at its end */
            memcpy(text, MODEL, sizeof text);
            text[at] = BYTES[b];
            err = (struct lq_error){0};
            const enum lq_code code = lq_model_read(text, sizeof text - 1, &model, &err);
            ck_assert(code == LQ_OK || code == LQ_ESYNTAX || code == LQ_EFIELD);
            if (code == LQ_OK) {
                struct lq_error again = {0};
                ck_assert_int_eq(lq_model_check(&model, &again), LQ_OK);
            } else {
                ck_assert_str_ne(err.detail, "");
            }
        }
    }
}
END_TEST

/* MODEL with the first `from` in it replaced. */
static enum lq_code read_changed(const char *from, const char *to)
{
    static char text[sizeof MODEL + 200];
    const char *at = strstr(MODEL, from);
    ck_assert_ptr_nonnull(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - MODEL), MODEL, to, at + strlen(from));
    return read_text(text);
}

START_TEST(what_is_no_model_is_refused)
{
    static const char *const TEXTS[] = {"",  "null",           "[]",     "{}",
                                        "7", "{\"id\":\"x\"}", "<html>", "{\"layer_kinds\":[]}"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        ck_assert_msg(read_text(TEXTS[i]) == LQ_ESYNTAX, "%s", TEXTS[i]);
    }
    static const char *const CHANGES[][2] = {
        {"\"id\":\"all-kinds\"", "\"id\":7"},
        {"\"hidden_size\":64", "\"hidden_size\":\"64\""},
        {"\"hidden_size\":64", "\"hidden_size\":-64"},
        {"\"hidden_size\":64", "\"hidden_size\":64.5"},
        {"\"hidden_size\":64", "\"hidden_size\":1e300"},
        {"\"context_tokens\":null", "\"context_tokens\":-1"},
        {"\"count\":2", "\"count\":0"},
        {"\"count\":2", "\"cnt\":2"},
        {"\"kind\":\"mla\"", "\"kind\":\"rwkv\""},
        {"\"kind\":\"moe\"", "\"kind\":3"},
        {"\"heads\":4", "\"heads\":-4"},
        {"\"heads\":4", "\"heads\":[4]"},
        {"\"layer_kinds\":[", "\"layer_kinds\":[3,"},
        {"\"parameters\":{", "\"parameters\":3,\"p\":{"},
        {"\"all-kinds\"", "\"a-name-that-is-longer-than-any-id-of-a-catalog-can-be-0123456789\""}};
    for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++) {
        ck_assert_msg(read_changed(CHANGES[i][0], CHANGES[i][1]) == LQ_ESYNTAX, "%s",
                      CHANGES[i][1]);
        ck_assert_ptr_nonnull(strstr(err.detail, "no model"));
    }
}
END_TEST

START_TEST(a_model_that_cannot_be_is_refused_with_the_reason)
{
    static const char *const CHANGES[][2] = {
        {"\"hidden_size\":64", "\"hidden_size\":1000000000"},
        {"\"vocab_size\":256", "\"vocab_size\":9007199254740992"},
        {"\"kv_heads\":2", "\"kv_heads\":3"},
        {"\"experts\":8,\"active_experts\":2,\"shared",
         "\"experts\":8,\"active_experts\":9,\"shared"},
        {"\"state_size\":16", "\"state_size\":0"},
        {"\"count\":3", "\"count\":900000000"},
        {"\"intermediate_size\":32,", ""}};
    for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++) {
        ck_assert_msg(read_changed(CHANGES[i][0], CHANGES[i][1]) == LQ_EFIELD, "%s", CHANGES[i][1]);
        ck_assert_ptr_nonnull(strstr(err.detail, "must "));
    }
}
END_TEST

START_TEST(more_kinds_of_layers_than_there_is_room_for_are_refused)
{
    char text[8000] = "{\"id\":\"x\",\"hidden_size\":1,\"vocab_size\":1,\"parameters\":"
                      "{\"embedding\":1,\"head\":0},\"layer_kinds\":[";
    for (int i = 0; i <= LQ_LAYER_KINDS_MAX; i++) {
        strcat(text, i > 0 ? "," : "");
        strcat(text, "{\"count\":1,\"mixer\":{\"kind\":\"none\"},\"ffn\":{\"kind\":\"dense\","
                     "\"intermediate_size\":1}}");
    }
    strcat(text, "]}");
    ck_assert_int_eq(read_text(text), LQ_ESYNTAX);
}
END_TEST

START_TEST(a_device_is_written_with_what_is_known_of_it)
{
    struct lq_device_info info = {.memory_bytes = 8e9, .units = 2};
    struct lq_ceilings ceilings = {.copy_bytes_per_s = 1e10, .matmul_flop_per_s = 1e11};
    char *text = NULL;
    memset(info.vendor, 'v', sizeof info.vendor - 1); /* longer than a catalog takes: cut */
    ck_assert_int_eq(lq_device_write(&info, &ceilings, &text, &err), LQ_OK);
    json_t *o = json_loads(text, 0, NULL);
    ck_assert_uint_eq(strlen(json_string_value(json_object_get(o, "vendor"))), 23);
    ck_assert_double_eq(json_number_value(json_object_get(o, "memory_bytes")), 8e9);
    ck_assert_double_eq(json_number_value(json_object_get(o, "memory_bandwidth_bytes_per_s")),
                        1e10);
    ck_assert_double_eq(json_number_value(json_object_get(o, "fp32_flop_per_s")), 1e11);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "sm_count")), 2);
    ck_assert_ptr_null(json_object_get(o, "boost_hz"));
    ck_assert_ptr_null(json_object_get(o, "tf32_flop_per_s"));
    ck_assert_ptr_null(json_object_get(o, "fp8_flop_per_s"));
    ck_assert_ptr_null(json_object_get(o, "interconnect_bytes_per_s"));
    ck_assert_ptr_null(json_object_get(o, "architecture"));
    json_decref(o);
    free(text);
    ceilings.tf32_flop_per_s = 4e11;
    ceilings.fp8_flop_per_s = 16e11;
    ceilings.interconnect_bytes_per_s = 6e11;
    ck_assert_int_eq(lq_device_write(&info, &ceilings, &text, &err), LQ_OK);
    o = json_loads(text, 0, NULL);
    ck_assert_double_eq(json_number_value(json_object_get(o, "tf32_flop_per_s")), 4e11);
    ck_assert_double_eq(json_number_value(json_object_get(o, "fp8_flop_per_s")), 16e11);
    ck_assert_double_eq(json_number_value(json_object_get(o, "interconnect_bytes_per_s")), 6e11);
    json_decref(o);
    free(text);
}
END_TEST

START_TEST(a_gpu_is_read_with_what_links_it_to_others)
{
    static const char GPU[] = "{\"id\":\"A\",\"memory_bandwidth_bytes_per_s\":2e12,"
                              "\"fp16_flop_per_s\":3e14,\"interconnect_bytes_per_s\":6e11,"
                              "\"pcie_generation\":4}";
    static const char ALONE[] = "{\"id\":\"B\",\"memory_bandwidth_bytes_per_s\":2e12,"
                                "\"interconnect_bytes_per_s\":null,\"pcie_generation\":null}";
    struct lq_gpu gpu;
    ck_assert_int_eq(lq_gpu_read(GPU, sizeof GPU - 1, &gpu, &err), LQ_OK);
    ck_assert_str_eq(gpu.id, "A");
    ck_assert_double_eq(gpu.fp16_flop_per_s, 3e14);
    ck_assert_double_eq(gpu.interconnect_bytes_per_s, 6e11);
    ck_assert_int_eq(gpu.pcie_generation, 4);
    ck_assert_int_eq(lq_gpu_read(ALONE, sizeof ALONE - 1, &gpu, &err), LQ_OK);
    ck_assert_double_eq(gpu.interconnect_bytes_per_s, 0.0);
    ck_assert_int_eq(gpu.pcie_generation, 0);
}
END_TEST

START_TEST(a_question_is_the_points_job_without_what_was_measured)
{
    struct lq_measured_point point = lq_measured_point_new();
    char *text = NULL;
    strcpy(point.model, "m");
    strcpy(point.gpu, "g");
    strcpy(point.stack, "llmquote-worker");
    strcpy(point.source, "s");
    point.gpu_count = 1;
    point.method = LQ_METHOD_FULL;
    point.batch_size = 4;
    point.sequence_tokens = 128;
    point.step_time_s = 1.0;
    ck_assert_msg(lq_question_write(&point, &text, &err) == LQ_OK, "%s", err.detail);
    json_t *o = json_loads(text, 0, NULL);
    static const char *const GONE[] = {"sequence_tokens", "step_time_s", "source", "measured_at"};
    for (size_t i = 0; i < sizeof GONE / sizeof *GONE; i++) {
        ck_assert_ptr_null(json_object_get(o, GONE[i]));
    }
    const json_t *set = json_object_get(o, "dataset");
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(set, "lengths"), "fixed_tokens")), 128);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "batch_size")), 4);
    ck_assert_str_eq(json_string_value(json_object_get(o, "stack")), "llmquote-worker");
    json_decref(o);
    free(text);
}
END_TEST

static enum lq_code read_suggestions(const char *text, struct lq_suggestion *out, size_t *count)
{
    err = (struct lq_error){0};
    return lq_suggestions_read(text, strlen(text), out, 2, count, &err);
}

START_TEST(suggestions_are_read_in_order_as_many_as_there_is_room_for)
{
    struct lq_suggestion out[2];
    size_t count = 9;
    ck_assert_int_eq(read_suggestions("{\"suggested_calibrations\":[]}", out, &count), LQ_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(
        read_suggestions("{\"suggested_calibrations\":[{\"batch_size\":4,\"row_tokens\":127.2},"
                         "{\"batch_size\":1,\"row_tokens\":64},{\"batch_size\":2,"
                         "\"row_tokens\":1}]}",
                         out, &count),
        LQ_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(out[0].batch_size, 4);
    ck_assert_int_eq(out[0].tokens, 128); /* a row is not cut short */
    ck_assert_int_eq(out[1].tokens, 64);
}
END_TEST

START_TEST(what_is_no_list_of_suggestions_is_refused)
{
    static const char *const TEXTS[] = {
        "",
        "{}",
        "[]",
        "{\"suggested_calibrations\":{}}",
        "{\"suggested_calibrations\":[3]}",
        "{\"suggested_calibrations\":[{\"batch_size\":0,\"row_tokens\":1}]}",
        "{\"suggested_calibrations\":[{\"batch_size\":1,\"row_tokens\":0}]}",
        "{\"suggested_calibrations\":[{\"batch_size\":1,\"row_tokens\":1e300}]}",
        "{\"suggested_calibrations\":[{\"batch_size\":1.5,\"row_tokens\":1}]}",
        "{\"suggested_calibrations\":[{\"batch_size\":1,\"row_tokens\":\"8\"}]}"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        struct lq_suggestion out[2];
        size_t count = 0;
        ck_assert_msg(read_suggestions(TEXTS[i], out, &count) == LQ_ESYNTAX, "%s", TEXTS[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_catalog_document");
    TCase *tc = tcase_create("catalog");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, every_kind_of_layer_is_read);
    tcase_add_test(tc, a_text_that_breaks_off_anywhere_is_refused);
    tcase_add_test(tc, whatever_a_byte_becomes_a_model_is_read_or_refused);
    tcase_add_test(tc, what_is_no_model_is_refused);
    tcase_add_test(tc, a_model_that_cannot_be_is_refused_with_the_reason);
    tcase_add_test(tc, more_kinds_of_layers_than_there_is_room_for_are_refused);
    tcase_add_test(tc, a_device_is_written_with_what_is_known_of_it);
    tcase_add_test(tc, a_gpu_is_read_with_what_links_it_to_others);
    tcase_add_test(tc, a_question_is_the_points_job_without_what_was_measured);
    tcase_add_test(tc, suggestions_are_read_in_order_as_many_as_there_is_room_for);
    tcase_add_test(tc, what_is_no_list_of_suggestions_is_refused);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
