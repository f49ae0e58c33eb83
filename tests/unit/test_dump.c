/* JSON as text: what we write is what jansson's own writer makes of the same value. */
#include "server/json/field.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Both orders of members and several numbers of digits. */
static void expect_like_jansson(const json_t *value)
{
    size_t size = 0;
    for (int digits = 1; digits <= 17; digits++) {
        const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION((unsigned)digits);
        char *want = json_dumps(value, flags);
        char *got = lq_dump(value, digits, &size);
        ck_assert_ptr_nonnull(got);
        ck_assert_str_eq(got, want);
        ck_assert_uint_eq(size, strlen(want));
        lq_text_free(got);
        free(want);
    }
    char *want = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS |
                                       JSON_REAL_PRECISION(15));
    char *got = lq_dump_canonical(value, &size);
    ck_assert_str_eq(got, want);
    lq_text_free(got);
    free(want);
}

static void expect_text(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    ck_assert_msg(value != NULL, "%s", text);
    expect_like_jansson(value);
    json_decref(value);
}

START_TEST(scalars_are_written_as_jansson_writes_them)
{
    static const char *const TEXTS[] = {"0",
                                        "-1",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "0.0",
                                        "-0.0",
                                        "1.0",
                                        "100000.0",
                                        "1e5",
                                        "1e22",
                                        "1.5e300",
                                        "1e-7",
                                        "-2.5e-308",
                                        "123456789.123456789",
                                        "0.1",
                                        "1e15",
                                        "1e16",
                                        "1e17",
                                        "3.0e100",
                                        "true",
                                        "false",
                                        "null",
                                        "\"\"",
                                        "\"a\\\"b\\\\c/d\"",
                                        "\"\\b\\f\\n\\r\\t\"",
                                        "\"\\u0001\\u001f\\u007f\"",
                                        "\"\\u00e9\\ud83d\\ude00 after\""};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        expect_text(TEXTS[i]);
    }
}
END_TEST

START_TEST(containers_are_written_as_jansson_writes_them)
{
    static const char *const TEXTS[] = {
        "{}",
        "[]",
        "[[],{},[{}]]",
        "{\"z\":1,\"a\":[1,2,{\"b\":null,\"a\":\"\"}],\"m\":{\"y\":{},\"x\":[[]]},\"\":0}",
        "{\"caf\\u00e9\":1,\"Z\":2,\"a\\n\":3}",
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        expect_text(TEXTS[i]);
    }
}
END_TEST

/* Source: splitmix64, Steele et al., OOPSLA 2014. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static json_t *random_scalar(uint64_t *state)
{
    char text[24];
    switch (next_random(state) % 5) {
    case 0:
        return json_integer((json_int_t)next_random(state));
    case 1: {
        const double scale[] = {1e-300, 1e-9, 1.0, 1e9, 1e300};
        return json_real((double)(int64_t)next_random(state) * 1e-19 *
                         scale[next_random(state) % 5]);
    }
    case 2:
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = (char)(1 + next_random(state) % 127);
        }
        return json_stringn(text, next_random(state) % sizeof text);
    default:
        return json_boolean(next_random(state) % 2);
    }
}

/* Every byte of ASCII at every place of strings about as long as one and two words; what surrounds
 * it is plain, and some of it so near to what is not that a borrow could mistake it. */
START_TEST(every_byte_is_escaped_wherever_it_stands)
{
    static const char AROUND[] = "!~ #[]\x7f";
    for (int byte = 1; byte < 0x80; byte++) {
        for (size_t size = 7; size <= 17; size += 5) {
            for (size_t at = 0; at < size; at++) {
                char text[18];
                memset(text, AROUND[(size_t)byte % 7], size);
                text[at] = (char)byte;
                json_t *value = json_stringn(text, size);
                char *want = json_dumps(value, JSON_ENCODE_ANY);
                size_t got_size = 0;
                char *got = lq_dump(value, 6, &got_size);
                ck_assert_str_eq(got, want);
                lq_text_free(got);
                free(want);
                json_decref(value);
            }
        }
    }
    expect_text(
        "\"\xc3\xbf\xc2\x80 \xe2\x82\xac and \xf0\x9f\x98\x80 \xc3\xa9\xc3\xa9\xc3\xa9 \\n\"");
}
END_TEST

START_TEST(random_documents_are_written_as_jansson_writes_them)
{
    uint64_t state = 2026;
    for (int n = 0; n < 300; n++) {
        json_t *value = random_scalar(&state);
        for (int depth = 0; depth < 12; depth++) { /* each wraps what there is */
            json_t *outer = next_random(&state) % 2 == 0 ? json_array() : json_object();
            const int members = 1 + (int)(next_random(&state) % 6);
            for (int i = 0; i < members; i++) {
                char name[24];
                snprintf(name, sizeof name, "%llx", (unsigned long long)next_random(&state) >> 40);
                json_t *member = i == members / 2 ? value : random_scalar(&state);
                ck_assert_int_eq(json_is_array(outer) ? json_array_append_new(outer, member)
                                                      : json_object_set_new(outer, name, member),
                                 0);
            }
            value = outer;
        }
        expect_like_jansson(value);
        json_decref(value);
    }
}
END_TEST

/* What we write of a double is what printf's %g writes, in jansson's form of it. */
static void expect_real(double value)
{
    json_t *real = json_real(value);
    expect_like_jansson(real);
    json_decref(real);
}

START_TEST(doubles_are_rounded_as_printf_rounds_them)
{
    uint64_t state = 7;
    for (int n = 0; n < 6000; n++) {
        union {
            uint64_t bits;
            double value;
        } any = {.bits = next_random(&state)};
        if (isfinite(any.value)) {
            expect_real(any.value);
        }
        /* the sizes that answers have */
        expect_real(exp2((double)(next_random(&state) % 200) - 100.0) *
                    (double)(next_random(&state) >> 11));
    }
}
END_TEST

START_TEST(doubles_near_a_change_of_digits_are_rounded_as_printf_rounds_them)
{
    for (int exponent = -30; exponent <= 40; exponent++) {
        char text[32];
        snprintf(text, sizeof text, "1e%d", exponent);
        const double power = strtod(text, NULL);
        static const double FACTORS[] = {
            1.0,   0.99999999995, 0.999999999949,   9.9999999995,       1.5,
            0.5,   2.5,           1.00000000005,    0.9999999999999999, 1.25,
            0.125, 9.5,           1.000000000000001};
        for (size_t i = 0; i < sizeof FACTORS / sizeof FACTORS[0]; i++) {
            expect_real(power * FACTORS[i]);
            expect_real(-power * FACTORS[i]);
            expect_real(nextafter(power, 0.0) * FACTORS[i]);
        }
    }
}
END_TEST

START_TEST(what_nests_too_deep_is_no_text)
{
    json_t *value = json_array();
    for (int depth = 1; depth < 64; depth++) {
        json_t *outer = json_array();
        json_array_append_new(outer, value);
        value = outer;
    }
    expect_like_jansson(value);
    json_t *deeper = json_array();
    json_array_append_new(deeper, value);
    size_t size = 0;
    ck_assert_ptr_null(lq_dump(deeper, 10, &size));
    json_decref(deeper);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dump");
    TCase *tcase = tcase_create("dump");
    tcase_add_test(tcase, scalars_are_written_as_jansson_writes_them);
    tcase_add_test(tcase, containers_are_written_as_jansson_writes_them);
    tcase_add_test(tcase, every_byte_is_escaped_wherever_it_stands);
    tcase_add_test(tcase, random_documents_are_written_as_jansson_writes_them);
    tcase_add_test(tcase, doubles_are_rounded_as_printf_rounds_them);
    tcase_add_test(tcase, doubles_near_a_change_of_digits_are_rounded_as_printf_rounds_them);
    tcase_add_test(tcase, what_nests_too_deep_is_no_text);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
