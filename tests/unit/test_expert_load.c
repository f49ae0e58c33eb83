/* Shares, variances and peaks of expert loads that can be summed in the head. */
#include "core/arch/expert_load.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

static struct lq_expert_load load_of(const double *tokens, size_t n)
{
    struct lq_expert_load load = {0};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_expert_load_set(tokens, n, (int64_t)n, &load, &err), LQ_OK);
    return load;
}

START_TEST(counts_become_shares)
{
    const double tokens[] = {10.0, 20.0, 30.0, 40.0};
    const struct lq_expert_load load = load_of(tokens, 4);
    ck_assert_int_eq((int)load.experts, 4);
    assert_close("share", load.share[2], 0.3, 1e-12);
    /* 10, 20, 30, 40 %: mean 25, squares 225 + 25 + 25 + 225 over 4 */
    assert_close("variance", load.variance, 125.0, 1e-12);
}
END_TEST

static const struct {
    double tokens[3];
    size_t n;
    int64_t experts;
    const char *part;
} FAULTS[] = {
    {{1.0, 1.0, 1.0}, 3, 4, "4 of them, got 3"},
    {{1.0}, 1, 0, "0 of them, got 1"},
    {{1.0, -1.0, 1.0}, 3, 3, "entry 1 must be 0 or more, got -1"},
    {{1.0, 1.0, (double)NAN}, 3, 3, "entry 2"},
    {{1.0, HUGE_VAL, 1.0}, 3, 3, "entry 1"},
    {{0.0, 0.0, 0.0}, 3, 3, "all zero"},
    {{1.5e308, 1.5e308, 1.0}, 3, 3, "too large"},
    {{1.0}, 1, LQ_EXPERTS_MAX + 1, "1025 of them"},
};

START_TEST(a_load_fits_its_model)
{
    struct lq_expert_load load = {0};
    struct lq_error err = {0};
    ck_assert_int_eq(
        lq_expert_load_set(FAULTS[_i].tokens, FAULTS[_i].n, FAULTS[_i].experts, &load, &err),
        LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/expert_load");
    ck_assert_msg(strstr(err.detail, FAULTS[_i].part) != NULL, "\"%s\"", err.detail);
    ck_assert_int_eq((int)load.experts, 0); /* untouched */
}
END_TEST

START_TEST(a_variance_is_at_most_that_of_one_busy_expert)
{
    struct lq_expert_load load = {0};
    struct lq_error err = {0};
    /* four experts, one of them 100 %: (75^2 + 3 * 25^2) / 4 */
    ck_assert_int_eq(lq_expert_load_vary(1875.0, 4, &load, &err), LQ_OK);
    ck_assert_double_eq(load.variance, 1875.0);
    const double all[] = {1.0, 0.0, 0.0, 0.0};
    assert_close("the same by shares", load_of(all, 4).variance, 1875.0, 1e-12);
    const double wrong[] = {1876.0, -1.0, (double)NAN};
    for (int i = 0; i < 3; i++) {
        err = (struct lq_error){0};
        ck_assert_int_eq(lq_expert_load_vary(wrong[i], 4, &load, &err), LQ_EFIELD);
        ck_assert_str_eq(err.pointer, "/expert_load/variance");
    }
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_expert_load_vary(0.0, 0, &load, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/expert_load");
}
END_TEST

START_TEST(the_peak_is_the_busiest_of_the_ranks)
{
    const double tokens[] = {10.0, 20.0, 30.0, 40.0};
    const struct lq_expert_load load = load_of(tokens, 4);
    assert_close("four ranks", lq_expert_load_peak(&load, 4, 4), 1.6, 1e-12);
    assert_close("two ranks", lq_expert_load_peak(&load, 4, 2), 1.4, 1e-12);
    ck_assert_double_eq(lq_expert_load_peak(&load, 4, 1), 1.0);
    ck_assert_double_eq(lq_expert_load_peak(NULL, 4, 4), 1.0);
    const double even[] = {1.0, 1.0, 1.0, 1.0};
    const struct lq_expert_load level = load_of(even, 4);
    assert_close("even", lq_expert_load_peak(&level, 4, 2), 1.0, 1e-12);
}
END_TEST

START_TEST(a_variance_alone_gives_the_expected_peak)
{
    struct lq_expert_load load = {0};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_expert_load_vary(4.0, 8, &load, &err), LQ_OK);
    /* deviation 2 % of a mean share of 12.5 %, the largest of 8 draws */
    assert_close("eight ranks", lq_expert_load_peak(&load, 8, 8), 1.0 + 0.16 * sqrt(2 * log(8.0)),
                 1e-12);
    ck_assert_double_lt(lq_expert_load_peak(&load, 8, 2), lq_expert_load_peak(&load, 8, 8));
    ck_assert_int_eq(lq_expert_load_vary(1093.0, 8, &load, &err), LQ_OK);
    ck_assert_double_le(lq_expert_load_peak(&load, 8, 8), 8.0);
}
END_TEST

START_TEST(few_tokens_hit_few_experts)
{
    assert_close("one choice", lq_expert_load_hit(NULL, 8, 1.0, 1.0), 1.0, 1e-12);
    assert_close("two of two", lq_expert_load_hit(NULL, 2, 2.0, 1.0), 1.5, 1e-12);
    assert_close("many", lq_expert_load_hit(NULL, 8, 1e6, 2.0), 8.0, 1e-12);
    assert_close("different ones", lq_expert_load_hit(NULL, 8, 1.0, 2.0), 2.0, 1e-12);
    assert_close("all active", lq_expert_load_hit(NULL, 8, 1.0, 8.0), 8.0, 1e-12);
    ck_assert_double_eq(lq_expert_load_hit(NULL, 8, 0.0, 8.0), 0.0);
    ck_assert_double_eq(lq_expert_load_hit(NULL, 0, 5.0, 1.0), 0.0);
    assert_close("one expert", lq_expert_load_hit(NULL, 1, 1.0, 1.0), 1.0, 1e-12);
    const double tokens[] = {1.0, 0.0, 3.0};
    const struct lq_expert_load load = load_of(tokens, 3);
    assert_close("uneven", lq_expert_load_hit(&load, 3, 2.0, 1.0), 1.0 - 0.5625 + 1.0 - 0.0625,
                 1e-12);
    const double all[] = {1.0, 0.0};
    const struct lq_expert_load single = load_of(all, 2);
    assert_close("all at one", lq_expert_load_hit(&single, 2, 5.0, 1.0), 1.0, 1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("expert_load");
    TCase *tests = tcase_create("expert_load");
    tcase_add_test(tests, counts_become_shares);
    tcase_add_loop_test(tests, a_load_fits_its_model, 0, sizeof FAULTS / sizeof FAULTS[0]);
    tcase_add_test(tests, a_variance_is_at_most_that_of_one_busy_expert);
    tcase_add_test(tests, the_peak_is_the_busiest_of_the_ranks);
    tcase_add_test(tests, a_variance_alone_gives_the_expected_peak);
    tcase_add_test(tests, few_tokens_hit_few_experts);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
