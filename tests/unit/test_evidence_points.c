/* Which measured point speaks for a job, and which is named where none does. */
#include "core/finetune/evidence.h"
#include "tests/unit/check_main.h"
#include "tests/unit/identity_fixture.h"

#include <stdio.h>
#include <string.h>

static struct lq_point point(const char *id, const struct lq_identity *of, int64_t batch)
{
    struct lq_point p = {.identity = *of,
                         .conditions = {.active_experts = 2,
                                        .batch_size = batch,
                                        .accumulation_steps = 1,
                                        .lengths = "math",
                                        .rule = {LQ_PADDING_LONGEST, 1024, 8}}};
    snprintf(p.id, sizeof p.id, "%s", id);
    return p;
}

static const char *found(const struct lq_point *points, size_t n, const struct lq_conditions *c,
                         const char **nearest)
{
    const struct lq_evidence evidence = {.points = points, .point_count = n};
    const struct lq_identity id = identity();
    const struct lq_point *near = NULL;
    const struct lq_point *p = lq_evidence_point(&evidence, &id, c, &near);
    *nearest = near != NULL ? near->id : "none";
    return p != NULL ? p->id : "none";
}

START_TEST(a_point_is_found_under_its_exact_conditions)
{
    const struct lq_identity id = identity();
    const struct lq_point points[] = {point("one", &id, 1), point("four", &id, 4),
                                      point("four-again", &id, 4)};
    struct lq_conditions c = points[0].conditions;
    const char *nearest = NULL;
    ck_assert_str_eq(found(points, 3, &c, &nearest), "one");
    c.batch_size = 4;
    ck_assert_str_eq(found(points, 3, &c, &nearest), "four-again"); /* the newest */
    c.batch_size = 0;
    ck_assert_str_eq(found(points, 3, &c, &nearest), "four-again"); /* the largest */
}
END_TEST

START_TEST(implausible_points_and_failed_runs_are_neither_found_nor_named)
{
    const struct lq_identity id = identity();
    struct lq_point points[] = {point("good", &id, 1), point("too-fast", &id, 4),
                                point("too-large", &id, 4)};
    points[1].implausible = true;
    points[2].out_of_memory = true;
    struct lq_conditions c = points[1].conditions;
    const char *nearest = NULL;
    ck_assert_str_eq(found(points, 3, &c, &nearest), "none");
    ck_assert_str_eq(nearest, "good");
}
END_TEST

START_TEST(any_other_condition_is_refused_and_the_nearest_named)
{
    const struct lq_identity id = identity();
    const struct lq_point points[] = {point("one", &id, 1), point("eight", &id, 8)};
    const char *nearest = NULL;
    struct lq_conditions cases[7];
    for (int i = 0; i < 7; i++) {
        cases[i] = points[1].conditions;
    }
    cases[0].batch_size = 6;
    cases[1].active_experts = 8;
    cases[2].accumulation_steps = 4;
    cases[3].rule.cutoff_tokens = 512;
    cases[4].rule.padding = LQ_PADDING_FIXED;
    cases[5].rule.padding_multiple = 1;
    cases[6].sequence_tokens = 128;
    for (int i = 0; i < 7; i++) {
        ck_assert_str_eq(found(points, 2, &cases[i], &nearest), "none");
        ck_assert_str_eq(nearest, "eight");
    }
    struct lq_conditions nameless = points[1].conditions;
    nameless.lengths[0] = '\0'; /* an inline distribution equals none that was measured */
    ck_assert_str_eq(found(points, 2, &nameless, &nearest), "none");
}
END_TEST

START_TEST(rows_of_one_fixed_length_are_alike_whatever_the_rule)
{
    const struct lq_identity id = identity();
    struct lq_point p = point("fixed", &id, 4);
    p.conditions.lengths[0] = '\0';
    p.conditions.sequence_tokens = 512;
    struct lq_conditions c = p.conditions;
    c.rule = (struct lq_padding_rule){LQ_PADDING_FIXED, 0, 1};
    const char *nearest = NULL;
    ck_assert_str_eq(found(&p, 1, &c, &nearest), "fixed");
    c.sequence_tokens = 520;
    ck_assert_str_eq(found(&p, 1, &c, &nearest), "none");
}
END_TEST

START_TEST(the_nearest_is_of_the_same_identity_before_the_same_model)
{
    const struct lq_identity id = identity();
    struct lq_identity cousin = identity();
    snprintf(cousin.gpu, sizeof cousin.gpu, "x");
    struct lq_identity stranger = identity();
    snprintf(stranger.model, sizeof stranger.model, "other");
    const struct lq_point points[] = {point("cousin", &cousin, 6), point("stranger", &stranger, 6),
                                      point("own", &id, 1)};
    struct lq_conditions c = points[0].conditions;
    const char *nearest = NULL;
    ck_assert_str_eq(found(points, 3, &c, &nearest), "none");
    ck_assert_str_eq(nearest, "own");
    found(points, 2, &c, &nearest);
    ck_assert_str_eq(nearest, "cousin");
    found(&points[1], 1, &c, &nearest);
    ck_assert_str_eq(nearest, "none");
}
END_TEST

START_TEST(of_other_gpus_the_one_of_the_likest_name_is_named)
{
    struct lq_identity id = identity();
    struct lq_identity others[] = {identity(), identity(), identity()};
    const char *const names[] = {"A40", "A100-80GB-PCIe", "A100-40GB-SXM"};
    struct lq_point points[3];
    for (int i = 0; i < 3; i++) {
        snprintf(others[i].gpu, sizeof others[i].gpu, "%s", names[i]);
        points[i] = point(names[i], &others[i], i == 1 ? 8 : 1);
    }
    snprintf(id.gpu, sizeof id.gpu, "A100-80GB-SXM");
    const struct lq_evidence evidence = {.points = points, .point_count = 3};
    const struct lq_point *nearest = NULL;
    ck_assert_ptr_null(lq_evidence_point(&evidence, &id, &points[0].conditions, &nearest));
    ck_assert_ptr_eq(nearest, &points[1]); /* though its batch is another */
}
END_TEST

START_TEST(the_papers_forms_hold_for_one_identity_and_distribution)
{
    const struct lq_identity id = identity();
    struct lq_fit fits[2] = {{.kind = LQ_FIT_XIA2024, .identity = id},
                             {.kind = LQ_FIT_XIA2024_PRINTED, .identity = id}};
    snprintf(fits[0].lengths, sizeof fits[0].lengths, "math");
    snprintf(fits[1].lengths, sizeof fits[1].lengths, "math");
    const struct lq_evidence evidence = {.fits = fits, .fit_count = 2};
    ck_assert_ptr_eq(lq_evidence_xia2024(&evidence, LQ_FIT_XIA2024, &id, "math"), &fits[0]);
    ck_assert_ptr_eq(lq_evidence_xia2024(&evidence, LQ_FIT_XIA2024_PRINTED, &id, "math"), &fits[1]);
    ck_assert_ptr_null(lq_evidence_xia2024(&evidence, LQ_FIT_XIA2024, &id, "cs"));
    struct lq_identity other = identity();
    change(&other, 8);
    ck_assert_ptr_null(lq_evidence_xia2024(&evidence, LQ_FIT_XIA2024, &other, "math"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("evidence_points");
    TCase *tests = tcase_create("evidence_points");
    tcase_add_test(tests, a_point_is_found_under_its_exact_conditions);
    tcase_add_test(tests, implausible_points_and_failed_runs_are_neither_found_nor_named);
    tcase_add_test(tests, any_other_condition_is_refused_and_the_nearest_named);
    tcase_add_test(tests, rows_of_one_fixed_length_are_alike_whatever_the_rule);
    tcase_add_test(tests, the_nearest_is_of_the_same_identity_before_the_same_model);
    tcase_add_test(tests, of_other_gpus_the_one_of_the_likest_name_is_named);
    tcase_add_test(tests, the_papers_forms_hold_for_one_identity_and_distribution);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
