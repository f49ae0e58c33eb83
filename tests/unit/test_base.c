/* Failing, the normal distribution and least squares: what all of core stands on. */
#include "core/base/error.h"
#include "core/base/minimize.h"
#include "core/base/normal.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

START_TEST(the_first_failure_wins)
{
    struct lq_error err = {0};
    ck_assert_int_eq(lq_fail(&err, LQ_EFIELD, "/a", "got %d", 7), LQ_EFIELD);
    ck_assert_int_eq(lq_fail(&err, LQ_ENOFIT, "/b", "later"), LQ_ENOFIT);
    ck_assert_int_eq(err.code, LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/a");
    ck_assert_str_eq(err.detail, "got 7");
}
END_TEST

START_TEST(failing_needs_neither_a_pointer_nor_a_place_to_write)
{
    struct lq_error err = {0};
    ck_assert_int_eq(lq_fail(NULL, LQ_EBUSY, "/a", "lost"), LQ_EBUSY);
    ck_assert_int_eq(lq_fail(&err, LQ_EBUSY, NULL, "full"), LQ_EBUSY);
    ck_assert_str_eq(err.pointer, "");
}
END_TEST

START_TEST(long_texts_are_cut_never_overflowed)
{
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct lq_error err = {0};
    lq_fail(&err, LQ_EFIELD, text, "%s", text);
    ck_assert_uint_eq(strlen(err.pointer), LQ_POINTER_MAX - 1);
    ck_assert_uint_eq(strlen(err.detail), LQ_DETAIL_MAX - 1);
}
END_TEST

START_TEST(every_code_has_its_own_slug_and_a_title)
{
    ck_assert_str_eq(lq_code_slug(LQ_OK), "ok");
    for (int a = LQ_OK + 1; a < LQ_CODE_COUNT; a++) {
        const char *slug = lq_code_slug((enum lq_code)a);
        ck_assert_uint_eq(strspn(slug, "abcdefghijklmnopqrstuvwxyz-"), strlen(slug));
        ck_assert_uint_gt(strlen(lq_code_title((enum lq_code)a)), 0);
        for (int b = LQ_OK; b < a; b++) {
            ck_assert_str_ne(slug, lq_code_slug((enum lq_code)b));
        }
    }
    ck_assert_str_eq(lq_code_slug(LQ_CODE_COUNT), "unknown");
    ck_assert_str_eq(lq_code_title(LQ_CODE_COUNT), "Unknown error");
}
END_TEST

/* Quantiles to 16 digits: Wichura 1988 (algorithm AS 241), and tables for the tails. */
static const struct {
    double p;
    double z;
} QUANTILES[] = {
    {0.5, 0.0},
    {0.25, -0.6744897501960817},
    {0.75, 0.6744897501960817},
    {0.9, 1.2815515655446004},
    {0.95, 1.6448536269514722},
    {0.975, 1.9599639845400545},
    {0.995, 2.5758293035489004},
    {0.001, -3.090232306167814},
    {1e-10, -6.361340902404056},
    {1e-20, -9.262340089798408},
};

START_TEST(normal_quantiles_are_those_of_the_tables)
{
    const double z = lq_normal_quantile(QUANTILES[_i].p);
    ck_assert_msg(fabs(z - QUANTILES[_i].z) <= 1e-10, "p %g: got %.15g, want %.15g",
                  QUANTILES[_i].p, z, QUANTILES[_i].z);
    assert_close("below", lq_normal_below(QUANTILES[_i].z), QUANTILES[_i].p, 1e-10);
}
END_TEST

START_TEST(the_quantile_undoes_the_distribution)
{
    for (int i = -60; i <= 60; i++) {
        const double z = 0.1 * i;
        ck_assert_double_eq_tol(lq_normal_quantile(lq_normal_below(z)), z,
                                z > 0.0 ? 1e-7 : 1e-12); /* above, 1 - p has few digits left */
    }
}
END_TEST

/* y = p0 * exp(p1 * x) sampled at x = 0..9 for p = (3, -0.2), moved by `noise` in turns. */
struct curve {
    double noise;
    double broken; /* added to every residual */
};

static void curve_residuals(const void *context, const double *p, double *out)
{
    const struct curve *curve = context;
    for (int i = 0; i < 10; i++) {
        const double noise = i % 2 == 0 ? curve->noise : -curve->noise;
        out[i] = p[0] * exp(p[1] * i) - (3.0 * exp(-0.2 * i) + noise) + curve->broken;
    }
}

static enum lq_code fit_curve(const struct curve *curve, int m, int n, double *p,
                              struct lq_squares_result *result, struct lq_error *err)
{
    double workspace[256];
    ck_assert_uint_le(lq_squares_workspace(10, 2), 256);
    const struct lq_squares squares = {curve_residuals, curve, m, n};
    return lq_minimize_squares(&squares, p, workspace, result, err);
}

START_TEST(least_squares_find_a_known_minimum)
{
    const struct curve curve = {0.0, 0.0};
    double p[] = {1.0, 0.0};
    struct lq_squares_result result;
    struct lq_error err = {0};
    ck_assert_int_eq(fit_curve(&curve, 10, 2, p, &result, &err), LQ_OK);
    assert_close("p0", p[0], 3.0, 1e-8);
    assert_close("p1", p[1], -0.2, 1e-8);
    ck_assert_double_lt(result.sum_of_squares, 1e-15);
}
END_TEST

START_TEST(the_covariance_is_the_inverse_of_the_normal_matrix)
{
    const struct curve curve = {0.0, 0.0};
    double p[] = {2.0, -0.1};
    struct lq_squares_result result;
    struct lq_error err = {0};
    ck_assert_int_eq(fit_curve(&curve, 10, 2, p, &result, &err), LQ_OK);
    double a = 0.0; /* J'J = [a b; b c] with J = [exp(p1 x), p0 x exp(p1 x)] */
    double b = 0.0;
    double c = 0.0;
    for (int i = 0; i < 10; i++) {
        const double e = exp(-0.2 * i);
        a += e * e;
        b += e * 3.0 * i * e;
        c += 9.0 * i * i * e * e;
    }
    const double determinant = a * c - b * b;
    assert_close("cov 00", result.covariance[0], c / determinant, 1e-4);
    assert_close("cov 01", result.covariance[1], -b / determinant, 1e-4);
    assert_close("cov 10", result.covariance[2], -b / determinant, 1e-4);
    assert_close("cov 11", result.covariance[3], a / determinant, 1e-4);
}
END_TEST

START_TEST(noise_is_left_in_the_sum_of_squares)
{
    const struct curve curve = {0.01, 0.0};
    double p[] = {1.0, 0.0};
    struct lq_squares_result result;
    struct lq_error err = {0};
    ck_assert_int_eq(fit_curve(&curve, 10, 2, p, &result, &err), LQ_OK);
    ck_assert_double_gt(result.sum_of_squares, 0.5e-3);
    ck_assert_double_le(result.sum_of_squares, 1e-3); /* ten times 0.01^2, at the true curve */
}
END_TEST

START_TEST(fewer_residuals_than_parameters_are_refused)
{
    const struct curve curve = {0.0, 0.0};
    const int sizes[][2] = {{1, 2}, {10, 0}, {10, LQ_PARAMETERS_MAX + 1}};
    for (int i = 0; i < 3; i++) {
        double p[] = {1.0, 0.0};
        struct lq_squares_result result;
        struct lq_error err = {0};
        ck_assert_int_eq(fit_curve(&curve, sizes[i][0], sizes[i][1], p, &result, &err), LQ_EFIT);
        ck_assert_int_eq(err.code, LQ_EFIT);
    }
}
END_TEST

START_TEST(residuals_that_are_not_finite_end_the_descent)
{
    const double broken[] = {(double)NAN, (double)INFINITY};
    for (int i = 0; i < 2; i++) {
        const struct curve curve = {0.0, broken[i]};
        double p[] = {1.0, 0.0};
        struct lq_squares_result result;
        struct lq_error err = {0};
        ck_assert_int_eq(fit_curve(&curve, 10, 2, p, &result, &err), LQ_EFIT);
        ck_assert_ptr_nonnull(strstr(err.detail, "did not settle"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    tcase_add_test(tests, the_first_failure_wins);
    tcase_add_test(tests, failing_needs_neither_a_pointer_nor_a_place_to_write);
    tcase_add_test(tests, long_texts_are_cut_never_overflowed);
    tcase_add_test(tests, every_code_has_its_own_slug_and_a_title);
    tcase_add_loop_test(tests, normal_quantiles_are_those_of_the_tables, 0,
                        sizeof QUANTILES / sizeof QUANTILES[0]);
    tcase_add_test(tests, the_quantile_undoes_the_distribution);
    tcase_add_test(tests, least_squares_find_a_known_minimum);
    tcase_add_test(tests, the_covariance_is_the_inverse_of_the_normal_matrix);
    tcase_add_test(tests, noise_is_left_in_the_sum_of_squares);
    tcase_add_test(tests, fewer_residuals_than_parameters_are_refused);
    tcase_add_test(tests, residuals_that_are_not_finite_end_the_descent);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
