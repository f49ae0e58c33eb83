/* The estimators that stand beside the default one: the paper's forms and the measured points. */
#include "core/finetune/estimate.h"
#include "tests/unit/check_main.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <string.h>

/* A form of the paper with a rate of c0 + c1 * ln(batch) / sparsity for the job's distribution. */
static struct lq_fit form(const struct lq_job *job, enum lq_fit_kind kind, double c0, double c1)
{
    struct lq_fit fit = {.id = "form",
                         .kind = kind,
                         .identity = lq_job_identity(job),
                         .lengths = "math",
                         .coefficients = 2,
                         .coefficient = {c0, c1},
                         .constant = 1.0,
                         .residual_log = 0.1};
    return fit;
}

START_TEST(the_papers_forms_answer_where_they_have_coefficients)
{
    struct lq_job job = small_job();
    job.lengths_id = "math";
    job.batch_size = 4;
    const struct lq_fit fits[] = {form(&job, LQ_FIT_XIA2024, 0.5, 0.3),
                                  form(&job, LQ_FIT_XIA2024_PRINTED, 0.3, 0.5)};
    const struct lq_evidence evidence = {.fits = fits, .fit_count = 2};
    job.estimator = LQ_ESTIMATOR_XIA2024;
    const struct lq_estimate fitted = quote(&job, &evidence);
    assert_close("fitted", fitted.queries_per_s, 0.5 + 0.3 * log(4.0) / 0.25, 1e-12);
    ck_assert(warns(&fitted, LQ_WARN_PAPER_FORM));
    ck_assert(!warns(&fitted, LQ_WARN_EQ1_PRINTED));
    ck_assert_ptr_eq(fitted.form, &fits[0]);
    ck_assert_ptr_eq(fitted.basis.fit, &fits[0]);
    assert_close("step", fitted.step_s, 4.0 / fitted.queries_per_s, 1e-12);
    assert_close("spread", fitted.log_sd, hypot(0.1, 0.02), 1e-12); /* its own, repeated runs' */
    double terms = 0.0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) { /* physics' shares of the form's time */
        terms += lq_step_term_s(&fitted.step, (enum lq_term)t);
    }
    assert_close("terms", terms, fitted.step_s, 1e-12);
    assert_close("total", fitted.step.total_s, fitted.step_s, 1e-12);
    job.estimator = LQ_ESTIMATOR_XIA2024_PRINTED;
    const struct lq_estimate printed = quote(&job, &evidence);
    assert_close("printed", printed.queries_per_s, 0.3 * log(4.0 / 0.25) + 0.5, 1e-12);
    ck_assert(warns(&printed, LQ_WARN_PAPER_FORM));
    ck_assert(warns(&printed, LQ_WARN_EQ1_PRINTED));
}
END_TEST

START_TEST(a_form_without_coefficients_is_refused)
{
    struct lq_job job = small_job();
    job.lengths_id = "math";
    const struct lq_fit fit = form(&job, LQ_FIT_XIA2024, 0.5, 0.3);
    const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
    job.estimator = LQ_ESTIMATOR_XIA2024;
    job.lengths_id = "cs";
    const struct lq_error other = refusal(&job, &evidence);
    ck_assert_int_eq(other.code, LQ_ENOCOEFFICIENTS);
    ck_assert_str_eq(other.pointer, "/estimator");
    ck_assert_ptr_nonnull(strstr(other.detail, "small-moe"));
    job.lengths_id = "math";
    job.estimator = LQ_ESTIMATOR_XIA2024_PRINTED;
    ck_assert_int_eq(refusal(&job, &evidence).code, LQ_ENOCOEFFICIENTS);
}
END_TEST

START_TEST(a_form_that_predicts_no_throughput_is_refused)
{
    struct lq_job job = small_job();
    job.lengths_id = "math";
    job.batch_size = 1;
    job.estimator = LQ_ESTIMATOR_XIA2024;
    const double at_one[] = {0.0, -0.5};
    for (int i = 0; i < 2; i++) {
        const struct lq_fit fit = form(&job, LQ_FIT_XIA2024, at_one[i], 0.3);
        const struct lq_evidence evidence = {.fits = &fit, .fit_count = 1};
        const struct lq_error err = refusal(&job, &evidence);
        ck_assert_int_eq(err.code, LQ_EIMPOSSIBLE);
        ck_assert_str_eq(err.pointer, "/estimator");
    }
}
END_TEST

static struct lq_point measured(const struct lq_job *job)
{
    return (struct lq_point){.id = "run-7",
                             .identity = lq_job_identity(job),
                             .conditions = {.active_experts = 2,
                                            .batch_size = 4,
                                            .accumulation_steps = 1,
                                            .sequence_tokens = 512},
                             .queries_per_s = 3.25};
}

START_TEST(a_measured_point_is_given_back)
{
    struct lq_job job = small_job();
    job.estimator = LQ_ESTIMATOR_MEASURED;
    const struct lq_point point = measured(&job);
    const struct lq_evidence evidence = {.points = &point, .point_count = 1};
    const int64_t asked[] = {4, 0};
    for (int i = 0; i < 2; i++) {
        job.batch_size = asked[i];
        const struct lq_estimate e = quote(&job, &evidence);
        ck_assert_double_eq(e.queries_per_s, 3.25);
        ck_assert_int_eq(e.batch_size, 4);
        ck_assert_ptr_eq(e.point, &point);
        ck_assert_int_eq(e.basis.kind, LQ_BASIS_CALIBRATED);
        assert_close("step", e.step_s, 4.0 / 3.25, 1e-12);
        assert_close("repeated runs", e.log_sd, 0.02, 1e-12);
    }
}
END_TEST

START_TEST(rows_drawn_from_a_named_distribution_are_found_by_its_name)
{
    struct lq_job job = small_job();
    job.estimator = LQ_ESTIMATOR_MEASURED;
    job.batch_size = 4;
    job.fixed_tokens = 0;
    job.lengths_id = "math";
    struct lq_point point = measured(&job);
    point.conditions.sequence_tokens = 0;
    point.conditions.rule = (struct lq_padding_rule){LQ_PADDING_LONGEST, 0, 8};
    strcpy(point.conditions.lengths, "math");
    const struct lq_evidence evidence = {.points = &point, .point_count = 1};
    ck_assert_ptr_eq(quote(&job, &evidence).point, &point);
    job.lengths_id = "cs";
    ck_assert_int_eq(refusal(&job, &evidence).code, LQ_ENOMEASUREMENT);
}
END_TEST

START_TEST(an_unmeasured_job_is_refused_naming_the_nearest_point)
{
    struct lq_job job = small_job();
    job.estimator = LQ_ESTIMATOR_MEASURED;
    const struct lq_point point = measured(&job);
    const struct lq_evidence evidence = {.points = &point, .point_count = 1};
    job.batch_size = 5;
    const struct lq_error err = refusal(&job, &evidence);
    ck_assert_int_eq(err.code, LQ_ENOMEASUREMENT);
    ck_assert_str_eq(err.pointer, "/estimator");
    ck_assert_ptr_nonnull(strstr(err.detail, "run-7"));
    ck_assert_ptr_nonnull(strstr(err.detail, "batch 4"));
    ck_assert_int_eq(refusal(&job, &NOTHING).code, LQ_ENOMEASUREMENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("estimators");
    TCase *tests = tcase_create("estimators");
    tcase_add_test(tests, the_papers_forms_answer_where_they_have_coefficients);
    tcase_add_test(tests, a_form_without_coefficients_is_refused);
    tcase_add_test(tests, a_form_that_predicts_no_throughput_is_refused);
    tcase_add_test(tests, a_measured_point_is_given_back);
    tcase_add_test(tests, rows_drawn_from_a_named_distribution_are_found_by_its_name);
    tcase_add_test(tests, an_unmeasured_job_is_refused_naming_the_nearest_point);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
