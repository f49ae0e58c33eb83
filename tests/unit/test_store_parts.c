/* The small parts of the store: digests, points in time and the snapshot's memory. */
#include "server/store/pool.h"
#include "server/store/sha256.h"
#include "server/store/utc.h"
#include "tests/unit/check_main.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

START_TEST(sha256_matches_the_published_vectors)
{
    /* FIPS 180-4 examples of the NIST (one block, two blocks, empty, a million times "a"). */
    static const struct {
        const char *text;
        const char *hex;
    } VECTORS[] = {
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[LQ_SHA256_HEX];
    for (size_t i = 0; i < sizeof VECTORS / sizeof VECTORS[0]; i++) {
        lq_sha256_hex(VECTORS[i].text, strlen(VECTORS[i].text), hex);
        ck_assert_str_eq(hex, VECTORS[i].hex);
    }
    struct lq_sha256 sha;
    lq_sha256_start(&sha);
    for (int i = 0; i < 1000000; i++) {
        lq_sha256_add(&sha, "a", 1);
    }
    lq_sha256_end_hex(&sha, hex);
    ck_assert_str_eq(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
END_TEST

START_TEST(sha256_does_not_depend_on_how_the_data_are_cut)
{
    char data[300];
    char whole[LQ_SHA256_HEX];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)(i * 7);
    }
    lq_sha256_hex(data, sizeof data, whole);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        char hex[LQ_SHA256_HEX];
        struct lq_sha256 sha;
        lq_sha256_start(&sha);
        lq_sha256_add(&sha, data, cut);
        lq_sha256_add(&sha, data + cut, sizeof data - cut);
        lq_sha256_end_hex(&sha, hex);
        ck_assert_str_eq(hex, whole);
    }
}
END_TEST

START_TEST(comparison_in_constant_time_sees_every_byte)
{
    char a[32] = {0};
    char b[32] = {0};
    ck_assert(lq_equal_in_constant_time(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] = 1;
        ck_assert(!lq_equal_in_constant_time(a, b, sizeof a));
        b[i] = 0;
    }
}
END_TEST

START_TEST(times_round_trip)
{
    static const char *const TIMES[] = {"1970-01-01T00:00:00Z", "2000-02-29T23:59:59Z",
                                        "2026-12-31T12:34:56Z", "9999-12-31T23:59:59Z"};
    for (size_t i = 0; i < sizeof TIMES / sizeof TIMES[0]; i++) {
        time_t time = -1;
        char text[LQ_UTC_MAX];
        ck_assert_msg(lq_utc_parse(TIMES[i], &time), "%s", TIMES[i]);
        lq_utc_text(time, text);
        ck_assert_str_eq(text, TIMES[i]);
    }
    time_t time = -1;
    ck_assert(lq_utc_parse("2009-02-13t23:31:30.25+00:00", &time));
    ck_assert_int_eq(time, 1234567890);
}
END_TEST

START_TEST(what_is_not_a_time_in_utc_is_refused)
{
    static const char *const TIMES[] = {
        "",
        "tomorrow",
        "2026-01-01",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+01:00",
        "2026-01-01T00:00:00.Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00Zx",
        "1969-12-31T23:59:59Z",
    };
    for (size_t i = 0; i < sizeof TIMES / sizeof TIMES[0]; i++) {
        time_t time;
        ck_assert_msg(!lq_utc_parse(TIMES[i], &time), "%s", TIMES[i]);
    }
}
END_TEST

START_TEST(an_imprecise_date_means_its_last_day)
{
    long year = 0;
    long month = 0;
    long day = 0;
    ck_assert(lq_last_day("2024", &year) && lq_last_day("2024-12", &month) &&
              lq_last_day("2024-12-31", &day));
    ck_assert_int_eq(year, day);
    ck_assert_int_eq(month, day);
    ck_assert(lq_last_day("2024-02", &month) && lq_last_day("2024-02-29", &day));
    ck_assert_int_eq(month, day);
    static const char *const BAD[] = {"",           "24",     "2024-",       "2024-13",
                                      "2023-02-29", "2024-1", "2024-01-01T", "soon"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        ck_assert_msg(!lq_last_day(BAD[i], &day), "%s", BAD[i]);
    }
}
END_TEST

START_TEST(pool_memory_is_zeroed_aligned_and_apart)
{
    struct lq_pool pool = {0};
    unsigned char *last = NULL;
    for (size_t size = 1; size < 40000; size = size * 3 + 1) {
        unsigned char *taken = lq_pool_take(&pool, 1, size);
        ck_assert_ptr_nonnull(taken);
        ck_assert_uint_eq((uintptr_t)taken % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++) {
            ck_assert_uint_eq(taken[i], 0);
        }
        memset(taken, 0xff, size);
        ck_assert(last == NULL || *last == 0xff);
        last = taken;
    }
    ck_assert_ptr_null(lq_pool_take(&pool, SIZE_MAX / 2, 3));
    ck_assert_str_eq(lq_pool_text(&pool, "text"), "text");
    lq_pool_clear(&pool);
    ck_assert_ptr_null(pool.blocks);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_parts");
    TCase *cases = tcase_create("parts");
    tcase_add_test(cases, sha256_matches_the_published_vectors);
    tcase_add_test(cases, sha256_does_not_depend_on_how_the_data_are_cut);
    tcase_add_test(cases, comparison_in_constant_time_sees_every_byte);
    tcase_add_test(cases, times_round_trip);
    tcase_add_test(cases, what_is_not_a_time_in_utc_is_refused);
    tcase_add_test(cases, an_imprecise_date_means_its_last_day);
    tcase_add_test(cases, pool_memory_is_zeroed_aligned_and_apart);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
