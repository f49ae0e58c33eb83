/* The batch of a job: the largest that fits, the one asked for, and why one is refused. */
#include "core/finetune/estimate.h"
#include "core/finetune/xia2024.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct lq_memory_factors *const ONE = &LQ_MEMORY_FACTORS_ONE;

/* Shrinks the GPU so that exactly `rows` rows of `tokens` fit at factor 1, with half a row to
 * spare. */
static void fit_exactly(const struct lq_job *job, double rows, double tokens)
{
    const struct lq_memory m = lq_job_memory(job);
    SMALL_GPU.memory_bytes = lq_memory_total_bytes(&m, ONE, rows + 0.5, tokens);
}

START_TEST(max_is_the_largest_that_fits_the_longest_row)
{
    struct lq_job job = small_job();
    fit_exactly(&job, 3.0, 512.0);
    const struct lq_estimate e = quote(&job, &NOTHING);
    ck_assert_int_eq(e.max_batch_size, 3);
    ck_assert_int_eq(e.batch_size, 3);
    ck_assert_double_le(e.total_bytes, SMALL_GPU.memory_bytes);
    ck_assert_int_le(e.interval.max_batch_size[0], 3);
    ck_assert_int_ge(e.interval.max_batch_size[1], 3);
    ck_assert_double_lt(e.interval.memory_bytes[0], e.total_bytes);
    ck_assert_double_gt(e.interval.memory_bytes[1], e.total_bytes);
}
END_TEST

START_TEST(a_batch_below_the_largest_is_taken_as_asked)
{
    struct lq_job job = small_job();
    fit_exactly(&job, 3.0, 512.0);
    job.batch_size = 2;
    const struct lq_estimate e = quote(&job, &NOTHING);
    ck_assert_int_eq(e.batch_size, 2);
    ck_assert_int_eq(e.max_batch_size, 3);
    ck_assert(!warns(&e, LQ_WARN_MAY_NOT_FIT));
}
END_TEST

START_TEST(within_the_interval_a_batch_may_not_fit_beyond_it_does_not)
{
    struct lq_job job = small_job();
    fit_exactly(&job, 3.0, 512.0);
    ck_assert_int_gt(quote(&job, &NOTHING).interval.max_batch_size[1], 3);
    job.batch_size = 4;
    const struct lq_estimate e = quote(&job, &NOTHING);
    ck_assert(warns(&e, LQ_WARN_MAY_NOT_FIT));
    ck_assert_int_eq(e.batch_size, 4);
    /* however wide the interval: not what is counted at more than 1.25 of the device */
    const double row_bytes = lq_memory_total_bytes(&e.memory, ONE, 5.0, 512.0) - e.total_bytes;
    const double room_bytes = 1.25 * job.gpu->memory_bytes - e.total_bytes;
    job.batch_size = 4 + (int64_t)(room_bytes / row_bytes);
    const struct lq_estimate doubtful = quote(&job, &NOTHING);
    ck_assert(warns(&doubtful, LQ_WARN_MAY_NOT_FIT));
    job.batch_size++;
    const struct lq_error err = refusal(&job, &NOTHING);
    ck_assert_int_eq(err.code, LQ_ENOFIT);
    ck_assert_str_eq(err.pointer, "/batch_size");
    ck_assert_ptr_nonnull(strstr(err.detail, "a batch of 3 would fit"));
}
END_TEST

/* The numbers after `before` in a refusal. */
static double number_after(const char *text, const char *before)
{
    const char *at = strstr(text, before);
    ck_assert_msg(at != NULL, "no \"%s\" in \"%s\"", before, text);
    return strtod(at + strlen(before), NULL);
}

START_TEST(a_refusal_tells_the_missing_bytes)
{
    struct lq_job job = small_job();
    const struct lq_memory m = lq_job_memory(&job);
    SMALL_GPU.memory_bytes = 1.5e9;
    const struct lq_error err = refusal(&job, &NOTHING);
    ck_assert_int_eq(err.code, LQ_ENOFIT);
    ck_assert_str_eq(err.pointer, "/gpu");
    const double needed = lq_memory_total_bytes(&m, ONE, 1.0, 512.0);
    ck_assert_double_eq_tol(number_after(err.detail, "needs "), needed, 1.0);
    ck_assert_double_eq_tol(number_after(err.detail, "bytes, "), needed - 1.5e9, 1.0);
    ck_assert_double_eq(number_after(err.detail, "more than the "), 1.5e9);
    ck_assert_ptr_nonnull(strstr(err.detail, "of S1"));
}
END_TEST

START_TEST(a_refusal_tells_what_would_fit)
{
    struct lq_job job = small_job();
    fit_exactly(&job, 0.0, 512.0); /* half a row of 512 tokens: one of up to 256 fits */
    const double longest = number_after(refusal(&job, &NOTHING).detail, "; rows of up to ");
    ck_assert_double_eq_tol(longest, 256.0, 1.5);

    job.training.checkpointing = LQ_CHECKPOINTING_NONE; /* no row of any length fits below: */
    job.method = (struct lq_method){.kind = LQ_METHOD_FULL};
    const struct lq_memory full = lq_job_memory(&job);
    SMALL_GPU.memory_bytes = lq_memory_fixed_bytes(&full); /* fragmentation takes its share of it */
    const struct lq_error lora = refusal(&job, &NOTHING);
    ck_assert_ptr_nonnull(strstr(lora.detail, "lora of rank 16"));

    job.method = small_job().method;
    job.gpu = &SMALL_GPU;
    const struct lq_memory adapters = lq_job_memory(&job);
    SMALL_GPU.memory_bytes = lq_memory_fixed_bytes(&adapters);
    ck_assert_ptr_nonnull(strstr(refusal(&job, &NOTHING).detail, "qlora of rank 16"));

    SMALL_GPU.memory_bytes = 1e8; /* less than a context: nothing but another device helps */
    const struct lq_error device = refusal(&job, &NOTHING);
    const double gib = number_after(device.detail, "a device of at least ");
    ck_assert_double_eq_tol(gib, lq_memory_total_bytes(&adapters, ONE, 1.0, 512.0) / 1073741824.0,
                            0.051);
}
END_TEST

/* A memory fit of the job's model, method and stack. */
static struct lq_fit memory_fit(const struct lq_job *job, double factor)
{
    struct lq_fit fit = {.id = "memory",
                         .kind = LQ_FIT_MEMORY,
                         .scope = LQ_SCOPE_IDENTITY,
                         .identity = lq_job_identity(job),
                         .points = 9,
                         .belief = {.factors = LQ_MEMORY_FACTORS}};
    fit.belief.mean[0] = fit.belief.mean[1] = log(factor);
    fit.identity.gpu[0] = '\0';
    return fit;
}

START_TEST(a_measured_factor_moves_the_largest_batch)
{
    struct lq_job job = small_job();
    fit_exactly(&job, 6.0, 512.0);
    const struct lq_fit fit = memory_fit(&job, 2.0);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate e = quote(&job, &evidence);
    ck_assert_int_eq(e.max_batch_size, 3);
    ck_assert_int_eq(e.memory_basis.kind, LQ_BASIS_CALIBRATED);
    ck_assert(!warns(&e, LQ_WARN_MEMORY_PRIOR));
    const struct lq_estimate prior = quote(&job, &NOTHING);
    ck_assert_double_lt(e.interval.memory_bytes[1] / e.total_bytes,
                        prior.interval.memory_bytes[1] / prior.total_bytes);
}
END_TEST

START_TEST(memory_of_other_settings_is_carried_over_and_says_so)
{
    struct lq_job job = small_job();
    fit_exactly(&job, 6.0, 512.0);
    struct lq_fit fit = memory_fit(&job, 2.0);
    fit.scope = LQ_SCOPE_MODEL;
    fit.identity.method.rank = 64;
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate e = quote(&job, &evidence);
    ck_assert_int_eq(e.max_batch_size, 3);
    ck_assert_int_eq(e.memory_basis.kind, LQ_BASIS_TRANSFERRED);
    ck_assert(warns(&e, LQ_WARN_MEMORY_TRANSFERRED));
    ck_assert(!warns(&e, LQ_WARN_MEMORY_PRIOR));
}
END_TEST

static struct lq_point run_of(const struct lq_job *job, int64_t batch_size)
{
    return (struct lq_point){.id = "run",
                             .identity = lq_job_identity(job),
                             .conditions = {.active_experts = 2,
                                            .batch_size = batch_size,
                                            .accumulation_steps = 1,
                                            .sequence_tokens = 512},
                             .queries_per_s = 1.0};
}

START_TEST(a_batch_that_was_run_fits_whatever_the_model_says)
{
    struct lq_job job = small_job();
    const int64_t batches[] = {1, 2, 40};
    for (int i = 0; i < 3; i++) {
        fit_exactly(&job, 0.0, 256.0);
        const struct lq_point point = run_of(&job, batches[i]);
        const struct lq_evidence evidence = {.points = &point, .point_count = 1};
        job.batch_size = batches[i];
        const struct lq_estimate e = quote(&job, &evidence);
        ck_assert(warns(&e, LQ_WARN_BATCH_MEASURED));
        ck_assert_int_eq(e.batch_size, batches[i]);
    }
}
END_TEST

START_TEST(the_measured_estimator_answers_at_the_batch_that_was_run)
{
    struct lq_job job = small_job();
    fit_exactly(&job, 3.0, 512.0);
    const struct lq_point point = run_of(&job, 40);
    const struct lq_evidence evidence = {.points = &point, .point_count = 1};
    job.estimator = LQ_ESTIMATOR_MEASURED;
    const struct lq_estimate e = quote(&job, &evidence);
    ck_assert_int_eq(e.batch_size, 40);
    ck_assert_int_eq(e.max_batch_size, 40);
    ck_assert(warns(&e, LQ_WARN_BATCH_MEASURED));
    ck_assert_int_le(e.interval.max_batch_size[0], e.max_batch_size);
    ck_assert_int_ge(e.interval.max_batch_size[1], e.max_batch_size);
}
END_TEST

START_TEST(one_row_is_judged_like_two)
{
    /* the count says that no row fits, its interval says that one may */
    struct lq_job job = small_job();
    fit_exactly(&job, 0.3, 512.0);
    for (job.batch_size = 1; job.batch_size <= 2; job.batch_size++) {
        const struct lq_memory memory = lq_job_memory(&job);
        const double roomy = SMALL_GPU.memory_bytes * exp(1.6448536 * 0.14);
        const int64_t most = lq_memory_max_batch(&memory, ONE, roomy, 512);
        ck_assert_int_ge(most, 1);
        if (job.batch_size > most) {
            ck_assert_int_eq(refusal(&job, &NOTHING).code, LQ_ENOFIT);
        } else {
            const struct lq_estimate e = quote(&job, &NOTHING);
            ck_assert(warns(&e, LQ_WARN_MAY_NOT_FIT));
        }
    }
    job.batch_size = 0; /* the largest is asked for, and it is none */
    ck_assert_int_eq(refusal(&job, &NOTHING).code, LQ_ENOFIT);
}
END_TEST

/* The job under the paper's name for its model, with a form that answers for "math". */
static struct lq_fit paper_form(struct lq_job *job, struct lq_model *model)
{
    *model = *job->model;
    snprintf(model->id, sizeof model->id, "mixtral-8x7b");
    job->model = model;
    job->lengths_id = "math";
    job->estimator = LQ_ESTIMATOR_XIA2024;
    return (struct lq_fit){.kind = LQ_FIT_XIA2024,
                           .identity = lq_job_identity(job),
                           .lengths = "math",
                           .coefficients = 2,
                           .coefficient = {0.5, 0.3},
                           .constant = 1.8};
}

START_TEST(the_papers_estimators_take_equation_1)
{
    struct lq_job job = small_job();
    struct lq_model model;
    SMALL_GPU.memory_nominal_bytes = 48.0 * 1073741824.0;
    const struct lq_fit fit = paper_form(&job, &model);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate e = quote(&job, &evidence);
    ck_assert_int_eq(e.max_batch_size, 8); /* 62, 0.89 and 23.35 at 48 GB, 512 tokens, 2 of 8 */
    ck_assert_int_eq(e.batch_size, 8);
    ck_assert_int_le(e.interval.max_batch_size[0], 8);
    ck_assert_int_ge(e.interval.max_batch_size[1], 8);
}
END_TEST

START_TEST(where_equation_1_gives_no_batch_it_is_equation_1_that_refuses)
{
    struct lq_job job = small_job(); /* of 24 GB: 0.65 more than the model of the paper takes */
    struct lq_model model;
    const struct lq_fit fit = paper_form(&job, &model);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_error err = refusal(&job, &evidence);
    ck_assert_int_eq(err.code, LQ_ENOFIT);
    ck_assert_str_eq(err.pointer, "/estimator");
    ck_assert_ptr_nonnull(strstr(err.detail, "Eq. 1"));
    ck_assert_ptr_null(strstr(err.detail, " -")); /* no negative count of missing bytes */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch");
    TCase *tests = tcase_create("batch");
    tcase_add_test(tests, max_is_the_largest_that_fits_the_longest_row);
    tcase_add_test(tests, a_batch_below_the_largest_is_taken_as_asked);
    tcase_add_test(tests, within_the_interval_a_batch_may_not_fit_beyond_it_does_not);
    tcase_add_test(tests, a_refusal_tells_the_missing_bytes);
    tcase_add_test(tests, a_refusal_tells_what_would_fit);
    tcase_add_test(tests, a_measured_factor_moves_the_largest_batch);
    tcase_add_test(tests, memory_of_other_settings_is_carried_over_and_says_so);
    tcase_add_test(tests, a_batch_that_was_run_fits_whatever_the_model_says);
    tcase_add_test(tests, the_measured_estimator_answers_at_the_batch_that_was_run);
    tcase_add_test(tests, one_row_is_judged_like_two);
    tcase_add_test(tests, the_papers_estimators_take_equation_1);
    tcase_add_test(tests, where_equation_1_gives_no_batch_it_is_equation_1_that_refuses);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
