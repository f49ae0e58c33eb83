/* The spool across restarts: what was kept is there, batches repeat to the byte, tails of killed
 * appends go. Damage has a test program of its own. */
#include "tests/unit/check_main.h"
#include "tests/worker/spool_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(an_empty_spool_has_no_batch)
{
    struct lq_spool *spool = spool_opened(false);
    struct lq_error err = {0};
    struct lq_batch batch;
    ck_assert_uint_eq(lq_spool_waiting(spool), 0);
    ck_assert_int_eq(lq_spool_batch(spool, 10, &batch, &err), LQ_OK);
    ck_assert_uint_eq(batch.count, 0);
    ck_assert_str_eq(batch.key, "");
    lq_batch_free(&batch);
    lq_spool_close(spool);
    lq_spool_close(NULL);
}
END_TEST

START_TEST(kept_points_are_there_after_a_restart)
{
    struct lq_spool *spool = spool_opened(false);
    spool_keep(spool, 1, 3);
    lq_spool_close(spool);
    spool = spool_opened(false);
    spool_keep(spool, 4, 5);
    ck_assert_uint_eq(lq_spool_waiting(spool), 5);
    lq_spool_close(spool);
    spool = spool_opened(false);
    spool_expect_batch(spool, 1, 5, NULL, NULL);
    lq_spool_close(spool);
}
END_TEST

START_TEST(a_batch_repeats_under_its_key_to_the_byte_whatever_is_kept_meanwhile)
{
    char key[LQ_SPOOL_KEY_MAX];
    struct lq_spool *spool = spool_opened(false);
    spool_keep(spool, 1, 3);
    spool_expect_batch(spool, 1, 3, NULL, key);
    ck_assert_uint_eq(strspn(key, "0123456789abcdef"), 32);
    spool_keep(spool, 4, 6);
    spool_expect_batch(spool, 1, 3, key, NULL);
    lq_spool_close(spool);
    spool = spool_opened(false);
    spool_expect_batch(spool, 1, 3, key, NULL);
    lq_spool_close(spool);
}
END_TEST

START_TEST(what_is_done_is_not_sent_again_and_keys_are_new)
{
    char first[LQ_SPOOL_KEY_MAX];
    char second[LQ_SPOOL_KEY_MAX];
    struct lq_error err = {0};
    struct lq_spool *spool = spool_opened(false);
    spool_keep(spool, 1, 3);
    spool_expect_batch(spool, 1, 3, NULL, first);
    spool_keep(spool, 4, 6);
    ck_assert_int_eq(lq_spool_done(spool, &err), LQ_OK);
    ck_assert_uint_eq(lq_spool_waiting(spool), 3);
    lq_spool_close(spool);
    spool = spool_opened(false);
    spool_expect_batch(spool, 4, 6, NULL, second);
    ck_assert_str_ne(first, second);
    lq_spool_close(spool);
}
END_TEST

START_TEST(a_delivered_spool_becomes_empty)
{
    struct lq_error err = {0};
    struct lq_spool *spool = spool_opened(false);
    struct stat before;
    struct stat after;
    ck_assert_int_eq(stat(spool_path("spool"), &before), 0);
    spool_keep(spool, 1, 100);
    spool_expect_batch(spool, 1, 100, NULL, NULL);
    ck_assert_int_eq(lq_spool_done(spool, &err), LQ_OK);
    ck_assert_int_eq(stat(spool_path("spool"), &after), 0);
    ck_assert_int_eq(after.st_size, before.st_size);
    spool_keep(spool, 101, 102);
    lq_spool_close(spool);
    spool = spool_opened(false);
    spool_expect_batch(spool, 101, 102, NULL, NULL);
    lq_spool_close(spool);
}
END_TEST

START_TEST(a_dissolved_batch_loses_its_rejected_points_only)
{
    const bool rejected[5] = {true, false, false, false, true};
    char key[LQ_SPOOL_KEY_MAX];
    char again[LQ_SPOOL_KEY_MAX];
    struct lq_error err = {0};
    struct lq_spool *spool = spool_opened(false);
    spool_keep(spool, 1, 5);
    spool_expect_batch(spool, 1, 5, NULL, key);
    ck_assert_int_eq(lq_spool_dissolve(spool, rejected, &err), LQ_OK);
    lq_spool_close(spool);
    spool = spool_opened(false);
    ck_assert_uint_eq(lq_spool_waiting(spool), 3);
    spool_expect_batch(spool, 2, 4, NULL, again);
    ck_assert_str_ne(key, again);
    lq_spool_close(spool);
}
END_TEST

START_TEST(a_batch_has_as_many_points_as_asked_and_less_than_a_mebibyte)
{
    struct lq_error err = {0};
    struct lq_batch batch;
    struct lq_spool *spool = spool_opened(false);
    spool_keep(spool, 1, 9);
    ck_assert_int_eq(lq_spool_batch(spool, 4, &batch, &err), LQ_OK);
    ck_assert_uint_eq(batch.count, 4);
    ck_assert_int_eq(strncmp(batch.body + batch.at[2], "{\"n\":3}", batch.size[2]), 0);
    lq_batch_free(&batch);
    ck_assert_int_eq(lq_spool_done(spool, &err), LQ_OK);
    spool_expect_batch(spool, 5, 9, NULL, NULL);
    ck_assert_int_eq(lq_spool_done(spool, &err), LQ_OK);
    enum { LARGE = 300 * 1024 };
    char *large = malloc(LARGE + 1);
    memset(large, ' ', LARGE);
    large[0] = '{';
    large[LARGE - 1] = '}';
    large[LARGE] = '\0';
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(lq_spool_append(spool, large, &err), LQ_OK);
    }
    free(large);
    ck_assert_int_eq(lq_spool_batch(spool, 500, &batch, &err), LQ_OK);
    ck_assert_uint_eq(batch.count, 3);
    ck_assert_uint_lt(batch.body_size, 1024 * 1024);
    lq_batch_free(&batch);
    lq_spool_close(spool);
}
END_TEST

START_TEST(what_is_no_point_is_refused)
{
    static const char *const TEXTS[] = {"", "{", "[]", "1", "{\"n\":\n1}", "{} "};
    struct lq_spool *spool = spool_opened(false);
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        struct lq_error err = {0};
        ck_assert_int_eq(lq_spool_append(spool, TEXTS[i], &err), LQ_ESYNTAX);
    }
    enum { LARGE = 1024 * 1024 };
    char *large = malloc(LARGE + 1);
    memset(large, ' ', LARGE);
    large[0] = '{';
    large[LARGE - 1] = '}';
    large[LARGE] = '\0';
    struct lq_error err = {0};
    ck_assert_int_eq(lq_spool_append(spool, large, &err), LQ_ETOOLARGE);
    free(large);
    ck_assert_uint_eq(lq_spool_waiting(spool), 0);
    lq_spool_close(spool);
}
END_TEST

START_TEST(only_one_worker_uses_a_spool)
{
    struct lq_spool *spool = spool_opened(false);
    struct lq_spool *other = NULL;
    struct lq_error err = {0};
    char aside[64];
    ck_assert_int_eq(lq_spool_open(spool_dir, &other, aside, sizeof aside, &err), LQ_EFILE);
    ck_assert_ptr_null(other);
    ck_assert_ptr_nonnull(strstr(err.detail, spool_dir));
    ck_assert_ptr_nonnull(strstr(err.detail, "another"));
    lq_spool_close(spool);
    lq_spool_close(spool_opened(false));
}
END_TEST

/* Cut at every byte: all records that are whole are there, and nothing is said to be damaged. */
START_TEST(a_torn_tail_is_cut_off_without_a_word)
{
    struct lq_spool *spool = spool_opened(false);
    spool_keep(spool, 1, 2);
    lq_spool_close(spool);
    size_t two = 0;
    free(spool_read("spool", &two));
    spool = spool_opened(false);
    spool_keep(spool, 3, 3);
    lq_spool_close(spool);
    size_t three = 0;
    char *data = spool_read("spool", &three);
    for (size_t size = two; size < three; size++) {
        spool_write("spool", data, size);
        spool = spool_opened(false);
        ck_assert_uint_eq(lq_spool_waiting(spool), 2);
        spool_keep(spool, 3, 3);
        lq_spool_close(spool);
        spool = spool_opened(false);
        spool_expect_batch(spool, 1, 3, NULL, NULL);
        lq_spool_close(spool);
    }
    free(data);
}
END_TEST

START_TEST(a_full_disk_refuses_a_point_and_lets_the_others_be_delivered)
{
    struct rlimit before;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = before;
    small.rlim_cur = 70 * 1024; /* room to deliver takes 64 KiB of it */
    struct lq_spool *spool = spool_opened(false);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct lq_error err = {0};
    int kept = 0;
    while (lq_spool_append(spool, "{\"n\":0}", &err) == LQ_OK) {
        kept++;
    }
    ck_assert_int_eq(err.code, LQ_EFILE);
    ck_assert_ptr_nonnull(strstr(err.detail, spool_dir));
    ck_assert_int_gt(kept, 50);
    ck_assert_uint_eq(lq_spool_waiting(spool), (size_t)kept);
    lq_spool_close(spool);
    spool = spool_opened(false);
    ck_assert_uint_eq(lq_spool_waiting(spool), (size_t)kept);
    while (lq_spool_waiting(spool) > 0) {
        struct lq_batch batch;
        ck_assert_int_eq(lq_spool_batch(spool, 10, &batch, &err), LQ_OK);
        lq_batch_free(&batch);
        ck_assert_int_eq(lq_spool_done(spool, &err), LQ_OK);
    }
    ck_assert_int_eq(lq_spool_append(spool, "{\"n\":1}", &(struct lq_error){0}), LQ_OK);
    lq_spool_close(spool);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
}
END_TEST

START_TEST(rejected_points_are_lines_of_a_file)
{
    struct lq_spool *spool = spool_opened(false);
    struct lq_error err = {0};
    ck_assert_int_eq(lq_spool_set_aside(spool, "{\"a\":1}", &err), LQ_OK);
    ck_assert_int_eq(lq_spool_set_aside(spool, "{\"b\":2}", &err), LQ_OK);
    lq_spool_close(spool);
    size_t size = 0;
    char *data = spool_read("rejected.jsonl", &size);
    ck_assert_str_eq(data, "{\"a\":1}\n{\"b\":2}\n");
    free(data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spool");
    TCase *tests = tcase_create("spool");
    tcase_add_checked_fixture(tests, spool_setup, spool_teardown);
    tcase_add_test(tests, an_empty_spool_has_no_batch);
    tcase_add_test(tests, kept_points_are_there_after_a_restart);
    tcase_add_test(tests, a_batch_repeats_under_its_key_to_the_byte_whatever_is_kept_meanwhile);
    tcase_add_test(tests, what_is_done_is_not_sent_again_and_keys_are_new);
    tcase_add_test(tests, a_delivered_spool_becomes_empty);
    tcase_add_test(tests, a_dissolved_batch_loses_its_rejected_points_only);
    tcase_add_test(tests, a_batch_has_as_many_points_as_asked_and_less_than_a_mebibyte);
    tcase_add_test(tests, what_is_no_point_is_refused);
    tcase_add_test(tests, only_one_worker_uses_a_spool);
    tcase_add_test(tests, a_torn_tail_is_cut_off_without_a_word);
    tcase_add_test(tests, a_full_disk_refuses_a_point_and_lets_the_others_be_delivered);
    tcase_add_test(tests, rejected_points_are_lines_of_a_file);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
