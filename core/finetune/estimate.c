/* Puts a quote together: batch, step time, throughput, duration, intervals. Each part is computed
 * in the file named after it. */
#include "core/finetune/estimate.h"

#include "core/finetune/batch.h"
#include "core/finetune/interval.h"
#include "core/finetune/xia2024.h"

#include <math.h>
#include <stdio.h>

const char *const LQ_ESTIMATOR_NAMES[] = {"default", "xia2024", "xia2024-printed", "measured",
                                          NULL};

const char *const LQ_WARNING_CODES[] = {
    [LQ_WARN_PRIOR] = "prior",
    [LQ_WARN_TRANSFERRED] = "transferred",
    [LQ_WARN_MEMORY_PRIOR] = "memory-prior",
    [LQ_WARN_MEMORY_TRANSFERRED] = "memory-transferred",
    [LQ_WARN_MAY_NOT_FIT] = "may-not-fit",
    [LQ_WARN_BATCH_MEASURED] = "batch-measured",
    [LQ_WARN_OUTSIDE_POINTS] = "outside-measured-range",
    [LQ_WARN_PAPER_FORM] = "paper-form",
    [LQ_WARN_EQ1_PRINTED] = "eq1-printed",
    [LQ_WARN_RATE_FALLBACK] = "rate-fallback",
    [LQ_WARN_MEMORY_NOMINAL] = "memory-nominal",
    [LQ_WARN_CONTEXT] = "beyond-context",
    [LQ_WARN_NO_BF16] = "no-bf16",
    [LQ_WARN_BORROWED_STACK] = "stack-not-measured",
    [LQ_WARN_ONE_NODE] = "taken-as-one-node",
    [LQ_WARN_BATCH_OVER_DATA] = "batch-over-data",
};
const char *const LQ_WARNING_DETAILS[] = {
    [LQ_WARN_PRIOR] = "nothing was measured for a job like this: the throughput is physics with "
                      "default efficiencies and may be off by a factor of two or more",
    [LQ_WARN_TRANSFERRED] = "measured on another identity and carried over by physics; calibrate "
                            "this one for a narrower interval",
    [LQ_WARN_MEMORY_TRANSFERRED] = "the activations of this model were measured under other "
                                   "settings or on another stack",
    [LQ_WARN_MEMORY_PRIOR] = "the memory of this model, method and stack was never measured: "
                             "activations are counted, not fitted",
    [LQ_WARN_MAY_NOT_FIT] =
        "the batch is above the largest estimated to fit but within its interval",
    [LQ_WARN_BATCH_MEASURED] =
        "the batch is above the memory model's largest, but was measured to run",
    [LQ_WARN_OUTSIDE_POINTS] = "the padded tokens of a step lie outside those that were measured",
    [LQ_WARN_PAPER_FORM] =
        "the paper's logarithmic form has no limit at either end; outside its data "
        "prefer the default estimator",
    [LQ_WARN_EQ1_PRINTED] =
        "the pair printed for Eq. 1 does not reproduce the paper's own measured "
        "batch sizes",
    [LQ_WARN_RATE_FALLBACK] =
        "the catalog has no matrix rate of this precision for this GPU: another "
        "rate was taken",
    [LQ_WARN_MEMORY_NOMINAL] =
        "the memory that the driver reports is not known: the nominal capacity "
        "was taken",
    [LQ_WARN_NO_BF16] = "this device has no bf16 matrix units: the fp16 rate was taken",
    [LQ_WARN_BORROWED_STACK] = "nothing was measured on this stack: its times are those of hf-2024",
    [LQ_WARN_ONE_NODE] = "more than eight GPUs are taken as replicas within one node: the network "
                         "between nodes is not in the estimate",
    [LQ_WARN_CONTEXT] = "rows are longer than the context the model was made for",
    [LQ_WARN_BATCH_OVER_DATA] = "one batch holds more queries than the data set",
};

/* Scatter of repeated runs of one job: 1-2 % in Xia et al.'s tables. Part of every interval. */
static const double RUN_LOG_SD = 0.02;
/* GPUs of the largest node that is sold by all clouds of the catalog. */
enum { NODE_GPUS = 8 };

static void warn(struct lq_estimate *out, enum lq_warning warning)
{
    out->warnings |= 1u << warning;
}

static struct lq_observation observe(const struct lq_job *job, const struct lq_estimate *out)
{
    return (struct lq_observation){.batch_size = (double)out->batch_size,
                                   .active_experts = (double)job->active_experts,
                                   .row_tokens = out->row_tokens,
                                   .queries_per_row = job->lengths->queries_per_row,
                                   .gpu_count = (double)job->gpu_count,
                                   .token_scale = 1.0};
}

static struct lq_basis choose_basis(const struct lq_job *job, const struct lq_evidence *evidence,
                                    const struct lq_identity *identity,
                                    const struct lq_estimate *out)
{
    struct lq_conditions conditions = {.sequence_tokens = job->fixed_tokens};
    snprintf(conditions.lengths, sizeof conditions.lengths, "%s", job->lengths_id);
    char data[LQ_ID_MAX];
    lq_conditions_data(&conditions, data);
    const struct lq_applicant applicant = {.identity = identity,
                                           .model_class = lq_model_class(job->model),
                                           .prior = out->step.total,
                                           .tokens = out->step_tokens,
                                           .active_experts = (double)job->active_experts,
                                           .data = data};
    return lq_evidence_step(evidence, &applicant);
}

/* The physics of the job, scaled to the chosen fit: what the fit's prior was off by where it was
 * measured is what this job's prior is taken to be off by. */
static void set_step(struct lq_estimate *out)
{
    const struct lq_fit *fit = out->basis.fit;
    if (fit == NULL) {
        return;
    }
    const double prior[] = {out->step.total.fixed_s, out->step.total.token_s,
                            out->step.total.expert_token_s};
    double target[LQ_COEFFICIENTS_MAX];
    for (int j = 0; j < LQ_COEFFICIENTS_MAX; j++) {
        target[j] = fit->prior[j] > 0.0 ? fit->coefficient[j] * prior[j] / fit->prior[j] : prior[j];
    }
    const struct lq_step_coefficients c = {target[0], target[1], target[2]};
    lq_step_scale(&out->step, &c);
}

/* Variance of ln(step time) from the coefficients' covariance: the gradient is each part's share.
 */
static double coefficient_variance(const struct lq_job *job, const struct lq_estimate *out)
{
    const struct lq_fit *fit = out->basis.fit;
    if (fit == NULL) {
        return 0.0;
    }
    const double tokens = out->step_tokens;
    const double parts[LQ_COEFFICIENTS_MAX] = {
        out->step.total.fixed_s, out->step.total.token_s * tokens,
        out->step.total.expert_token_s * (double)job->active_experts * tokens};
    const double total = parts[0] + parts[1] + parts[2];
    double variance = 0.0;
    for (int i = 0; i < LQ_COEFFICIENTS_MAX; i++) {
        for (int j = 0; j < LQ_COEFFICIENTS_MAX; j++) {
            variance += parts[i] * parts[j] * fit->covariance[i * LQ_COEFFICIENTS_MAX + j];
        }
    }
    return variance / (total * total) + fit->residual_log * fit->residual_log;
}

/* The default estimator's queries/s, and the standard deviation of its logarithm. */
static double default_rate(const struct lq_job *job, struct lq_estimate *out, double *log_sd)
{
    const double tokens = out->step_tokens;
    const double step_s = lq_step_seconds(&out->step.total, tokens, (double)job->active_experts);
    *log_sd = fmin(sqrt(coefficient_variance(job, out) + out->basis.log_sd * out->basis.log_sd +
                        RUN_LOG_SD * RUN_LOG_SD),
                   LQ_PRIOR_LOG_SD);
    const struct lq_fit *fit = out->basis.fit;
    if (fit != NULL && (tokens < 0.5 * fit->step_tokens[0] || tokens > 2.0 * fit->step_tokens[1])) {
        warn(out, LQ_WARN_OUTSIDE_POINTS);
    }
    if (out->basis.kind != LQ_BASIS_CALIBRATED) {
        warn(out, out->basis.kind == LQ_BASIS_PRIOR ? LQ_WARN_PRIOR : LQ_WARN_TRANSFERRED);
    }
    const struct lq_observation o = observe(job, out);
    return lq_observation_rate(&o, step_s);
}

static enum lq_code find_form(const struct lq_job *job, const struct lq_evidence *evidence,
                              const struct lq_identity *identity, struct lq_estimate *out,
                              struct lq_error *err)
{
    const enum lq_fit_kind kind =
        job->estimator == LQ_ESTIMATOR_XIA2024 ? LQ_FIT_XIA2024 : LQ_FIT_XIA2024_PRINTED;
    out->form = lq_evidence_xia2024(evidence, kind, identity, job->lengths_id);
    if (out->form == NULL) {
        return lq_fail(err, LQ_ENOCOEFFICIENTS, "/estimator",
                       "%s has no coefficients for %s on %s with this method, stack and length "
                       "distribution; calibrate it or use the default estimator",
                       LQ_ESTIMATOR_NAMES[job->estimator], job->model->id, job->gpu->id);
    }
    warn(out, LQ_WARN_PAPER_FORM);
    if (job->estimator == LQ_ESTIMATOR_XIA2024_PRINTED) {
        warn(out, LQ_WARN_EQ1_PRINTED);
    }
    return LQ_OK;
}

static enum lq_code find_point(const struct lq_job *job, const struct lq_evidence *evidence,
                               const struct lq_identity *identity, struct lq_estimate *out,
                               struct lq_error *err)
{
    struct lq_conditions conditions = {.active_experts = job->active_experts,
                                       .batch_size = job->batch_size,
                                       .accumulation_steps = job->training.accumulation_steps,
                                       .sequence_tokens = job->fixed_tokens,
                                       .rule = {job->lengths->padding, job->lengths->cutoff_tokens,
                                                job->lengths->padding_multiple}};
    snprintf(conditions.lengths, sizeof conditions.lengths, "%s", job->lengths_id);
    const struct lq_point *nearest = NULL;
    out->point = lq_evidence_point(evidence, identity, &conditions, &nearest);
    if (out->point != NULL) {
        return LQ_OK;
    }
    if (nearest == NULL) {
        return lq_fail(err, LQ_ENOMEASUREMENT, "/estimator", "nothing was measured on %s",
                       job->model->id);
    }
    return lq_fail(err, LQ_ENOMEASUREMENT, "/estimator",
                   "no point was measured under exactly these conditions; the nearest is %s: %s on "
                   "%s, stack %s, %lld active experts, batch %lld, lengths %s",
                   nearest->id, nearest->identity.model, nearest->identity.gpu,
                   nearest->identity.stack, (long long)nearest->conditions.active_experts,
                   (long long)nearest->conditions.batch_size,
                   nearest->conditions.lengths[0] != '\0' ? nearest->conditions.lengths : "fixed");
}

static enum lq_code set_rate(const struct lq_job *job, struct lq_estimate *out, double *log_sd,
                             struct lq_error *err)
{
    switch (job->estimator) {
    case LQ_ESTIMATOR_DEFAULT:
        out->queries_per_s = default_rate(job, out, log_sd);
        break;
    case LQ_ESTIMATOR_MEASURED:
        out->queries_per_s = out->point->queries_per_s;
        out->basis = (struct lq_basis){.kind = LQ_BASIS_CALIBRATED};
        *log_sd = RUN_LOG_SD;
        break;
    case LQ_ESTIMATOR_XIA2024:
    case LQ_ESTIMATOR_XIA2024_PRINTED: {
        const struct lq_observation o = observe(job, out);
        out->queries_per_s = lq_fit_predict(out->form, &o, (double)lq_model_experts(job->model));
        out->basis = (struct lq_basis){.kind = LQ_BASIS_CALIBRATED, .fit = out->form};
        *log_sd = hypot(out->form->residual_log, RUN_LOG_SD);
        if (!(out->queries_per_s > 0.0)) {
            return lq_fail(err, LQ_EIMPOSSIBLE, "/estimator",
                           "%s predicts %.4g queries/s at batch %lld: the form does not hold there",
                           LQ_ESTIMATOR_NAMES[job->estimator], out->queries_per_s,
                           (long long)out->batch_size);
        }
        break;
    }
    }
    return LQ_OK;
}

/* Stages and terms from the step coefficients, scaled so that they sum to the answer's step time.
 */
static void set_breakdown(const struct lq_job *job, struct lq_estimate *out)
{
    const double active = (double)job->active_experts;
    const double modelled = lq_step_seconds(&out->step.total, out->step_tokens, active);
    const double scale = out->step_s / modelled;
    struct lq_step_coefficients target = out->step.total;
    target.fixed_s *= scale;
    target.token_s *= scale;
    target.expert_token_s *= scale;
    lq_step_scale(&out->step, &target);
    double moe = 0.0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            const double seconds = lq_step_seconds(&out->step.term[t][s], out->step_tokens, active);
            out->stage_s[s] += seconds;
            moe += lq_term_is_moe((enum lq_term)t) ? seconds : 0.0;
        }
    }
    out->moe_share = moe / (out->stage_s[LQ_STAGE_FORWARD] + out->stage_s[LQ_STAGE_BACKWARD]);
}

static void set_totals(const struct lq_job *job, double log_sd, struct lq_estimate *out)
{
    const double z = lq_interval_z(job->confidence);
    const double rows_per_s = out->queries_per_s / job->lengths->queries_per_row;
    out->tokens_per_s = rows_per_s * out->row_tokens;
    out->unpadded_tokens_per_s = out->queries_per_s * job->lengths->mean_tokens;
    out->tokens_per_s_per_gpu = out->tokens_per_s / (double)job->gpu_count;
    /* an epoch takes at least one step, however few queries it has */
    const double step_queries =
        (double)(out->batch_size * job->gpu_count) * job->lengths->queries_per_row;
    out->duration_s = job->epochs * fmax(job->queries, step_queries) / out->queries_per_s;
    lq_interval_around(out->queries_per_s, log_sd, z, out->interval.queries_per_s);
    lq_interval_around(out->tokens_per_s_per_gpu, log_sd, z, out->interval.tokens_per_s_per_gpu);
    lq_interval_around(out->duration_s, log_sd, z, out->interval.duration_s);
}

/* NVIDIA devices before Ampere (compute capability 8.0) have no bf16 in their matrix units. */
static bool lacks_bf16(const struct lq_job *job)
{
    const char *capability = job->gpu->compute_capability;
    return job->training.precision == LQ_PRECISION_BF16 && capability[0] >= '1' &&
           capability[0] <= '7' && capability[1] == '.';
}

static void add_warnings(const struct lq_job *job, struct lq_estimate *out)
{
    bool fallback = false;
    (void)lq_peak_flop_per_s(job->gpu, job->training.precision, &fallback);
    if (fallback && out->basis.kind != LQ_BASIS_CALIBRATED) {
        warn(out, LQ_WARN_RATE_FALLBACK);
    }
    if (lacks_bf16(job)) {
        warn(out, LQ_WARN_NO_BF16);
    }
    if (lq_job_stack(job)->borrowed_times && out->basis.kind != LQ_BASIS_CALIBRATED) {
        warn(out, LQ_WARN_BORROWED_STACK);
    }
    if (job->gpu_count > NODE_GPUS) {
        warn(out, LQ_WARN_ONE_NODE);
    }
    if (!job->gpu->memory_is_reported) {
        warn(out, LQ_WARN_MEMORY_NOMINAL);
    }
    if (out->memory_basis.kind == LQ_BASIS_PRIOR) {
        warn(out, LQ_WARN_MEMORY_PRIOR);
    } else if (out->memory_basis.kind == LQ_BASIS_TRANSFERRED) {
        warn(out, LQ_WARN_MEMORY_TRANSFERRED);
    }
    if (job->model->context_tokens > 0 &&
        job->lengths->longest_tokens > job->model->context_tokens) {
        warn(out, LQ_WARN_CONTEXT);
    }
    if ((double)(out->batch_size * job->gpu_count) * job->lengths->queries_per_row > job->queries) {
        warn(out, LQ_WARN_BATCH_OVER_DATA);
    }
}

static enum lq_code check_finite(const struct lq_estimate *out, struct lq_error *err)
{
    const double numbers[] = {out->queries_per_s,
                              out->tokens_per_s,
                              out->unpadded_tokens_per_s,
                              out->step_s,
                              out->moe_share,
                              out->duration_s,
                              out->total_bytes,
                              out->interval.queries_per_s[1],
                              out->interval.duration_s[1],
                              out->interval.memory_bytes[1]};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (!isfinite(numbers[i])) {
            return lq_fail(err, LQ_ENUMBER, NULL, "quantity %zu of the estimate is not finite", i);
        }
    }
    return LQ_OK;
}

enum lq_code lq_estimate(const struct lq_job *job, const struct lq_evidence *evidence,
                         struct lq_estimate *out, struct lq_error *err)
{
    *out = (struct lq_estimate){.batch_size = 0};
    const struct lq_identity identity = lq_job_identity(job);
    if (job->gpu_count > 1 && !(job->gpu->interconnect_bytes_per_s > 0.0)) {
        return lq_fail(err, LQ_EIMPOSSIBLE, "/gpu_count",
                       "the interconnect of %s is not known, so that %lld of them cannot be joined",
                       job->gpu->id, (long long)job->gpu_count);
    }
    if (job->estimator == LQ_ESTIMATOR_MEASURED) {
        LQ_TRY(find_point(job, evidence, &identity, out, err));
    } else if (job->estimator != LQ_ESTIMATOR_DEFAULT) {
        LQ_TRY(find_form(job, evidence, &identity, out, err));
    }
    LQ_TRY(lq_batch_choose(job, evidence, &identity, out, err));
    out->row_tokens = lq_lengths_mean_row(job->lengths, out->batch_size);
    out->step_tokens = (double)out->batch_size * out->row_tokens;
    out->step = lq_job_prior(job, out->row_tokens);
    out->basis = choose_basis(job, evidence, &identity, out);
    set_step(out);
    double log_sd = 0.0;
    LQ_TRY(set_rate(job, out, &log_sd, err));
    const struct lq_observation o = observe(job, out);
    out->step_s = lq_observation_rate(&o, 1.0) / out->queries_per_s;
    set_breakdown(job, out);
    set_totals(job, log_sd, out);
    add_warnings(job, out);
    return check_finite(out, err);
}
