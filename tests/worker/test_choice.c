/* Lists and ids in options: what is taken, and what each refusal says. */
#include "kernels/base/choice.h"

#include "core/arch/method.h"
#include "tests/unit/check_main.h"

#include <stdio.h>
#include <string.h>

static struct lq_counts counts;
static struct lq_error err;

static enum lq_code read_counts(const char *text)
{
    err = (struct lq_error){0};
    return lq_counts_read("sizes", text, 1, 1000, &counts, &err);
}

START_TEST(counts_come_in_their_order)
{
    ck_assert_int_eq(read_counts("4,1,1000"), LQ_OK);
    ck_assert_int_eq(counts.count, 3);
    ck_assert_int_eq(counts.value[0], 4);
    ck_assert_int_eq(counts.value[1], 1);
    ck_assert_int_eq(counts.value[2], 1000);
}
END_TEST

START_TEST(what_is_no_count_in_range_is_refused)
{
    static const char *const BAD[] = {"",    ",",    "1,",   ",1",   "1,,2",
                                      "0",   "1001", "-1",   "x",    "1x",
                                      "1 ",  "1.5",  "1e2",  "0x10", "99999999999999999999",
                                      "1;2", "nan",  "1, x", "1,0",  "2,1001"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        ck_assert_msg(read_counts(BAD[i]) == LQ_EFIELD, "\"%s\" was taken", BAD[i]);
        ck_assert_ptr_nonnull(strstr(err.detail, "--sizes takes whole numbers of 1 to 1000"));
    }
}
END_TEST

START_TEST(a_piece_that_is_too_long_is_no_number)
{
    char text[80];
    snprintf(text, sizeof text, "%046d12", 0); /* cut to 47 digits it would be 1 */
    ck_assert_int_eq(read_counts(text), LQ_EFIELD);
    memset(text, '1', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(read_counts(text), LQ_EFIELD);
    ck_assert_ptr_nonnull(strstr(err.detail, "...\""));
}
END_TEST

START_TEST(lists_have_a_limit)
{
    char text[4 * LQ_LIST_MAX] = "1";
    for (int i = 1; i < LQ_LIST_MAX; i++) {
        strcat(text, ",1");
    }
    ck_assert_int_eq(read_counts(text), LQ_OK);
    ck_assert_int_eq(counts.count, LQ_LIST_MAX);
    strcat(text, ",1");
    ck_assert_int_eq(read_counts(text), LQ_EFIELD);
    ck_assert_str_eq(err.detail, "--sizes takes up to 32 values");
}
END_TEST

START_TEST(names_become_their_indices)
{
    ck_assert_int_eq(lq_choices_read("methods", "qlora,full", LQ_METHOD_NAMES, &counts, &err),
                     LQ_OK);
    ck_assert_int_eq(counts.count, 2);
    ck_assert_int_eq(counts.value[0], LQ_METHOD_QLORA);
    ck_assert_int_eq(counts.value[1], LQ_METHOD_FULL);
    ck_assert_int_eq(lq_choice_index("nope", LQ_METHOD_NAMES), -1);
}
END_TEST

START_TEST(a_name_that_is_none_is_refused_with_those_there_are)
{
    static const char *const BAD[] = {"", "lora,", "LoRA", "dora", "lora full"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        err = (struct lq_error){0};
        ck_assert_int_eq(lq_choices_read("methods", BAD[i], LQ_METHOD_NAMES, &counts, &err),
                         LQ_EFIELD);
        ck_assert_ptr_nonnull(strstr(err.detail, "--methods takes of full lora qlora, got"));
    }
}
END_TEST

START_TEST(targets_join_groups_and_single_matrices)
{
    uint32_t bits = 0;
    ck_assert_int_eq(lq_targets_read("targets", "q,v", &bits, &err), LQ_OK);
    ck_assert_uint_eq(bits, LQ_TARGET_BIT(LQ_TARGET_Q) | LQ_TARGET_BIT(LQ_TARGET_V));
    ck_assert_int_eq(lq_targets_read("targets", "attention,router,q", &bits, &err), LQ_OK);
    ck_assert_uint_eq(bits, LQ_TARGETS_ATTENTION | LQ_TARGET_BIT(LQ_TARGET_ROUTER));
    ck_assert_int_eq(lq_targets_read("targets", "all-linear", &bits, &err), LQ_OK);
    ck_assert_uint_eq(bits, LQ_TARGETS_ALL_LINEAR);
    ck_assert_int_eq(lq_targets_read("targets", "q,,v", &bits, &err), LQ_EFIELD);
    ck_assert_ptr_nonnull(strstr(err.detail, "got \"\""));
}
END_TEST

START_TEST(ids_have_no_character_that_a_path_means_something_by)
{
    static const char *const GOOD[] = {"a", "A100-80GB-SXM", "llama-3.1_8b"};
    static const char *const BAD[] = {"", "a/b", "a b", "a?b", "a%20", "../x\n", "\xc3\xa9"};
    char most[65];
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        ck_assert_int_eq(lq_id_check("gpu", GOOD[i], &err), LQ_OK);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        err = (struct lq_error){0};
        ck_assert_msg(lq_id_check("gpu", BAD[i], &err) == LQ_EFIELD, "\"%s\" was taken", BAD[i]);
        ck_assert_ptr_nonnull(strstr(err.detail, "--gpu takes an id"));
    }
    memset(most, 'x', sizeof most);
    most[63] = '\0';
    ck_assert_int_eq(lq_id_check("gpu", most, &err), LQ_OK);
    memset(most, 'x', 64);
    most[64] = '\0';
    ck_assert_int_eq(lq_id_check("gpu", most, &err), LQ_EFIELD);
}
END_TEST

static void set_up(void)
{
    err = (struct lq_error){0};
}

int main(void)
{
    Suite *suite = suite_create("worker_choice");
    TCase *tc = tcase_create("choice");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, counts_come_in_their_order);
    tcase_add_test(tc, what_is_no_count_in_range_is_refused);
    tcase_add_test(tc, a_piece_that_is_too_long_is_no_number);
    tcase_add_test(tc, lists_have_a_limit);
    tcase_add_test(tc, names_become_their_indices);
    tcase_add_test(tc, a_name_that_is_none_is_refused_with_those_there_are);
    tcase_add_test(tc, targets_join_groups_and_single_matrices);
    tcase_add_test(tc, ids_have_no_character_that_a_path_means_something_by);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
