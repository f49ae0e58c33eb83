/* What is JSON and what is not, where faults are found, and that the arena carries it all. */
#include "server/json/arena.h"
#include "server/json/field.h"
#include "server/json/text.h"
#include "tests/unit/check_main.h"

#include <string.h>

/* `body` is refused with `code` and a text that contains `part`. */
static void expect_refusal(const char *body, size_t size, enum lq_code code, const char *part)
{
    struct lq_faults faults = {0};
    ck_assert_ptr_null(lq_parse(body, size, &faults));
    ck_assert_uint_eq(faults.count, 1);
    ck_assert_int_eq(faults.items[0].code, code);
    ck_assert_str_eq(faults.items[0].pointer, "");
    ck_assert_msg(strstr(faults.items[0].detail, part) != NULL, "\"%s\" lacks \"%s\"",
                  faults.items[0].detail, part);
}

static void expect_syntax(const char *body, const char *part)
{
    expect_refusal(body, strlen(body), LQ_ESYNTAX, part);
}

START_TEST(syntax_faults_name_line_and_column)
{
    expect_syntax("{\n  \"a\": 1,\n  \"b\" 2}", "line 3, column 7: ':' expected near '2'");
    expect_syntax("{\"a\": 1,}", "line 1, column 9: ");
    expect_syntax("{\"a\": 1} x", "line 1, column 10: end of file expected");
    expect_syntax("{\"a\": NaN}", "line 1, column ");
}
END_TEST

START_TEST(an_empty_or_blank_body_is_a_syntax_fault)
{
    expect_syntax("", "the body is empty");
    expect_syntax(" \n\t", "the body is empty");
}
END_TEST

START_TEST(duplicate_keys_are_refused)
{
    expect_syntax("{\"a\": 1,\n \"a\": 2}", "line 2, column 4: duplicate object key");
}
END_TEST

START_TEST(numbers_out_of_range_are_refused)
{
    expect_syntax("{\"a\": 1e999}", "line 1, column 11: real number overflow");
    expect_syntax("{\"a\": 9223372036854775808}", "too big integer");
    expect_syntax("{\"a\": -9223372036854775809}", "too big negative integer");
}
END_TEST

START_TEST(invalid_utf8_and_nul_are_refused)
{
    expect_syntax("{\"a\": \"\xff\"}", "unable to decode byte 0xff");
    expect_syntax("{\"a\": \"\xc0\xaf\"}", "line 1, column ");
    expect_syntax("{\"a\": \"\\u0000\"}", "\\u0000");
    expect_syntax("{\"a\": \"\\ud800\"}", "line 1, column ");
    static const char NUL_INSIDE[] = "{\"a\": \"x\0y\"}";
    expect_refusal(NUL_INSIDE, sizeof NUL_INSIDE - 1, LQ_ESYNTAX, "control character 0x0");
}
END_TEST

START_TEST(depth_is_limited_to_32_outside_strings)
{
    char body[200] = "{\"a\": \"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\", \"b\": ";
    size_t start = strlen(body);
    for (int levels = 31; levels <= 32; levels++) {
        memset(body + start, '[', (size_t)levels);
        memset(body + start + levels, ']', (size_t)levels);
        strcpy(body + start + 2 * levels, "}");
        struct lq_faults faults = {0};
        json_t *root = lq_parse(body, strlen(body), &faults);
        ck_assert_int_eq(root != NULL, levels == 31);
        json_decref(root);
    }
    expect_syntax(body, "nested deeper than 32 levels");
    char expected[64];
    snprintf(expected, sizeof expected, "line 1, column %zu:", start + 32);
    expect_syntax(body, expected);
}
END_TEST

START_TEST(bodies_that_would_take_all_memory_are_too_large)
{
    enum { EMPTY_OBJECTS = 500001 };
    size_t size = 6 + 3 * (size_t)EMPTY_OBJECTS;
    char *body = malloc(size + 1);
    strcpy(body, "{\"a\":[");
    for (size_t i = 0; i < EMPTY_OBJECTS; i++) {
        memcpy(body + 6 + 3 * i, "{},", 3);
    }
    body[size] = '\0';
    memcpy(body + size - 1, "]", 1);
    expect_refusal(body, size, LQ_ETOOLARGE, "more than 500000 objects and arrays");
    free(body);
}
END_TEST

START_TEST(a_root_that_is_no_object_is_a_field_fault)
{
    expect_refusal("[1]", 3, LQ_EFIELD, "must be a JSON object");
    expect_refusal("null", 4, LQ_EFIELD, "must be a JSON object");
    expect_refusal("7", 1, LQ_EFIELD, "must be a JSON object");
}
END_TEST

START_TEST(dump_is_compact_keeps_order_and_rounds_to_the_digits_asked)
{
    json_t *value = json_pack("{s:f, s:i, s:s}", "z", 1.0 / 3.0, "a", 3, "m", "\xc3\xa9");
    size_t size = 0;
    char *text = lq_dump(value, 10, &size);
    ck_assert_str_eq(text, "{\"z\":0.3333333333,\"a\":3,\"m\":\"\xc3\xa9\"}");
    ck_assert_uint_eq(size, strlen(text));
    lq_text_free(text);
    json_decref(value);
}
END_TEST

static json_t *numbers(size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_integer((json_int_t)i));
    }
    return list;
}

START_TEST(a_request_of_any_size_fits_the_arena_and_is_given_back)
{
    lq_arena_install();
    static const size_t COUNTS[] = {10, 200000, 10, 2000000, 3};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        lq_arena_begin();
        json_t *list = numbers(COUNTS[i]);
        size_t size = 0;
        char *text = lq_dump(list, 10, &size);
        json_decref(list);
        struct lq_faults faults = {0};
        list = json_loadb(text, size, 0, NULL);
        ck_assert_uint_eq(json_array_size(list), COUNTS[i]);
        ck_assert_int_eq(json_integer_value(json_array_get(list, COUNTS[i] - 1)),
                         (json_int_t)COUNTS[i] - 1);
        json_decref(list);
        lq_text_free(text);
        ck_assert_uint_eq(faults.count, 0);
        lq_arena_end();
        ck_assert_uint_le(lq_arena_held(), LQ_ARENA_KEPT_BYTES);
    }
    lq_arena_release();
    ck_assert_uint_eq(lq_arena_held(), 0);
}
END_TEST

START_TEST(rewinding_gives_back_what_was_taken_since_the_mark)
{
    lq_arena_install();
    lq_arena_begin();
    json_t *before = numbers(100);
    const struct lq_arena_mark mark = lq_arena_mark();
    struct lq_text text = {.lasting = true};
    lq_text_dump(&text, before, 10);
    const size_t held = lq_arena_held();
    for (int i = 0; i < 50; i++) {
        json_t *list = numbers(20000); /* larger than what the thread keeps */
        lq_text_dump(&text, list, 10);
        lq_json_release(list);
        lq_arena_rewind(mark);
        ck_assert_uint_eq(lq_arena_held(), held);
    }
    ck_assert_uint_eq(json_array_size(before), 100);
    ck_assert_int_eq(json_integer_value(json_array_get(before, 99)), 99);
    ck_assert_int_eq(strncmp(lq_text_end(&text), "[0,1,2,", 7), 0);
    lq_arena_end();
    ck_assert_int_eq(strncmp(text.bytes + text.size - 7, ",19999]", 7), 0);
    lq_text_release(&text);
    lq_arena_release();
}
END_TEST

START_TEST(values_from_outside_a_request_survive_it_and_can_be_freed_inside)
{
    lq_arena_install();
    json_t *outlives = json_pack("{s:s}", "key", "value");
    json_t *freed_inside = json_pack("[i, i]", 1, 2);
    lq_arena_begin();
    json_decref(freed_inside);
    json_t *inside = json_pack("{s:O}", "outer", outlives);
    json_decref(inside);
    lq_arena_end();
    ck_assert_str_eq(json_string_value(json_object_get(outlives, "key")), "value");
    json_decref(outlives);
    lq_arena_release();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parse");
    TCase *tests = tcase_create("parse");
    tcase_add_test(tests, syntax_faults_name_line_and_column);
    tcase_add_test(tests, an_empty_or_blank_body_is_a_syntax_fault);
    tcase_add_test(tests, duplicate_keys_are_refused);
    tcase_add_test(tests, numbers_out_of_range_are_refused);
    tcase_add_test(tests, invalid_utf8_and_nul_are_refused);
    tcase_add_test(tests, depth_is_limited_to_32_outside_strings);
    tcase_add_test(tests, bodies_that_would_take_all_memory_are_too_large);
    tcase_add_test(tests, a_root_that_is_no_object_is_a_field_fault);
    tcase_add_test(tests, dump_is_compact_keeps_order_and_rounds_to_the_digits_asked);
    tcase_add_test(tests, a_request_of_any_size_fits_the_arena_and_is_given_back);
    tcase_add_test(tests, rewinding_gives_back_what_was_taken_since_the_mark);
    tcase_add_test(tests, values_from_outside_a_request_survive_it_and_can_be_freed_inside);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
