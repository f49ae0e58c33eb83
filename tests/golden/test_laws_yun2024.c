/* What the reconstructed sets of yun2024 make of the results that arXiv 2404.02852 prints, against
 * the table that came with them. How each row is read stands beside it. */
#include "core/base/search.h"
#include "core/planning/law_optimum.h"
#include "core/planning/law_printed.h"
#include "tests/golden/near.h"
#include "tests/unit/check_main.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct lq_law *law; /* of the running case */

static struct lq_law_setting with(double experts)
{
    return (struct lq_law_setting){law, law->family, experts};
}

static struct lq_law_choice optimum(double experts, double budget)
{
    const struct lq_law_setting setting = with(experts);
    struct lq_law_choice choice;
    struct lq_error err = {0};
    ck_assert_msg(lq_law_optimum(&setting, budget, NULL, &choice, &err) == LQ_OK, "%s", err.detail);
    return choice;
}

static struct lq_law_choice smallest(double experts, double budget, double loss)
{
    const struct lq_law_setting setting = with(experts);
    struct lq_law_choice choice;
    struct lq_error err = {0};
    ck_assert_msg(lq_law_smallest(&setting, budget, loss, &choice, &err) == LQ_OK, "%s",
                  err.detail);
    return choice;
}

static double budget_for(double experts, double loss)
{
    const struct lq_law_setting setting = with(experts);
    struct lq_law_choice choice;
    struct lq_error err = {0};
    ck_assert_msg(lq_law_cheapest(&setting, loss, &choice, &err) == LQ_OK, "%s", err.detail);
    return choice.flop;
}

/* Sizes as the set is read: N, or activated parameters. */
static double size_of(double experts, double parameters)
{
    return law->flop == LQ_FLOP_ACTIVE ? lq_family_active(&law->family, parameters, experts)
                                       : parameters;
}

/* The smallest of `experts` at the loss of `base`'s optimum, over that optimum's size. */
static double same_loss(double base, double experts, double budget)
{
    const struct lq_law_choice from = optimum(base, budget);
    return size_of(experts, smallest(experts, budget, from.loss).parameters) /
           size_of(base, from.parameters);
}

static double loss_at(double parameters, double tokens, double experts)
{
    const struct lq_law_setting setting = with(experts);
    return lq_law_loss_at(&setting, parameters, tokens);
}

/* Budgets of the paper's figures, FLOP. */
static const double B1 = 2.12e21;
static const double B2 = 5.96e21;
static const double B3 = 5.15e21;
static const double B4 = 8.18e21;

static double dense_at_b1(void)
{
    return optimum(1, B1).parameters / 1e9;
}
static double dense_at_b2(void)
{
    return optimum(1, B2).parameters / 1e9;
}
static double eight_of_dense_b1(void)
{
    return same_loss(1, 8, B1);
}
static double eight_of_dense_b2(void)
{
    return same_loss(1, 8, B2);
}
static double eight_of_four_b1(void)
{
    return same_loss(4, 8, B1);
}
static double eight_of_four_b2(void)
{
    return same_loss(4, 8, B2);
}
static double eight_of_four_b3(void)
{
    return same_loss(4, 8, B3);
}
static double eight_of_four_b4(void)
{
    return same_loss(4, 8, B4);
}
static double sixteen_of_own(void)
{
    return smallest(16, B3, optimum(4, B3).loss).parameters / optimum(16, B3).parameters;
}
static double thirty_two_of_four(void)
{
    return optimum(32, B3).parameters / optimum(4, B3).parameters;
}
/* FLOPs of a 4-expert for the loss of an 8-expert of 0.695 of the 4-expert's optimum. */
static double four_for_eight(void)
{
    const struct lq_law_setting eight = with(8);
    return budget_for(4, lq_law_spend(&eight, B3, 0.695 * optimum(4, B3).parameters).loss) / B3;
}
/* The smallest run is named 100M; the table's eight entries of it come out to 0.005 at 82M on its
 * 2.5B tokens (without embeddings, we infer), and up to 2.2 % low at 100M. */
static const double SMALLEST = 82e6;

static double loss_small_dense(void)
{
    return loss_at(SMALLEST, 2.5e9, 1);
}
static double loss_large_dense(void)
{
    return loss_at(730e6, 20e9, 1);
}
static double loss_large_mixture(void)
{
    return loss_at(730e6, 20e9, 32);
}
static double loss_small_mixture(void)
{
    return loss_at(SMALLEST, 2.5e9, 32);
}
/* Gain in ln L from 16 to 32 experts over that from 8 to 16, on a run of 320M and 10B tokens. */
static double small_gain(void)
{
    const double sixteen = loss_at(320e6, 10e9, 16);
    return log(sixteen / loss_at(320e6, 10e9, 32)) / log(loss_at(320e6, 10e9, 8) / sixteen);
}
/* The same at equal serving cost: 0.695, 0.462 and 0.307 of the 4-expert's optimum. */
static double equal_cost_gain(void)
{
    const double four = optimum(4, B3).parameters;
    const struct lq_law_setting settings[] = {with(8), with(16), with(32)};
    const double eight = lq_law_spend(&settings[0], B3, 0.695 * four).loss;
    const double sixteen = lq_law_spend(&settings[1], B3, 0.462 * four).loss;
    const double thirty_two = lq_law_spend(&settings[2], B3, 0.307 * four).loss;
    return log(sixteen / thirty_two) / log(eight / sixteen);
}

static double share_needed_less(const void *context, double log_budget)
{
    const double share = *(const double *)context;
    const double budget = exp(log_budget);
    return log(budget_for(16, optimum(4, budget).loss) / budget / share);
}

/* The budget, in 1e21, at which a 16-expert needs `share` of a 4-expert's FLOPs for its loss. */
static double budget_where(double share)
{
    const struct lq_line line = {share_needed_less, &share};
    double log_budget;
    ck_assert(lq_search_crossing(&line, log(1e20), log(1e25), &log_budget));
    return exp(log_budget) / 1e21;
}
static double sixteen_needs_most(void)
{
    return budget_where(0.428);
}
static double sixteen_needs_least(void)
{
    return budget_where(0.237);
}
/* Training saved by a 16-expert of 0.462 of the 4-expert's optimum, at its loss. */
static double saving_at_equal_cost(void)
{
    const struct lq_law_setting sixteen = with(16);
    const struct lq_law_choice four = optimum(4, B4);
    double tokens;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_law_tokens_for(&sixteen, 0.462 * four.parameters, four.loss, &tokens, &err),
                     LQ_OK);
    return 100.0 *
           (1.0 - lq_law_flop_per_parameter(&sixteen) * 0.462 * four.parameters * tokens / B4);
}

/* Row, what the paper prints (0 = it does not), and what S6, S3 and S5 gave where the sets were
 * made.
 */
static const struct {
    const char *what;
    double (*reproduce)(void);
    double printed;
    double listed[3];
} ROWS[] = {
    {"N1opt at 2.12e21, 1e9", dense_at_b1, 3.36, {3.36, 3.36, 3.38}},
    {"N1opt at 5.96e21, 1e9", dense_at_b2, 6.14, {6.14, 6.14, 6.11}},
    {"N8/N1 at 2.12e21", eight_of_dense_b1, 0.282, {0.28, 0.0805, 0.276}},
    {"N8/N1 at 5.96e21", eight_of_dense_b2, 0.233, {0.235, 0.0684, 0.22}},
    {"N8/N4 at 2.12e21", eight_of_four_b1, 0.251, {0.409, 0.246, 0.269}},
    {"N8/N4 at 5.96e21", eight_of_four_b2, 0.21, {0.361, 0.224, 0.232}},
    {"N16/N16opt at 5.15e21", sixteen_of_own, 0.16, {0.217, 0.135, 0.111}},
    {"N32opt/N4opt at 5.15e21", thirty_two_of_four, 1.023, {1.03, 0.947, 1.02}},
    {"4E FLOPs for 8E's loss", four_for_eight, 1.521, {1.54, 1.60, 1.52}},
    {"N8/N4 at 5.15e21", eight_of_four_b3, 0, {0.368, 0.227, 0.237}},
    {"N8/N4 at 8.18e21", eight_of_four_b4, 0, {0.347, 0.217, 0.22}},
    {"loss of 100M, dense", loss_small_dense, 0, {3.41, 3.47, 3.48}},
    {"loss of 730M, dense", loss_large_dense, 0, {2.55, 2.6, 2.6}},
    {"loss of 730M, 32 experts", loss_large_mixture, 0, {2.46, 2.39, 2.4}},
    {"loss of 100M, 32 experts", loss_small_mixture, 0, {3.31, 3.28, 3.26}},
    {"gain ratio, small runs", small_gain, 0, {1.09, 0.807, 1.26}},
    {"gain ratio, equal cost", equal_cost_gain, 0, {0.713, 0.559, 1.16}},
    {"budget where 16E needs 42.8 %", sixteen_needs_most, 0, {2.791, 4.916, 0.9835}},
    {"budget where 16E needs 23.7 %", sixteen_needs_least, 0, {35.77, 488.3, 377.2}},
    {"training saved by 16E, %", saving_at_equal_cost, 0, {65.1, 59.0, 65.4}},
};
enum { ROW_COUNT = sizeof ROWS / sizeof *ROWS, PRINTED = 9, SETS = 3 };

static const char *const IDS[SETS] = {"yun2024-reconstructed", "yun2024-s3", "yun2024-s5"};

/* 2 % of the listed value, which has two or three digits. */
START_TEST(sets_reproduce_their_table)
{
    char what[128];
    law = lq_law_find(IDS[_i / ROW_COUNT]);
    const int row = _i % ROW_COUNT;
    snprintf(what, sizeof what, "%s: %s", law->id, ROWS[row].what);
    expect_near(what, ROWS[row].reproduce(), ROWS[row].listed[_i / ROW_COUNT], 0.0, 0.02);
}
END_TEST

/* Core's own answers to the printed results, which the service shows, against the same table. */
START_TEST(core_answers_the_printed_results)
{
    struct lq_printed_result results[LQ_PRINTED_RESULTS];
    law = lq_law_find(IDS[_i]);
    ck_assert_uint_eq(lq_law_printed(law, results), LQ_PRINTED_RESULTS);
    for (int row = 0; row < PRINTED; row++) {
        ck_assert_double_eq(results[row].printed, ROWS[row].printed);
        expect_near(results[row].what, results[row].reproduced, ROWS[row].listed[_i], 0.0, 0.02);
    }
    expect_near(results[PRINTED].what, results[PRINTED].reproduced, ROWS[ROW_COUNT - 1].listed[_i],
                0.0, 0.02);
    ck_assert_uint_eq(lq_law_printed(lq_law_find("hoffmann2022"), results), 0);
}
END_TEST

/* Root mean square of ln(reproduced / printed) over the nine sizes and FLOPs that are printed. */
START_TEST(sets_miss_what_is_printed_by_as_much_as_said)
{
    static const double SAID[SETS] = {0.264, 0.588, 0.129};
    double squares = 0.0;
    law = lq_law_find(IDS[_i]);
    for (int row = 0; row < PRINTED; row++) {
        const double miss = log(ROWS[row].reproduce() / ROWS[row].printed);
        squares += miss * miss;
    }
    expect_near(law->id, sqrt(squares / PRINTED), SAID[_i], 0.0, 0.02);
}
END_TEST

/* Training to the 16-expert's optimum at 5.15e21: three digits. */
START_TEST(few_experts_cost_more_to_train)
{
    law = lq_law_find("yun2024-reconstructed");
    const double loss = optimum(16, B3).loss;
    expect_near("4 experts", budget_for(4, loss) / B3, 3.51, 0.005, 0.0);
    expect_near("8 experts", budget_for(8, loss) / B3, 1.94, 0.005, 0.0);
}
END_TEST

/* Algorithm 1 from base 4 at 5.15e21: how much smaller than their own optimum, %; half a point. */
START_TEST(algorithm_1_sizes)
{
    static const double SMALLER[][2] = {{8, 63.4}, {16, 78.3}, {32, 85.5}, {64, 89.2}};
    law = lq_law_find("yun2024-reconstructed");
    const double loss = optimum(4, B3).loss;
    for (size_t i = 0; i < sizeof SMALLER / sizeof *SMALLER; i++) {
        const double experts = SMALLER[i][0];
        const double share =
            smallest(experts, B3, loss).parameters / optimum(experts, B3).parameters;
        expect_near("smaller by", 100.0 * (1.0 - share), SMALLER[i][1], 0.5, 0.0);
    }
}
END_TEST

START_TEST(sets_say_that_they_are_reconstructed)
{
    law = lq_law_find(IDS[_i]);
    ck_assert_int_eq(law->status, LQ_LAW_RECONSTRUCTED);
    ck_assert_ptr_nonnull(strstr(law->source, "reconstructed"));
    ck_assert_ptr_nonnull(strstr(law->note, "not the paper's coefficients"));
}
END_TEST

/* Every digit of migrations/seed/scaling/yun2024_sets.csv: set, variant, then the ten coefficients.
 */
START_TEST(sets_are_those_of_the_seed)
{
    static const char *const SET_NAMES[SETS] = {"S6,", "S3,", "S5,"};
    char line[512];
    bool found = false;
    FILE *file = fopen(LQ_SEED_DIR "/scaling/yun2024_sets.csv", "r");
    ck_assert_ptr_nonnull(file);
    law = lq_law_find(IDS[_i]);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, SET_NAMES[_i], 3) != 0) {
            continue;
        }
        found = true;
        char *at = strchr(line + 3, ',');
        for (int j = 0; j < law->form->coefficients; j++) {
            ck_assert_double_eq(strtod(at + 1, &at), law->coefficient[j]);
        }
    }
    fclose(file);
    ck_assert(found);
}
END_TEST

static Suite *yun_suite(void)
{
    Suite *suite = suite_create("laws_yun2024");
    TCase *tcase = tcase_create("table");
    tcase_add_loop_test(tcase, sets_reproduce_their_table, 0, SETS * ROW_COUNT);
    tcase_add_loop_test(tcase, core_answers_the_printed_results, 0, SETS);
    tcase_add_loop_test(tcase, sets_miss_what_is_printed_by_as_much_as_said, 0, SETS);
    tcase_add_test(tcase, few_experts_cost_more_to_train);
    tcase_add_test(tcase, algorithm_1_sizes);
    tcase_add_loop_test(tcase, sets_are_those_of_the_seed, 0, SETS);
    tcase_add_loop_test(tcase, sets_say_that_they_are_reconstructed, 0, SETS);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return run_suite(yun_suite());
}
