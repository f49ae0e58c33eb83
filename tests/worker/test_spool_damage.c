/* Damaged spools: kept aside, and what is whole in them goes on. */
#include "tests/unit/check_main.h"
#include "tests/worker/spool_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The place of a text in the file. */
static size_t place(const char *data, size_t size, const char *text)
{
    const char *found = memmem(data, size, text, strlen(text));
    ck_assert_msg(found != NULL, "no %s", text);
    return (size_t)(found - data);
}

/* A spool whose points 1..2 are done, 3..5 sent under `key` and 6..7 waiting. */
static char *make(char *key, size_t *size)
{
    struct lq_error err = {0};
    struct lq_spool *spool = spool_opened(false);
    spool_keep(spool, 1, 2);
    spool_expect_batch(spool, 1, 2, NULL, NULL);
    spool_keep(spool, 3, 5);
    ck_assert_int_eq(lq_spool_done(spool, &err), LQ_OK);
    spool_expect_batch(spool, 3, 5, NULL, key);
    spool_keep(spool, 6, 7);
    lq_spool_close(spool);
    return spool_read("spool", size);
}

static void remove_aside(void)
{
    ck_assert_int_eq(unlink(spool_path("spool.damaged-1")), 0);
}

START_TEST(a_flipped_bit_anywhere_loses_one_record_at_most)
{
    char key[LQ_SPOOL_KEY_MAX];
    size_t size = 0;
    char *data = make(key, &size);
    for (size_t at = 0; at < size; at += 7) {
        const char was = data[at];
        data[at] = (char)(was ^ 1);
        spool_write("spool", data, size);
        struct lq_spool *spool = spool_opened(true);
        /* a lost "done" lets its two points be sent again: the server knows them */
        ck_assert_uint_ge(lq_spool_waiting(spool), 4);
        ck_assert_uint_le(lq_spool_waiting(spool), 7);
        lq_spool_close(spool);
        lq_spool_close(spool_opened(false));
        size_t kept = 0;
        char *aside = spool_read("spool.damaged-1", &kept);
        ck_assert_uint_eq(kept, size);
        ck_assert_int_eq(memcmp(aside, data, size), 0);
        free(aside);
        remove_aside();
        data[at] = was;
    }
    free(data);
}
END_TEST

START_TEST(delivered_points_stay_delivered_and_the_batch_goes_on_under_its_key)
{
    char key[LQ_SPOOL_KEY_MAX];
    size_t size = 0;
    char *data = make(key, &size);
    data[place(data, size, "{\"n\":6}")] = '?';
    spool_write("spool", data, size);
    struct lq_spool *spool = spool_opened(true);
    ck_assert_uint_eq(lq_spool_waiting(spool), 4);
    spool_expect_batch(spool, 3, 5, key, NULL);
    lq_spool_close(spool);
    spool = spool_opened(false);
    spool_expect_batch(spool, 3, 5, key, NULL);
    struct lq_error err = {0};
    ck_assert_int_eq(lq_spool_done(spool, &err), LQ_OK);
    spool_expect_batch(spool, 7, 7, NULL, NULL);
    lq_spool_close(spool);
    free(data);
}
END_TEST

START_TEST(a_batch_that_lost_a_point_is_sent_under_a_new_key)
{
    char key[LQ_SPOOL_KEY_MAX];
    char again[LQ_SPOOL_KEY_MAX];
    size_t size = 0;
    char *data = make(key, &size);
    data[place(data, size, "{\"n\":3}")] = '?';
    spool_write("spool", data, size);
    struct lq_spool *spool = spool_opened(true);
    spool_expect_batch(spool, 4, 7, NULL, again);
    ck_assert_str_ne(key, again);
    lq_spool_close(spool);
    free(data);
}
END_TEST

START_TEST(zeros_in_the_middle_and_at_the_end_are_damage)
{
    char key[LQ_SPOOL_KEY_MAX];
    size_t size = 0;
    char *data = make(key, &size);
    char *zeroed = malloc(size + 4096);
    memcpy(zeroed, data, size);
    memset(zeroed + size, 0, 4096);
    spool_write("spool", zeroed, size + 4096);
    struct lq_spool *spool = spool_opened(true);
    ck_assert_uint_eq(lq_spool_waiting(spool), 5);
    lq_spool_close(spool);
    memset(zeroed + place(data, size, "{\"n\":6}"), 0, 64);
    spool_write("spool", zeroed, size);
    spool = spool_opened(true); /* kept as the second */
    ck_assert_uint_ge(lq_spool_waiting(spool), 3);
    lq_spool_close(spool);
    ck_assert_int_eq(access(spool_path("spool.damaged-2"), R_OK), 0);
    free(zeroed);
    free(data);
}
END_TEST

START_TEST(a_file_of_no_bytes_is_a_new_spool)
{
    spool_write("spool", "", 0);
    struct lq_spool *spool = spool_opened(false);
    spool_keep(spool, 1, 2);
    lq_spool_close(spool);
    spool = spool_opened(false);
    spool_expect_batch(spool, 1, 2, NULL, NULL);
    lq_spool_close(spool);
}
END_TEST

START_TEST(a_file_that_is_no_spool_is_kept_aside)
{
    static const char *const TEXTS[] = {"x", "\n", "llmquote-spool", "#!/bin/sh\necho\n"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        spool_write("spool", TEXTS[i], strlen(TEXTS[i]));
        struct lq_spool *spool = spool_opened(true);
        ck_assert_uint_eq(lq_spool_waiting(spool), 0);
        lq_spool_close(spool);
        size_t size = 0;
        char *aside = spool_read("spool.damaged-1", &size);
        ck_assert_str_eq(aside, TEXTS[i]);
        free(aside);
        remove_aside();
    }
}
END_TEST

START_TEST(a_folder_in_its_place_is_a_failure)
{
    struct lq_error err = {0};
    struct lq_spool *spool = NULL;
    char aside[64];
    ck_assert_int_eq(mkdir(spool_path("spool"), 0700), 0);
    ck_assert_int_eq(lq_spool_open(spool_dir, &spool, aside, sizeof aside, &err), LQ_EFILE);
    ck_assert_ptr_nonnull(strstr(err.detail, spool_path("spool")));
    ck_assert_ptr_nonnull(strstr(err.detail, "directory"));
}
END_TEST

START_TEST(a_file_where_the_folder_should_be_is_a_failure)
{
    struct lq_error err = {0};
    struct lq_spool *spool = NULL;
    char aside[64];
    spool_write("file", "", 0);
    ck_assert_int_eq(lq_spool_open(spool_path("file"), &spool, aside, sizeof aside, &err),
                     LQ_EFILE);
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_spool_open(spool_path("file/x"), &spool, aside, sizeof aside, &err),
                     LQ_EFILE);
}
END_TEST

START_TEST(an_unreadable_file_is_a_failure)
{
    if (geteuid() == 0) { /* root reads everything: leave it to a user's run, and to user nobody */
        ck_assert_int_eq(chown(spool_dir, 65534, 65534), 0);
        ck_assert_int_eq(seteuid(65534), 0);
    }
    struct lq_error err = {0};
    struct lq_spool *spool = spool_opened(false);
    lq_spool_close(spool);
    spool = NULL;
    ck_assert_int_eq(chmod(spool_path("spool"), 0), 0);
    char aside[64];
    ck_assert_int_eq(lq_spool_open(spool_dir, &spool, aside, sizeof aside, &err), LQ_EFILE);
    ck_assert_ptr_nonnull(strstr(err.detail, "Permission denied"));
    (void)!seteuid(getuid());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spool_damage");
    TCase *tests = tcase_create("spool_damage");
    tcase_add_checked_fixture(tests, spool_setup, spool_teardown);
    tcase_add_test(tests, a_flipped_bit_anywhere_loses_one_record_at_most);
    tcase_add_test(tests, delivered_points_stay_delivered_and_the_batch_goes_on_under_its_key);
    tcase_add_test(tests, a_batch_that_lost_a_point_is_sent_under_a_new_key);
    tcase_add_test(tests, zeros_in_the_middle_and_at_the_end_are_damage);
    tcase_add_test(tests, a_file_of_no_bytes_is_a_new_spool);
    tcase_add_test(tests, a_file_that_is_no_spool_is_kept_aside);
    tcase_add_test(tests, a_folder_in_its_place_is_a_failure);
    tcase_add_test(tests, a_file_where_the_folder_should_be_is_a_failure);
    tcase_add_test(tests, an_unreadable_file_is_a_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
