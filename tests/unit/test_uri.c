/* Request targets: path, query and percent escapes. */
#include "server/http/uri.h"
#include "tests/unit/check_main.h"

#include <string.h>

static enum lq_code parse(char *text, const char *target, struct lq_uri *out)
{
    strcpy(text, target);
    return lq_uri_parse(text, out, NULL);
}

START_TEST(path_and_query_are_taken_apart_and_decoded)
{
    char text[200];
    struct lq_uri uri;
    ck_assert_int_eq(parse(text, "/v1/models/a%20b?x=1+2&y=%c3%A9&flag&=v&e=", &uri), LQ_OK);
    ck_assert_str_eq(uri.path, "/v1/models/a%20b");
    ck_assert_uint_eq(uri.query_count, 5);
    ck_assert_str_eq(uri.query[0].value, "1 2");
    ck_assert_str_eq(uri.query[1].value, "\xc3\xa9");
    ck_assert_str_eq(uri.query[2].name, "flag");
    ck_assert_str_eq(uri.query[2].value, "");
    ck_assert_str_eq(uri.query[3].name, "");
    ck_assert_str_eq(uri.query[4].value, "");
}
END_TEST

START_TEST(absolute_targets_are_reduced_to_their_path)
{
    char text[200];
    struct lq_uri uri;
    ck_assert_int_eq(parse(text, "HTTP://h:80/healthz?a=b", &uri), LQ_OK);
    ck_assert_str_eq(uri.path, "/healthz");
    ck_assert_str_eq(uri.query[0].value, "b");
    ck_assert_int_eq(parse(text, "http://h", &uri), LQ_EREQUEST);
    ck_assert_int_eq(parse(text, "http://h?a=b", &uri), LQ_EREQUEST);
}
END_TEST

START_TEST(what_is_no_target_is_refused)
{
    char text[200];
    struct lq_uri uri;
    static const char *const BAD[] = {"",      "x",   "?a",     "/a b",  "/a#b",
                                      "/\x80", "/\"", "/?a=%0", "/?%00", "/?a=%g0"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        ck_assert_msg(parse(text, BAD[i], &uri) == LQ_EREQUEST, "\"%s\"", BAD[i]);
        ck_assert_ptr_nonnull(uri.path);
    }
}
END_TEST

START_TEST(parameters_are_counted)
{
    char text[200];
    struct lq_uri uri;
    ck_assert_int_eq(parse(text, "/?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&&", &uri), LQ_OK);
    ck_assert_uint_eq(uri.query_count, LQ_QUERY_MAX);
    ck_assert_int_eq(parse(text, "/?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17", &uri), LQ_EREQUEST);
}
END_TEST

START_TEST(escapes_are_decoded_once)
{
    char text[] = "%25%32%46%7e";
    ck_assert(lq_percent_decode(text));
    ck_assert_str_eq(text, "%2F~");
    char cut[] = "a%4";
    ck_assert(!lq_percent_decode(cut));
    char end[] = "%";
    ck_assert(!lq_percent_decode(end));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uri");
    TCase *tests = tcase_create("uri");
    tcase_add_test(tests, path_and_query_are_taken_apart_and_decoded);
    tcase_add_test(tests, absolute_targets_are_reduced_to_their_path);
    tcase_add_test(tests, what_is_no_target_is_refused);
    tcase_add_test(tests, parameters_are_counted);
    tcase_add_test(tests, escapes_are_decoded_once);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
