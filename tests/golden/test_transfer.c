/* How far measurements of Xia et al. 2024 (arXiv 2408.04693) carry: from one data set to another,
 * and from one GPU to another that was never measured, or twice. */
#include "server/jobs/refit.h"
#include "server/jobs/refit_step.h"
#include "tests/golden/seeded.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <string.h>

static const struct lq_catalog *catalog;

/* README of the data: a line fitted on CS predicts MATH on the A40 with 0.7 % (Mixtral) and 8.8 %
 * (BlackMamba, two noisy points) mean error. */
static const struct {
    const char *model;
    const char *from;
    const char *to;
    double error_at_most;
} DATA[] = {
    {"mixtral-8x7b", "xia2024-mixtral-cs-a40", "xia2024-mixtral-math-a40", 0.010},
    {"blackmamba-2.8b", "xia2024-blackmamba-cs-a40", "xia2024-blackmamba-math-a40", 0.09},
};
enum { DATA_COUNT = sizeof DATA / sizeof DATA[0] };

START_TEST(a_fit_on_cs_predicts_math)
{
    const struct lq_point *from[SELECTED_MAX];
    const struct lq_point *to[SELECTED_MAX];
    const size_t n =
        points_of(catalog, &(struct lq_selection){DATA[_i].model, "A40", DATA[_i].from}, from);
    const size_t m =
        points_of(catalog, &(struct lq_selection){DATA[_i].model, "A40", DATA[_i].to}, to);
    struct lq_belief prior;
    struct lq_fit fit;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit_prior(catalog, &from[0]->identity, &prior, &err), LQ_OK);
    ck_assert_int_eq(lq_refit_identity(catalog, from, n, NULL, &prior, &fit, &err), LQ_OK);
    assert_at_most(DATA[_i].to, mean_error(catalog, &fit, to, m), DATA[_i].error_at_most);
}
END_TEST

/* Everything measured but what is Mixtral's on another GPU than the A40, and two points at most. */
struct known {
    const struct lq_point *extra[2];
};

static bool is_known(const void *context, const struct lq_point *point)
{
    const struct known *known = context;
    return strcmp(point->identity.model, "mixtral-8x7b") != 0 ||
           strcmp(point->identity.gpu, "A40") == 0 || point == known->extra[0] ||
           point == known->extra[1];
}

enum { FITS_MAX = 256 };
static struct lq_fit fits[FITS_MAX];
static size_t fit_count;

static bool keep_fit(void *context, const struct lq_fit *fit, uint64_t hash)
{
    (void)context;
    (void)hash;
    ck_assert_uint_lt(fit_count, FITS_MAX);
    fits[fit_count++] = *fit;
    return true;
}

static void refit_from(const struct known *known)
{
    const struct lq_filter filter = {is_known, known};
    const struct lq_fit_sink sink = {keep_fit, NULL};
    struct lq_error err = {0};
    fit_count = 0;
    ck_assert_int_eq(lq_refit_steps(catalog, &filter, &sink, &err), LQ_OK);
}

/* What the refitted evidence says of a point, as an estimate would take it. */
static double predicted_s(const struct lq_point *point, const struct lq_step_parts *parts,
                          enum lq_basis_kind want)
{
    const struct lq_model *model = lq_catalog_any_model(catalog, point->identity.model);
    const struct lq_evidence evidence = {.fits = fits, .fit_count = fit_count};
    const struct lq_applicant applicant = {.identity = &point->identity,
                                           .model_class = lq_model_class(model),
                                           .data = point->conditions.lengths};
    const struct lq_basis basis = lq_evidence_step(&evidence, &applicant);
    ck_assert_int_eq(basis.kind, want);
    double factor[LQ_FACTOR_COUNT];
    struct lq_step_time step;
    lq_belief_factors(&basis.belief, factor);
    lq_step_evaluate(parts, factor, &step);
    return step.total_s;
}

/* Mean |predicted / measured - 1| of the rate over the points. */
static double error_from(const struct known *known, const struct lq_point *const *points, size_t n,
                         enum lq_basis_kind want)
{
    double sum = 0.0;
    refit_from(known);
    for (size_t i = 0; i < n; i++) {
        struct lq_step_observation o;
        ck_assert(lq_step_observe(catalog, points[i], &o));
        sum += fabs(o.step_s / predicted_s(points[i], &o.parts, want) - 1.0);
    }
    return sum / (double)n;
}

/* The smallest dense and the largest sparse batch. */
static struct known two_ends(const struct lq_point *const *points, size_t n)
{
    struct known ends = {{NULL, NULL}};
    for (size_t i = 0; i < n; i++) {
        const struct lq_conditions *c = &points[i]->conditions;
        const int end = c->active_experts == 8 ? 0 : 1;
        const struct lq_point *other = ends.extra[end];
        if (other == NULL || (end == 0) == (c->batch_size < other->conditions.batch_size)) {
            ends.extra[end] = points[i];
        }
    }
    ck_assert(ends.extra[0] != NULL && ends.extra[1] != NULL);
    return ends;
}

/* Asked for over all points of the GPU: 20 % without any of them, 8 % with two. Over the other 17
 * alone it is 4.2 and 8.2 %: between batches 9 and 11 the H100's step time falls by 7 %, where two
 * runs were probably mixed (README of the data, 13), and no smooth form follows. */
static const char *const TARGETS[] = {"A100-80GB-PCIe", "H100-PCIe-80GB"};
enum { TARGET_COUNT = sizeof TARGETS / sizeof TARGETS[0] };

START_TEST(the_a40_predicts_a_gpu_that_was_never_measured)
{
    const struct lq_point *points[SELECTED_MAX];
    const struct lq_selection target = {"mixtral-8x7b", TARGETS[_i], NULL};
    const size_t n = points_of(catalog, &target, points);
    const struct known nothing = {{NULL, NULL}};
    assert_at_most(TARGETS[_i], error_from(&nothing, points, n, LQ_BASIS_TRANSFERRED), 0.20);
}
END_TEST

START_TEST(two_points_calibrate_another_gpu)
{
    const struct lq_point *points[SELECTED_MAX];
    const struct lq_selection target = {"mixtral-8x7b", TARGETS[_i], NULL};
    const size_t n = points_of(catalog, &target, points);
    const struct known ends = two_ends(points, n);
    assert_at_most(TARGETS[_i], error_from(&ends, points, n, LQ_BASIS_CALIBRATED), 0.08);
}
END_TEST

static void setup(void)
{
    catalog = seeded_open();
}

int main(void)
{
    TCase *cases = tcase_create("transfer");
    tcase_add_unchecked_fixture(cases, setup, seeded_close);
    tcase_add_loop_test(cases, a_fit_on_cs_predicts_math, 0, DATA_COUNT);
    tcase_add_loop_test(cases, the_a40_predicts_a_gpu_that_was_never_measured, 0, TARGET_COUNT);
    tcase_add_loop_test(cases, two_points_calibrate_another_gpu, 0, TARGET_COUNT);
    Suite *suite = suite_create("transfer");
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
