/* Which fit speaks for a job's memory, how sure it is, and what failures do to its batch. */
#include "core/finetune/evidence.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A memory fit whose activations are `activation` of what is counted, all factors sure to 5 %. */
static struct lq_fit memory_fit(enum lq_scope scope, const struct lq_identity *of,
                                double activation)
{
    struct lq_fit fit = {.kind = LQ_FIT_MEMORY,
                         .scope = scope,
                         .identity = *of,
                         .points = 4,
                         .belief = {.factors = LQ_MEMORY_FACTORS}};
    const double log_sd[] = {0.05, 0.05, 0.05, 0.05};
    fit.belief.mean[0] = log(activation);
    lq_belief_widen(&fit.belief, log_sd);
    fit.identity.gpu[0] = '\0';
    return fit;
}

/* Fits of every scope that lie ever further from small_job, the furthest first. */
enum { OTHER_STACK, ANYTHING, STACK, MODEL, OWN, FITS };

static void fill_fits(const struct lq_identity *own, struct lq_fit fits[FITS])
{
    struct lq_identity other = *own;
    snprintf(other.stack, sizeof other.stack, "torchtune");
    fits[ANYTHING] = memory_fit(LQ_SCOPE_ALL, own, 1.1);
    fits[OTHER_STACK] = memory_fit(LQ_SCOPE_MODEL, &other, 1.2);
    fits[STACK] = memory_fit(LQ_SCOPE_STACK, own, 1.3);
    fits[MODEL] = memory_fit(LQ_SCOPE_MODEL, own, 1.4);
    fits[OWN] = memory_fit(LQ_SCOPE_IDENTITY, own, 1.5);
}

static const double SLOPES[LQ_MEMORY_FACTORS] = {0.4, 0.1, 0.1, 0.0};

static struct lq_basis choose(const struct lq_fit *fits, size_t n, const struct lq_identity *of)
{
    const struct lq_evidence evidence = {.fits = fits, .fit_count = n};
    const struct lq_applicant applicant = {.identity = of, .model_class = 1};
    return lq_evidence_memory(&evidence, &applicant);
}

START_TEST(the_nearest_fit_speaks_and_is_the_surer_the_nearer)
{
    const struct lq_job job = small_job();
    const struct lq_identity own = lq_job_identity(&job);
    struct lq_fit fits[FITS];
    fill_fits(&own, fits);
    double sd = HUGE_VAL;
    for (int n = 1; n <= FITS; n++) {
        const struct lq_basis basis = choose(fits, (size_t)n, &own);
        ck_assert_ptr_eq(basis.fit, &fits[n - 1]);
        ck_assert_int_eq(basis.kind, n == FITS ? LQ_BASIS_CALIBRATED : LQ_BASIS_TRANSFERRED);
        ck_assert_double_eq(basis.belief.mean[0], fits[n - 1].belief.mean[0]);
        const double now = lq_basis_memory_log_sd(&basis, SLOPES);
        ck_assert(n == ANYTHING + 1 || now < sd); /* which is of many, of other models */
        sd = now;
    }
}
END_TEST

START_TEST(a_fit_holds_on_any_gpu)
{
    const struct lq_job job = small_job();
    struct lq_identity id = lq_job_identity(&job);
    const struct lq_fit fit = memory_fit(LQ_SCOPE_IDENTITY, &id, 1.5);
    snprintf(id.gpu, sizeof id.gpu, "another");
    ck_assert_int_eq(choose(&fit, 1, &id).kind, LQ_BASIS_CALIBRATED);
    id.method.rank = 64;
    ck_assert_ptr_null(choose(&fit, 1, &id).fit);
}
END_TEST

START_TEST(a_stacks_calibrations_of_the_same_class_are_transferred)
{
    const struct lq_job job = small_job();
    const struct lq_identity id = lq_job_identity(&job);
    struct lq_fit fit = memory_fit(LQ_SCOPE_STACK, &id, 1.5);
    fit.calibrated = lq_fit_class(id.method.kind, 0);
    ck_assert_int_eq(choose(&fit, 1, &id).kind, LQ_BASIS_PRIOR);
    fit.calibrated |= lq_fit_class(id.method.kind, 1);
    ck_assert_int_eq(choose(&fit, 1, &id).kind, LQ_BASIS_TRANSFERRED);
}
END_TEST

START_TEST(throughput_says_nothing_of_memory)
{
    const struct lq_job job = small_job();
    const struct lq_identity id = lq_job_identity(&job);
    struct lq_fit fit = memory_fit(LQ_SCOPE_IDENTITY, &id, 1.5);
    fit.kind = LQ_FIT_STEP_TIME;
    const struct lq_basis basis = choose(&fit, 1, &id);
    ck_assert_ptr_null(basis.fit);
    ck_assert_int_eq(basis.kind, LQ_BASIS_PRIOR);
    for (int f = 0; f < LQ_MEMORY_FACTORS; f++) {
        ck_assert_double_eq(basis.belief.mean[f], 0.0);
    }
}
END_TEST

START_TEST(a_stack_that_nobody_described_is_less_sure)
{
    const struct lq_job job = small_job();
    struct lq_identity id = lq_job_identity(&job);
    struct lq_fit fits[FITS];
    fill_fits(&id, fits);
    const double known = choose(fits, 1, &id).log_sd;
    snprintf(id.stack, sizeof id.stack, "nobody's");
    ck_assert_double_gt(choose(fits, 1, &id).log_sd, 1.5 * known);
    const struct lq_fit own = memory_fit(LQ_SCOPE_IDENTITY, &id, 1.5); /* until it is measured */
    ck_assert_double_le(choose(&own, 1, &id).log_sd, known);
}
END_TEST

START_TEST(an_own_fit_gets_surer_with_its_points)
{
    const struct lq_job job = small_job();
    const struct lq_identity id = lq_job_identity(&job);
    struct lq_fit fit = memory_fit(LQ_SCOPE_IDENTITY, &id, 1.5);
    const double four = lq_evidence_memory_scatter(&fit);
    fit.points = 1;
    assert_close("one point", lq_evidence_memory_scatter(&fit), 2.0 * four, 1e-12);
    assert_close("none", lq_evidence_memory_scatter(NULL), 2.0 * four, 1e-12);
    fit.residual_log = 0.3;
    ck_assert_double_gt(lq_evidence_memory_scatter(&fit), 0.3);
}
END_TEST

START_TEST(members_differ_in_every_scope_but_an_identitys)
{
    const struct lq_belief doubt = lq_evidence_memory_doubt();
    ck_assert_int_eq(doubt.factors, LQ_MEMORY_FACTORS);
    for (int scope = LQ_SCOPE_ALL; scope < LQ_SCOPE_IDENTITY; scope++) {
        const double *apart = lq_evidence_memory_member_log_sd((enum lq_scope)scope);
        for (int f = 0; f < LQ_MEMORY_FACTORS; f++) {
            ck_assert_double_gt(apart[f], 0.0);
        }
    }
    ck_assert_ptr_null(lq_evidence_memory_member_log_sd(LQ_SCOPE_IDENTITY));
}
END_TEST

START_TEST(a_fit_moves_the_batch_and_its_interval)
{
    struct lq_job job = small_job();
    const struct lq_memory memory = lq_job_memory(&job);
    SMALL_GPU.memory_bytes = lq_memory_total_bytes(&memory, &LQ_MEMORY_FACTORS_ONE, 6.5, 512.0);
    const struct lq_identity id = lq_job_identity(&job);
    struct lq_fit fit = memory_fit(LQ_SCOPE_IDENTITY, &id, 2.0);
    fit.belief.mean[1] = log(2.0);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate e = quote(&job, &evidence);
    ck_assert_int_eq(e.max_batch_size, 3);
    ck_assert_int_eq(e.memory_basis.kind, LQ_BASIS_CALIBRATED);
    const struct lq_estimate prior = quote(&job, &NOTHING);
    ck_assert_int_eq(prior.max_batch_size, 6);
    ck_assert_double_lt(e.interval.memory_bytes[1] / e.interval.memory_bytes[0],
                        prior.interval.memory_bytes[1] / prior.interval.memory_bytes[0]);
    job.confidence = 0.5;
    const struct lq_estimate half = quote(&job, &evidence);
    ck_assert_double_gt(half.interval.memory_bytes[0], e.interval.memory_bytes[0]);
    ck_assert_double_lt(half.interval.memory_bytes[1], e.interval.memory_bytes[1]);
    assert_close("centre", half.interval.memory_bytes[0] * half.interval.memory_bytes[1],
                 half.total_bytes * half.total_bytes, 1e-9);
}
END_TEST

static struct lq_point failure(const struct lq_job *job, int64_t batch_size, double row_tokens)
{
    return (struct lq_point){.identity = lq_job_identity(job),
                             .conditions = {.active_experts = job->active_experts,
                                            .batch_size = batch_size,
                                            .accumulation_steps = 1,
                                            .row_tokens = row_tokens},
                             .out_of_memory = true};
}

START_TEST(failures_are_found_by_identity_length_and_experts)
{
    struct lq_job job = small_job();
    const struct lq_point points[] = {failure(&job, 8, 512.0), failure(&job, 6, 512.0),
                                      failure(&job, 2, 1024.0)};
    const struct lq_evidence evidence = {.points = points, .point_count = 3};
    struct lq_identity id = lq_job_identity(&job);
    const int64_t experts = job.active_experts;
    ck_assert_int_eq(lq_evidence_too_large(&evidence, &id, experts, 512.0), 6);
    ck_assert_int_eq(lq_evidence_too_large(&evidence, &id, experts, 1024.0), 2);
    ck_assert_int_eq(lq_evidence_too_large(&evidence, &id, experts, 511.0), 0);
    ck_assert_int_eq(lq_evidence_too_large(&evidence, &id, experts + 1, 512.0), 0);
    snprintf(id.gpu, sizeof id.gpu, "larger");
    ck_assert_int_eq(lq_evidence_too_large(&evidence, &id, experts, 512.0), 0);
    const struct lq_point run = {.identity = lq_job_identity(&job),
                                 .conditions = {.batch_size = 1}};
    const struct lq_evidence none = {.points = &run, .point_count = 1};
    id = run.identity;
    ck_assert_int_eq(lq_evidence_too_large(&none, &id, 0, 512.0), 0);
}
END_TEST

/* Six rows are counted to fit: one that failed is not answered yes. */
START_TEST(what_was_tried_and_failed_is_answered_no_or_uncertain)
{
    for (int64_t failed = 1; failed <= 6; failed++) {
        struct lq_job job = small_job();
        const struct lq_memory memory = lq_job_memory(&job);
        SMALL_GPU.memory_bytes = lq_memory_total_bytes(&memory, &LQ_MEMORY_FACTORS_ONE, 6.5, 512.0);
        const struct lq_point point = failure(&job, failed, 512.0);
        const struct lq_evidence evidence = {.points = &point, .point_count = 1};
        const struct lq_estimate largest = quote(&job, &evidence);
        ck_assert_int_eq(largest.max_batch_size, failed > 1 ? failed - 1 : 1);
        ck_assert_int_eq(warns(&largest, LQ_WARN_MAY_NOT_FIT), failed == 1);
        ck_assert_int_le(largest.interval.max_batch_size[0], largest.max_batch_size);
        job.batch_size = failed;
        const struct lq_estimate asked = quote(&job, &evidence);
        ck_assert(warns(&asked, LQ_WARN_MAY_NOT_FIT));
        ck_assert_int_eq(asked.batch_size, failed);
    }
}
END_TEST

START_TEST(a_refusal_tells_what_each_device_holds)
{
    struct lq_job job = small_job();
    SMALL_GPU.memory_bytes = 1e8;
    SMALL_GPU.interconnect_bytes_per_s = 1e9;
    job.network = (struct lq_network){.node_gpu_count = 8};
    job.gpu_count = 8;
    job.layout = LQ_LAYOUT_SINGLE;
    job.layout.data = 4;
    job.layout.tensor = 2;
    job.layout.zero_stage = 3;
    const struct lq_error err = refusal(&job, &NOTHING);
    ck_assert_int_eq(err.code, LQ_ENOFIT);
    ck_assert_msg(strstr(err.detail, "of S1 as data 4 x tensor 2, ZeRO 3; ") != NULL, "%s",
                  err.detail);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("evidence_memory");
    TCase *tests = tcase_create("evidence_memory");
    tcase_add_test(tests, the_nearest_fit_speaks_and_is_the_surer_the_nearer);
    tcase_add_test(tests, a_fit_holds_on_any_gpu);
    tcase_add_test(tests, a_stacks_calibrations_of_the_same_class_are_transferred);
    tcase_add_test(tests, throughput_says_nothing_of_memory);
    tcase_add_test(tests, a_stack_that_nobody_described_is_less_sure);
    tcase_add_test(tests, an_own_fit_gets_surer_with_its_points);
    tcase_add_test(tests, members_differ_in_every_scope_but_an_identitys);
    tcase_add_test(tests, a_fit_moves_the_batch_and_its_interval);
    tcase_add_test(tests, failures_are_found_by_identity_length_and_experts);
    tcase_add_test(tests, what_was_tried_and_failed_is_answered_no_or_uncertain);
    tcase_add_test(tests, a_refusal_tells_what_each_device_holds);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
