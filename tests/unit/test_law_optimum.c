/* Questions to a law that have no answer, and what limits do to the optimum. */
#include "core/planning/law_optimum.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <string.h>

static struct lq_law_setting setting_of(const char *id, double experts)
{
    const struct lq_law *law = lq_law_find(id);
    ck_assert_ptr_nonnull(law);
    return (struct lq_law_setting){law, law->family, experts};
}

START_TEST(settings_without_an_answer_are_refused)
{
    static const struct {
        const char *id;
        double experts;
        enum lq_code code;
        const char *pointer;
    } BAD[] = {{"tian2025", 8, LQ_EIMPOSSIBLE, "/law"},
               {"clark2022-hash", 8, LQ_EIMPOSSIBLE, "/law"},
               {"besiroglu2024", 8, LQ_EIMPOSSIBLE, "/experts"},
               {"krajewski2024", 8, LQ_EIMPOSSIBLE, "/experts"},
               {"yun2024-s3", 0, LQ_EFIELD, "/experts"},
               {"yun2024-s3", 1.5, LQ_EFIELD, "/experts"},
               {"yun2024-s3", 1e6, LQ_EFIELD, "/experts"}};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        const struct lq_law_setting setting = setting_of(BAD[i].id, BAD[i].experts);
        struct lq_error err = {0};
        ck_assert_int_eq(lq_law_setting_check(&setting, &err), BAD[i].code);
        ck_assert_str_eq(err.pointer, BAD[i].pointer);
    }
}
END_TEST

START_TEST(families_out_of_range_are_refused)
{
    struct lq_law_setting setting = setting_of("yun2024-s3", 8);
    struct lq_error err = {0};
    setting.family.active_experts = 0.5;
    ck_assert_int_eq(lq_law_setting_check(&setting, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/active_experts");
    setting = setting_of("yun2024-s3", 8);
    setting.family.expert_share = 1.5;
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_law_setting_check(&setting, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/expert_share");
}
END_TEST

START_TEST(budgets_out_of_range_are_refused)
{
    const struct lq_law_setting setting = setting_of("besiroglu2024", 1);
    static const double BAD[] = {0.0, -1e21, 1e40, 1e5};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct lq_law_choice choice;
        struct lq_error err = {0};
        ck_assert_int_eq(lq_law_optimum(&setting, BAD[i], NULL, &choice, &err), LQ_EFIELD);
        ck_assert_str_eq(err.pointer, "/budget_flop");
    }
}
END_TEST

/* The nearest loss is told, and given. */
START_TEST(a_loss_without_a_crossing_names_the_nearest)
{
    const struct lq_law_setting setting = setting_of("yun2024-reconstructed", 8);
    struct lq_law_choice best;
    struct lq_law_choice found;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_law_optimum(&setting, 5.15e21, NULL, &best, &err), LQ_OK);
    ck_assert_int_eq(lq_law_smallest(&setting, 5.15e21, best.loss * 0.99, &found, &err),
                     LQ_EIMPOSSIBLE);
    ck_assert_str_eq(err.pointer, "/required_loss");
    ck_assert_ptr_nonnull(strstr(err.detail, "nearest"));
    ck_assert_double_eq(found.parameters, best.parameters);
    ck_assert_double_eq(found.loss, best.loss);
}
END_TEST

START_TEST(a_loss_below_the_irreducible_is_out_of_reach)
{
    const struct lq_law_setting setting = setting_of("besiroglu2024", 1);
    struct lq_law_choice found;
    double tokens = -1.0;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_law_cheapest(&setting, 1.8, &found, &err), LQ_EIMPOSSIBLE);
    ck_assert_ptr_nonnull(strstr(err.detail, "nearest"));
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_law_cheapest(&setting, -1.0, &found, &err), LQ_EIMPOSSIBLE);
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_law_tokens_for(&setting, 1e9, 2.0, &tokens, &err), LQ_EIMPOSSIBLE);
    ck_assert_double_eq(tokens, -1.0);
    err = (struct lq_error){0};
    ck_assert_int_eq(lq_law_inference_optimum(&setting, 2.2, -1.0, &found, &err), LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/inference_tokens");
}
END_TEST

START_TEST(limits_bind_only_where_they_are_reached)
{
    const struct lq_law_setting setting = setting_of("yun2024-s3", 8);
    struct lq_law_choice free;
    struct lq_law_choice held;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_law_optimum(&setting, 1e22, NULL, &free, &err), LQ_OK);
    const double total = lq_family_total(&setting.family, free.parameters, 8);
    const struct lq_law_limits wide = {2.0 * total, 2.0 * free.tokens};
    ck_assert_int_eq(lq_law_optimum(&setting, 1e22, &wide, &held, &err), LQ_OK);
    ck_assert_double_eq(held.parameters, free.parameters);
    const struct lq_law_limits small = {0.5 * total, 0.0};
    ck_assert_int_eq(lq_law_optimum(&setting, 1e22, &small, &held, &err), LQ_OK);
    ck_assert_double_eq_tol(held.parameters / free.parameters, 0.5, 1e-12);
    ck_assert_double_eq_tol(held.flop / 1e22, 1.0, 1e-12);
    const struct lq_law_limits few = {0.0, 0.5 * free.tokens};
    ck_assert_int_eq(lq_law_optimum(&setting, 1e22, &few, &held, &err), LQ_OK);
    ck_assert_double_eq_tol(held.parameters / free.parameters, 2.0, 1e-12);
    const struct lq_law_limits both = {0.5 * total, 0.5 * free.tokens};
    ck_assert_int_eq(lq_law_optimum(&setting, 1e22, &both, &held, &err), LQ_OK);
    ck_assert_double_eq_tol(held.flop / 1e22, 0.25, 1e-12);
}
END_TEST

/* Set S5 is read in activated parameters: 4/3 of 6 N D for two of several experts, 6 N D for one.
 */
START_TEST(flops_follow_the_laws_reading)
{
    struct lq_law_setting setting = setting_of("yun2024-s5", 8);
    ck_assert_double_eq_tol(lq_law_flop_per_parameter(&setting), 8.0, 1e-12);
    setting.experts = 1;
    ck_assert_double_eq_tol(lq_law_flop_per_parameter(&setting), 6.0, 1e-12);
    setting = setting_of("yun2024-reconstructed", 8);
    ck_assert_double_eq_tol(lq_law_flop_per_parameter(&setting), 6.0, 1e-12);
}
END_TEST

static Suite *optimum_suite(void)
{
    Suite *suite = suite_create("law_optimum");
    TCase *tcase = tcase_create("questions");
    tcase_add_test(tcase, settings_without_an_answer_are_refused);
    tcase_add_test(tcase, families_out_of_range_are_refused);
    tcase_add_test(tcase, budgets_out_of_range_are_refused);
    tcase_add_test(tcase, a_loss_without_a_crossing_names_the_nearest);
    tcase_add_test(tcase, a_loss_below_the_irreducible_is_out_of_reach);
    tcase_add_test(tcase, limits_bind_only_where_they_are_reached);
    tcase_add_test(tcase, flops_follow_the_laws_reading);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return run_suite(optimum_suite());
}
