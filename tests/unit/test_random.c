/* Random bytes and ids: that all of them are drawn, and how ids are written. */
#include "server/random.h"
#include "tests/unit/check_main.h"

#include <stdbool.h>
#include <string.h>

START_TEST(every_byte_is_drawn)
{
    enum { SIZE = 700 }; /* more than the kernel promises at once */
    unsigned char bytes[SIZE] = {0};
    bool drawn[SIZE] = {false};
    struct lq_error err = {.code = LQ_OK};
    for (int round = 0; round < 16; round++) { /* a byte is 0 sixteen times once in 2^128 */
        ck_assert_int_eq(lq_random_fill(bytes, sizeof bytes, &err), LQ_OK);
        for (size_t i = 0; i < SIZE; i++) {
            drawn[i] = drawn[i] || bytes[i] != 0;
        }
    }
    for (size_t i = 0; i < SIZE; i++) {
        ck_assert_msg(drawn[i], "byte %zu", i);
    }
}
END_TEST

START_TEST(ids_are_hex_digits_of_their_own)
{
    char ids[2][2 * LQ_RANDOM_ID_BYTES_MAX + 2];
    struct lq_error err = {.code = LQ_OK};
    for (size_t bytes = 6; bytes <= LQ_RANDOM_ID_BYTES_MAX; bytes++) {
        for (int i = 0; i < 2; i++) {
            memset(ids[i], '!', sizeof ids[i]);
            ck_assert_int_eq(lq_random_hex(ids[i], bytes, &err), LQ_OK);
            ck_assert_uint_eq(strlen(ids[i]), 2 * bytes);
            ck_assert_uint_eq(strspn(ids[i], "0123456789abcdef"), 2 * bytes);
            ck_assert_int_eq(ids[i][2 * bytes + 1], '!');
        }
        ck_assert_str_ne(ids[0], ids[1]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    TCase *tests = tcase_create("random");
    tcase_add_test(tests, every_byte_is_drawn);
    tcase_add_test(tests, ids_are_hex_digits_of_their_own);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
