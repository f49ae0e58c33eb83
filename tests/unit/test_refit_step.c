/* Fits of the step time in every scope: what each is made of, and what it starts from. */
#include "server/jobs/refit_step.h"

#include "server/jobs/step_sample.h"

#include "core/finetune/evidence.h"
#include "tests/unit/check_main.h"
#include "tests/unit/refit_fixture.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FITS_MAX = 32 };

/* Fits in the order they were made. */
struct made {
    struct lq_fit fits[FITS_MAX];
    uint64_t hashes[FITS_MAX];
    size_t count;
    size_t room; /* false from then on */
};

static bool keep_fit(void *context, const struct lq_fit *fit, uint64_t hash)
{
    struct made *made = context;
    if (made->count == made->room) {
        return false;
    }
    made->hashes[made->count] = hash;
    made->fits[made->count++] = *fit;
    return true;
}

static const struct made *refit_with(const struct lq_filter *filter)
{
    static struct made made;
    made = (struct made){.room = FITS_MAX};
    const struct lq_fit_sink sink = {.add = keep_fit, .context = &made};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit_steps(&catalog, filter, &sink, &err), LQ_OK);
    return &made;
}

static const struct made *refit(void)
{
    return refit_with(NULL);
}

static double variance(const struct lq_belief *belief, int f)
{
    return belief->covariance[f * (LQ_FACTORS_MAX + 1)];
}

START_TEST(each_scope_has_its_fits_the_widest_first)
{
    const struct made *made = refit();
    const enum lq_scope scopes[] = {LQ_SCOPE_ALL, LQ_SCOPE_STACK, LQ_SCOPE_MODEL, LQ_SCOPE_IDENTITY,
                                    LQ_SCOPE_IDENTITY};
    ck_assert_uint_eq(made->count, 5);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(made->fits[i].scope, scopes[i]);
        ck_assert_int_eq(made->fits[i].kind, LQ_FIT_STEP_TIME);
        for (size_t j = 0; j < i; j++) {
            ck_assert_uint_ne(made->hashes[i], made->hashes[j]);
        }
    }
    const struct lq_identity *all = &made->fits[0].identity;
    const struct lq_identity *stack = &made->fits[1].identity;
    const struct lq_identity *model = &made->fits[2].identity;
    ck_assert_str_eq(all->stack, "");
    ck_assert_str_eq(stack->stack, "hf-2024");
    ck_assert_str_eq(stack->model, "");
    ck_assert_str_eq(model->stack, "hf-2024");
    ck_assert_str_eq(model->model, "small-moe");
    ck_assert_int_eq(model->method.kind, LQ_METHOD_LORA);
    ck_assert_int_eq(model->method.rank, 0);
    ck_assert_str_eq(model->gpu, "");
    ck_assert(lq_identity_equal(&made->fits[3].identity, &points[0].identity));
    ck_assert_str_eq(made->fits[4].identity.gpu, "S2");
}
END_TEST

START_TEST(other_methods_and_stacks_are_groups_of_their_own)
{
    for (int i = 0; i < RUNS / 2;
         i++) { /* half of S2's are another method's, half another stack's */
        points[RUNS + i].identity.method = (struct lq_method){.kind = LQ_METHOD_FULL};
        snprintf(points[2 * RUNS - 1 - i].identity.stack, LQ_ID_MAX, "torchtune");
    }
    const struct made *made = refit();
    size_t in[4] = {0};
    for (size_t i = 0; i < made->count; i++) {
        in[made->fits[i].scope]++;
    }
    ck_assert_uint_eq(in[LQ_SCOPE_ALL], 1);
    ck_assert_uint_eq(in[LQ_SCOPE_STACK], 2);
    ck_assert_uint_eq(in[LQ_SCOPE_MODEL], 3);
    ck_assert_uint_eq(in[LQ_SCOPE_IDENTITY], 3);
}
END_TEST

static void swap_points(size_t i, size_t j)
{
    const struct lq_point other = points[j];
    points[j] = points[i];
    points[i] = other;
}

START_TEST(groups_are_found_in_whatever_order_points_arrived)
{
    for (int i = 0; i < 2 * RUNS; i++) { /* two stacks, models and methods, in turns */
        struct lq_identity *id = &points[i].identity;
        snprintf(id->stack, LQ_ID_MAX, "%s", i % 2 == 0 ? "hf-2024" : "torchtune");
        snprintf(id->model, LQ_ID_MAX, "%s", i / 2 % 2 == 0 ? "small-moe" : "other-moe");
        id->method.kind = i / 4 % 2 == 0 ? LQ_METHOD_LORA : LQ_METHOD_FULL;
        snprintf(points[i].id, LQ_ID_MAX, "%02d", 5 * i % (2 * RUNS + 1));
    }
    const struct made first = *refit();
    ck_assert_uint_eq(first.count, 1 + 2 + 8 + 16);
    for (size_t i = 0; i < RUNS; i++) {
        swap_points(i, 2 * RUNS - 1 - i);
        swap_points(i, 7 * i % (2 * RUNS));
    }
    const struct made *second = refit();
    ck_assert_uint_eq(second->count, first.count);
    for (size_t i = 0; i < first.count; i++) {
        ck_assert_uint_eq(second->hashes[i], first.hashes[i]);
        ck_assert_mem_eq(&second->fits[i].belief, &first.fits[i].belief,
                         sizeof first.fits[i].belief);
    }
}
END_TEST

START_TEST(each_fit_starts_from_the_next_wider_one)
{
    const struct made *made = refit();
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        ck_assert_double_eq(made->fits[0].prior[f], 1.0);
        assert_close("stack", made->fits[1].prior[f], made->fits[0].coefficient[f], 1e-12);
        assert_close("model", made->fits[2].prior[f], made->fits[1].coefficient[f], 1e-12);
    }
    for (int i = 0; i < 5; i++) { /* nothing is less sure than what the constants' doubt makes it */
        const struct lq_belief doubt = lq_evidence_doubt();
        double most = variance(&doubt, LQ_FACTOR_NETWORK);
        for (int scope = LQ_SCOPE_ALL; scope < (int)made->fits[i].scope; scope++) {
            const double *apart = lq_evidence_member_log_sd((enum lq_scope)scope);
            most += apart[LQ_FACTOR_NETWORK] * apart[LQ_FACTOR_NETWORK];
        }
        /* nothing was sent: it is as unsure as that, but no more */
        assert_close("network", variance(&made->fits[i].belief, LQ_FACTOR_NETWORK), most, 1e-9);
        ck_assert_double_lt(variance(&made->fits[i].belief, LQ_FACTOR_HOST), most);
    }
}
END_TEST

START_TEST(an_identity_starts_from_its_models_other_identities)
{
    const struct made *made = refit();
    struct lq_step_observation o;
    ck_assert(lq_step_observe(&catalog, &points[5], &o)); /* on S1, whose truth is 1.3 */
    struct lq_fit before = made->fits[3];
    memcpy(before.coefficient, before.prior, sizeof before.coefficient);
    const double started = lq_fit_step_s(&before, &o.parts) / o.step_s;
    /* S2's 2 times, drawn towards 1 by the constants and seen by wider scopes with S1's */
    ck_assert_double_gt(started, 1.2);
    ck_assert_double_lt(started, 2.0 / 1.3);
    assert_close("ended", lq_fit_step_s(&made->fits[3], &o.parts) / o.step_s, 1.0, 5e-3);
}
END_TEST

START_TEST(a_fit_tells_what_it_is_made_of)
{
    const struct made *made = refit();
    const struct lq_fit *s1 = &made->fits[3];
    ck_assert_uint_eq(s1->points, RUNS);
    ck_assert_str_eq(s1->sources, "lab,laboratory");
    ck_assert_str_eq(s1->data, "a,b");
    ck_assert_double_eq(s1->row_range[0], 300.0);
    ck_assert_double_eq(s1->row_range[1], 700.0);
    ck_assert_double_eq(s1->step_tokens[0], 300.0);
    ck_assert_double_eq(s1->step_tokens[1], 6.0 * 700.0);
    const unsigned moe = lq_model_class(&catalog.models[0].model);
    for (size_t i = 0; i < made->count; i++) {
        ck_assert_uint_eq(made->fits[i].calibrated, lq_fit_class(LQ_METHOD_LORA, moe));
    }
}
END_TEST

START_TEST(published_runs_are_evidence_but_no_calibrations)
{
    catalog.runs = points;
    catalog.run_count = 2 * RUNS;
    catalog.point_count = 0;
    catalog.points = NULL;
    const struct made *made = refit();
    ck_assert_uint_eq(made->count, 5);
    ck_assert_uint_eq(made->fits[3].points, RUNS);
    for (size_t i = 0; i < made->count; i++) {
        ck_assert_uint_eq(made->fits[i].calibrated, 0);
    }
}
END_TEST

START_TEST(wide_scopes_take_a_few_points_of_each_identity)
{
    const struct made *made = refit();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(made->fits[i].points, 2 * 16);
        /* both ends of what was measured are among them */
        ck_assert_double_eq(made->fits[i].row_range[0], 300.0);
        ck_assert_double_eq(made->fits[i].row_range[1], 700.0);
    }
}
END_TEST

START_TEST(an_identity_counts_all_its_points_however_few_are_looked_at)
{
    static struct lq_point many[600];
    for (int i = 0; i < 600; i++) {
        many[i] = points[i % RUNS];
        snprintf(many[i].id, sizeof many[i].id, "%03d", i);
    }
    catalog.points = many;
    catalog.point_count = 600;
    const struct made *made = refit();
    ck_assert_uint_eq(made->fits[3].points, 600);
    const uint64_t hash = made->hashes[3];
    many[1].queries_per_s *= 1.001; /* one that evenly spread ones pass over */
    ck_assert_uint_ne(refit()->hashes[3], hash);
}
END_TEST

static bool is_on_s1(const void *context, const struct lq_point *point)
{
    return strcmp(point->identity.gpu, context) == 0;
}

START_TEST(a_filter_leaves_points_out_of_every_scope)
{
    const struct lq_filter filter = {.keep = is_on_s1, .context = "S1"};
    const struct made some = *refit_with(&filter);
    ck_assert_uint_eq(some.count, 4);
    catalog.point_count = RUNS;
    const struct made *alone = refit();
    for (size_t i = 0; i < some.count; i++) {
        ck_assert_uint_eq(some.hashes[i], alone->hashes[i]);
        ck_assert_mem_eq(&some.fits[i].belief, &alone->fits[i].belief, sizeof some.fits[i].belief);
    }
}
END_TEST

START_TEST(a_point_is_seen_as_the_step_of_its_job)
{
    struct lq_point p = points[5];
    p.conditions.queries_per_row = 3.0;
    p.identity.gpu_count = 4;
    p.identity.layout = lq_layout_replicas(4, 8);
    p.queries_per_s = 8.0;
    struct lq_step_observation o;
    ck_assert(lq_step_observe(&catalog, &p, &o));
    const double queries = (double)p.conditions.batch_size * 4.0 * 3.0;
    ck_assert_double_eq(o.queries, queries);
    assert_close("step", o.step_s, queries / 8.0, 1e-12);
    ck_assert_double_gt(o.parts.flow[LQ_TERM_ALL_REDUCE].hideable_once_s, 0.0);
    p.conditions.queries_per_row = 0.0; /* rows that were not said to be packed */
    ck_assert(lq_step_observe(&catalog, &p, &o));
    ck_assert_double_eq(o.queries, queries / 3.0);
    p.queries_per_s = 0.0;
    ck_assert(!lq_step_observe(&catalog, &p, &o)); /* only its memory was measured */
    p = points[5];
    snprintf(p.identity.model, sizeof p.identity.model, "gone");
    ck_assert(!lq_step_observe(&catalog, &p, &o));
    p = points[5];
    snprintf(p.identity.gpu, sizeof p.identity.gpu, "gone");
    ck_assert(!lq_step_observe(&catalog, &p, &o));
}
END_TEST

START_TEST(points_share_the_work_that_is_the_same)
{
    struct lq_sampling sampling;
    struct lq_error err = {0};
    struct lq_point added[8];
    for (size_t i = 0; i < 8; i++) {
        added[i] = points[5];
        added[i].queries_per_s *= 1.0 + 0.01 * (double)i;
    }
    added[2].conditions.batch_size++;
    added[3].conditions.active_experts *= 2;
    added[4].conditions.row_tokens += 1.0;
    added[5].conditions.accumulation_steps = 4;
    added[6].identity = identity_on("S2");
    added[7].queries_per_s = 0.0; /* nothing was seen of its step */
    ck_assert_int_eq(lq_sampling_begin(&sampling, &catalog, 9, &err), LQ_OK);
    for (size_t i = 0; i < 8; i++) {
        ck_assert_int_eq(lq_sampling_add(&sampling, &added[i], 2.0, &err), LQ_OK);
    }
    ck_assert_int_eq(lq_sampling_add(&sampling, &added[6], 1.0, &err), LQ_OK);
    const struct lq_step_sample sample = lq_sampling_sample(&sampling);
    ck_assert_uint_eq(sample.count, 8);
    ck_assert_uint_eq(sample.parts_count, 6);
    for (size_t i = 0; i < 7; i++) { /* each has what it would have alone */
        struct lq_step_observation alone;
        const struct lq_timed_step *timed = &sample.steps[i];
        ck_assert(lq_step_observe(&catalog, &added[i], &alone));
        ck_assert_mem_eq(&sample.parts[timed->parts], &alone.parts, sizeof alone.parts);
        ck_assert_double_eq(timed->step_s, alone.step_s);
        ck_assert_double_eq(timed->queries, alone.queries);
        ck_assert_double_eq(timed->siblings, 2.0);
    }
    ck_assert_uint_eq(sample.steps[7].parts, sample.steps[6].parts);
    lq_sampling_end(&sampling);
}
END_TEST

START_TEST(no_points_make_no_fits)
{
    catalog.point_count = 0;
    ck_assert_uint_eq(refit()->count, 0);
}
END_TEST

START_TEST(a_full_sink_ends_the_refit)
{
    static struct made made = {.room = 1};
    const struct lq_fit_sink sink = {.add = keep_fit, .context = &made};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit_steps(&catalog, NULL, &sink, &err), LQ_EINTERNAL);
    ck_assert_uint_eq(made.count, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refit_step");
    TCase *tests = tcase_create("refit_step");
    tcase_add_checked_fixture(tests, fill_catalog, NULL);
    tcase_add_test(tests, each_scope_has_its_fits_the_widest_first);
    tcase_add_test(tests, other_methods_and_stacks_are_groups_of_their_own);
    tcase_add_test(tests, groups_are_found_in_whatever_order_points_arrived);
    tcase_add_test(tests, each_fit_starts_from_the_next_wider_one);
    tcase_add_test(tests, an_identity_starts_from_its_models_other_identities);
    tcase_add_test(tests, a_fit_tells_what_it_is_made_of);
    tcase_add_test(tests, published_runs_are_evidence_but_no_calibrations);
    tcase_add_test(tests, wide_scopes_take_a_few_points_of_each_identity);
    tcase_add_test(tests, an_identity_counts_all_its_points_however_few_are_looked_at);
    tcase_add_test(tests, a_filter_leaves_points_out_of_every_scope);
    tcase_add_test(tests, a_point_is_seen_as_the_step_of_its_job);
    tcase_add_test(tests, no_points_make_no_fits);
    tcase_add_test(tests, points_share_the_work_that_is_the_same);
    tcase_add_test(tests, a_full_sink_ends_the_refit);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
