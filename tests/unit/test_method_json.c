/* Methods and length distributions as jobs and calibrations spell them: every spelling, every fault
 * with its pointer. */
#include "server/json/field.h"
#include "server/json/lengths.h"
#include "server/json/method.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    ck_assert_msg(value != NULL, "bad test: %s", text);
    return value;
}

static bool decode_method(const char *text, struct lq_method *out, struct lq_faults *faults)
{
    json_t *value = parse(text);
    memset(faults, 0, sizeof *faults);
    const bool good = lq_method_decode(value, "/method", out, faults);
    json_decref(value);
    ck_assert_int_eq(good, faults->count == 0);
    return good;
}

static const struct {
    const char *text;
    struct lq_method want;
} METHODS[] = {
    {"\"full\"", {.kind = LQ_METHOD_FULL}},
    {"\"lora\"", {LQ_METHOD_LORA, 16, LQ_TARGETS_ALL_LINEAR, LQ_QUANTIZATION_NONE, false}},
    {"\"qlora\"", {LQ_METHOD_QLORA, 16, LQ_TARGETS_ALL_LINEAR, LQ_QUANTIZATION_NF4_DQ, false}},
    {"{\"kind\": \"full\"}", {.kind = LQ_METHOD_FULL}},
    {"{\"kind\": \"lora\", \"rank\": 8.0, \"targets\": [\"q\", \"v\"]}",
     {LQ_METHOD_LORA, 8, LQ_TARGET_BIT(LQ_TARGET_Q) | LQ_TARGET_BIT(LQ_TARGET_V),
      LQ_QUANTIZATION_NONE, false}},
    {"{\"kind\": \"qlora\", \"quantization\": \"int8\", \"targets\": \"all-linear\"}",
     {LQ_METHOD_QLORA, 16, LQ_TARGETS_ALL_LINEAR, LQ_QUANTIZATION_INT8, false}},
    {"{\"kind\": \"qlora\", \"targets\": [\"experts\", \"router\"]}",
     {LQ_METHOD_QLORA, 16, LQ_TARGETS_EXPERTS | LQ_TARGET_BIT(LQ_TARGET_ROUTER),
      LQ_QUANTIZATION_NF4_DQ, false}},
    {"{\"kind\": \"lora\", \"train_embeddings\": true, \"targets\": [\"attention\"]}",
     {LQ_METHOD_LORA, 16, LQ_TARGETS_ATTENTION, LQ_QUANTIZATION_NONE, true}},
    {"{\"kind\": \"lora\", \"targets\": [\"mlp\", \"head\", \"embedding\"]}",
     {LQ_METHOD_LORA, 16,
      LQ_TARGETS_DENSE_MLP | LQ_TARGETS_EXPERTS | LQ_TARGET_BIT(LQ_TARGET_HEAD) |
          LQ_TARGET_BIT(LQ_TARGET_EMBEDDING),
      LQ_QUANTIZATION_NONE, false}},
    {"{\"kind\": \"lora\", \"targets\": [\"gate\", \"in_proj\"]}",
     {LQ_METHOD_LORA, 16,
      LQ_TARGET_BIT(LQ_TARGET_GATE) | LQ_TARGET_BIT(LQ_TARGET_EXPERT_GATE) |
          LQ_TARGET_BIT(LQ_TARGET_MAMBA_IN),
      LQ_QUANTIZATION_NONE, false}},
};

static void assert_same(const struct lq_method *got, const struct lq_method *want)
{
    ck_assert_int_eq(got->kind, want->kind);
    ck_assert_int_eq(got->rank, want->rank);
    ck_assert_uint_eq(got->targets, want->targets);
    ck_assert_int_eq(got->quantization, want->quantization);
    ck_assert_int_eq(got->train_embeddings, want->train_embeddings);
}

START_TEST(methods_are_read_and_written_alike)
{
    struct lq_method method;
    struct lq_faults faults;
    ck_assert(decode_method(METHODS[_i].text, &method, &faults));
    assert_same(&method, &METHODS[_i].want);
    json_t *document = lq_method_encode(&method);
    struct lq_method again;
    ck_assert(lq_method_decode(document, "", &again, &faults));
    assert_same(&again, &method);
    json_decref(document);
}
END_TEST

START_TEST(no_method_means_lora_on_all_linear)
{
    const struct lq_method method = lq_method_default();
    assert_same(&method, &METHODS[1].want);
}
END_TEST

START_TEST(complete_groups_are_written_by_their_name)
{
    json_t *document = lq_method_encode(&METHODS[6].want);
    const json_t *targets = json_object_get(document, "targets");
    ck_assert_uint_eq(json_array_size(targets), 2);
    ck_assert_str_eq(json_string_value(json_array_get(targets, 0)), "experts");
    ck_assert_str_eq(json_string_value(json_array_get(targets, 1)), "router");
    ck_assert_ptr_null(json_object_get(document, "note"));
    json_decref(document);
}
END_TEST

static const struct {
    const char *text;
    const char *pointer;
} BAD_METHODS[] = {
    {"\"dora\"", "/method"},
    {"7", "/method"},
    {"[]", "/method"},
    {"{}", "/method/kind"},
    {"{\"kind\": \"dora\"}", "/method/kind"},
    {"{\"kind\": \"full\", \"rank\": 8}", "/method/kind"},
    {"{\"kind\": \"full\", \"targets\": [\"q\"]}", "/method/kind"},
    {"{\"kind\": \"full\", \"quantization\": \"nf4\"}", "/method/kind"},
    {"{\"kind\": \"full\", \"train_embeddings\": true}", "/method/kind"},
    {"{\"kind\": \"lora\", \"rank\": 0}", "/method/rank"},
    {"{\"kind\": \"lora\", \"rank\": 8.5}", "/method/rank"},
    {"{\"kind\": \"lora\", \"rank\": -1}", "/method/rank"},
    {"{\"kind\": \"lora\", \"rank\": \"8\"}", "/method/rank"},
    {"{\"kind\": \"lora\", \"rank\": 1e9}", "/method/rank"},
    {"{\"kind\": \"lora\", \"quantization\": \"nf4\"}", "/method/quantization"},
    {"{\"kind\": \"qlora\", \"quantization\": \"none\"}", "/method/quantization"},
    {"{\"kind\": \"qlora\", \"quantization\": \"int3\"}", "/method/quantization"},
    {"{\"kind\": \"lora\", \"targets\": []}", "/method/targets"},
    {"{\"kind\": \"lora\", \"targets\": \"everything\"}", "/method/targets"},
    {"{\"kind\": \"lora\", \"targets\": 7}", "/method/targets"},
    {"{\"kind\": \"lora\", \"targets\": [\"q\", \"x\"]}", "/method/targets/1"},
    {"{\"kind\": \"lora\", \"targets\": [7]}", "/method/targets/0"},
    {"{\"kind\": \"lora\", \"train_embeddings\": 1}", "/method/train_embeddings"},
    {"{\"kind\": \"lora\", \"alpha\": 16}", "/method/alpha"},
};

START_TEST(bad_methods_are_refused_where_they_are_wrong)
{
    struct lq_method method;
    struct lq_faults faults;
    ck_assert_msg(!decode_method(BAD_METHODS[_i].text, &method, &faults), "%s was taken",
                  BAD_METHODS[_i].text);
    ck_assert_uint_eq(faults.count, 1);
    ck_assert_int_eq(faults.items[0].code, LQ_EFIELD);
    ck_assert_str_eq(faults.items[0].pointer, BAD_METHODS[_i].pointer);
}
END_TEST

START_TEST(checkpointing_is_a_flag_or_selective)
{
    const char *const texts[] = {"true", "false", "\"selective\""};
    const enum lq_checkpointing want[] = {LQ_CHECKPOINTING_FULL, LQ_CHECKPOINTING_NONE,
                                          LQ_CHECKPOINTING_SELECTIVE};
    for (int i = 0; i < 3; i++) {
        json_t *value = parse(texts[i]);
        struct lq_faults faults = {.count = 0};
        enum lq_checkpointing got = LQ_CHECKPOINTING_NONE;
        ck_assert(lq_checkpointing_decode(value, "/c", &got, &faults));
        ck_assert_int_eq(got, want[i]);
        json_t *again = lq_checkpointing_encode(got);
        ck_assert(json_equal(again, value));
        json_decref(again);
        json_decref(value);
    }
    json_t *value = parse("\"full\"");
    struct lq_faults faults = {.count = 0};
    enum lq_checkpointing got = LQ_CHECKPOINTING_NONE;
    ck_assert(!lq_checkpointing_decode(value, "/c", &got, &faults));
    ck_assert_str_eq(faults.items[0].pointer, "/c");
    json_decref(value);
}
END_TEST

static const struct lq_padding_rule EXACT = {LQ_PADDING_LONGEST, 0, 1};

static bool decode_lengths(const char *text, const struct lq_padding_rule *rule,
                           struct lq_lengths_document *out, struct lq_faults *faults)
{
    json_t *value = parse(text);
    memset(faults, 0, sizeof *faults);
    const bool good = lq_lengths_decode(value, "/lengths", &TINY_LOOKUP, rule, 0.0, out, faults);
    json_decref(value);
    ck_assert_int_eq(good, faults->count == 0);
    return good;
}

/* Five spellings of much the same: three rows of 100 tokens for one of 200. */
static const struct {
    const char *text;
    const char *name;
    int64_t fixed;
    double queries;
    double mean;
    int64_t longest;
} SPELLINGS[] = {
    {"{\"name\": \"TWO\"}", "two", 0, 4.0, 125.0, 200},
    {"{\"fixed_tokens\": 125}", "", 125, 0.0, 125.0, 125},
    {"{\"histogram\": [[100, 3], [200, 1]]}", "", 0, 4.0, 125.0, 200},
    {"{\"histogram\": [[100, 3e0], [150, 0], [200, 1]]}", "", 0, 4.0, 125.0, 200},
    {"{\"sample\": [200, 100, 100, 100]}", "", 0, 4.0, 125.0, 200},
    {"{\"quantiles\": {\"p74\": 100, \"p1\": 100, \"max\": 200, \"min\": 100}}", "", 0, 0.0, 101.0,
     200},
};

START_TEST(five_spellings_describe_a_distribution)
{
    struct lq_lengths_document document;
    struct lq_faults faults;
    ck_assert(decode_lengths(SPELLINGS[_i].text, &EXACT, &document, &faults));
    ck_assert_str_eq(document.name, SPELLINGS[_i].name);
    ck_assert_int_eq(document.fixed_tokens, SPELLINGS[_i].fixed);
    ck_assert_double_eq(document.queries, SPELLINGS[_i].queries);
    ck_assert_int_eq(document.lengths.longest_tokens, SPELLINGS[_i].longest);
    const bool exact = _i < 5;
    assert_close("mean", document.lengths.mean_tokens, SPELLINGS[_i].mean, exact ? 1e-12 : 0.15);
    lq_lengths_release(&document);
    ck_assert_ptr_null(document.bins);
}
END_TEST

START_TEST(the_rule_cuts_and_pads_what_was_given)
{
    struct lq_lengths_document document;
    struct lq_faults faults;
    const struct lq_padding_rule rule = {LQ_PADDING_LONGEST, 150, 64};
    ck_assert(decode_lengths("{\"sample\": [100, 200]}", &rule, &document, &faults));
    ck_assert_int_eq(document.lengths.longest_tokens, 192);
    ck_assert_double_eq(document.lengths.mean_tokens, 125.0);
    ck_assert_double_eq(lq_lengths_mean_row(&document.lengths, 1), 160.0);
    lq_lengths_release(&document);
}
END_TEST

static const struct {
    const char *text;
    enum lq_code code;
    const char *pointer;
} BAD_LENGTHS[] = {
    {"7", LQ_EFIELD, "/lengths"},
    {"{}", LQ_EFIELD, "/lengths"},
    {"{\"name\": \"two\", \"fixed_tokens\": 5}", LQ_EFIELD, "/lengths"},
    {"{\"median\": 5}", LQ_EFIELD, "/lengths/median"},
    {"{\"name\": \"three\"}", LQ_EREFERENCE, "/lengths/name"},
    {"{\"name\": 3}", LQ_EFIELD, "/lengths/name"},
    {"{\"fixed_tokens\": 0}", LQ_EFIELD, "/lengths/fixed_tokens"},
    {"{\"fixed_tokens\": 1.5}", LQ_EFIELD, "/lengths/fixed_tokens"},
    {"{\"fixed_tokens\": 1e9}", LQ_EFIELD, "/lengths/fixed_tokens"},
    {"{\"histogram\": []}", LQ_EFIELD, "/lengths/histogram"},
    {"{\"histogram\": {}}", LQ_EFIELD, "/lengths/histogram"},
    {"{\"histogram\": [5]}", LQ_EFIELD, "/lengths/histogram/0"},
    {"{\"histogram\": [[5, 1, 1]]}", LQ_EFIELD, "/lengths/histogram/0"},
    {"{\"histogram\": [[5, 1], [0, 1]]}", LQ_EFIELD, "/lengths/histogram/1/0"},
    {"{\"histogram\": [[5, 1], [5, 1]]}", LQ_EFIELD, "/lengths/histogram/1/0"},
    {"{\"histogram\": [[6, 1], [5, 1]]}", LQ_EFIELD, "/lengths/histogram/1/0"},
    {"{\"histogram\": [[5, -1]]}", LQ_EFIELD, "/lengths/histogram/0/1"},
    {"{\"histogram\": [[5, 0.5]]}", LQ_EFIELD, "/lengths/histogram/0/1"},
    {"{\"histogram\": [[5, 0], [6, 0]]}", LQ_EFIELD, "/lengths/histogram"},
    {"{\"sample\": []}", LQ_EFIELD, "/lengths/sample"},
    {"{\"sample\": 5}", LQ_EFIELD, "/lengths/sample"},
    {"{\"sample\": [5, 0]}", LQ_EFIELD, "/lengths/sample/1"},
    {"{\"sample\": [5, \"6\"]}", LQ_EFIELD, "/lengths/sample/1"},
    {"{\"quantiles\": []}", LQ_EFIELD, "/lengths/quantiles"},
    {"{\"quantiles\": {}}", LQ_EFIELD, "/lengths/quantiles"},
    {"{\"quantiles\": {\"p50\": 5}}", LQ_EFIELD, "/lengths/quantiles"},
    {"{\"quantiles\": {\"max\": 5}}", LQ_EFIELD, "/lengths/quantiles"},
    {"{\"quantiles\": {\"p50\": 5, \"max\": 4}}", LQ_EFIELD, "/lengths/quantiles"},
    {"{\"quantiles\": {\"p50\": 5, \"p90\": 4, \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles"},
    {"{\"quantiles\": {\"p50\": 5, \"p50.0\": 6, \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles"},
    {"{\"quantiles\": {\"p50\": 0, \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles/p50"},
    {"{\"quantiles\": {\"p50\": \"5\", \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles/p50"},
    {"{\"quantiles\": {\"p100\": 5, \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles/p100"},
    {"{\"quantiles\": {\"p0\": 5, \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles/p0"},
    {"{\"quantiles\": {\"p-5\": 5, \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles/p-5"},
    {"{\"quantiles\": {\"pnan\": 5, \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles/pnan"},
    {"{\"quantiles\": {\"p5/0\": 5, \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles/p5~10"},
    {"{\"quantiles\": {\"median\": 5, \"max\": 9}}", LQ_EFIELD, "/lengths/quantiles/median"},
};

START_TEST(bad_lengths_are_refused_where_they_are_wrong)
{
    struct lq_lengths_document document;
    struct lq_faults faults;
    ck_assert_msg(!decode_lengths(BAD_LENGTHS[_i].text, &EXACT, &document, &faults), "%s was taken",
                  BAD_LENGTHS[_i].text);
    ck_assert_uint_eq(faults.count, 1);
    ck_assert_int_eq(faults.items[0].code, BAD_LENGTHS[_i].code);
    ck_assert_str_eq(faults.items[0].pointer, BAD_LENGTHS[_i].pointer);
    lq_lengths_release(&document);
}
END_TEST

START_TEST(every_bad_member_of_a_list_is_named)
{
    struct lq_lengths_document document;
    struct lq_faults faults;
    ck_assert(!decode_lengths("{\"sample\": [0, 5, -1, 2.5]}", &EXACT, &document, &faults));
    ck_assert_uint_eq(faults.count, 3);
    ck_assert_str_eq(faults.items[2].pointer, "/lengths/sample/3");
    lq_lengths_release(&document);
    ck_assert(!decode_lengths("{\"histogram\": [[0, 1], [5, -1]]}", &EXACT, &document, &faults));
    ck_assert_uint_eq(faults.count, 2);
    lq_lengths_release(&document);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("method_json");
    TCase *tests = tcase_create("method_json");
    tcase_add_loop_test(tests, methods_are_read_and_written_alike, 0,
                        sizeof METHODS / sizeof METHODS[0]);
    tcase_add_test(tests, no_method_means_lora_on_all_linear);
    tcase_add_test(tests, complete_groups_are_written_by_their_name);
    tcase_add_loop_test(tests, bad_methods_are_refused_where_they_are_wrong, 0,
                        sizeof BAD_METHODS / sizeof BAD_METHODS[0]);
    tcase_add_test(tests, checkpointing_is_a_flag_or_selective);
    tcase_add_loop_test(tests, five_spellings_describe_a_distribution, 0,
                        sizeof SPELLINGS / sizeof SPELLINGS[0]);
    tcase_add_test(tests, the_rule_cuts_and_pads_what_was_given);
    tcase_add_loop_test(tests, bad_lengths_are_refused_where_they_are_wrong, 0,
                        sizeof BAD_LENGTHS / sizeof BAD_LENGTHS[0]);
    tcase_add_test(tests, every_bad_member_of_a_list_is_named);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
