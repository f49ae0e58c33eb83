/* The registry of scaling laws: what is on it, what is refused, what is doubted, and how models are
 * put to a law. Figures are in tests/golden, properties of values in tests/property. */
#include "core/planning/law.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

static const char *const IDS[] = {"yun2024-reconstructed",
                                  "yun2024-s3",
                                  "yun2024-s5",
                                  "hoffmann2022",
                                  "hoffmann2022-unrounded",
                                  "besiroglu2024",
                                  "sardana2024-all",
                                  "sardana2024-100",
                                  "muennighoff2023",
                                  "clark2022-s-base",
                                  "clark2022-rl-r",
                                  "clark2022-hash",
                                  "krajewski2024",
                                  "krajewski2024-dense",
                                  "ludziejewski2025",
                                  "abnar2025",
                                  "zhao2025",
                                  "tian2025"};
enum { ID_COUNT = sizeof IDS / sizeof *IDS };

START_TEST(the_shelf_holds_each_law_once)
{
    ck_assert_uint_eq(lq_law_count(), ID_COUNT);
    ck_assert_ptr_null(lq_law_at(ID_COUNT));
    for (size_t i = 0; i < ID_COUNT; i++) {
        ck_assert_ptr_nonnull(lq_law_find(IDS[i]));
        for (size_t j = 0; j < i; j++) {
            ck_assert(strcmp(lq_law_at(i)->id, lq_law_at(j)->id) != 0);
        }
    }
    ck_assert_ptr_null(lq_law_find("hoffmann2023"));
    ck_assert_ptr_eq(lq_law_find("HOFFMANN2022"), lq_law_find("hoffmann2022"));
}
END_TEST

START_TEST(each_law_says_what_it_is)
{
    const struct lq_law *law = lq_law_find(IDS[_i]);
    struct lq_error err = {0};
    ck_assert_int_eq(lq_law_check(law, &err), LQ_OK);
    ck_assert_ptr_nonnull(strstr(law->source, "arXiv"));
    ck_assert_ptr_nonnull(law->note);
    ck_assert_ptr_nonnull(law->range.source);
    ck_assert_uint_gt(strlen(law->form->formula), 10);
    /* the form is the id without its suffix */
    ck_assert_int_eq(strncmp(law->id, law->form->name, strlen(law->form->name)), 0);
    ck_assert_ptr_nonnull(lq_law_form_find(law->form->name));
    for (int j = 0; j < law->form->coefficients; j++) {
        ck_assert_ptr_nonnull(law->form->coefficient[j].name);
        ck_assert_int_ge(law->form->coefficient[j].starts, 1);
    }
}
END_TEST

START_TEST(laws_know_whether_they_know_tokens_and_experts)
{
    static const struct {
        const char *id;
        bool tokens;
        bool experts;
    } KNOW[] = {{"besiroglu2024", true, false},
                {"clark2022-hash", false, true},
                {"krajewski2024", true, false},
                {"ludziejewski2025", true, true},
                {"abnar2025", true, true},
                {"zhao2025", true, true},
                {"yun2024-reconstructed", true, true}};
    for (size_t i = 0; i < sizeof KNOW / sizeof *KNOW; i++) {
        const struct lq_law *law = lq_law_find(KNOW[i].id);
        ck_assert_msg(lq_law_knows_tokens(law) == KNOW[i].tokens, "%s: tokens", law->id);
        ck_assert_msg(lq_law_knows_experts(law) == KNOW[i].experts, "%s: experts", law->id);
    }
}
END_TEST

/* Points that a law refuses, and where it points. */
static const struct {
    const char *id;
    struct lq_law_point point;
    enum lq_code code;
    const char *pointer;
} FAULTS[] = {
    {"besiroglu2024", {0, 2e10, 1, 0, 0, 0, 0, 0}, LQ_EFIELD, "/parameters"},
    {"besiroglu2024", {1e9, 0, 1, 0, 0, 0, 0, 0}, LQ_EFIELD, "/tokens"},
    {"besiroglu2024", {-1, 2e10, 1, 0, 0, 0, 0, 0}, LQ_EFIELD, "/parameters"},
    {"besiroglu2024", {1e40, 2e10, 1, 0, 0, 0, 0, 0}, LQ_EFIELD, "/parameters"},
    {"besiroglu2024", {1e9, 2e10, 8, 0, 0, 0, 0, 0}, LQ_EIMPOSSIBLE, "/experts"},
    {"krajewski2024", {1e9, 2e10, 8, 0, 0, 1, 0, 0}, LQ_EIMPOSSIBLE, "/experts"},
    {"krajewski2024", {1e9, 2e10, 64, 0, 0, 0, 0, 0}, LQ_EFIELD, "/granularity"},
    {"yun2024-s3", {1e9, 2e10, 0, 0, 0, 0, 0, 0}, LQ_EFIELD, "/experts"},
    {"yun2024-s3", {1e9, 2e10, 1.5, 0, 0, 0, 0, 0}, LQ_EFIELD, "/experts"},
    {"yun2024-s3", {1e9, 2e10, 1e6, 0, 0, 0, 0, 0}, LQ_EFIELD, "/experts"},
    {"abnar2025", {1e9, 2e10, 8, 0, 0, 0, 0, 0}, LQ_EFIELD, "/active_experts"},
    {"abnar2025", {1e9, 2e10, 8, 0, 9, 0, 0, 0}, LQ_EFIELD, "/active_experts"},
    {"zhao2025", {3e10, 1e12, 0, 0, 8, 0, 0, 0}, LQ_EFIELD, "/active_parameters"},
    {"zhao2025", {3e10, 1e12, 0, 4e10, 8, 0, 0, 0}, LQ_EFIELD, "/active_parameters"},
    {"zhao2025", {3e10, 1e12, 0, 3e9, 0, 0, 0, 0}, LQ_EFIELD, "/active_experts"},
    {"zhao2025", {3e10, 1e12, 0, 3e9, 8, 0, 1.5, 0}, LQ_EFIELD, "/shared_ratio"},
    {"muennighoff2023", {1e9, 2e10, 0, 0, 0, 0, 0, -1}, LQ_EFIELD, "/repeats"},
    {"tian2025", {1e9, 2e10, 8, 1e9, 1, 12, 0, 0}, LQ_EIMPOSSIBLE, "/law"},
};

START_TEST(points_are_refused_by_name)
{
    struct lq_error err = {0};
    double loss = -1.0;
    ck_assert_int_eq(lq_law_loss(lq_law_find(FAULTS[_i].id), &FAULTS[_i].point, &loss, &err),
                     FAULTS[_i].code);
    ck_assert_str_eq(err.pointer, FAULTS[_i].pointer);
    ck_assert_uint_gt(strlen(err.detail), 10);
    ck_assert_double_eq(loss, -1.0);
}
END_TEST

START_TEST(pointers_take_a_prefix)
{
    const struct lq_law_point point = {.parameters = 1e9};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_law_point_check(lq_law_find("besiroglu2024"), &point, "/points/3", &err),
                     LQ_EFIELD);
    ck_assert_str_eq(err.pointer, "/points/3/tokens");
}
END_TEST

static struct lq_law user(const char *form)
{
    struct lq_law law;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_law_user(form, "mine", &law, &err), LQ_OK);
    ck_assert_int_eq(law.status, LQ_LAW_USER);
    return law;
}

START_TEST(a_users_law_takes_its_forms_reading)
{
    struct lq_law law = user("yun2024");
    struct lq_error err = {0};
    ck_assert_int_eq(law.meaning, LQ_N_DENSE_EQUIVALENT);
    ck_assert_double_eq_tol(law.family.expert_share, 1.0 / 3.0, 1e-15);
    ck_assert_double_eq(user("besiroglu2024").experts_fixed, 1.0);
    ck_assert_int_eq(lq_law_user("newton1687", "mine", &law, &err), LQ_EREFERENCE);
    ck_assert_str_eq(err.pointer, "/form");
}
END_TEST

START_TEST(coefficients_are_refused_by_name)
{
    struct lq_law law = user("clark2022");
    static const double GOOD[] = {-0.08, -0.1, 0.009, 1.1, 2.0, 300.0};
    static const struct {
        int index;
        double value;
        const char *pointer;
    } BAD[] = {{0, HUGE_VAL, "/coefficients/a"},
               {3, -HUGE_VAL, "/coefficients/d"},
               {4, 0.0, "/coefficients/E_start"},
               {4, -1.0, "/coefficients/E_start"},
               {5, 2.0, "/coefficients/E_max"}};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct lq_error err = {0};
        memcpy(law.coefficient, GOOD, sizeof GOOD);
        ck_assert_int_eq(lq_law_check(&law, &err), LQ_OK);
        law.coefficient[BAD[i].index] = BAD[i].value;
        ck_assert_int_eq(lq_law_check(&law, &err), LQ_EFIELD);
        ck_assert_str_eq(err.pointer, BAD[i].pointer);
    }
}
END_TEST

START_TEST(a_law_without_a_positive_value_is_no_number)
{
    struct lq_law law = user("zhao2025");
    const struct lq_law_point point = {3e10, 1e12, 0, 3e9, 8, 0, 0, 0};
    double loss;
    struct lq_error err = {0};
    law.coefficient[0] = -1e9; /* e G: a loss far below nothing */
    law.coefficient[7] = 0.2;
    ck_assert_int_eq(lq_law_loss(&law, &point, &loss, &err), LQ_ENUMBER);
}
END_TEST

static const struct {
    const char *id;
    struct lq_law_point point;
    unsigned doubts;
} DOUBTS[] = {
    {"besiroglu2024", {1e9, 2e10, 1, 0, 0, 0, 0, 0}, 0},
    {"besiroglu2024", {1e12, 2e10, 1, 0, 0, 0, 0, 0}, LQ_DOUBT_PARAMETERS},
    {"besiroglu2024", {1e9, 1e13, 1, 0, 0, 0, 0, 0}, LQ_DOUBT_TOKENS},
    {"besiroglu2024", {1e7, 1e9, 0, 0, 0, 0, 0, 0}, LQ_DOUBT_PARAMETERS | LQ_DOUBT_TOKENS},
    {"yun2024-s3", {2e8, 5e9, 64, 0, 0, 0, 0, 0}, LQ_DOUBT_EXPERTS},
    {"sardana2024-100", {1e9, 1e12, 1, 0, 0, 0, 0, 0}, LQ_DOUBT_TOKENS_PER_PARAMETER},
    {"sardana2024-all", {1e9, 1e12, 1, 0, 0, 0, 0, 0}, 0},
    {"clark2022-hash", {1e9, 130e9, 8, 0, 0, 0, 0, 0}, 0},
    {"clark2022-hash", {1e9, 1e9, 8, 0, 0, 0, 0, 0}, LQ_DOUBT_TOKENS_FIXED},
};

START_TEST(points_outside_the_runs_are_doubted)
{
    const struct lq_law *law = lq_law_find(DOUBTS[_i].id);
    const unsigned doubts = lq_law_doubts(law, &DOUBTS[_i].point);
    ck_assert_uint_eq(doubts, DOUBTS[_i].doubts);
    for (unsigned bit = 1; bit <= LQ_DOUBT_TOKENS_FIXED; bit *= 2) {
        char detail[200] = "";
        if ((doubts & bit) != 0) {
            lq_law_doubt_detail(law, &DOUBTS[_i].point, (enum lq_law_doubt)bit, detail,
                                sizeof detail);
            ck_assert_ptr_nonnull(strstr(detail, law->id));
            ck_assert_str_ne(lq_law_doubt_code((enum lq_law_doubt)bit), "doubt");
        }
    }
}
END_TEST

/* The paper's architecture: every second layer, top-2, MLP share 2/3 (moe: total (1 + (E-1)/3) N).
 */
START_TEST(families_count_total_and_activated)
{
    const struct lq_law_family family = {1.0 / 3.0, 2.0, 1.0, 0.0};
    ck_assert_double_eq_tol(lq_family_total(&family, 3e9, 16), 18e9, 1.0);
    ck_assert_double_eq_tol(lq_family_active(&family, 3e9, 16), 4e9, 1.0);
    ck_assert_double_eq_tol(lq_family_active(&family, 3e9, 1), 3e9, 1.0);
    const struct lq_law_point point =
        lq_law_point_of(lq_law_find("abnar2025"), &family, 3e9, 1e11, 16);
    ck_assert_double_eq_tol(point.parameters, 18e9, 1.0);
    ck_assert_double_eq_tol(point.active_parameters, 4e9, 1.0);
    ck_assert_double_eq(point.active_experts, 2.0);
}
END_TEST

/* Counted by hand, see tiny.h: the dense part has 1728 cells in matrices, 56 in norms, 160 in both
 * embeddings; two MoE layers add 2 (192 + 32 + 4 * 288) and 32, of which 2 * 2 * 288 stay idle. */
START_TEST(a_concrete_model_is_put_to_each_meaning)
{
    const struct lq_model model = tiny_moe();
    static const struct {
        const char *id;
        double parameters;
    } COUNTS[] = {
        {"abnar2025", 4728},               /* total */
        {"ludziejewski2025", 4728 - 1152}, /* activated */
        {"tian2025", 4728 - 1152 - 160},   /* activated, without embeddings */
        {"yun2024-s3", 1944 + 2 * (192 + 288) + 32},
    };
    for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++) {
        const struct lq_law_point point =
            lq_law_point_of_model(lq_law_find(COUNTS[i].id), &model, 1e6);
        ck_assert_msg(point.parameters == COUNTS[i].parameters, "%s: %g", COUNTS[i].id,
                      point.parameters);
        ck_assert_double_eq(point.experts, 4.0);
        ck_assert_double_eq(point.active_experts, 2.0);
        ck_assert_double_eq(point.tokens, 1e6);
    }
    const struct lq_law_point g = lq_law_point_of_model(lq_law_find("krajewski2024"), &model, 1e6);
    ck_assert_double_eq_tol(g.granularity, 4.0 * 8 / 12, 1e-12);
}
END_TEST

START_TEST(a_tied_matrix_works_in_both_places)
{
    struct lq_model model = tiny_dense();
    model.tied_embeddings = true;
    model.head_parameters = 0;
    const struct lq_law_point total =
        lq_law_point_of_model(lq_law_find("hoffmann2022"), &model, 1e6);
    const struct lq_law_point active =
        lq_law_point_of_model(lq_law_find("ludziejewski2025"), &model, 1e6);
    ck_assert_double_eq(total.parameters, 1944 - 80);
    ck_assert_double_eq(active.parameters, 1944);
    ck_assert_double_eq(active.experts, 1.0);
}
END_TEST

static Suite *law_suite(void)
{
    Suite *suite = suite_create("law");
    TCase *tcase = tcase_create("registry");
    tcase_add_test(tcase, the_shelf_holds_each_law_once);
    tcase_add_loop_test(tcase, each_law_says_what_it_is, 0, ID_COUNT);
    tcase_add_test(tcase, laws_know_whether_they_know_tokens_and_experts);
    tcase_add_loop_test(tcase, points_are_refused_by_name, 0, sizeof FAULTS / sizeof *FAULTS);
    tcase_add_test(tcase, pointers_take_a_prefix);
    tcase_add_test(tcase, a_users_law_takes_its_forms_reading);
    tcase_add_test(tcase, coefficients_are_refused_by_name);
    tcase_add_test(tcase, a_law_without_a_positive_value_is_no_number);
    tcase_add_loop_test(tcase, points_outside_the_runs_are_doubted, 0,
                        sizeof DOUBTS / sizeof *DOUBTS);
    tcase_add_test(tcase, families_count_total_and_activated);
    tcase_add_test(tcase, a_concrete_model_is_put_to_each_meaning);
    tcase_add_test(tcase, a_tied_matrix_works_in_both_places);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return run_suite(law_suite());
}
