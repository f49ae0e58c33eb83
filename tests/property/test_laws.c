/* Properties of scaling laws: every form is recovered from noisy runs of its own, gradients are
 * those of finite differences, optima are minima, inverse questions undo what they invert. */
#include "core/planning/law_fit.h"
#include "core/planning/law_optimum.h"
#include "tests/golden/near.h"
#include "tests/unit/check_main.h"

#include <stdio.h>
#include <string.h>

enum { RUNS_MAX = 400, WORKSPACE = 4 * 448 };

static struct lq_law_run runs[RUNS_MAX];
static double workspace[WORKSPACE];
static struct lq_law law;
static struct lq_law_fit_problem problem;

/* A normal number from a counter: twelve uniform ones added up. */
static double noise(size_t i)
{
    double sum = -6.0;
    for (size_t k = 0; k < 12; k++) {
        uint64_t z = (i * 12 + k + 1) * 0x9e3779b97f4a7c15ULL;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        sum += (double)(z >> 11) * 0x1p-53;
    }
    return sum;
}

/* Runs over six sizes, six numbers of tokens and, where the form knows them, mixtures; a law's
 * value times 1 + `share` of noise. */
static size_t make_runs(const struct lq_law *truth, double share)
{
    static const double EXPERTS[] = {1, 2, 8, 32, 128};
    const unsigned moves = truth->form->moves;
    const bool mixed = (moves & ~(LQ_LAW_BIT(LQ_LAW_PARAMETERS) | LQ_LAW_BIT(LQ_LAW_TOKENS) |
                                  LQ_LAW_BIT(LQ_LAW_REPEATS))) != 0;
    size_t n = 0;
    for (size_t i = 0; i < 36U * (mixed ? 5U : 2U); i++) {
        const double experts = EXPERTS[i / 36];
        struct lq_law_point p = {.parameters = 3e7 * pow(3.0, (double)(i % 6)),
                                 .tokens = 1e9 * pow(3.5, (double)(i / 6 % 6)),
                                 .experts = mixed ? experts : 1.0};
        p.active_experts = fmin(p.experts, i % 2 == 0 ? 2.0 : 1.0);
        p.active_parameters = p.parameters * (0.2 + 0.8 * p.active_experts / p.experts);
        p.granularity = 1.0 + (double)(i / 36 * 4);
        p.shared_ratio = 0.125 * (double)(i % 3);
        p.repeats = mixed || i < 36 ? 0.0 : 1.0 + 2.0 * (double)(i % 5);
        p.experts = truth->experts_fixed > 0.0 ? truth->experts_fixed : p.experts;
        if ((moves & LQ_LAW_BIT(LQ_LAW_EXPERTS)) == 0 && mixed) {
            p.active_experts = 1.0 + 2.0 * (double)(i % 5);
            p.experts = 0.0;
        }
        const double value = truth->form->value(truth->coefficient, &p);
        runs[n++] = (struct lq_law_run){.point = p, .value = value * (1.0 + share * noise(i))};
    }
    return n;
}

static const char *const TRUTHS[] = {
    "hoffmann2022",     "besiroglu2024", "sardana2024-all",       "muennighoff2023",
    "clark2022-s-base", "krajewski2024", "ludziejewski2025",      "abnar2025",
    "zhao2025",         "tian2025",      "yun2024-reconstructed", "yun2024-s3"};
enum { TRUTH_COUNT = sizeof TRUTHS / sizeof *TRUTHS };

static const struct lq_law *prepare(const char *id, double share)
{
    const struct lq_law *truth = lq_law_find(id);
    struct lq_error err = {0};
    ck_assert_ptr_nonnull(truth);
    const size_t n = make_runs(truth, share);
    ck_assert_uint_le(n, RUNS_MAX);
    ck_assert_uint_le(lq_law_fit_workspace(n), WORKSPACE);
    ck_assert_int_eq(lq_law_user(truth->form->name, "mine", &law, &err), LQ_OK);
    const enum lq_code code = lq_law_fit_prepare(&law, 0, runs, n, workspace, &problem, &err);
    ck_assert_msg(code == LQ_OK, "%s: %s %s", id, err.pointer, err.detail);
    return truth;
}

/* The best of the first starts in shuffled order; the truth is not among them. */
static double best_of(size_t starts, double *best)
{
    double least = HUGE_VAL;
    for (size_t i = 0; i < starts; i++) {
        double searched[LQ_LAW_COEFFICIENTS_MAX];
        struct lq_law_descent descent;
        struct lq_error err = {0};
        lq_law_fit_start(law.form, lq_law_fit_start_shuffled(law.form, i), searched);
        if (lq_law_fit_descend(&problem, searched, &descent, &err) == LQ_OK &&
            descent.objective < least) {
            least = descent.objective;
            memcpy(best, searched, sizeof searched);
        }
    }
    ck_assert(isfinite(least));
    return least;
}

/* With 1 % of noise on 72 to 180 runs the law at them comes out to 1.5 %: coefficients trade off,
 * predictions do not. The objective may not be above that of the truth. */
START_TEST(each_form_recovers_its_own_law)
{
    double best[LQ_LAW_COEFFICIENTS_MAX];
    double at_truth[LQ_LAW_COEFFICIENTS_MAX];
    double unused[LQ_LAW_COEFFICIENTS_MAX];
    struct lq_law_fit fit;
    const struct lq_law *truth = prepare(TRUTHS[_i], 0.01);
    const double least = best_of(60, best);
    lq_law_fit_start_at(law.form, truth->coefficient, at_truth);
    const double of_truth = lq_law_fit_objective(&problem, at_truth, unused);
    ck_assert_msg(least <= of_truth, "%s: %g is above the truth's %g", truth->id, least, of_truth);
    lq_law_fit_finish(&problem, best, &fit);
    for (size_t i = 0; i < problem.n; i++) {
        const struct lq_law_point *p = &problem.runs[i].point;
        expect_near(truth->id, truth->form->value(fit.coefficient, p),
                    truth->form->value(truth->coefficient, p), 0.0, 0.015);
    }
}
END_TEST
/* Without noise the objective goes to nothing from beside the truth: whatever is left is the
 * descent's own error. */
START_TEST(exact_runs_leave_no_objective)
{
    double best[LQ_LAW_COEFFICIENTS_MAX];
    prepare(TRUTHS[_i], 0.0);
    double unused[LQ_LAW_COEFFICIENTS_MAX];
    lq_law_fit_start_at(law.form, lq_law_find(TRUTHS[_i])->coefficient, best);
    for (int j = 0; j < law.form->coefficients; j++) {
        best[j] += 0.05 * (j % 2 == 0 ? 1.0 : -1.0) * fabs(best[j]);
    }
    const double before = lq_law_fit_objective(&problem, best, unused);
    struct lq_law_descent descent;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_law_fit_descend(&problem, best, &descent, &err), LQ_OK);
    ck_assert_msg(descent.objective < 1e-6 * before, "%s: %g of %g", TRUTHS[_i], descent.objective,
                  before);
}
END_TEST

/* ln(value) by central differences in each coefficient, at every run. */
START_TEST(gradients_are_finite_differences)
{
    const struct lq_law *truth = prepare(TRUTHS[_i], 0.0);
    const struct lq_law_form *form = truth->form;
    for (size_t i = 0; i < problem.n; i++) {
        const struct lq_law_point *p = &problem.runs[i].point;
        double gradient[LQ_LAW_COEFFICIENTS_MAX];
        const double log_value = form->gradient(truth->coefficient, p, gradient);
        expect_near("value", exp(log_value), form->value(truth->coefficient, p), 0.0, 1e-12);
        for (int j = 0; j < form->coefficients; j++) {
            double c[LQ_LAW_COEFFICIENTS_MAX];
            memcpy(c, truth->coefficient, sizeof c);
            const double h = 1e-6 * fmax(fabs(c[j]), 1e-3);
            c[j] = truth->coefficient[j] + h;
            const double above = log(form->value(c, p));
            c[j] = truth->coefficient[j] - h;
            const double below = log(form->value(c, p));
            const double rounding = 4e-16 * (fabs(log_value) + 1.0) / h;
            expect_near(form->coefficient[j].name, gradient[j], (above - below) / (2.0 * h),
                        rounding, 1e-5);
        }
    }
}
END_TEST

/* The same for the objective by the searched numbers, where a fit's descent sees it. */
START_TEST(objectives_gradients_are_finite_differences)
{
    double x[LQ_LAW_COEFFICIENTS_MAX];
    double gradient[LQ_LAW_COEFFICIENTS_MAX];
    double unused[LQ_LAW_COEFFICIENTS_MAX];
    const struct lq_law *truth = prepare(TRUTHS[_i], 0.01);
    lq_law_fit_start_at(truth->form, truth->coefficient, x);
    const double value = lq_law_fit_objective(&problem, x, gradient);
    for (int j = 0; j < truth->form->coefficients; j++) {
        const double h = 1e-7;
        const double at = x[j];
        x[j] = at + h;
        const double above = lq_law_fit_objective(&problem, x, unused);
        x[j] = at - h;
        const double below = lq_law_fit_objective(&problem, x, unused);
        x[j] = at;
        expect_near(truth->form->coefficient[j].name, gradient[j], (above - below) / (2.0 * h),
                    1e-15 * value / h + 1e-7, 1e-3);
    }
}
END_TEST

/* Laws that split a budget, at experts they hold for. */
static const struct {
    const char *id;
    double experts;
} SETTINGS[] = {
    {"hoffmann2022", 1},
    {"hoffmann2022-unrounded", 1},
    {"besiroglu2024", 1},
    {"muennighoff2023", 1},
    {"sardana2024-all", 1},
    {"sardana2024-100", 1},
    {"krajewski2024", 64},
    {"krajewski2024-dense", 1},
    {"ludziejewski2025", 8},
    {"abnar2025", 16},
    {"zhao2025", 64},
    {"yun2024-reconstructed", 1},
    {"yun2024-reconstructed", 8},
    {"yun2024-s3", 32},
    {"yun2024-s5", 16},
};
enum { SETTING_COUNT = sizeof SETTINGS / sizeof *SETTINGS };

static struct lq_law_setting setting_of(int i)
{
    struct lq_error err = {0};
    const struct lq_law *shipped = lq_law_find(SETTINGS[i].id);
    ck_assert_ptr_nonnull(shipped);
    const struct lq_law_setting setting = {shipped, shipped->family, SETTINGS[i].experts};
    ck_assert_msg(lq_law_setting_check(&setting, &err) == LQ_OK, "%s", err.detail);
    return setting;
}

static struct lq_law_choice optimum_of(const struct lq_law_setting *setting, double budget)
{
    struct lq_law_choice choice;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_law_optimum(setting, budget, NULL, &choice, &err), LQ_OK);
    return choice;
}

START_TEST(no_other_split_beats_the_optimum)
{
    const struct lq_law_setting setting = setting_of(_i);
    double before = HUGE_VAL;
    for (double budget = 1e18; budget < 1e27; budget *= 10.0) {
        const struct lq_law_choice best = optimum_of(&setting, budget);
        for (double factor = 0.01; factor < 200.0; factor *= 1.3) {
            const double n = best.parameters * factor;
            ck_assert(lq_law_spend(&setting, budget, n).loss >= best.loss * (1.0 - 1e-12));
        }
        expect_near("spent", lq_law_flop_per_parameter(&setting) * best.parameters * best.tokens,
                    budget, 0.0, 1e-12);
        ck_assert(best.loss < before); /* more budget, less loss */
        before = best.loss;
    }
}
END_TEST

START_TEST(inverse_questions_undo_the_optimum)
{
    const struct lq_law_setting setting = setting_of(_i);
    struct lq_law_choice found;
    double tokens;
    struct lq_error err = {0};
    for (double budget = 1e19; budget < 1e26; budget *= 100.0) {
        const struct lq_law_choice best = optimum_of(&setting, budget);
        ck_assert_int_eq(lq_law_cheapest(&setting, best.loss, &found, &err), LQ_OK);
        expect_near("budget", found.flop, budget, 0.0, 1e-8);
        const double loss = best.loss * 1.01;
        ck_assert_int_eq(lq_law_smallest(&setting, budget, loss, &found, &err), LQ_OK);
        expect_near("loss", found.loss, loss, 0.0, 1e-10);
        ck_assert(found.parameters < best.parameters);
        ck_assert_int_eq(lq_law_tokens_for(&setting, found.parameters, loss, &tokens, &err), LQ_OK);
        expect_near("tokens", tokens, found.tokens, 0.0, 1e-8);
    }
}
END_TEST

/* The more is served, the smaller the model; the loss stays; no neighbour is cheaper in all. */
START_TEST(inference_shrinks_the_model)
{
    const struct lq_law_setting setting = setting_of(_i);
    const double loss = optimum_of(&setting, 1e22).loss;
    const double f = lq_law_flop_per_parameter(&setting);
    double before = HUGE_VAL;
    for (double served = 1e10; served < 1e15; served *= 10.0) {
        struct lq_law_choice best;
        struct lq_error err = {0};
        ck_assert_int_eq(lq_law_inference_optimum(&setting, loss, served, &best, &err), LQ_OK);
        expect_near("loss", best.loss, loss, 0.0, 1e-10);
        expect_near("FLOPs", best.flop, f * best.parameters * (best.tokens + served / 3.0), 0.0,
                    1e-9);
        ck_assert(best.parameters < before);
        before = best.parameters;
        for (double factor = 0.9; factor < 1.15; factor += 0.2) {
            double tokens;
            const double n = best.parameters * factor;
            if (lq_law_tokens_for(&setting, n, loss, &tokens, &err) == LQ_OK) {
                ck_assert(f * n * (tokens + served / 3.0) >= best.flop * (1.0 - 1e-9));
            }
        }
    }
}
END_TEST

static Suite *laws_suite(void)
{
    Suite *suite = suite_create("laws");
    TCase *tcase = tcase_create("forms");
    tcase_add_loop_test(tcase, each_form_recovers_its_own_law, 0, TRUTH_COUNT);
    tcase_add_loop_test(tcase, exact_runs_leave_no_objective, 0, TRUTH_COUNT);
    tcase_add_loop_test(tcase, gradients_are_finite_differences, 0, TRUTH_COUNT);
    tcase_add_loop_test(tcase, objectives_gradients_are_finite_differences, 0, TRUTH_COUNT);
    tcase_add_loop_test(tcase, no_other_split_beats_the_optimum, 0, SETTING_COUNT);
    tcase_add_loop_test(tcase, inverse_questions_undo_the_optimum, 0, SETTING_COUNT);
    tcase_add_loop_test(tcase, inference_shrinks_the_model, 0, SETTING_COUNT);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return run_suite(laws_suite());
}
