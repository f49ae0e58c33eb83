/* Puts a quote together: batch, step time, throughput, duration, intervals. Each part is computed
 * in the file named after it. */
#include "core/finetune/estimate.h"

#include "core/finetune/batch.h"
#include "core/finetune/device.h"
#include "core/finetune/interval.h"
#include "core/finetune/layout_search.h"
#include "core/finetune/network.h"
#include "core/finetune/xia2024.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const LQ_ESTIMATOR_NAMES[] = {"default", "xia2024", "xia2024-printed", "measured",
                                          NULL};

/* Scatter of repeated runs of one job: 1-2 % in Xia et al.'s tables. Part of every interval. */
static const double RUN_LOG_SD = 0.02;

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
                                   .gpu_count = (double)job->gpu_count};
}

/* Queries that all data ranks finish with one micro-batch. */
static double step_queries(const struct lq_job *job, const struct lq_estimate *out)
{
    return (double)(out->batch_size * job->layout.data) * job->lengths->queries_per_row;
}

static struct lq_basis choose_basis(const struct lq_job *job, const struct lq_evidence *evidence,
                                    const struct lq_identity *identity)
{
    struct lq_conditions conditions = {.sequence_tokens = job->fixed_tokens};
    snprintf(conditions.lengths, sizeof conditions.lengths, "%s", job->lengths_id);
    char data[LQ_ID_MAX];
    lq_conditions_data(&conditions, data);
    const struct lq_applicant applicant = {
        .identity = identity, .model_class = lq_model_class(job->model), .data = data};
    return lq_evidence_step(evidence, &applicant);
}

/* The default estimator's queries/s, and the standard deviation of its logarithm. */
static double default_rate(const struct lq_job *job, struct lq_estimate *out, double *log_sd)
{
    const struct lq_fit *fit = out->basis.fit;
    *log_sd = lq_basis_log_sd(&out->basis, &out->step);
    const double tokens = out->step_tokens;
    if (out->basis.kind != LQ_BASIS_PRIOR &&
        (tokens < 0.5 * fit->step_tokens[0] || tokens > 2.0 * fit->step_tokens[1])) {
        warn(out, LQ_WARN_OUTSIDE_POINTS);
    }
    if (out->basis.kind != LQ_BASIS_CALIBRATED) {
        warn(out, out->basis.kind == LQ_BASIS_PRIOR ? LQ_WARN_PRIOR : LQ_WARN_TRANSFERRED);
    }
    if (fit == NULL || strcmp(fit->identity.stack, job->stack) != 0) {
        warn(out, LQ_WARN_STACK);
    }
    return step_queries(job, out) / out->step.total_s;
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

/* Stages and terms, scaled so that they sum to the answer's step time. */
static void set_breakdown(struct lq_estimate *out)
{
    const double scale = out->step_s / out->step.total_s;
    double moe = 0.0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            double *seconds = &out->step.term_s[t][s];
            *seconds *= scale;
            out->stage_s[s] += *seconds;
            moe += lq_term_is_moe((enum lq_term)t) ? *seconds : 0.0;
        }
    }
    out->step.total_s = out->step_s;
    out->moe_share = moe / (out->step_s - out->stage_s[LQ_STAGE_OPTIMIZER]);
}

static void set_totals(const struct lq_job *job, double log_sd, struct lq_estimate *out)
{
    const double z = lq_interval_z(job->confidence);
    const double rows_per_s = out->queries_per_s / job->lengths->queries_per_row;
    out->tokens_per_s = rows_per_s * out->row_tokens;
    out->unpadded_tokens_per_s = out->queries_per_s * job->lengths->mean_tokens;
    out->tokens_per_s_per_gpu = out->tokens_per_s / (double)job->gpu_count;
    /* an epoch takes at least one step, however few queries it has */
    out->duration_s = job->epochs * fmax(job->queries, step_queries(job, out)) / out->queries_per_s;
    out->log_sd = log_sd;
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
    if (job->layout.nodes > 1 && !(job->network.internode_bytes_per_s > 0.0)) {
        warn(out, LQ_WARN_INTERNODE);
    }
    if (lq_job_missing_parallelism(job) != 0) {
        warn(out, LQ_WARN_LAYOUT);
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
    if (step_queries(job, out) > job->queries) {
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

/* Answers a job whose layout is set. */
static enum lq_code estimate_layout(const struct lq_job *job, const struct lq_evidence *evidence,
                                    struct lq_estimate *out, struct lq_error *err)
{
    *out = (struct lq_estimate){.layout = job->layout, .layouts_tried = 1};
    const struct lq_identity identity = lq_job_identity(job);
    if (job->estimator == LQ_ESTIMATOR_MEASURED) {
        LQ_TRY(find_point(job, evidence, &identity, out, err));
    } else if (job->estimator != LQ_ESTIMATOR_DEFAULT) {
        LQ_TRY(find_form(job, evidence, &identity, out, err));
    }
    LQ_TRY(lq_batch_choose(job, evidence, &identity, out, err));
    out->row_tokens = lq_lengths_mean_row(job->lengths, out->batch_size);
    out->step_tokens = (double)out->batch_size * out->row_tokens;
    out->parts = lq_job_step(job, (double)out->batch_size, out->row_tokens);
    out->basis = choose_basis(job, evidence, &identity);
    lq_belief_factors(&out->basis.belief, out->factor);
    lq_step_evaluate(&out->parts, out->factor, &out->step);
    double log_sd = 0.0;
    LQ_TRY(set_rate(job, out, &log_sd, err));
    out->step_s = step_queries(job, out) / out->queries_per_s;
    set_breakdown(out);
    set_totals(job, log_sd, out);
    add_warnings(job, out);
    return check_finite(out, err);
}

/* What one of the longest rows takes of each device: batch, memory and basis must be chosen. */
static double least_bytes(const struct lq_job *job, const struct lq_estimate *estimate)
{
    const struct lq_memory_factors factors = lq_memory_factors_of(&estimate->memory_basis.belief);
    return lq_memory_total_bytes(&estimate->memory, &factors,
                                 (double)(job->batch_size > 0 ? job->batch_size : 1),
                                 (double)job->lengths->longest_tokens);
}

static enum lq_code refuse_layouts(const struct lq_job *job, struct lq_error *err)
{
    return lq_fail(err, LQ_EIMPOSSIBLE, "/gpu_count",
                   "%s is not known to train%s on more than one device: ask for a gpu_count of 1, "
                   "for another stack, or name a layout to have it estimated all the same",
                   job->stack,
                   job->method.quantization != LQ_QUANTIZATION_NONE ? " quantised weights" : "");
}

/* Tries every layout that the stack offers and keeps the fastest that fits, the simplest of equals;
 * where none fits, the refusal of the one that lacks least. */
static enum lq_code search(const struct lq_job *job, const struct lq_evidence *evidence,
                           struct lq_estimate *out, struct lq_error *err)
{
    struct lq_layout_space space =
        lq_layout_space(job->model, job->gpu_count, &job->network, job->lengths->longest_tokens,
                        lq_job_parallelism(job, evidence));
    struct lq_job tried = *job;
    struct lq_error refusal = {.code = LQ_OK};
    double least = HUGE_VAL;
    int64_t count = 0;
    bool found = false;
    while (lq_layout_next(&space, &tried.layout)) {
        struct lq_estimate estimate;
        struct lq_error reason = {.code = LQ_OK};
        count++;
        if (estimate_layout(&tried, evidence, &estimate, &reason) != LQ_OK) {
            const double bytes =
                reason.code == LQ_ENOFIT ? least_bytes(&tried, &estimate) : HUGE_VAL;
            if (bytes < least || refusal.code == LQ_OK) {
                least = bytes;
                refusal = reason;
            }
        } else if (!found || estimate.queries_per_s > out->queries_per_s * (1.0 + 1e-9)) {
            *out = estimate;
            found = true;
        }
    }
    if (count == 0) {
        return refuse_layouts(job, err);
    }
    out->layouts_tried = count;
    if (!found) {
        return lq_fail(err, refusal.code, refusal.pointer,
                       "%s; no layout of %lld GPUs that %s offers does better", refusal.detail,
                       (long long)job->gpu_count, job->stack);
    }
    return LQ_OK;
}

enum lq_code lq_estimate(const struct lq_job *job, const struct lq_evidence *evidence,
                         struct lq_estimate *out, struct lq_error *err)
{
    if (job->gpu_count > 1 && !(lq_network_intra_bytes_per_s(job->gpu, true) > 0.0)) {
        return lq_fail(
            err, LQ_EIMPOSSIBLE, "/gpu_count",
            "the interconnect of %s is not known, so that %lld of them cannot be joined: "
            "its entry needs interconnect_bytes_per_s",
            job->gpu->id, (long long)job->gpu_count);
    }
    if (job->layout.data > 0) {
        return estimate_layout(job, evidence, out, err);
    }
    if (job->gpu_count > 1 && job->estimator == LQ_ESTIMATOR_DEFAULT) {
        return search(job, evidence, out, err);
    }
    struct lq_job replicas = *job;
    replicas.layout = lq_job_identity(job).layout;
    return estimate_layout(&replicas, evidence, out, err);
}
