/* What answers ask for: verdicts by status and body, and texts that are safe to show. */
#include "kernels/delivery/answer.h"
#include "tests/unit/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 2 };

static struct lq_verdict judge(long status, const char *retry_after, const char *body)
{
    struct lq_http_answer answer = {.status = status, .size = strlen(body)};
    answer.body = strdup(body);
    snprintf(answer.retry_after, sizeof answer.retry_after, "%s", retry_after);
    struct lq_verdict verdict;
    lq_answer_judge(&answer, POINTS, 0, &verdict);
    lq_http_answer_free(&answer);
    free(verdict.receipt.implausible_ids);
    verdict.receipt.implausible_ids = NULL;
    return verdict;
}

#define PROBLEM "{\"type\":\"urn:llmquote:problem:x\",\"detail\":\"words\"}"

START_TEST(each_status_has_its_verdict)
{
    static const struct {
        long status;
        const char *body;
        enum lq_verdict_kind kind;
        enum lq_code code;
    } CASES[] = {
        {201, "{\"ids\":[\"a\",\"b\"],\"duplicates\":1}", LQ_VERDICT_ACCEPTED, LQ_OK},
        {200, "{\"ids\":[\"a\",\"b\"],\"duplicates\":1}", LQ_VERDICT_ACCEPTED, LQ_OK},
        {202, "{\"ids\":[\"a\",\"b\"],\"duplicates\":1}", LQ_VERDICT_STRANGE, LQ_EPEER},
        {201, "{\"ids\":[\"a\"],\"duplicates\":1}", LQ_VERDICT_STRANGE, LQ_EPEER},
        {201, "{\"ids\":[\"a\",\"b\"],\"duplicates\":1} x", LQ_VERDICT_STRANGE, LQ_EPEER},
        {204, "", LQ_VERDICT_STRANGE, LQ_EPEER},
        {307, "", LQ_VERDICT_STRANGE, LQ_EPEER},
        {400, PROBLEM, LQ_VERDICT_TOO_MUCH, LQ_EFIELD},
        {400, "<html>", LQ_VERDICT_STRANGE, LQ_EPEER},
        {401, "", LQ_VERDICT_REFUSED, LQ_ETOKEN},
        {403, PROBLEM, LQ_VERDICT_REFUSED, LQ_ESCOPE},
        {404, PROBLEM, LQ_VERDICT_STRANGE, LQ_EPEER},
        {408, "", LQ_VERDICT_BUSY, LQ_EBUSY},
        {409, PROBLEM, LQ_VERDICT_CONFLICT, LQ_ECONFLICT},
        {409, "", LQ_VERDICT_STRANGE, LQ_EPEER},
        {413, "", LQ_VERDICT_TOO_MUCH, LQ_ETOOLARGE},
        {422, PROBLEM, LQ_VERDICT_TOO_MUCH, LQ_EFIELD},
        {429, PROBLEM, LQ_VERDICT_BUSY, LQ_EBUSY},
        {500, PROBLEM, LQ_VERDICT_BUSY, LQ_EBUSY},
        {599, "", LQ_VERDICT_BUSY, LQ_EBUSY},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct lq_verdict got = judge(CASES[i].status, "", CASES[i].body);
        ck_assert_msg(got.kind == CASES[i].kind && got.code == CASES[i].code, "%ld %s: %d %d",
                      CASES[i].status, CASES[i].body, (int)got.kind, (int)got.code);
        ck_assert_double_lt(got.wait_s, 0.0);
    }
}
END_TEST

START_TEST(a_wait_is_asked_for_by_its_header)
{
    ck_assert_double_eq(judge(503, "7", "").wait_s, 7.0);
    ck_assert_double_lt(judge(503, "soon", "").wait_s, 0.0);
}
END_TEST

START_TEST(faults_of_points_are_read_and_others_left)
{
    const struct lq_verdict got = judge(400, "",
                                        "{\"type\":\"urn:llmquote:problem:x\",\"detail\":\"d\","
                                        "\"errors\":[{\"pointer\":\"/points/1/gpu\",\"detail\":"
                                        "\"a\\nb\"},{\"pointer\":\"/points/2\",\"detail\":\"c\"},"
                                        "{\"pointer\":\"/points/x\"},{\"pointer\":\"/points/\"},"
                                        "{\"pointer\":\"/points/0x\"},{\"pointer\":4},7,"
                                        "{\"pointer\":\"/points/0\"}]}");
    ck_assert_int_eq(got.kind, LQ_VERDICT_FAULTY);
    ck_assert_uint_eq(got.problem.fault_count, 2);
    ck_assert_uint_eq(got.problem.faults[0].point, 1);
    ck_assert_str_eq(got.problem.faults[0].pointer, "/gpu");
    ck_assert_str_eq(got.problem.faults[0].detail, "a?b");
    ck_assert_uint_eq(got.problem.faults[1].point, 0);
    ck_assert_str_eq(got.problem.faults[1].pointer, "");
}
END_TEST

START_TEST(a_long_text_is_cut_between_characters)
{
    char body[4096] = "{\"type\":\"urn:llmquote:problem:x\",\"detail\":\"";
    const size_t head = strlen(body);
    for (size_t shift = 0; shift < 3; shift++) {
        size_t size = head;
        memset(body + size, 'a', shift);
        size += shift;
        for (int i = 0; i < 300; i++) {
            memcpy(body + size, "\xe2\x82\xac", 3); /* the euro sign, of three bytes */
            size += 3;
        }
        memcpy(body + size, "\"}", 3);
        const struct lq_verdict got = judge(400, "", body);
        const size_t length = strlen(got.problem.detail);
        ck_assert_uint_eq((length - shift) % 3, 0);
        ck_assert_uint_gt(length, LQ_DETAIL_MAX - 5);
        char *line = lq_rejection_print("/gpu", got.problem.detail, "{\"n\":1}", 7);
        ck_assert_ptr_nonnull(line);
        ck_assert_ptr_nonnull(strstr(line, "\"point\":{\"n\":1}}"));
        free(line);
    }
}
END_TEST

START_TEST(texts_do_not_steer_a_terminal)
{
    const struct lq_verdict got = judge(409, "",
                                        "{\"type\":\"urn:llmquote:problem:x\",\"detail\":"
                                        "\"\\u001b[2J \\u009b2J \\u007f \xc3\xa9\"}");
    ck_assert_str_eq(got.problem.detail, "?[2J ??2J ? \xc3\xa9");
}
END_TEST

START_TEST(a_receipt_names_what_is_implausible)
{
    static const char TEXT[] = "{\"ids\":[\"a\",\"b\"],\"duplicates\":2,\"implausible\":[\"a\","
                               "\"b\\u0007\"]}";
    struct lq_receipt receipt;
    ck_assert(lq_receipt_read(TEXT, strlen(TEXT), 2, &receipt));
    ck_assert_uint_eq(receipt.duplicates, 2);
    ck_assert_uint_eq(receipt.implausible, 2);
    ck_assert_str_eq(receipt.implausible_ids, "a b?");
    free(receipt.implausible_ids);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("answer");
    TCase *tests = tcase_create("answer");
    tcase_add_test(tests, each_status_has_its_verdict);
    tcase_add_test(tests, a_wait_is_asked_for_by_its_header);
    tcase_add_test(tests, faults_of_points_are_read_and_others_left);
    tcase_add_test(tests, a_long_text_is_cut_between_characters);
    tcase_add_test(tests, texts_do_not_steer_a_terminal);
    tcase_add_test(tests, a_receipt_names_what_is_implausible);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
