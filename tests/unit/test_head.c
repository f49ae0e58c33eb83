/* Heads of requests: which framing is refused, which media are JSON, which ids are taken over. */
#include "server/http/head.h"
#include "tests/unit/check_main.h"

#include <string.h>

static void add(struct lq_head *head, const char *name, const char *value)
{
    lq_head_add(head, name, strlen(name), value, strlen(value));
}

/* Checks a head of up to two fields beside Host; `part` of the refusal, or NULL where it is taken.
 */
static void expect(const char *name, const char *value, const char *name2, const char *value2,
                   const char *part)
{
    struct lq_head head = {0};
    add(&head, "host", "x");
    if (name != NULL) {
        add(&head, name, value);
    }
    if (name2 != NULL) {
        add(&head, name2, value2);
    }
    struct lq_error err = {0};
    enum lq_code code = lq_head_check(&head, "HTTP/1.1", &err);
    ck_assert_int_eq(code, part == NULL ? LQ_OK : LQ_EREQUEST);
    ck_assert_msg(part == NULL || strstr(err.detail, part) != NULL, "\"%s\" lacks \"%s\"",
                  err.detail, part);
}

START_TEST(ambiguous_framing_is_refused)
{
    expect("Content-Length", "5", "Content-Length", "6", "repeated");
    expect("Content-Length", "5", "Transfer-Encoding", "chunked", "must not come together");
    expect("Transfer-Encoding", "gzip, chunked", NULL, NULL, "chunked");
    expect("Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked", "repeated");
    expect("Content-Length", "+5", NULL, NULL, "whole number");
    expect("Content-Length", "5, 5", NULL, NULL, "whole number");
    expect("Content-Length", "", NULL, NULL, "whole number");
    expect("Content-Length", "1234567890123456789", NULL, NULL, "whole number");
    expect("Content-Length ", "5", NULL, NULL, "not a token");
    expect("", "5", NULL, NULL, "not a token");
    expect("X-A", "a\nb", NULL, NULL, "control character");
    struct lq_head head = {0};
    add(&head, "Host", "a b");
    ck_assert_int_eq(lq_head_check(&head, "HTTP/1.1", NULL), LQ_EREQUEST);
    expect("Host", "y", NULL, NULL, "repeated");
    expect("Expect", "100-continue", NULL, NULL, "Expect needs a body");
    expect("Expect", "100-continue", "Content-Length", "0", "Expect needs a body");
    expect("Authorization", "Bearer a", "authorization", "Bearer b", "repeated");
}
END_TEST

static bool accepts(const char *codings)
{
    struct lq_head head = {0};
    if (codings != NULL) {
        add(&head, "accept-encoding", codings);
    }
    return lq_head_accepts_gzip(&head);
}

START_TEST(gzip_answers_those_who_take_it)
{
    ck_assert(accepts("gzip"));
    ck_assert(accepts("br, GZip;q=0.001, deflate"));
    ck_assert(accepts("gzip; q=1.0"));
    ck_assert(accepts("*"));
    ck_assert(accepts("identity;q=0, *;q=0.1"));
    ck_assert(!accepts(NULL));
    ck_assert(!accepts(""));
    ck_assert(!accepts(",, ,"));
    ck_assert(!accepts("br, deflate"));
    ck_assert(!accepts("gzip;q=0"));
    ck_assert(!accepts("gzip;q=0, *"));
    ck_assert(!accepts("*;q=0.000, br"));
    ck_assert(!accepts("xgzip, gzipped"));
    expect("Accept-Encoding", "br", "Accept-Encoding", "gzip", NULL);
}
END_TEST

START_TEST(plain_framing_is_taken)
{
    expect(NULL, NULL, NULL, NULL, NULL);
    expect("content-length", "5", "Content-Length", "5", NULL);
    expect("Transfer-Encoding", "Chunked", NULL, NULL, NULL);
    expect("X-A", "a\tb", "X-A", "c", NULL);
    expect("Expect", "100-continue", "Content-Length", "5", NULL);
    expect("Expect", "100-continue", "Transfer-Encoding", "chunked", NULL);
    expect("X-Forwarded-For", "192.0.2.1", "x-forwarded-for", "192.0.2.2", NULL);
}
END_TEST

START_TEST(versions_but_1_0_and_1_1_are_refused)
{
    struct lq_head head = {0};
    ck_assert_int_eq(lq_head_check(&head, "HTTP/1.0", NULL), LQ_OK);
    ck_assert_int_eq(lq_head_check(&head, "HTTP/1.1", NULL), LQ_EREQUEST); /* no Host */
    ck_assert_int_eq(lq_head_check(&head, "HTTP/1.9", NULL), LQ_EREQUEST);
    ck_assert_int_eq(lq_head_check(&head, "HTTP/2.0", NULL), LQ_EREQUEST);
    add(&head, "Expect", "100-continue");
    ck_assert_int_eq(lq_head_check(&head, "HTTP/1.0", NULL), LQ_OK); /* ignored */
    add(&head, "Transfer-Encoding", "chunked");
    ck_assert_int_eq(lq_head_check(&head, "HTTP/1.0", NULL), LQ_EREQUEST);
}
END_TEST

START_TEST(large_heads_are_refused)
{
    static char value[LQ_HEAD_MAX_BYTES + 1];
    memset(value, 'x', sizeof value - 1);
    struct lq_head head = {0};
    add(&head, "Host", "x");
    add(&head, "X-A", value);
    ck_assert_int_eq(lq_head_check(&head, "HTTP/1.1", NULL), LQ_EHEAD);
}
END_TEST

START_TEST(body_sizes_are_known_from_the_head)
{
    struct lq_head head = {0};
    ck_assert(!lq_head_has_body(&head));
    add(&head, "Content-Length", "0");
    ck_assert(!lq_head_has_body(&head));
    head.content_length = "33554433";
    ck_assert_int_eq(lq_head_body_size(&head), 33554433);
    head = (struct lq_head){.transfer_encoding = "chunked"};
    ck_assert_int_eq(lq_head_body_size(&head), -1);
    ck_assert(lq_head_has_body(&head));
}
END_TEST

START_TEST(json_media_types_are_told_from_others)
{
    static const char *const JSON[] = {"application/json", "APPLICATION/JSON;charset=UTF-8",
                                       "application/json ; a=b; charset=\"utf-8\"",
                                       "application/problem+json", "application/json;"};
    static const char *const OTHER[] = {"",
                                        "application",
                                        "application/",
                                        "application/xml",
                                        "text/json",
                                        "application/json5",
                                        "application/+json",
                                        "application/json;charset=utf-16",
                                        "application/json; charset=\"utf-8",
                                        "application/json x"};
    for (size_t i = 0; i < sizeof JSON / sizeof JSON[0]; i++) {
        ck_assert_msg(lq_media_is_json(JSON[i]), "%s", JSON[i]);
    }
    for (size_t i = 0; i < sizeof OTHER / sizeof OTHER[0]; i++) {
        ck_assert_msg(!lq_media_is_json(OTHER[i]), "%s", OTHER[i]);
    }
    ck_assert(!lq_media_is_json(NULL));
}
END_TEST

START_TEST(csv_media_types_are_recognised)
{
    static const char *const CSV[] = {"text/csv", "Text/CSV ", "text/csv;charset=UTF-8",
                                      "text/csv; header=present; charset=\"utf-8\""};
    static const char *const OTHER[] = {
        "",          "text/plain", "text/csvx", "text/csv+json", "text", "text/csv; charset=latin1",
        "text/csv x"};
    for (size_t i = 0; i < sizeof CSV / sizeof CSV[0]; i++) {
        ck_assert_msg(lq_media_is_csv(CSV[i]), "%s", CSV[i]);
        ck_assert(!lq_media_is_json(CSV[i]));
    }
    for (size_t i = 0; i < sizeof OTHER / sizeof OTHER[0]; i++) {
        ck_assert_msg(!lq_media_is_csv(OTHER[i]), "%s", OTHER[i]);
    }
    ck_assert(!lq_media_is_csv(NULL));
}
END_TEST

START_TEST(request_ids_are_short_and_plain)
{
    char id[66];
    memset(id, 'a', sizeof id);
    id[64] = '\0';
    ck_assert(lq_request_id_is_valid(id));
    id[64] = 'a';
    id[65] = '\0';
    ck_assert(!lq_request_id_is_valid(id));
    ck_assert(lq_request_id_is_valid("A.b_C-9"));
    ck_assert(!lq_request_id_is_valid(""));
    ck_assert(!lq_request_id_is_valid("a\"b"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("head");
    TCase *tests = tcase_create("head");
    tcase_add_test(tests, ambiguous_framing_is_refused);
    tcase_add_test(tests, gzip_answers_those_who_take_it);
    tcase_add_test(tests, plain_framing_is_taken);
    tcase_add_test(tests, versions_but_1_0_and_1_1_are_refused);
    tcase_add_test(tests, large_heads_are_refused);
    tcase_add_test(tests, body_sizes_are_known_from_the_head);
    tcase_add_test(tests, json_media_types_are_told_from_others);
    tcase_add_test(tests, csv_media_types_are_recognised);
    tcase_add_test(tests, request_ids_are_short_and_plain);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
