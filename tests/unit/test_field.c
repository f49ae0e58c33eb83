/* Decoding by a field table: values, ranges, unknown and missing fields, and where faults point. */
#include "server/json/field.h"
#include "server/json/suggest.h"
#include "tests/unit/check_main.h"

#include <string.h>

struct target {
    int64_t count;
    double number;
    char text[8];
    char id[8];
    bool flag;
    int kind;
    const json_t *inner;
};

static const char *const KINDS[] = {"full", "lora", "qlora", NULL};
static const struct lq_field FIELDS[] = {
    {.name = "batch_size",
     .kind = LQ_FIELD_COUNT,
     .required = true,
     .offset = offsetof(struct target, count),
     .min = 1,
     .max = 1e9},
    {.name = "rate",
     .kind = LQ_FIELD_NUMBER,
     .offset = offsetof(struct target, number),
     .min = -1,
     .max = 1},
    {.name = "text", .kind = LQ_FIELD_STRING, .offset = offsetof(struct target, text), .size = 8},
    {.name = "id", .kind = LQ_FIELD_ID, .offset = offsetof(struct target, id), .size = 8},
    {.name = "flag", .kind = LQ_FIELD_BOOL, .offset = offsetof(struct target, flag)},
    {.name = "kind",
     .kind = LQ_FIELD_NAME,
     .offset = offsetof(struct target, kind),
     .names = KINDS},
    {.name = "inner", .kind = LQ_FIELD_JSON, .offset = offsetof(struct target, inner)},
};
enum { FIELD_COUNT = sizeof FIELDS / sizeof FIELDS[0] };

static enum lq_code decode(const char *text, struct target *out, struct lq_faults *faults)
{
    memset(faults, 0, sizeof *faults);
    json_t *root = lq_parse(text, strlen(text), faults);
    ck_assert_ptr_nonnull(root);
    enum lq_code code = lq_decode(root, "/job", FIELDS, FIELD_COUNT, out, faults);
    out->inner = NULL; /* borrowed from root */
    json_decref(root);
    return code;
}

/* One fault, at `pointer`, whose text contains `part`. */
static void expect_fault(const char *text, const char *pointer, const char *part)
{
    struct target out = {0};
    struct lq_faults faults;
    ck_assert_int_eq(decode(text, &out, &faults), LQ_EFIELD);
    ck_assert_uint_eq(faults.count, 1);
    ck_assert_str_eq(faults.items[0].pointer, pointer);
    ck_assert_msg(strstr(faults.items[0].detail, part) != NULL, "\"%s\" lacks \"%s\"",
                  faults.items[0].detail, part);
}

START_TEST(every_kind_of_field_is_decoded)
{
    struct target out = {.number = 0.5};
    struct lq_faults faults;
    const char *text =
        "{\"batch_size\": 4, \"rate\": -0.25, \"text\": \"a b/\\u00e9\", \"id\": \"x-1_.Z\","
        " \"flag\": true, \"kind\": \"qlora\", \"inner\": [1]}";
    ck_assert_int_eq(decode(text, &out, &faults), LQ_OK);
    ck_assert_int_eq(out.count, 4);
    ck_assert_double_eq(out.number, -0.25);
    ck_assert_str_eq(out.text, "a b/\xc3\xa9");
    ck_assert_str_eq(out.id, "x-1_.Z");
    ck_assert(out.flag);
    ck_assert_int_eq(out.kind, 2);
}
END_TEST

START_TEST(absent_and_null_fields_leave_their_defaults)
{
    struct target out = {.number = 0.5, .kind = 1, .flag = true};
    struct lq_faults faults;
    const char *text = "{\"batch_size\": 1, \"rate\": null, \"kind\": null, \"flag\": null}";
    ck_assert_int_eq(decode(text, &out, &faults), LQ_OK);
    ck_assert_double_eq(out.number, 0.5);
    ck_assert_int_eq(out.kind, 1);
    ck_assert(out.flag);
}
END_TEST

START_TEST(a_number_without_fraction_is_a_count_however_written)
{
    static const char *const TEXTS[] = {"{\"batch_size\": 2900000}", "{\"batch_size\": 2.9e6}",
                                        "{\"batch_size\": 2900000.0}"};
    for (size_t i = 0; i < 3; i++) {
        struct target out = {0};
        struct lq_faults faults;
        ck_assert_int_eq(decode(TEXTS[i], &out, &faults), LQ_OK);
        ck_assert_int_eq(out.count, 2900000);
    }
}
END_TEST

START_TEST(bad_counts_are_refused_with_value_and_range)
{
    expect_fault("{\"batch_size\": 2.5}", "/job/batch_size", "from 1 to 1000000000, got 2.5");
    expect_fault("{\"batch_size\": 0}", "/job/batch_size", "got 0");
    expect_fault("{\"batch_size\": -3}", "/job/batch_size", "got -3");
    expect_fault("{\"batch_size\": 1e300}", "/job/batch_size", "got 1e+300");
    expect_fault("{\"batch_size\": \"4\"}", "/job/batch_size", "got \"4\"");
    expect_fault("{\"batch_size\": true}", "/job/batch_size", "got true");
    expect_fault("{\"batch_size\": null}", "/job/batch_size", "got null");
    expect_fault("{}", "/job/batch_size", "is required");
}
END_TEST

START_TEST(counts_beyond_int64_are_refused_even_without_a_range)
{
    struct lq_faults faults = {0};
    int64_t out = 7;
    json_t *value = json_real(9223372036854775808.0);
    ck_assert(!lq_decode_count(value, "/n", 0, 0, &out, &faults));
    json_decref(value);
    value = json_real(-9223372036854775808.0);
    ck_assert(lq_decode_count(value, "/n", 0, 0, &out, &faults));
    ck_assert(out == INT64_MIN);
    json_decref(value);
    ck_assert_uint_eq(faults.count, 1);
    ck_assert_str_eq(faults.items[0].pointer, "/n");
}
END_TEST

START_TEST(a_minimum_alone_is_no_upper_bound)
{
    struct lq_faults faults = {0};
    double out = 0;
    json_t *value = json_real(1e250);
    ck_assert(lq_decode_number(value, "", 1, 0, &out, &faults));
    json_decref(value);
    value = json_integer(0);
    ck_assert(!lq_decode_number(value, "/x", 1, 0, &out, &faults));
    json_decref(value);
    ck_assert(strstr(faults.items[0].detail, "at least 1, got 0") != NULL);
}
END_TEST

START_TEST(other_bad_values_are_refused_at_their_pointer)
{
    expect_fault("{\"batch_size\": 1, \"rate\": 1.5}", "/job/rate", "from -1 to 1, got 1.5");
    expect_fault("{\"batch_size\": 1, \"text\": \"\"}", "/job/text", "1 to 7 bytes");
    expect_fault("{\"batch_size\": 1, \"text\": \"12345678\"}", "/job/text", "1 to 7 bytes");
    expect_fault("{\"batch_size\": 1, \"id\": \"a b\"}", "/job/id", "letters");
    expect_fault("{\"batch_size\": 1, \"flag\": 1}", "/job/flag", "true or false");
    expect_fault("{\"batch_size\": 1, \"kind\": \"LORA\"}", "/job/kind",
                 "one of full, lora, qlora; got \"LORA\"");
    expect_fault("{\"batch_size\": 1, \"kind\": {}}", "/job/kind", "got an object");
}
END_TEST

START_TEST(unknown_fields_are_faults_with_a_suggestion_where_one_is_near)
{
    expect_fault("{\"batch_size\": 1, \"batchsize\": 1}", "/job/batchsize",
                 "did you mean \"batch_size\"?");
    expect_fault("{\"batch_size\": 1, \"colour\": 1}", "/job/colour", "unknown field");
    expect_fault("{\"batch_size\": 1, \"a/b~c\": null}", "/job/a~1b~0c", "unknown field");
}
END_TEST

START_TEST(all_faults_are_reported_in_document_order_then_missing_ones)
{
    struct target out = {0};
    struct lq_faults faults;
    const char *text = "{\"zzz\": 1, \"kind\": 3, \"rate\": 9}";
    ck_assert_int_eq(decode(text, &out, &faults), LQ_EFIELD);
    ck_assert_uint_eq(faults.count, 4);
    ck_assert_str_eq(faults.items[0].pointer, "/job/zzz");
    ck_assert_str_eq(faults.items[1].pointer, "/job/kind");
    ck_assert_str_eq(faults.items[2].pointer, "/job/rate");
    ck_assert_str_eq(faults.items[3].pointer, "/job/batch_size");
}
END_TEST

START_TEST(a_value_that_is_not_an_object_is_one_fault)
{
    struct target out = {0};
    struct lq_faults faults = {0};
    json_t *list = json_array();
    ck_assert_int_eq(lq_decode(list, "/job", FIELDS, FIELD_COUNT, &out, &faults), LQ_EFIELD);
    json_decref(list);
    ck_assert_uint_eq(faults.count, 1);
    ck_assert_str_eq(faults.items[0].pointer, "/job");
    ck_assert_str_eq(faults.items[0].detail, "must be an object, got an array");
}
END_TEST

START_TEST(pointers_are_escaped_and_cut_never_overflowed)
{
    char key[400];
    memset(key, '/', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    char pointer[LQ_POINTER_MAX];
    lq_pointer_join(pointer, "", key);
    ck_assert_uint_lt(strlen(pointer), LQ_POINTER_MAX);
    ck_assert_uint_eq(strspn(pointer + 1, "~1"), strlen(pointer) - 1);
    lq_pointer_join(pointer, pointer, "x");
    ck_assert_uint_lt(strlen(pointer), LQ_POINTER_MAX);
}
END_TEST

START_TEST(edit_distance_finds_near_names_only)
{
    ck_assert_uint_eq(lq_edit_distance("modle", "model"), 2);
    ck_assert_uint_eq(lq_edit_distance("epoch", "epochs"), 1);
    ck_assert_uint_eq(lq_edit_distance("gpu", "cpu"), 1);
    ck_assert_uint_gt(lq_edit_distance("ab", "cd"), LQ_SUGGEST_DISTANCE_MAX);
    ck_assert_uint_gt(lq_edit_distance("dataset", "method"), LQ_SUGGEST_DISTANCE_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("field");
    TCase *tests = tcase_create("field");
    tcase_add_test(tests, every_kind_of_field_is_decoded);
    tcase_add_test(tests, absent_and_null_fields_leave_their_defaults);
    tcase_add_test(tests, a_number_without_fraction_is_a_count_however_written);
    tcase_add_test(tests, bad_counts_are_refused_with_value_and_range);
    tcase_add_test(tests, counts_beyond_int64_are_refused_even_without_a_range);
    tcase_add_test(tests, a_minimum_alone_is_no_upper_bound);
    tcase_add_test(tests, other_bad_values_are_refused_at_their_pointer);
    tcase_add_test(tests, unknown_fields_are_faults_with_a_suggestion_where_one_is_near);
    tcase_add_test(tests, all_faults_are_reported_in_document_order_then_missing_ones);
    tcase_add_test(tests, a_value_that_is_not_an_object_is_one_fault);
    tcase_add_test(tests, pointers_are_escaped_and_cut_never_overflowed);
    tcase_add_test(tests, edit_distance_finds_near_names_only);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
