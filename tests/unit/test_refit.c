/* Fits made of a whole catalog of points, and how every estimator is held against them. The points
 * are made of known coefficients. */
#include "server/jobs/refit.h"
#include "server/jobs/validate.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 24, POINTS_MAX = 2 * RUNS + 4 };

static struct lq_model_entry models[1];
static struct lq_gpu_entry gpus[2];
static struct lq_point points[POINTS_MAX];
static struct lq_capacity capacities[3];
static struct lq_catalog catalog;

static struct lq_identity identity_on(const char *gpu)
{
    struct lq_job job = small_job();
    job.stack = "hf-2024";
    struct lq_identity id = lq_job_identity(&job);
    snprintf(id.gpu, sizeof id.gpu, "%s", gpu);
    return id;
}

/* Step times on "S1" are 1.3 times physics, on "S2" 2 times, at batches 1..6 and top-1, 2, 4, 8,
 * from two distributions ("a" of 300 tokens, "b" of 700). */
static struct lq_point run(int i, const char *gpu, double times)
{
    struct lq_point p = {.identity = identity_on(gpu)};
    struct lq_job job;
    ck_assert(lq_job_of(&catalog, &p.identity, &job));
    struct lq_conditions *c = &p.conditions;
    c->active_experts = 1 << i % 4;
    c->batch_size = 1 + i % 6;
    c->accumulation_steps = 1;
    c->queries_per_row = 1.0;
    c->row_tokens = i < RUNS / 2 ? 300.0 : 700.0;
    snprintf(c->lengths, sizeof c->lengths, "%s", i < RUNS / 2 ? "a" : "b");
    const struct lq_step_coefficients prior = lq_job_prior(&job, c->row_tokens).total;
    const struct lq_observation o = lq_observation_of(&p);
    p.queries_per_s = lq_observation_rate(
        &o, times * lq_step_seconds(&prior, o.batch_size * o.row_tokens, o.active_experts));
    snprintf(p.id, sizeof p.id, "%s-%02d", gpu, i);
    snprintf(p.source, sizeof p.source, "%s", i % 2 == 0 ? "lab" : "laboratory");
    snprintf(p.dataset, sizeof p.dataset, "set-%.8s-%.8s", c->lengths, gpu);
    return p;
}

/* A largest batch that an activation factor of 1.5 explains, half a row to spare. */
static struct lq_capacity capacity(const char *gpu, int64_t active_experts, int64_t tokens)
{
    struct lq_capacity c = {.identity = identity_on(gpu),
                            .active_experts = active_experts,
                            .longest_tokens = tokens,
                            .measured = true,
                            .source = "lab"};
    struct lq_job job;
    ck_assert(lq_job_of(&catalog, &c.identity, &job));
    job.active_experts = active_experts;
    const struct lq_memory memory = lq_job_memory(&job);
    struct lq_memory_factors factors = LQ_MEMORY_FACTORS_ONE;
    factors.activation = 1.5;
    factors.logits = 1.5;
    c.max_batch_size = lq_memory_max_batch(&memory, &factors, job.gpu->memory_bytes, tokens);
    ck_assert_int_gt(c.max_batch_size, 1);
    return c;
}

static void setup(void)
{
    (void)small_job();
    models[0].model = small_moe();
    gpus[0].gpu = SMALL_GPU;
    gpus[1].gpu = SMALL_GPU;
    snprintf(gpus[1].gpu.id, sizeof gpus[1].gpu.id, "S2");
    gpus[1].gpu.memory_bytes = 8e9;
    catalog = (struct lq_catalog){.models = models, .model_count = 1, .gpus = gpus, .gpu_count = 2};
    for (int i = 0; i < RUNS; i++) {
        points[i] = run(i, "S1", 1.3);
        points[RUNS + i] = run(i, "S2", 2.0);
    }
    capacities[0] = capacity("S1", 2, 2048);
    capacities[1] = capacity("S2", 2, 512);
    capacities[2] = capacity("S1", 8, 1024);
    catalog.points = points;
    catalog.point_count = 2 * RUNS;
    catalog.capacities = capacities;
    catalog.capacity_count = 3;
}

static struct lq_fit *refit(size_t *count)
{
    struct lq_fit *fits = NULL;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit(&catalog, &fits, count, &err), LQ_OK);
    return fits;
}

static const struct lq_fit *find(const struct lq_fit *fits, size_t n, enum lq_fit_kind kind,
                                 const char *gpu, const char *lengths)
{
    for (size_t i = 0; i < n; i++) {
        if (fits[i].kind == kind && strcmp(fits[i].identity.gpu, gpu) == 0 &&
            strcmp(fits[i].lengths, lengths) == 0) {
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
    ck_assert_uint_eq(n, 2 + 2 * 4 + 1); /* a joint one per GPU, two forms per set, the memory */
    for (size_t i = 1; i < n; i++) {
        ck_assert_int_lt(strcmp(fits[i - 1].id, fits[i].id), 0);
    }
    const struct lq_fit *s1 = find(fits, n, LQ_FIT_STEP_TIME, "S1", "");
    const struct lq_fit *s2 = find(fits, n, LQ_FIT_STEP_TIME, "S2", "");
    for (int j = 0; j < 3; j++) { /* the prior pulls at what the points tell apart least */
        assert_close("S1 over physics", s1->coefficient[j] / s1->prior[j], 1.3, 0.05);
        assert_close("S2 over physics", s2->coefficient[j] / s2->prior[j], 2.0, 0.05);
    }
    ck_assert_double_lt(s1->mape, 1e-3);
    ck_assert_uint_eq(s1->points, RUNS);
    ck_assert_str_eq(s1->sources, "lab,laboratory");
    ck_assert_uint_eq(find(fits, n, LQ_FIT_XIA2024, "S2", "b")->points, RUNS / 2);
    (void)find(fits, n, LQ_FIT_XIA2024_PRINTED, "S1", "a");
    free(fits);
}
END_TEST

START_TEST(one_memory_fit_spans_all_gpus)
{
    size_t n = 0;
    struct lq_fit *fits = refit(&n);
    const struct lq_fit *memory = find(fits, n, LQ_FIT_MEMORY, "", "");
    assert_close("factor", memory->coefficient[0], 1.5, 0.03);
    ck_assert_uint_eq(memory->points, 3);
    free(fits);
    capacities[0].measured = false; /* printed, projected or uncertain ones do not count */
    fits = refit(&n);
    ck_assert_uint_eq(find(fits, n, LQ_FIT_MEMORY, "", "")->points, 2);
    free(fits);
    points[0].peak_memory_bytes = 5e9;
    fits = refit(&n);
    ck_assert_uint_eq(find(fits, n, LQ_FIT_MEMORY, "", "")->points, 3);
    free(fits);
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
        ck_assert_mem_eq(first[i].covariance, second[i].covariance, sizeof first[i].covariance);
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
    struct lq_fit *first = refit(&n);
    for (size_t i = 0; i < catalog.point_count / 2; i++) {
        swap_points(i, catalog.point_count - 1 - i);
    }
    swap_points(3, 17);
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
    p.step_time_s = (double)p.conditions.batch_size / p.queries_per_s;
    ck_assert(lq_point_is_plausible(&catalog, &p));
    p.step_time_s *= 0.01; /* above the peak rate */
    ck_assert(!lq_point_is_plausible(&catalog, &p));
    p.shipped = true;
    ck_assert(lq_point_is_plausible(&catalog, &p));
    p = run(7, "S1", 1.3);
    p.step_time_s = (double)p.conditions.batch_size / p.queries_per_s;
    p.peak_memory_bytes = gpus[0].gpu.memory_bytes;
    ck_assert(lq_point_is_plausible(&catalog, &p));
    p.peak_memory_bytes += 1e9;
    ck_assert(!lq_point_is_plausible(&catalog, &p));
    p.implausible = true;
    ck_assert(!lq_point_is_fitted(&p));
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

START_TEST(another_point_makes_another_id)
{
    size_t n = 0;
    struct lq_fit *fits = refit(&n);
    char before[LQ_FIT_ID_MAX];
    char other[LQ_FIT_ID_MAX];
    snprintf(before, sizeof before, "%s", find(fits, n, LQ_FIT_STEP_TIME, "S1", "")->id);
    snprintf(other, sizeof other, "%s", find(fits, n, LQ_FIT_STEP_TIME, "S2", "")->id);
    free(fits);
    points[0].queries_per_s *= 1.001;
    fits = refit(&n);
    ck_assert_str_ne(find(fits, n, LQ_FIT_STEP_TIME, "S1", "")->id, before);
    ck_assert_str_eq(find(fits, n, LQ_FIT_STEP_TIME, "S2", "")->id, other);
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

static const struct lq_validation *find_row(const struct lq_validations *v, const char *dataset,
                                            enum lq_fit_kind kind)
{
    for (size_t i = 0; i < v->set_count; i++) {
        if (strcmp(v->set[i].dataset, dataset) == 0 && v->set[i].estimator == kind) {
            return &v->set[i];
        }
    }
    ck_abort_msg("no row of %s", dataset);
    return NULL;
}

START_TEST(every_estimator_is_held_against_every_set)
{
    struct lq_fit *fits = refit(&catalog.fit_count);
    catalog.fits = fits;
    struct lq_validations v;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_validate(&catalog, &v, &err), LQ_OK);
    ck_assert_uint_eq(v.set_count, 4 * 3);
    const struct lq_validation *own = find_row(&v, "set-b-S2", LQ_FIT_STEP_TIME);
    ck_assert_uint_eq(own->errors.n, RUNS / 2);
    ck_assert_double_lt(own->errors.mape, 1e-3); /* the joint fit over both sets */
    ck_assert(own->has_leave_one_out);
    ck_assert_double_lt(own->leave_one_out.mape, 2e-3);
    ck_assert(!own->held_out);
    const struct lq_validation *paper = find_row(&v, "set-b-S2", LQ_FIT_XIA2024);
    ck_assert_double_gt(paper->errors.rmse, own->errors.rmse);
    ck_assert_double_ge(paper->leave_one_out.rmse, paper->errors.rmse);
    ck_assert_uint_eq(v.batch_count, 3);
    for (size_t i = 0; i < v.batch_count; i++) {
        ck_assert(lq_batch_is_good(v.batch[i].predicted, v.batch[i].capacity->max_batch_size));
        ck_assert_int_eq(v.batch[i].predicted_paper, -1); /* the paper has no pair for it */
    }
    lq_validations_release(&v);
    free(fits);
}
END_TEST

START_TEST(held_out_sets_are_predicted_not_fitted)
{
    points[2 * RUNS] = run(3, "S1", 1.3);
    points[2 * RUNS].shipped = true;
    snprintf(points[2 * RUNS].source, sizeof points[0].source, "xia2024-fig4");
    snprintf(points[2 * RUNS].dataset, sizeof points[0].dataset, "fig4");
    catalog.point_count++;
    struct lq_fit *fits = refit(&catalog.fit_count);
    catalog.fits = fits;
    struct lq_validations v;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_validate(&catalog, &v, &err), LQ_OK);
    const struct lq_validation *row = find_row(&v, "fig4", LQ_FIT_STEP_TIME);
    ck_assert(row->held_out);
    ck_assert(!row->has_leave_one_out);
    ck_assert_double_lt(row->errors.mape, 1e-3);
    lq_validations_release(&v);
    free(fits);
}
END_TEST

START_TEST(a_batch_is_good_within_15_percent_or_one_query_and_never_at_0)
{
    const int64_t cases[][3] = {{4, 4, 1},     {3, 4, 1},     {2, 4, 0},   {0, 1, 0},   {1, 1, 1},
                                {2, 1, 1},     {20, 17, 0},   {19, 17, 1}, {15, 17, 1}, {14, 17, 0},
                                {115, 100, 1}, {116, 100, 0}, {85, 100, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(lq_batch_is_good(cases[i][0], cases[i][1]) == (cases[i][2] == 1),
                      "%lld for %lld", (long long)cases[i][0], (long long)cases[i][1]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refit");
    TCase *tests = tcase_create("refit");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, every_identity_and_distribution_gets_its_fits);
    tcase_add_test(tests, one_memory_fit_spans_all_gpus);
    tcase_add_test(tests, the_same_catalog_gives_the_same_fits);
    tcase_add_test(tests, the_order_of_arrival_moves_nothing);
    tcase_add_test(tests, posted_points_beyond_the_device_are_implausible_shipped_ones_stand);
    tcase_add_test(tests, implausible_points_move_nothing);
    tcase_add_test(tests, another_point_makes_another_id);
    tcase_add_test(tests, held_out_points_move_nothing);
    tcase_add_test(tests, points_of_what_the_catalog_lost_are_passed_over);
    tcase_add_test(tests, every_estimator_is_held_against_every_set);
    tcase_add_test(tests, held_out_sets_are_predicted_not_fitted);
    tcase_add_test(tests, a_batch_is_good_within_15_percent_or_one_query_and_never_at_0);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
