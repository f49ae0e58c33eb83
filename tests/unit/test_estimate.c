/* One job's quote: what it adds up to, what it rests on, what it warns of and what it refuses. The
 * choice of the batch is in test_batch.c, of the layout in test_estimate_layout.c, the other
 * estimators in test_estimators.c. */
#include "core/finetune/estimate.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A fit of the job's own identity whose every factor is `times`, give or take 1 %. */
static struct lq_fit own_fit(const struct lq_job *job, double times)
{
    struct lq_fit fit = {.id = "own",
                         .kind = LQ_FIT_STEP_TIME,
                         .scope = LQ_SCOPE_IDENTITY,
                         .identity = lq_job_identity(job),
                         .belief = {.factors = LQ_FACTOR_COUNT},
                         .step_tokens = {512.0, 8192.0},
                         .data = "fixed-512",
                         .points = 9,
                         .residual_log = 0.01};
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        fit.belief.mean[f] = log(times);
        fit.belief.covariance[f * (LQ_FACTORS_MAX + 1)] = 0.01 * 0.01;
    }
    return fit;
}

/* Seconds of a micro-batch of the job's batch by the constants alone, on one device. */
static double constants_s(const struct lq_job *job)
{
    const double ones[LQ_FACTOR_COUNT] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0};
    struct lq_job alone = *job;
    alone.layout = LQ_LAYOUT_SINGLE;
    const struct lq_step_parts parts = lq_job_step(&alone, (double)job->batch_size, 512.0);
    struct lq_step_time step;
    lq_step_evaluate(&parts, ones, &step);
    return step.total_s;
}

START_TEST(without_evidence_it_is_a_prior_and_says_so)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    const struct lq_estimate e = quote(&job, &NOTHING);
    assert_close("step", e.step_s, constants_s(&job), 1e-12);
    ck_assert_int_eq(e.basis.kind, LQ_BASIS_PRIOR);
    ck_assert_ptr_null(e.basis.fit);
    ck_assert(warns(&e, LQ_WARN_PRIOR) && warns(&e, LQ_WARN_STACK));
    ck_assert(warns(&e, LQ_WARN_MEMORY_PRIOR));
    ck_assert(!warns(&e, LQ_WARN_TRANSFERRED));
    /* wide: a factor of 1.7 or more either way at 90 % */
    ck_assert_double_gt(e.interval.queries_per_s[1] / e.queries_per_s, 1.7);
}
END_TEST

START_TEST(the_parts_of_a_quote_fit_together)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    job.gpu_count = 2;
    job.layout = lq_layout_replicas(2, 8);
    job.epochs = 3.0;
    const struct lq_estimate e = quote(&job, &NOTHING);
    assert_close("rate", e.queries_per_s, 4.0 * 2.0 / e.step_s, 1e-12);
    assert_close("duration", e.duration_s, 3.0 * 1000.0 / e.queries_per_s, 1e-12);
    assert_close("tokens", e.tokens_per_s, e.queries_per_s * 512.0, 1e-12);
    assert_close("per gpu", e.tokens_per_s_per_gpu, e.tokens_per_s / 2.0, 1e-12);
    assert_close("step tokens", e.step_tokens, 4.0 * 512.0, 1e-12);
    double stages = 0.0;
    double terms = 0.0;
    double moe = 0.0;
    for (int s = 0; s < LQ_STAGE_COUNT; s++) {
        stages += e.stage_s[s];
    }
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        const double seconds = lq_step_term_s(&e.step, (enum lq_term)t);
        terms += seconds;
        moe += lq_term_is_moe((enum lq_term)t) ? seconds : 0.0;
    }
    assert_close("stages", stages, e.step_s, 1e-12);
    assert_close("terms", terms, e.step_s, 1e-12);
    assert_close("moe share", e.moe_share, moe / (e.step_s - e.stage_s[LQ_STAGE_OPTIMIZER]), 1e-12);
    assert_close("memory", e.total_bytes,
                 lq_memory_total_bytes(&e.memory, &LQ_MEMORY_FACTORS_ONE, 4.0, 512.0), 1e-12);
}
END_TEST

START_TEST(packed_rows_count_the_queries_they_hold)
{
    struct lq_job job = small_job();
    const struct lq_length_bin raw[] = {{100, 3.0}, {200, 1.0}};
    const struct lq_padding_rule rule = {LQ_PADDING_PACKED, 1000, 8};
    struct lq_length_bin bins[2];
    struct lq_lengths lengths;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_lengths_prepare(raw, 2, &rule, bins, &lengths, &err), LQ_OK);
    job.lengths = &lengths;
    job.fixed_tokens = 0;
    job.batch_size = 2;
    const struct lq_estimate e = quote(&job, &NOTHING);
    assert_close("rate", e.queries_per_s, 2.0 * 8.0 / e.step_s, 1e-12); /* 1000 / 125 a row */
    assert_close("padded", e.tokens_per_s, 2.0 * 1000.0 / e.step_s, 1e-12);
    assert_close("unpadded", e.unpadded_tokens_per_s, e.queries_per_s * 125.0, 1e-12);
}
END_TEST

START_TEST(its_own_fit_is_taken_as_measured)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    const struct lq_fit fit = own_fit(&job, 1.7);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate e = quote(&job, &evidence);
    ck_assert_int_eq(e.basis.kind, LQ_BASIS_CALIBRATED);
    ck_assert_ptr_eq(e.basis.fit, &fit);
    assert_close("step", e.step_s, 1.7 * constants_s(&job), 1e-12);
    ck_assert(!warns(&e, LQ_WARN_PRIOR) && !warns(&e, LQ_WARN_TRANSFERRED));
    ck_assert(!warns(&e, LQ_WARN_OUTSIDE_POINTS));
    ck_assert_double_lt(e.interval.queries_per_s[1] / e.queries_per_s, 1.1);
}
END_TEST

START_TEST(its_models_fit_on_another_gpu_is_carried_over_by_physics)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    struct lq_fit fit = own_fit(&job, 1.7);
    fit.scope = LQ_SCOPE_MODEL;
    snprintf(fit.identity.gpu, sizeof fit.identity.gpu, "elsewhere");
    SMALL_GPU.fp16_flop_per_s *= 2.0; /* the job's GPU is not the one of the fit */
    SMALL_GPU.memory_bandwidth_bytes_per_s *= 3.0;
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate e = quote(&job, &evidence);
    ck_assert_int_eq(e.basis.kind, LQ_BASIS_TRANSFERRED);
    ck_assert(warns(&e, LQ_WARN_TRANSFERRED) && !warns(&e, LQ_WARN_STACK));
    assert_close("step", e.step_s, 1.7 * constants_s(&job), 1e-12);
    const struct lq_fit own = own_fit(&job, 1.0);
    const struct lq_fit both[] = {fit, own};
    const struct lq_evidence better = {.fits = both, .fit_count = 2};
    ck_assert_ptr_eq(quote(&job, &better).basis.fit, &both[1]);
}
END_TEST

START_TEST(a_fit_of_everything_is_a_prior_on_a_stack_that_nobody_measured)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    struct lq_fit fit = own_fit(&job, 1.3);
    fit.scope = LQ_SCOPE_ALL;
    fit.identity = (struct lq_identity){.gpu_count = 0};
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate e = quote(&job, &evidence);
    ck_assert_int_eq(e.basis.kind, LQ_BASIS_PRIOR);
    ck_assert_ptr_eq(e.basis.fit, &fit);
    ck_assert(warns(&e, LQ_WARN_PRIOR) && warns(&e, LQ_WARN_STACK));
    assert_close("step", e.step_s, 1.3 * constants_s(&job), 1e-12);
    fit.scope = LQ_SCOPE_STACK;
    snprintf(fit.identity.stack, sizeof fit.identity.stack, "%s", job.stack);
    const struct lq_estimate of_stack = quote(&job, &evidence);
    ck_assert(warns(&of_stack, LQ_WARN_PRIOR) && !warns(&of_stack, LQ_WARN_STACK));
    ck_assert_double_lt(of_stack.log_sd, e.log_sd);
}
END_TEST

START_TEST(steps_far_from_the_points_are_pointed_out)
{
    struct lq_job job = small_job();
    struct lq_fit fit = own_fit(&job, 1.0);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct {
        int64_t batch;
        double from;
        double to;
        bool outside;
    } cases[] = {{4, 1024.0, 4096.0, false},
                 {4, 4096.0, 8192.0, false},
                 {4, 4097.0, 8192.0, true},
                 {4, 512.0, 1024.0, false},
                 {4, 512.0, 1023.0, true}};
    for (int i = 0; i < 5; i++) {
        job.batch_size = cases[i].batch; /* 2048 tokens */
        fit.step_tokens[0] = cases[i].from;
        fit.step_tokens[1] = cases[i].to;
        const struct lq_estimate e = quote(&job, &evidence);
        ck_assert_int_eq(warns(&e, LQ_WARN_OUTSIDE_POINTS), cases[i].outside);
    }
}
END_TEST

START_TEST(the_interval_widens_with_confidence_and_uncertainty)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    struct lq_fit fit = own_fit(&job, 1.0);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate ninety = quote(&job, &evidence);
    job.confidence = 0.99;
    const struct lq_estimate more = quote(&job, &evidence);
    ck_assert_double_lt(more.interval.duration_s[0], ninety.interval.duration_s[0]);
    ck_assert_double_gt(more.interval.duration_s[1], ninety.interval.duration_s[1]);
    ck_assert_double_gt(more.interval.memory_bytes[1], ninety.interval.memory_bytes[1]);
    job.confidence = 0.9;
    fit.belief.covariance[0] = 1.0; /* matmuls are hardly known */
    const struct lq_estimate vague = quote(&job, &evidence);
    ck_assert_double_gt(vague.interval.duration_s[1], ninety.interval.duration_s[1]);
    ck_assert_double_eq(vague.duration_s, ninety.duration_s);
}
END_TEST

START_TEST(the_interval_is_that_of_the_basis)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    struct lq_fit fit = own_fit(&job, 1.0);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate e = quote(&job, &evidence);
    assert_close("its basis's", e.log_sd, lq_basis_log_sd(&e.basis, &e.step), 1e-12);
    snprintf(fit.data, sizeof fit.data, "other"); /* rows of other lengths */
    ck_assert_double_gt(quote(&job, &evidence).log_sd, e.log_sd);
    job.fixed_tokens = 0;
    job.lengths_id = "other";
    ck_assert_double_eq(quote(&job, &evidence).log_sd, e.log_sd);
    assert_close("per GPU", e.interval.tokens_per_s_per_gpu[0] / e.tokens_per_s_per_gpu,
                 e.interval.queries_per_s[0] / e.queries_per_s, 1e-12);
    assert_close("interval", log(e.interval.queries_per_s[1] / e.queries_per_s),
                 1.6448536269514722 * e.log_sd, 1e-9);
}
END_TEST

START_TEST(devices_and_rows_beyond_what_is_known_are_pointed_out)
{
    struct lq_job job = small_job();
    struct lq_model model = *job.model;
    job.batch_size = 1;
    const struct lq_estimate plain = quote(&job, &NOTHING);
    ck_assert(!warns(&plain, LQ_WARN_MEMORY_NOMINAL) && !warns(&plain, LQ_WARN_CONTEXT));
    ck_assert(!warns(&plain, LQ_WARN_RATE_FALLBACK) && !warns(&plain, LQ_WARN_BATCH_OVER_DATA));
    SMALL_GPU.memory_is_reported = false;
    model.context_tokens = 511;
    job.model = &model;
    job.training.precision = LQ_PRECISION_FP8;
    job.batch_size = 2;
    job.queries = 1.0;
    const struct lq_estimate e = quote(&job, &NOTHING);
    ck_assert(warns(&e, LQ_WARN_MEMORY_NOMINAL));
    ck_assert(warns(&e, LQ_WARN_CONTEXT));
    ck_assert(warns(&e, LQ_WARN_RATE_FALLBACK));
    ck_assert(warns(&e, LQ_WARN_BATCH_OVER_DATA));
    model.context_tokens = 0; /* no limit */
    const struct lq_estimate free_of_limit = quote(&job, &NOTHING);
    ck_assert(!warns(&free_of_limit, LQ_WARN_CONTEXT));
}
END_TEST

START_TEST(what_is_not_finite_never_leaves)
{
    struct lq_job job = small_job();
    SMALL_GPU.fp16_flop_per_s = 0.0;
    SMALL_GPU.fp32_flop_per_s = 0.0;
    ck_assert_int_eq(refusal(&job, &NOTHING).code, LQ_ENUMBER);
    job = small_job();
    SMALL_GPU.memory_bandwidth_bytes_per_s = 0.0;
    ck_assert_int_eq(refusal(&job, &NOTHING).code, LQ_ENUMBER);
    job = small_job();
    job.epochs = 1e308;
    job.queries = 1e15;
    ck_assert_int_eq(refusal(&job, &NOTHING).code, LQ_ENUMBER);
}
END_TEST

START_TEST(nothing_is_faster_than_its_flops_at_the_peak_rate)
{
    struct lq_job job = small_job();
    job.layout = LQ_LAYOUT_SINGLE;
    /* per token and layer: attention 2 * 2.621440e6 cells, one expert 3 * 2048 * 1024, router 8192
     */
    const double attention = 2.0 * 1024.0 * (1024.0 + 256.0);
    const double layer = attention + 8192.0 + 2.0 * 3.0 * 2048.0 * 1024.0;
    /* forward, recomputation and backward of frozen weights: 3 * 2 FLOPs; the head is not
     * recomputed */
    const double flop = 8.0 * 6.0 * layer + 4.0 * 32000.0 * 1024.0;
    const double least = lq_job_least_step_s(&job, 1000.0, 1.0);
    ck_assert_double_gt(least, 1000.0 * flop / 120e12);
    assert_close("with adapters and scores", least, 1000.0 * flop / 120e12, 0.1);
    assert_close("linear", lq_job_least_step_s(&job, 3000.0, 1.0), 3.0 * least, 1e-12);
    SMALL_GPU.fp16_flop_per_s = 0.0;
    ck_assert_double_eq(lq_job_least_step_s(&job, 1000.0, 1.0), 0.0);
}
END_TEST

START_TEST(bf16_on_devices_without_it_is_pointed_out)
{
    struct lq_job job = small_job();
    job.batch_size = 1;
    const char *const capabilities[] = {"7.0", "7.5", "8.0", "10.0", "", "gfx942"};
    for (int i = 0; i < 6; i++) {
        snprintf(SMALL_GPU.compute_capability, sizeof SMALL_GPU.compute_capability, "%s",
                 capabilities[i]);
        const struct lq_estimate e = quote(&job, &NOTHING);
        ck_assert_int_eq(warns(&e, LQ_WARN_NO_BF16), i < 2);
    }
    snprintf(SMALL_GPU.compute_capability, sizeof SMALL_GPU.compute_capability, "7.5");
    job.training.precision = LQ_PRECISION_FP16;
    const struct lq_estimate half = quote(&job, &NOTHING);
    ck_assert(!warns(&half, LQ_WARN_NO_BF16));
}
END_TEST

START_TEST(no_fit_makes_a_device_faster_than_its_peak)
{
    struct lq_job job = small_job();
    job.batch_size = 4;
    struct lq_fit fit = own_fit(&job, 1e-3);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    const struct lq_estimate e = quote(&job, &evidence);
    job.layout = LQ_LAYOUT_SINGLE;
    ck_assert_double_ge(e.step_s, lq_job_least_step_s(&job, 4.0, 512.0));
    const enum lq_term matmuls[] = {LQ_TERM_EXPERT_MATMUL, LQ_TERM_ATTENTION, LQ_TERM_HEAD,
                                    LQ_TERM_ATTENTION_SCORES};
    for (int i = 0; i < 4; i++) {
        const struct lq_amount amount = lq_step_amount(&e.parts, &e.step, matmuls[i]);
        ck_assert_double_ge(lq_step_term_s(&e.step, matmuls[i]), amount.flop / 120e12);
    }
    assert_close("host", e.factor[LQ_FACTOR_HOST], 1e-3, 1e-12); /* what is free to be so fast */
    fit = own_fit(&job, 1.2);
    assert_close("slower", quote(&job, &evidence).factor[LQ_FACTOR_MATMUL], 1.2, 1e-12);
}
END_TEST

START_TEST(every_warning_has_a_code_and_a_sentence)
{
    for (int i = 0; i < LQ_WARNING_COUNT; i++) {
        const char *code = LQ_WARNING_CODES[i];
        ck_assert_uint_eq(strspn(code, "abcdefghijklmnopqrstuvwxyz-0123456789"), strlen(code));
        ck_assert_uint_gt(strlen(LQ_WARNING_DETAILS[i]), 20);
        for (int j = 0; j < i; j++) {
            ck_assert_str_ne(code, LQ_WARNING_CODES[j]);
        }
    }
}
END_TEST

START_TEST(a_job_is_known_by_all_that_identifies_a_measurement)
{
    struct lq_job job = small_job();
    job.gpu_count = 16;
    job.training.master_weights = true;
    job.training.options = LQ_OPTION_BIT(LQ_OPTION_COMPILE);
    const struct lq_identity replicas = lq_job_identity(&job);
    ck_assert_str_eq(replicas.model, "small-moe");
    ck_assert_str_eq(replicas.gpu, "S1");
    ck_assert_str_eq(replicas.stack, "hf-2024");
    ck_assert_int_eq(replicas.method.rank, 16);
    ck_assert(replicas.master_weights);
    ck_assert_uint_eq(replicas.options, job.training.options);
    ck_assert_int_eq(replicas.layout.data, 16); /* where no layout is named */
    ck_assert_int_eq(replicas.layout.nodes, 2);
    job.network.node_gpu_count = 4;
    ck_assert_int_eq(lq_job_identity(&job).layout.nodes, 4);
}
END_TEST

START_TEST(a_label_known_from_points_alone_takes_the_default_stack)
{
    struct lq_job job = small_job();
    job.stack = "my-own-trainer";
    ck_assert_ptr_eq(lq_job_stack(&job), lq_stack_find("hf-2024"));
    job.stack = "torchtune";
    ck_assert_str_eq(lq_job_stack(&job)->id, "torchtune");
    ck_assert_str_eq(lq_job_identity(&job).stack, "torchtune");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("estimate");
    TCase *tests = tcase_create("estimate");
    tcase_add_test(tests, without_evidence_it_is_a_prior_and_says_so);
    tcase_add_test(tests, the_parts_of_a_quote_fit_together);
    tcase_add_test(tests, packed_rows_count_the_queries_they_hold);
    tcase_add_test(tests, its_own_fit_is_taken_as_measured);
    tcase_add_test(tests, its_models_fit_on_another_gpu_is_carried_over_by_physics);
    tcase_add_test(tests, a_fit_of_everything_is_a_prior_on_a_stack_that_nobody_measured);
    tcase_add_test(tests, steps_far_from_the_points_are_pointed_out);
    tcase_add_test(tests, the_interval_widens_with_confidence_and_uncertainty);
    tcase_add_test(tests, the_interval_is_that_of_the_basis);
    tcase_add_test(tests, devices_and_rows_beyond_what_is_known_are_pointed_out);
    tcase_add_test(tests, what_is_not_finite_never_leaves);
    tcase_add_test(tests, nothing_is_faster_than_its_flops_at_the_peak_rate);
    tcase_add_test(tests, bf16_on_devices_without_it_is_pointed_out);
    tcase_add_test(tests, no_fit_makes_a_device_faster_than_its_peak);
    tcase_add_test(tests, every_warning_has_a_code_and_a_sentence);
    tcase_add_test(tests, a_job_is_known_by_all_that_identifies_a_measurement);
    tcase_add_test(tests, a_label_known_from_points_alone_takes_the_default_stack);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
