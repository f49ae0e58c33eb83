/* Which fit speaks for a job. Points are in test_evidence_points.c. */
#include "core/finetune/evidence.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct lq_identity identity(void)
{
    return (struct lq_identity){
        .model = "m",
        .gpu = "g",
        .stack = "s",
        .gpu_count = 1,
        .method = {.kind = LQ_METHOD_LORA, .rank = 16, .targets = LQ_TARGETS_ALL_LINEAR},
        .checkpointing = LQ_CHECKPOINTING_FULL};
}

/* A fit of the data set "d"; physics puts any other device than "g" twice as slow. */
static struct lq_fit step_fit(const struct lq_identity *id, double per_expert)
{
    const double slower = strcmp(id->gpu, "g") == 0 ? 1.0 : 2.0;
    return (struct lq_fit){.kind = LQ_FIT_STEP_TIME,
                           .identity = *id,
                           .coefficients = 3,
                           .coefficient = {1.0, 1e-3, per_expert},
                           .prior = {slower, slower * 1e-3, slower * per_expert},
                           .model_class = per_expert > 0.0 ? 1 : 0,
                           .data = "c,d"};
}

static struct lq_applicant applicant(const struct lq_identity *id, unsigned model_class)
{
    return (struct lq_applicant){.identity = id,
                                 .model_class = model_class,
                                 .prior = {1.0, 1e-3, 1e-4},
                                 .tokens = 1000.0,
                                 .active_experts = 2.0,
                                 .data = "d"};
}

static struct lq_basis choose(const struct lq_fit *fits, size_t n, const struct lq_identity *id)
{
    const struct lq_evidence evidence = {.fits = fits, .fit_count = n};
    const struct lq_applicant job = applicant(id, 1);
    return lq_evidence_step(&evidence, &job);
}

/* One step away from identity() each, nearest first. */
enum { SAME, RANK, RANK_AND_TARGETS, GPU, STACK, STACK_AND_GPU, MODEL, FAR_COUNT };

static struct lq_identity away(int how)
{
    struct lq_identity id = identity();
    if (how == RANK || how == RANK_AND_TARGETS) {
        id.method.rank = 64;
    }
    if (how == RANK_AND_TARGETS) {
        id.method.targets = LQ_TARGETS_ATTENTION;
    }
    if (how == GPU || how == STACK_AND_GPU) {
        snprintf(id.gpu, sizeof id.gpu, "other");
    }
    if (how == STACK || how == STACK_AND_GPU) {
        snprintf(id.stack, sizeof id.stack, "other");
    }
    if (how == MODEL) {
        snprintf(id.model, sizeof id.model, "other");
    }
    return id;
}

START_TEST(the_nearest_measurement_is_taken_in_whatever_order_they_stand)
{
    const struct lq_identity id = identity();
    for (int turned = 0; turned < 2; turned++) {
        for (int first = SAME; first < FAR_COUNT; first++) {
            struct lq_fit fits[FAR_COUNT];
            size_t n = 0;
            for (int i = first; i < FAR_COUNT; i++) {
                const struct lq_identity other = away(turned ? FAR_COUNT - 1 - i + first : i);
                fits[n++] = step_fit(&other, 1e-4);
            }
            const struct lq_basis basis = choose(fits, n, &id);
            ck_assert_ptr_eq(basis.fit, turned ? &fits[n - 1] : &fits[0]);
            ck_assert_int_eq(basis.kind,
                             first == SAME ? LQ_BASIS_CALIBRATED : LQ_BASIS_TRANSFERRED);
        }
    }
}
END_TEST

START_TEST(the_spread_grows_with_the_distance)
{
    const struct lq_identity id = identity();
    double last = -1.0;
    for (int i = SAME; i < FAR_COUNT; i++) {
        const struct lq_identity other = away(i);
        const struct lq_fit fit = step_fit(&other, 1e-4);
        const struct lq_basis basis = choose(&fit, 1, &id);
        ck_assert_double_gt(basis.log_sd, last);
        last = basis.log_sd;
    }
    const struct lq_basis none = choose(NULL, 0, &id);
    ck_assert_int_eq(none.kind, LQ_BASIS_PRIOR);
    ck_assert_ptr_null(none.fit);
    ck_assert_double_gt(none.log_sd, last);
}
END_TEST

START_TEST(its_own_measurement_adds_no_spread)
{
    const struct lq_identity id = identity();
    const struct lq_fit fit = step_fit(&id, 1e-4);
    ck_assert_double_eq(choose(&fit, 1, &id).log_sd, 0.0);
}
END_TEST

static void change(struct lq_identity *id, int part)
{
    switch (part) {
    case 0:
        id->gpu_count = 8;
        break;
    case 1:
        id->method.rank = 8;
        break;
    case 2:
        id->method.targets = LQ_TARGETS_ATTENTION;
        break;
    case 3:
        id->method.train_embeddings = true;
        break;
    case 4:
        id->precision = LQ_PRECISION_FP32;
        break;
    case 5:
        id->optimizer = LQ_OPTIMIZER_SGD;
        break;
    case 6:
        id->checkpointing = LQ_CHECKPOINTING_NONE;
        break;
    case 7:
        id->method.quantization = LQ_QUANTIZATION_INT8;
        break;
    case 8:
        snprintf(id->gpu, sizeof id->gpu, "x");
        break;
    case 9:
        snprintf(id->stack, sizeof id->stack, "x");
        break;
    default:
        ck_abort();
    }
}
enum { PARTS = 10 };

START_TEST(every_part_of_the_identity_counts)
{
    const struct lq_identity id = identity();
    struct lq_identity other = identity();
    change(&other, _i);
    ck_assert(!lq_identity_equal(&id, &other));
    ck_assert_int_eq(lq_identity_compare(&id, &other) < 0, lq_identity_compare(&other, &id) > 0);
    const struct lq_fit fit = step_fit(&other, 1e-4);
    ck_assert_int_eq(choose(&fit, 1, &id).kind, LQ_BASIS_TRANSFERRED);
}
END_TEST

START_TEST(another_method_or_another_kind_of_model_is_no_evidence)
{
    const struct lq_identity id = identity();
    struct lq_identity full = identity();
    full.method.kind = LQ_METHOD_FULL;
    struct lq_identity dense = identity();
    snprintf(dense.model, sizeof dense.model, "dense");
    const struct lq_fit fits[] = {step_fit(&full, 1e-4), step_fit(&dense, 0.0)};
    ck_assert_int_eq(choose(fits, 2, &id).kind, LQ_BASIS_PRIOR);
    const struct lq_evidence evidence = {.fits = fits, .fit_count = 2};
    const struct lq_applicant job = applicant(&id, 0);
    ck_assert_ptr_eq(lq_evidence_step(&evidence, &job).fit, &fits[1]);
    const struct lq_applicant mamba = applicant(&id, 2);
    ck_assert_int_eq(lq_evidence_step(&evidence, &mamba).kind, LQ_BASIS_PRIOR);
}
END_TEST

START_TEST(among_equals_the_one_with_more_points_is_taken)
{
    const struct lq_identity id = identity();
    struct lq_identity first = identity();
    struct lq_identity second = identity();
    snprintf(first.gpu, sizeof first.gpu, "a");
    snprintf(second.gpu, sizeof second.gpu, "b");
    struct lq_fit fits[] = {step_fit(&first, 1e-4), step_fit(&second, 1e-4)};
    fits[0].points = 4;
    fits[1].points = 19;
    ck_assert_ptr_eq(choose(fits, 2, &id).fit, &fits[1]);
    fits[0].points = 20;
    ck_assert_ptr_eq(choose(fits, 2, &id).fit, &fits[0]);
}
END_TEST

START_TEST(the_device_that_physics_puts_nearer_is_taken)
{
    const struct lq_identity id = identity();
    struct lq_identity first = identity();
    struct lq_identity second = identity();
    snprintf(first.gpu, sizeof first.gpu, "a");
    snprintf(second.gpu, sizeof second.gpu, "b");
    struct lq_fit fits[] = {step_fit(&first, 1e-4), step_fit(&second, 1e-4)};
    fits[0].points = 100;
    for (int j = 0; j < 3; j++) {
        fits[1].prior[j] *= 0.6;
    }
    const struct lq_basis basis = choose(fits, 2, &id);
    ck_assert_ptr_eq(basis.fit, &fits[1]);
    ck_assert_double_lt(basis.log_sd, choose(fits, 1, &id).log_sd);
}
END_TEST

START_TEST(other_data_stays_calibrated_with_a_spread)
{
    const struct lq_identity id = identity();
    struct lq_fit fit = step_fit(&id, 1e-4);
    snprintf(fit.data, sizeof fit.data, "c,dd");
    const struct lq_basis basis = choose(&fit, 1, &id);
    ck_assert_int_eq(basis.kind, LQ_BASIS_CALIBRATED);
    ck_assert_double_gt(basis.log_sd, 0.05);
}
END_TEST

START_TEST(only_fits_of_the_step_time_speak_for_it)
{
    const struct lq_identity id = identity();
    struct lq_fit fits[3];
    const enum lq_fit_kind kinds[] = {LQ_FIT_MEMORY, LQ_FIT_XIA2024, LQ_FIT_XIA2024_PRINTED};
    for (int i = 0; i < 3; i++) {
        fits[i] = step_fit(&id, 1e-4);
        fits[i].kind = kinds[i];
    }
    ck_assert_int_eq(choose(fits, 3, &id).kind, LQ_BASIS_PRIOR);
}
END_TEST

START_TEST(a_memory_fit_holds_on_any_gpu_and_carries_over_to_other_settings)
{
    struct lq_identity any = identity();
    any.gpu[0] = '\0';
    const struct lq_fit fit = {
        .kind = LQ_FIT_MEMORY, .identity = any, .coefficients = 1, .coefficient = {1.4}};
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const double own = lq_evidence_memory(&evidence, &any).log_sd;
    ck_assert_double_gt(own, 0.0);
    for (int part = 0; part < PARTS; part++) {
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
    }
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
    struct lq_fit fits[2] = {step_fit(&id, 0.0), step_fit(&id, 0.0)};
    fits[0].kind = LQ_FIT_XIA2024;
    fits[1].kind = LQ_FIT_XIA2024_PRINTED;
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
    Suite *suite = suite_create("evidence");
    TCase *tests = tcase_create("evidence");
    tcase_add_test(tests, the_nearest_measurement_is_taken_in_whatever_order_they_stand);
    tcase_add_test(tests, the_spread_grows_with_the_distance);
    tcase_add_test(tests, its_own_measurement_adds_no_spread);
    tcase_add_loop_test(tests, every_part_of_the_identity_counts, 0, PARTS);
    tcase_add_test(tests, another_method_or_another_kind_of_model_is_no_evidence);
    tcase_add_test(tests, among_equals_the_one_with_more_points_is_taken);
    tcase_add_test(tests, the_device_that_physics_puts_nearer_is_taken);
    tcase_add_test(tests, other_data_stays_calibrated_with_a_spread);
    tcase_add_test(tests, only_fits_of_the_step_time_speak_for_it);
    tcase_add_test(tests, a_memory_fit_holds_on_any_gpu_and_carries_over_to_other_settings);
    tcase_add_test(tests, the_nearest_memory_fit_is_taken);
    tcase_add_test(tests, memory_of_another_model_or_method_says_nothing);
    tcase_add_test(tests, the_papers_forms_hold_for_one_identity_and_distribution);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
