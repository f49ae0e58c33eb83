/* What a sweep shows of itself: plain lines in a file, a bar on a terminal, and the time left. */
#include "kernels/worker/progress.h"
#include "tests/unit/check_main.h"

#include <string.h>

static char *text;
static size_t size;

/* Shows and tells one of two halves to a memory stream that is, or is not, taken for a terminal. */
static void half(bool is_terminal, double work)
{
    FILE *out = open_memstream(&text, &size);
    struct lq_progress progress;
    lq_progress_begin(&progress, out, 2.0);
    ck_assert(!progress.is_terminal);
    progress.is_terminal = is_terminal;
    lq_progress_show(&progress, "the first");
    lq_progress_tell(&progress, work, "one is done");
    progress.start_s -= 30.0;
    lq_progress_show(&progress, "the second");
    fclose(out);
}

static void tear_down(void)
{
    free(text);
    text = NULL;
}

START_TEST(a_file_gets_the_lines_for_keeps_and_nothing_else)
{
    half(false, 1.0);
    ck_assert_str_eq(text, "one is done\n");
}
END_TEST

START_TEST(a_terminal_gets_a_bar_with_the_share_and_the_time_left)
{
    half(true, 1.0);
    ck_assert_ptr_nonnull(strstr(text, "\r\033[K[........................]   0 %  the first"));
    ck_assert_ptr_nonnull(strstr(text, "\r\033[Kone is done\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "\r\033[K[############............]  50 %  left 30 s  the second"));
}
END_TEST

START_TEST(more_work_than_planned_is_shown_as_all_of_it)
{
    half(true, 7.0);
    ck_assert_ptr_nonnull(strstr(text, "[########################] 100 %  left 0 s  the second"));
}
END_TEST

START_TEST(time_left_goes_by_the_pace_so_far)
{
    struct lq_progress p = {.total = 10.0, .start_s = 100.0};
    ck_assert_double_lt(lq_progress_left_s(&p, 160.0), 0.0); /* nothing is done yet */
    p.done = 2.5;
    ck_assert_double_eq_tol(lq_progress_left_s(&p, 160.0), 180.0, 1e-9);
    p.done = 10.0;
    ck_assert_double_eq(lq_progress_left_s(&p, 160.0), 0.0);
    p.done = 12.0;
    ck_assert_double_eq(lq_progress_left_s(&p, 160.0), 0.0);
}
END_TEST

START_TEST(durations_are_rounded_to_what_a_reader_needs)
{
    static const struct {
        double seconds;
        const char *text;
    } CASES[] = {
        {0.0, "0 s"},          {0.4, "0 s"},          {59.4, "59 s"},           {59.6, "1 min"},
        {89.0, "1 min"},       {90.0, "2 min"},       {180.0, "3 min"},         {3569.0, "59 min"},
        {3570.0, "1 h 0 min"}, {7500.0, "2 h 5 min"}, {360000.0, "100 h 0 min"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char got[32];
        lq_duration_print(CASES[i].seconds, got, sizeof got);
        ck_assert_str_eq(got, CASES[i].text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_progress");
    TCase *tc = tcase_create("progress");
    tcase_add_checked_fixture(tc, NULL, tear_down);
    tcase_add_test(tc, a_file_gets_the_lines_for_keeps_and_nothing_else);
    tcase_add_test(tc, a_terminal_gets_a_bar_with_the_share_and_the_time_left);
    tcase_add_test(tc, more_work_than_planned_is_shown_as_all_of_it);
    tcase_add_test(tc, time_left_goes_by_the_pace_so_far);
    tcase_add_test(tc, durations_are_rounded_to_what_a_reader_needs);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
