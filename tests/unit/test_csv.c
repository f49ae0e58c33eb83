/* CSV as RFC 4180 has it, and what is not CSV. */
#include "server/csv.h"
#include "tests/unit/check_main.h"

#include <stdio.h>
#include <string.h>

static struct lq_csv csv;

/* Reads the first record behind the header "a,b" of `text`. */
static void read_first(const char *text)
{
    struct lq_error err = {0};
    bool more = false;
    ck_assert_msg(lq_csv_open(&csv, "t.csv", text, strlen(text), "a,b", &err) == LQ_OK, "%s",
                  err.detail);
    ck_assert_msg(lq_csv_next(&csv, &more, &err) == LQ_OK, "%s", err.detail);
    ck_assert(more);
}

static void expect_record(const char *text, const char *a, const char *b)
{
    read_first(text);
    ck_assert_uint_eq(csv.count, 2);
    ck_assert_str_eq(csv.fields[0], a);
    ck_assert_str_eq(csv.fields[1], b);
}

/* The first record of `text` is refused at that place. */
static void expect_refusal(const char *text, size_t size, const char *detail)
{
    struct lq_error err = {0};
    bool more = false;
    enum lq_code code = lq_csv_open(&csv, "t.csv", text, size, "a,b", &err);
    if (code == LQ_OK) {
        code = lq_csv_next(&csv, &more, &err);
    }
    ck_assert_int_eq(code, LQ_ESYNTAX);
    ck_assert_str_eq(err.detail, detail);
}

START_TEST(fields_are_read_with_and_without_quotes)
{
    expect_record("a,b\n1,two\n", "1", "two");
    expect_record("a,b\n\"1,5\",\"say \"\"two\"\"\"\n", "1,5", "say \"two\"");
    expect_record("a,b\n,\n", "", "");
    expect_record("a,b\n\"\",\"\"\n", "", "");
    expect_record("\"a\",\"b\"\n x , y \n", " x ", " y ");
}
END_TEST

START_TEST(line_breaks_may_be_crlf_stand_in_quotes_or_lack_at_the_end)
{
    expect_record("a,b\r\n1,2\r\n", "1", "2");
    expect_record("a,b\n1,2", "1", "2");
    expect_record("a,b\n\"1\n2\",\"3\r\n4\"\n", "1\n2", "3\r\n4");
}
END_TEST

START_TEST(comments_before_the_header_are_skipped_and_counted)
{
    read_first("# one, \"two\n# three\na,b\n#1,2\n");
    ck_assert_str_eq(csv.fields[0], "#1");
    ck_assert_uint_eq(csv.line, 4);
}
END_TEST

START_TEST(a_byte_order_mark_is_skipped)
{
    expect_record("\xEF\xBB\xBF"
                  "a,b\n1,2\n",
                  "1", "2");
    expect_record("\xEF\xBB\xBF# one\na,b\n1,2\n", "1", "2");
    expect_refusal("\xEF\xBB"
                   "a,b\n",
                   6, "t.csv:1: the header is not \"a,b\"");
}
END_TEST

START_TEST(any_header_will_do_where_none_is_named)
{
    struct lq_error err = {0};
    bool more = false;
    ck_assert_int_eq(lq_csv_open(&csv, "t.csv", "x,y,z\n1,2,3\n", 12, NULL, &err), LQ_OK);
    ck_assert_uint_eq(csv.count, 3);
    ck_assert_str_eq(csv.fields[2], "z");
    ck_assert_int_eq(lq_csv_next(&csv, &more, &err), LQ_OK);
    ck_assert_str_eq(csv.fields[2], "3");
    ck_assert_int_eq(lq_csv_open(&csv, "t.csv", "", 0, NULL, &err), LQ_OK);
    ck_assert_uint_eq(csv.count, 0);
}
END_TEST

START_TEST(reading_goes_on_behind_a_bad_line)
{
    static const char TEXT[] = "a,b\n1\n2,2\n\"3\"x,3\n4,4\n5,5,5\n6,6\n";
    static const char *const WANTED[] = {NULL, "2", NULL, "4", NULL, "6"};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_csv_open(&csv, "t.csv", TEXT, strlen(TEXT), "a,b", &err), LQ_OK);
    for (size_t i = 0; i < sizeof WANTED / sizeof WANTED[0]; i++) {
        bool more = false;
        enum lq_code code = lq_csv_next(&csv, &more, &(struct lq_error){0});
        ck_assert_int_eq(code, WANTED[i] != NULL ? LQ_OK : LQ_ESYNTAX);
        ck_assert_uint_eq(csv.line, i + 2);
        if (WANTED[i] != NULL) {
            ck_assert_str_eq(csv.fields[1], WANTED[i]);
        }
    }
}
END_TEST

START_TEST(records_end_with_the_data)
{
    struct lq_error err = {0};
    bool more = true;
    read_first("a,b\n1,2\n");
    ck_assert_int_eq(lq_csv_next(&csv, &more, &err), LQ_OK);
    ck_assert(!more);
}
END_TEST

START_TEST(lines_are_counted_through_quoted_breaks)
{
    struct lq_error err = {0};
    bool more = false;
    read_first("a,b\n\"x\n\ny\",2\n3,4\n");
    ck_assert_uint_eq(csv.line, 2);
    ck_assert_int_eq(lq_csv_next(&csv, &more, &err), LQ_OK);
    ck_assert_uint_eq(csv.line, 5);
}
END_TEST

START_TEST(malformed_records_are_refused_with_file_and_line)
{
    static const struct {
        const char *text;
        const char *detail;
    } CASES[] = {
        {"a,c\n1,2\n", "t.csv:1: the header is not \"a,b\""},
        {"a\n1\n", "t.csv:1: the header is not \"a,b\""},
        {"a,b,c\n", "t.csv:1: the header is not \"a,b\""},
        {"", "t.csv:1: the header is not \"a,b\""},
        {"a,b\n1\n", "t.csv:2: 1 fields in place of 2"},
        {"a,b\n1,2,3\n", "t.csv:2: 3 fields in place of 2"},
        {"a,b\n\n", "t.csv:2: 1 fields in place of 2"},
        {"a,b\n\"1,2\n3,4\n", "t.csv:2: a quote is never closed"},
        {"a,b\n\"1\"x,2\n", "t.csv:2: text behind a closing quote"},
        {"a,b\n1\"x,2\n", "t.csv:2: a quote or control character in a field without quotes"},
        {"a,b\n1\rx,2\n", "t.csv:2: a quote or control character in a field without quotes"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        expect_refusal(CASES[i].text, strlen(CASES[i].text), CASES[i].detail);
    }
    expect_refusal("a,b\n\"1\0\",2\n", 12, "t.csv:2: a NUL character");
}
END_TEST

START_TEST(records_beyond_the_bounds_are_refused)
{
    static char text[LQ_CSV_RECORD_MAX + 16];
    int size = snprintf(text, sizeof text, "a,b\n%0*d,2\n", LQ_CSV_RECORD_MAX - 3, 1);
    read_first(text); /* two terminators and a digit more just fit */
    size = snprintf(text, sizeof text, "a,b\n%0*d,2\n", LQ_CSV_RECORD_MAX - 2, 1);
    expect_refusal(text, (size_t)size, "t.csv:2: the record is too long");
    size = snprintf(text, sizeof text, "a,b\n\"%0*d\",2\n", LQ_CSV_RECORD_MAX + 1, 1);
    expect_refusal(text, (size_t)size, "t.csv:2: the record is too long");
    memset(text, ',', LQ_CSV_FIELDS_MAX);
    expect_refusal(text, LQ_CSV_FIELDS_MAX, "t.csv:1: too many fields");
}
END_TEST

START_TEST(numbers_are_read_whole_or_refused)
{
    struct lq_error err = {0};
    double number = 0.0;
    int64_t count = 0;
    read_first("a,b\n1.5e3,-12\n");
    ck_assert_int_eq(lq_csv_number(&csv, 0, 0.0, &number, &err), LQ_OK);
    ck_assert_double_eq(number, 1500.0);
    ck_assert_int_eq(lq_csv_count(&csv, 1, 0, &count, &err), LQ_OK);
    ck_assert_int_eq(count, -12);
    ck_assert_int_eq(lq_csv_count(&csv, 0, 0, &count, &err), LQ_ESYNTAX);
    ck_assert_str_eq(err.detail, "t.csv:2: \"1.5e3\" is not a whole number");
    read_first("a,b\n,\n");
    ck_assert_int_eq(lq_csv_number(&csv, 0, 7.0, &number, &err), LQ_OK);
    ck_assert_double_eq(number, 7.0);
    ck_assert_int_eq(lq_csv_count(&csv, 1, 8, &count, &err), LQ_OK);
    ck_assert_int_eq(count, 8);
    static const char *const NOT_NUMBERS[] = {"a,b\n1x,2\n", "a,b\nnan,2\n", "a,b\n1e999,2\n",
                                              "a,b\nOOM,2\n"};
    for (size_t i = 0; i < sizeof NOT_NUMBERS / sizeof NOT_NUMBERS[0]; i++) {
        read_first(NOT_NUMBERS[i]);
        ck_assert_int_eq(lq_csv_number(&csv, 0, 0.0, &number, &(struct lq_error){0}), LQ_ESYNTAX);
    }
    read_first("a,b\n99999999999999999999,2\n");
    ck_assert_int_eq(lq_csv_count(&csv, 0, 0, &count, &(struct lq_error){0}), LQ_ESYNTAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csv");
    TCase *cases = tcase_create("csv");
    tcase_add_test(cases, fields_are_read_with_and_without_quotes);
    tcase_add_test(cases, line_breaks_may_be_crlf_stand_in_quotes_or_lack_at_the_end);
    tcase_add_test(cases, comments_before_the_header_are_skipped_and_counted);
    tcase_add_test(cases, a_byte_order_mark_is_skipped);
    tcase_add_test(cases, any_header_will_do_where_none_is_named);
    tcase_add_test(cases, reading_goes_on_behind_a_bad_line);
    tcase_add_test(cases, records_end_with_the_data);
    tcase_add_test(cases, lines_are_counted_through_quoted_breaks);
    tcase_add_test(cases, malformed_records_are_refused_with_file_and_line);
    tcase_add_test(cases, records_beyond_the_bounds_are_refused);
    tcase_add_test(cases, numbers_are_read_whole_or_refused);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
