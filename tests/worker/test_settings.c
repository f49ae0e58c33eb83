/* Options: where values come from, what is refused, and what is left over. */
#include "kernels/worker/command.h"
#include "tests/unit/check_main.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct values {
    const char *text;
    int64_t count;
    double number;
    int choice;
    bool is_on;
};

static const char *const NAMES[] = {"red", "green", NULL};
static const struct lq_setting OPTIONS[] = {
    {.name = "a-text",
     .takes = "TEXT",
     .help = "h",
     .fallback = "none",
     .kind = LQ_SETTING_TEXT,
     .offset = offsetof(struct values, text)},
    {.name = "count",
     .takes = "N",
     .help = "h",
     .kind = LQ_SETTING_COUNT,
     .offset = offsetof(struct values, count),
     .min = -5,
     .max = 1e12},
    {.name = "number",
     .takes = "X",
     .help = "h",
     .fallback = "0.5",
     .kind = LQ_SETTING_NUMBER,
     .offset = offsetof(struct values, number),
     .min = 0,
     .max = 1},
    {.name = "colour",
     .takes = "red|green",
     .help = "h",
     .fallback = "green",
     .kind = LQ_SETTING_CHOICE,
     .offset = offsetof(struct values, choice),
     .names = NAMES},
    {.name = "on",
     .help = "h",
     .kind = LQ_SETTING_SWITCH,
     .offset = offsetof(struct values, is_on)},
};

enum { ARGUMENTS_MAX = 8 };

/* Reads blank-separated arguments; the first that is left over goes to *left. */
static enum lq_code read_options(const char *line, struct values *values, int *rest,
                                 const char **left, struct lq_error *err)
{
    static char copy[200];
    char *argv[ARGUMENTS_MAX];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    static struct lq_settings settings;
    *values = (struct values){.count = 7};
    const struct lq_setting_table tables[] = {
        lq_settings_table(&settings),
        {OPTIONS, sizeof OPTIONS / sizeof OPTIONS[0], values},
    };
    const enum lq_code code = lq_options_read(tables, 2, argc, argv, rest, err);
    *left = *rest > 0 ? argv[0] : NULL;
    return code;
}

START_TEST(fallbacks_stand_where_nothing_is_given)
{
    struct values v;
    struct lq_error err = {0};
    const char *left = NULL;
    int rest = -1;
    ck_assert_int_eq(read_options("", &v, &rest, &left, &err), LQ_OK);
    ck_assert_str_eq(v.text, "none");
    ck_assert_int_eq(v.count, 7);
    ck_assert_double_eq(v.number, 0.5);
    ck_assert_int_eq(v.choice, 1);
    ck_assert(!v.is_on);
    ck_assert_int_eq(rest, 0);
}
END_TEST

START_TEST(flags_win_over_variables_and_later_ones_over_earlier_ones)
{
    struct values v;
    struct lq_error err = {0};
    const char *left = NULL;
    int rest = 0;
    setenv("LLMQUOTE_A_TEXT", "from the environment", 1);
    setenv("LLMQUOTE_COUNT", "3", 1);
    setenv("LLMQUOTE_ON", "1", 1);
    setenv("LLMQUOTE_NUMBER", "", 1); /* empty is as not set */
    ck_assert_int_eq(read_options("--count 4 --count=-5 --colour red", &v, &rest, &left, &err),
                     LQ_OK);
    ck_assert_str_eq(v.text, "from the environment");
    ck_assert_int_eq(v.count, -5);
    ck_assert_double_eq(v.number, 0.5);
    ck_assert_int_eq(v.choice, 0);
    ck_assert(v.is_on);
    unsetenv("LLMQUOTE_A_TEXT");
    unsetenv("LLMQUOTE_COUNT");
    unsetenv("LLMQUOTE_ON");
    unsetenv("LLMQUOTE_NUMBER");
}
END_TEST

START_TEST(what_is_no_option_is_left_over_in_order)
{
    struct values v;
    struct lq_error err = {0};
    const char *left = NULL;
    int rest = 0;
    ck_assert_int_eq(read_options("one --on two - -- --on", &v, &rest, &left, &err), LQ_OK);
    ck_assert_int_eq(rest, 4);
    ck_assert_str_eq(left, "one");
    ck_assert(v.is_on);
}
END_TEST

START_TEST(refusals_name_the_option_and_what_it_takes)
{
    static const char *const CASES[][2] = {
        {"--count x", "--count takes N from -5 to 1000000000000, got \"x\""},
        {"--count 1.5", "--count takes N from -5"},
        {"--count -6", "--count takes N from -5"},
        {"--count 99999999999999999999", "--count takes N from -5"},
        {"--count", "--count takes N from -5 to 1000000000000, got nothing"},
        {"--number 1.01", "--number takes X from 0 to 1"},
        {"--number inf", "--number takes X from 0 to 1"},
        {"--colour blue", "--colour takes red|green, got \"blue\""},
        {"--on=1", "--on takes no value"},
        {"--o", "unknown option \"--o\""},
        {"--onn", "unknown option \"--onn\""},
        {"--", ""},
        {"-v", "unknown option \"-v\""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct values v;
        struct lq_error err = {0};
        const char *left = NULL;
        int rest = 0;
        const enum lq_code code = read_options(CASES[i][0], &v, &rest, &left, &err);
        ck_assert_int_eq(code, CASES[i][1][0] != '\0' ? LQ_EFIELD : LQ_OK);
        ck_assert_msg(strstr(err.detail, CASES[i][1]) != NULL, "%s: %s", CASES[i][0], err.detail);
    }
}
END_TEST

START_TEST(refused_variables_are_named)
{
    struct values v;
    struct lq_error err = {0};
    const char *left = NULL;
    int rest = 0;
    setenv("LLMQUOTE_ON", "yes", 1);
    ck_assert_int_eq(read_options("", &v, &rest, &left, &err), LQ_EFIELD);
    ck_assert_str_eq(err.detail, "LLMQUOTE_ON takes 0 or 1, got \"yes\"");
    unsetenv("LLMQUOTE_ON");
}
END_TEST

START_TEST(the_spool_is_below_the_state_folder_or_home)
{
    char path[64];
    struct lq_error err = {0};
    struct lq_settings settings = {.spool = "here"};
    ck_assert_int_eq(lq_settings_spool(&settings, path, sizeof path, &err), LQ_OK);
    ck_assert_str_eq(path, "here");
    settings.spool = NULL;
    setenv("HOME", "/home/x", 1);
    setenv("XDG_STATE_HOME", "/state", 1);
    ck_assert_int_eq(lq_settings_spool(&settings, path, sizeof path, &err), LQ_OK);
    ck_assert_str_eq(path, "/state/llmquote-worker");
    setenv("XDG_STATE_HOME", "relative", 1);
    ck_assert_int_eq(lq_settings_spool(&settings, path, sizeof path, &err), LQ_OK);
    ck_assert_str_eq(path, "/home/x/.local/state/llmquote-worker");
    ck_assert_int_eq(lq_settings_spool(&settings, path, 10, &err), LQ_EFIELD);
    err = (struct lq_error){0};
    unsetenv("HOME");
    ck_assert_int_eq(lq_settings_spool(&settings, path, sizeof path, &err), LQ_EFIELD);
}
END_TEST

START_TEST(every_failure_has_an_exit_code)
{
    ck_assert_int_eq(lq_exit_code(LQ_OK), LQ_EXIT_OK);
    for (int code = 1; code < LQ_CODE_COUNT; code++) {
        const int status = lq_exit_code((enum lq_code)code);
        ck_assert_int_ge(status, LQ_EXIT_USAGE);
        ck_assert_int_le(status, LQ_EXIT_REFUSED);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settings");
    TCase *tests = tcase_create("settings");
    tcase_add_test(tests, fallbacks_stand_where_nothing_is_given);
    tcase_add_test(tests, flags_win_over_variables_and_later_ones_over_earlier_ones);
    tcase_add_test(tests, what_is_no_option_is_left_over_in_order);
    tcase_add_test(tests, refusals_name_the_option_and_what_it_takes);
    tcase_add_test(tests, refused_variables_are_named);
    tcase_add_test(tests, the_spool_is_below_the_state_folder_or_home);
    tcase_add_test(tests, every_failure_has_an_exit_code);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
