/* Catalog documents: unknown figures are null, and what is encoded can be put back. */
#include "server/json/catalog.h"
#include "server/json/layer_kind.h"
#include "tests/unit/check_main.h"

#include <stdlib.h>
#include <string.h>

static const struct lq_gpu A40 = {.id = "A40",
                                  .vendor = "NVIDIA",
                                  .architecture = "Ampere",
                                  .compute_capability = "8.6",
                                  .memory_bytes = 48305799168.0,
                                  .memory_is_reported = true,
                                  .memory_nominal_bytes = 51539607552.0,
                                  .memory_bandwidth_bytes_per_s = 696e9,
                                  .fp16_flop_per_s = 149.7e12,
                                  .sm_count = 84,
                                  .boost_hz = 1740e6};

START_TEST(a_gpu_survives_encoding_and_decoding)
{
    json_t *document = lq_gpu_encode(&A40);
    struct lq_gpu_document back;
    struct lq_faults faults = {0};
    ck_assert_int_eq(lq_gpu_decode(document, &back, &faults), LQ_OK);
    json_decref(document);
    ck_assert_str_eq(back.gpu.id, A40.id);
    ck_assert_str_eq(back.gpu.compute_capability, A40.compute_capability);
    ck_assert_double_eq(back.gpu.memory_bytes, A40.memory_bytes);
    ck_assert_double_eq(back.gpu.memory_nominal_bytes, A40.memory_nominal_bytes);
    ck_assert_double_eq(back.gpu.fp16_flop_per_s, A40.fp16_flop_per_s);
    ck_assert_double_eq(back.gpu.fp8_flop_per_s, 0.0);
    ck_assert_int_eq(back.gpu.sm_count, 84);
    ck_assert_int_eq(back.gpu.pcie_generation, 0);
    ck_assert(back.gpu.memory_is_reported);
}
END_TEST

START_TEST(unknown_figures_are_null_never_zero)
{
    json_t *document = lq_gpu_encode(&A40);
    ck_assert(json_is_null(json_object_get(document, "fp8_flop_per_s")));
    ck_assert(json_is_null(json_object_get(document, "pcie_generation")));
    ck_assert(json_is_integer(json_object_get(document, "memory_bytes")));
    json_decref(document);
}
END_TEST

START_TEST(a_gpu_in_the_wrong_units_is_refused_figure_by_figure)
{
    json_t *document =
        json_pack("{s:i, s:i, s:f, s:i}", "memory_bytes", 48, "memory_bandwidth_bytes_per_s", 696,
                  "fp16_flop_per_s", 149.7, "fp16_tflops", 149);
    struct lq_gpu_document out;
    struct lq_faults faults = {0};
    ck_assert_int_eq(lq_gpu_decode(document, &out, &faults), LQ_EFIELD);
    json_decref(document);
    ck_assert_uint_eq(faults.count, 4);
}
END_TEST

START_TEST(a_gpu_needs_memory_bandwidth_and_a_16_bit_rate)
{
    json_t *document = json_object();
    struct lq_gpu_document out;
    struct lq_faults faults = {0};
    ck_assert_int_eq(lq_gpu_decode(document, &out, &faults), LQ_EFIELD);
    json_decref(document);
    ck_assert_uint_eq(faults.count, 3);
    ck_assert_str_eq(faults.items[0].pointer, "/memory_bytes");
}
END_TEST

START_TEST(a_dense_model_has_null_experts)
{
    struct lq_model model = {
        .id = "small",
        .type = "llama",
        .hidden_size = 8,
        .vocab_size = 10,
        .layer_kinds = 1,
        .layers = {{.count = 3, .ffn = {.kind = LQ_FFN_DENSE, .intermediate_size = 4}}}};
    struct lq_parameters parameters = lq_model_parameters(&model, 0);
    json_t *object = lq_model_encode(&model, &parameters);
    ck_assert(json_is_null(json_object_get(object, "experts")));
    ck_assert(json_is_null(json_object_get(object, "context_tokens")));
    ck_assert_int_eq(json_integer_value(json_object_get(object, "layers")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "total_parameters")),
                     3 * 2 * 8 * 4);
    json_decref(object);
}
END_TEST

START_TEST(layers_are_listed_by_kind_with_the_sizes_they_have)
{
    const struct lq_model model = {
        .id = "mixed",
        .hidden_size = 8,
        .vocab_size = 10,
        .layer_kinds = 2,
        .layers = {{.count = 3,
                    .mixer = {.kind = LQ_MIXER_MAMBA, .inner_size = 16, .state_size = 4},
                    .norm_parameters = 8},
                   {.count = 1,
                    .mixer = {.kind = LQ_MIXER_ATTENTION, .heads = 4, .kv_heads = 2},
                    .ffn = {.kind = LQ_FFN_MOE, .gated = true, .experts = 6}}}};
    json_t *kinds = lq_layer_kinds_encode(&model);
    char *text = json_dumps(kinds, JSON_COMPACT);
    ck_assert_str_eq(
        text, "[{\"count\":3,\"mixer\":{\"kind\":\"mamba\",\"inner_size\":16,"
              "\"state_size\":4,\"conv_size\":0,\"dt_rank\":0,\"small_parameters\":0},"
              "\"ffn\":{\"kind\":\"none\"},\"norm_parameters\":8},"
              "{\"count\":1,\"mixer\":{\"kind\":\"attention\",\"heads\":4,\"kv_heads\":2,"
              "\"head_size\":0,\"window_tokens\":0,\"bias_parameters\":0},"
              "\"ffn\":{\"kind\":\"moe\",\"gated\":true,\"intermediate_size\":0,\"experts\":6,"
              "\"active_experts\":0,\"shared_size\":0,\"bias_parameters\":0,"
              "\"router_parameters\":0,\"shared_bias_parameters\":0},\"norm_parameters\":0}]");
    free(text);
    json_decref(kinds);
}
END_TEST

START_TEST(quantities_are_integers_where_they_are_whole)
{
    json_t *whole = lq_quantity_encode(149.7e12);
    json_t *part = lq_quantity_encode(0.79);
    json_t *none = lq_quantity_encode(0.0);
    ck_assert(json_is_integer(whole));
    ck_assert(json_is_real(part));
    ck_assert(json_is_null(none));
    json_decref(whole);
    json_decref(part);
    json_decref(none);
}
END_TEST

START_TEST(empty_bins_are_left_out_of_a_histogram)
{
    const struct lq_length_bin bins[] = {{55, 1.0}, {56, 0.0}, {57, 2.0}};
    json_t *histogram = lq_histogram_encode(bins, 3);
    char *text = json_dumps(histogram, JSON_COMPACT);
    ck_assert_str_eq(text, "[[55,1],[57,2]]");
    free(text);
    json_decref(histogram);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("catalog_json");
    TCase *tests = tcase_create("catalog_json");
    tcase_add_test(tests, a_gpu_survives_encoding_and_decoding);
    tcase_add_test(tests, unknown_figures_are_null_never_zero);
    tcase_add_test(tests, a_gpu_in_the_wrong_units_is_refused_figure_by_figure);
    tcase_add_test(tests, a_gpu_needs_memory_bandwidth_and_a_16_bit_rate);
    tcase_add_test(tests, a_dense_model_has_null_experts);
    tcase_add_test(tests, layers_are_listed_by_kind_with_the_sizes_they_have);
    tcase_add_test(tests, quantities_are_integers_where_they_are_whole);
    tcase_add_test(tests, empty_bins_are_left_out_of_a_histogram);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
