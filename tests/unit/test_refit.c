/* Fits made of a whole catalog of points, which are made of known factors. Scopes of the step time
 * are in test_refit_step.c, what estimators are held against in test_validate.c. */
#include "server/jobs/refit.h"
#include "tests/unit/check_main.h"
#include "tests/unit/refit_fixture.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lq_fit *refit(size_t *count)
{
    struct lq_fit *fits = NULL;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit(&catalog, &fits, count, &err), LQ_OK);
    return fits;
}

/* The fit of that kind for a GPU ("" for memory: any) and distribution. */
static const struct lq_fit *find(const struct lq_fit *fits, size_t n, enum lq_fit_kind kind,
                                 const char *gpu, const char *lengths)
{
    for (size_t i = 0; i < n; i++) {
        if (fits[i].kind == kind && fits[i].scope == LQ_SCOPE_IDENTITY &&
            strcmp(fits[i].identity.gpu, gpu) == 0 && strcmp(fits[i].lengths, lengths) == 0) {
            return &fits[i];
        }
    }
    ck_abort_msg("no fit of kind %d on %s", (int)kind, gpu);
    return NULL;
}

START_TEST(every_identity_and_distribution_gets_its_fits)
{
    size_t n = 0;
    struct lq_fit *fits = refit(&n);
    /* of all, their stack, their model, one per GPU; two forms per set; memory of any GPU */
    ck_assert_uint_eq(n, 3 + 2 + 2 * 4 + 3 + 1);
    for (size_t i = 1; i < n; i++) {
        ck_assert_int_lt(strcmp(fits[i - 1].id, fits[i].id), 0);
    }
    const struct lq_fit *s1 = find(fits, n, LQ_FIT_STEP_TIME, "S1", "");
    const struct lq_fit *s2 = find(fits, n, LQ_FIT_STEP_TIME, "S2", "");
    for (int i = 0; i < RUNS; i++) { /* each its own: the prior pulls a little */
        assert_close("S1", lq_fit_predict_point(&catalog, s1, &points[i]), points[i].queries_per_s,
                     1e-2);
        assert_close("S2", lq_fit_predict_point(&catalog, s2, &points[RUNS + i]),
                     points[RUNS + i].queries_per_s, 1e-2);
    }
    ck_assert_double_lt(s1->mape, 5e-3);
    ck_assert_uint_eq(s1->points, RUNS);
    ck_assert_str_eq(s1->sources, "lab,laboratory");
    ck_assert_uint_eq(find(fits, n, LQ_FIT_XIA2024, "S2", "b")->points, RUNS / 2);
    (void)find(fits, n, LQ_FIT_XIA2024_PRINTED, "S1", "a");
    free(fits);
}
END_TEST

START_TEST(a_form_that_its_points_do_not_determine_has_no_fit)
{
    size_t n = 0;
    size_t m = 0;
    free(refit(&n));
    snprintf(points[0].conditions.lengths, LQ_ID_MAX, "of-one-point");
    struct lq_fit *fits = refit(&m);
    ck_assert_uint_eq(m, n);
    ck_assert_uint_eq(find(fits, m, LQ_FIT_XIA2024, "S1", "a")->points, RUNS / 2 - 1);
    free(fits);
}
END_TEST

START_TEST(fits_are_named_after_what_they_are_of)
{
    size_t n = 0;
    struct lq_fit *fits = refit(&n);
    const char *const names[] = {
        "default-all-", "default-hf-2024-", "default-small-moe-lora-any-gpu-hf-2024-",
        "default-small-moe-lora-s1-hf-2024-", "xia2024-small-moe-lora-s2-hf-2024-b-"};
    for (int i = 0; i < 5; i++) {
        int found = 0;
        for (size_t j = 0; j < n; j++) { /* and a hash of eight digits */
            found += strncmp(fits[j].id, names[i], strlen(names[i])) == 0 &&
                             strlen(fits[j].id) == strlen(names[i]) + 8
                         ? 1
                         : 0;
            ck_assert_ptr_null(strpbrk(fits[j].id, ": ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
        }
        ck_assert_msg(found == 1, "%d fits %s", found, names[i]);
    }
    free(fits);
}
END_TEST

START_TEST(a_hash_is_over_identity_points_and_rates)
{
    struct lq_identity id = points[0].identity;
    const uint64_t own = lq_sign_identity(&id);
    ck_assert_uint_eq(lq_sign_identity(&points[1].identity), own);
    id.layout.zero_stage = 3;
    ck_assert_uint_ne(lq_sign_identity(&id), own);
    id = points[0].identity;
    id.method.rank++;
    ck_assert_uint_ne(lq_sign_identity(&id), own);
    struct lq_fit fit = {.points = 0};
    const uint64_t first = lq_sign_point(own, &points[0], &fit);
    ck_assert_uint_ne(first, own);
    points[0].queries_per_s *= 1.001;
    const uint64_t faster = lq_sign_point(own, &points[0], &fit);
    ck_assert_uint_ne(faster, first);
    points[0].id[0] = 'z';
    ck_assert_uint_ne(lq_sign_point(own, &points[0], &fit), faster);
}
END_TEST

START_TEST(a_fit_is_as_new_as_its_newest_point)
{
    const char *const times[] = {"2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", ""};
    struct lq_fit fit = {.points = 0};
    for (int i = 0; i < 3; i++) {
        snprintf(points[i].measured_at, sizeof points[i].measured_at, "%s", times[i]);
        (void)lq_sign_point(0, &points[i], &fit);
    }
    ck_assert_str_eq(fit.newest_at, times[1]);
    ck_assert_str_eq(fit.sources, "lab,laboratory");
    ck_assert_str_eq(fit.data, "a");
}
END_TEST

START_TEST(a_points_job_has_its_experts_and_accumulation)
{
    points[2].conditions.accumulation_steps = 8;
    struct lq_job job;
    ck_assert(lq_job_of_point(&catalog, &points[2], &job));
    ck_assert_int_eq(job.active_experts, points[2].conditions.active_experts);
    ck_assert_int_eq(job.training.accumulation_steps, 8);
    snprintf(points[2].identity.model, sizeof points[2].identity.model, "gone");
    ck_assert(!lq_job_of_point(&catalog, &points[2], &job));
}
END_TEST

START_TEST(the_same_catalog_gives_the_same_fits)
{
    size_t n = 0;
    size_t m = 0;
    struct lq_fit *first = refit(&n);
    struct lq_fit *second = refit(&m);
    ck_assert_uint_eq(n, m);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(first[i].id, second[i].id);
        ck_assert_mem_eq(first[i].coefficient, second[i].coefficient, sizeof first[i].coefficient);
        ck_assert_mem_eq(&first[i].belief, &second[i].belief, sizeof first[i].belief);
    }
    free(first);
    free(second);
}
END_TEST

static void swap_points(size_t i, size_t j)
{
    const struct lq_point other = points[j];
    points[j] = points[i];
    points[i] = other;
}

START_TEST(the_order_of_arrival_moves_nothing)
{
    size_t n = 0;
    size_t m = 0;
    for (int i = 0; i < 2 * RUNS; i++) { /* ids that tell neither device nor distribution */
        snprintf(points[i].id, sizeof points[i].id, "%02d", 5 * i % (2 * RUNS + 1));
    }
    struct lq_fit *first = refit(&n);
    ck_assert_uint_eq(find(first, n, LQ_FIT_XIA2024, "S1", "b")->points, RUNS / 2);
    for (size_t i = 0; i < catalog.point_count / 2; i++) {
        swap_points(i, catalog.point_count - 1 - i);
    }
    swap_points(3, 17); /* so that distributions come in turns */
    swap_points(30, 5);
    struct lq_fit *second = refit(&m);
    ck_assert_uint_eq(n, m);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(first[i].id, second[i].id);
        ck_assert_mem_eq(first[i].coefficient, second[i].coefficient, sizeof first[i].coefficient);
    }
    free(first);
    free(second);
}
END_TEST

START_TEST(posted_points_beyond_the_device_are_implausible_shipped_ones_stand)
{
    struct lq_point p = run(7, "S1", 1.3);
    ck_assert(lq_point_is_plausible(&catalog, &p));
    p.step_time_s *= 0.01; /* above the peak rate */
    ck_assert(!lq_point_is_plausible(&catalog, &p));
    p.shipped = true;
    ck_assert(lq_point_is_plausible(&catalog, &p));
    p = run(7, "S1", 1.3);
    p.peak_memory_bytes = gpus[0].gpu.memory_bytes;
    ck_assert(lq_point_is_plausible(&catalog, &p));
    p.peak_memory_bytes += 1e9;
    ck_assert(!lq_point_is_plausible(&catalog, &p));
    p.peak_memory_bytes = 1.0;
    ck_assert(!lq_point_is_plausible(&catalog, &p));
    p = run(7, "S1", 1.3);
    p.step_time_s *= 1e4; /* nobody is that patient */
    ck_assert(!lq_point_is_plausible(&catalog, &p));
    p.implausible = true;
    ck_assert(!lq_point_is_fitted(&p));
}
END_TEST

START_TEST(a_batch_that_is_far_from_filling_the_device_did_not_fail_for_memory)
{
    struct lq_point p = run(7, "S1", 1.3);
    p.queries_per_s = p.step_time_s = 0.0;
    p.out_of_memory = true;
    p.conditions.batch_size = 4096;
    ck_assert(lq_point_is_plausible(&catalog, &p));
    gpus[0].gpu.memory_bytes *= 1e4;
    ck_assert(!lq_point_is_plausible(&catalog, &p));
    gpus[0].gpu.memory_bytes /= 1e4;
}
END_TEST

/* The same fits with one point more as without it. */
static void must_move_nothing(const struct lq_point *point)
{
    size_t n = 0;
    size_t m = 0;
    struct lq_fit *first = refit(&n);
    points[2 * RUNS] = *point;
    catalog.point_count++;
    struct lq_fit *second = refit(&m);
    ck_assert_uint_eq(n, m);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(first[i].id, second[i].id);
        ck_assert_mem_eq(first[i].coefficient, second[i].coefficient, sizeof first[i].coefficient);
    }
    free(first);
    free(second);
}

START_TEST(implausible_points_move_nothing)
{
    struct lq_point point = run(3, "S1", 1e-3);
    point.implausible = true;
    point.peak_memory_bytes = 1e12;
    must_move_nothing(&point);
}
END_TEST

static void copy_id(char to[LQ_FIT_ID_MAX], const struct lq_fit *fit)
{
    snprintf(to, LQ_FIT_ID_MAX, "%s", fit->id);
}

START_TEST(another_point_makes_another_id_of_whatever_rests_on_it)
{
    size_t n = 0;
    struct lq_fit *fits = refit(&n);
    char own[LQ_FIT_ID_MAX];
    char sibling[LQ_FIT_ID_MAX];
    char form[LQ_FIT_ID_MAX];
    char own_form[LQ_FIT_ID_MAX];
    copy_id(own, find(fits, n, LQ_FIT_STEP_TIME, "S1", ""));
    copy_id(sibling, find(fits, n, LQ_FIT_STEP_TIME, "S2", ""));
    copy_id(form, find(fits, n, LQ_FIT_XIA2024, "S2", "a"));
    copy_id(own_form, find(fits, n, LQ_FIT_XIA2024, "S1", "a"));
    free(fits);
    points[0].queries_per_s *= 1.001;
    fits = refit(&n);
    ck_assert_str_ne(find(fits, n, LQ_FIT_STEP_TIME, "S1", "")->id, own);
    ck_assert_str_ne(find(fits, n, LQ_FIT_STEP_TIME, "S2", "")->id, sibling); /* by its prior */
    ck_assert_str_eq(find(fits, n, LQ_FIT_XIA2024, "S2", "a")->id, form);
    ck_assert_str_ne(find(fits, n, LQ_FIT_XIA2024, "S1", "a")->id, own_form);
    free(fits);
}
END_TEST

START_TEST(held_out_points_move_nothing)
{
    struct lq_point point = run(3, "S1", 50.0);
    point.shipped = true;
    snprintf(point.source, sizeof point.source, "xia2024-fig4");
    ck_assert(!lq_point_is_fitted(&point));
    ck_assert(lq_point_is_fitted(&points[0]));
    must_move_nothing(&point);
}
END_TEST

START_TEST(points_of_what_the_catalog_lost_are_passed_over)
{
    snprintf(points[0].identity.gpu, sizeof points[0].identity.gpu, "gone");
    snprintf(points[1].identity.model, sizeof points[1].identity.model, "gone");
    size_t n = 0;
    struct lq_fit *fits = refit(&n);
    ck_assert_uint_eq(find(fits, n, LQ_FIT_STEP_TIME, "S1", "")->points, RUNS - 2);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_ne(fits[i].identity.model, "gone");
    }
    free(fits);
    catalog.point_count = 0;
    catalog.capacity_count = 0;
    fits = refit(&n);
    ck_assert_uint_eq(n, 0);
    free(fits);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refit");
    TCase *tests = tcase_create("refit");
    tcase_add_checked_fixture(tests, fill_catalog, NULL);
    tcase_add_test(tests, every_identity_and_distribution_gets_its_fits);
    tcase_add_test(tests, a_form_that_its_points_do_not_determine_has_no_fit);
    tcase_add_test(tests, fits_are_named_after_what_they_are_of);
    tcase_add_test(tests, a_hash_is_over_identity_points_and_rates);
    tcase_add_test(tests, a_fit_is_as_new_as_its_newest_point);
    tcase_add_test(tests, a_points_job_has_its_experts_and_accumulation);
    tcase_add_test(tests, the_same_catalog_gives_the_same_fits);
    tcase_add_test(tests, the_order_of_arrival_moves_nothing);
    tcase_add_test(tests, posted_points_beyond_the_device_are_implausible_shipped_ones_stand);
    tcase_add_test(tests, a_batch_that_is_far_from_filling_the_device_did_not_fail_for_memory);
    tcase_add_test(tests, implausible_points_move_nothing);
    tcase_add_test(tests, another_point_makes_another_id_of_whatever_rests_on_it);
    tcase_add_test(tests, held_out_points_move_nothing);
    tcase_add_test(tests, points_of_what_the_catalog_lost_are_passed_over);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
