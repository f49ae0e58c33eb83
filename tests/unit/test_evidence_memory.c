/* Which fit of the memory speaks for a job, and which of the paper's forms. */
#include "core/finetune/evidence.h"
#include "tests/unit/check_main.h"
#include "tests/unit/identity_fixture.h"

#include <stdio.h>

START_TEST(a_memory_fit_holds_on_any_gpu_and_carries_over_to_other_settings)
{
    struct lq_identity any = identity();
    any.gpu[0] = '\0';
    const struct lq_fit fit = {
        .kind = LQ_FIT_MEMORY, .identity = any, .coefficients = 1, .coefficient = {1.4}};
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const double own = lq_evidence_memory(&evidence, &any).log_sd;
    ck_assert_double_gt(own, 0.0);
    for (int part = 0; part < MEMORY_PARTS; part++) {
        struct lq_identity id = identity();
        change(&id, part);
        const struct lq_basis basis = lq_evidence_memory(&evidence, &id);
        const bool device = part == 0 || part == 8;
        ck_assert_int_eq(basis.kind, device ? LQ_BASIS_CALIBRATED : LQ_BASIS_TRANSFERRED);
        ck_assert_ptr_eq(basis.fit, &fit);
        ck_assert_int_eq(basis.log_sd > own, !device);
    }
}
END_TEST

START_TEST(the_nearest_memory_fit_is_taken)
{
    struct lq_identity rank = identity();
    change(&rank, 1);
    struct lq_identity stack = identity();
    change(&stack, 9);
    const struct lq_fit fits[] = {{.kind = LQ_FIT_MEMORY, .identity = stack},
                                  {.kind = LQ_FIT_MEMORY, .identity = rank},
                                  {.kind = LQ_FIT_MEMORY, .identity = identity()}};
    const struct lq_identity id = identity();
    for (size_t n = 1; n <= 3; n++) {
        const struct lq_evidence evidence = {.fits = fits, .fit_count = n};
        ck_assert_ptr_eq(lq_evidence_memory(&evidence, &id).fit, &fits[n - 1]);
        const struct lq_evidence last = {.fits = &fits[n - 1], .fit_count = 4 - n};
        ck_assert_ptr_eq(lq_evidence_memory(&last, &id).fit, &fits[2]);
    }
    const struct lq_fit turned[] = {fits[2], fits[1], fits[0]};
    const struct lq_evidence evidence = {.fits = turned, .fit_count = 3};
    ck_assert_ptr_eq(lq_evidence_memory(&evidence, &id).fit, &turned[0]);
}
END_TEST

START_TEST(memory_of_another_model_or_method_says_nothing)
{
    struct lq_fit fits[3] = {{.kind = LQ_FIT_MEMORY, .identity = identity()},
                             {.kind = LQ_FIT_MEMORY, .identity = identity()},
                             {.kind = LQ_FIT_STEP_TIME, .identity = identity()}};
    snprintf(fits[0].identity.model, sizeof fits[0].identity.model, "other");
    fits[1].identity.method.kind = LQ_METHOD_FULL;
    const struct lq_evidence evidence = {.fits = fits, .fit_count = 3};
    const struct lq_identity id = identity();
    const struct lq_basis basis = lq_evidence_memory(&evidence, &id);
    ck_assert_int_eq(basis.kind, LQ_BASIS_PRIOR);
    ck_assert_ptr_null(basis.fit);
    fits[0].identity = identity();
    ck_assert_double_gt(basis.log_sd, lq_evidence_memory(&evidence, &id).log_sd);
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
    Suite *suite = suite_create("evidence_memory");
    TCase *tests = tcase_create("evidence_memory");
    tcase_add_test(tests, a_memory_fit_holds_on_any_gpu_and_carries_over_to_other_settings);
    tcase_add_test(tests, the_nearest_memory_fit_is_taken);
    tcase_add_test(tests, memory_of_another_model_or_method_says_nothing);
    tcase_add_test(tests, the_papers_forms_hold_for_one_identity_and_distribution);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
