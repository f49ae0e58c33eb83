/* Chooses and checks batch sizes. The memory itself is counted in memory.c. */
#include "core/finetune/batch.h"

#include "core/base/units.h"
#include "core/finetune/interval.h"
#include "core/finetune/xia2024.h"

#include <math.h>
#include <stdio.h>

/* A batch counted at more than this share of the device is refused, however wide the interval:
 * published largest batches that contradict each other do so by 20-25 %. */
static const double DOUBTFUL_SHARE = 1.25;

/* Whether a variant of the job would take a batch of one; tells what to change. */
static bool variant_fits(const struct lq_job *job, const struct lq_memory_factors *factors)
{
    const struct lq_memory memory = lq_job_memory(job);
    return lq_memory_max_batch(&memory, factors, job->gpu->memory_bytes,
                               job->lengths->longest_tokens) > 0;
}

/* The longest row of which one fits; 0 if the fixed parts alone are too large. */
static int64_t longest_row(const struct lq_memory *memory, const struct lq_memory_factors *factors,
                           double capacity_bytes, int64_t longest)
{
    int64_t low = 0;
    int64_t high = longest;
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        if (lq_memory_max_batch(memory, factors, capacity_bytes, middle) > 0) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

/* A sentence of what would make the job fit. */
static void advise(const struct lq_job *job, const struct lq_memory *memory,
                   const struct lq_memory_factors *factors, char *text, size_t size)
{
    struct lq_job variant = *job;
    variant.training.checkpointing = LQ_CHECKPOINTING_FULL;
    const int64_t row =
        longest_row(memory, factors, job->gpu->memory_bytes, job->lengths->longest_tokens);
    if (row > 0) {
        snprintf(text, size, "rows of up to %lld tokens would fit", (long long)row);
        return;
    }
    if (job->training.checkpointing != LQ_CHECKPOINTING_FULL && variant_fits(&variant, factors)) {
        snprintf(text, size, "full gradient checkpointing would fit");
        return;
    }
    const struct lq_method methods[] = {
        {.kind = LQ_METHOD_LORA, .rank = 16, .targets = LQ_TARGETS_ALL_LINEAR},
        {.kind = LQ_METHOD_QLORA,
         .rank = 16,
         .targets = LQ_TARGETS_ALL_LINEAR,
         .quantization = LQ_QUANTIZATION_NF4_DQ}};
    /* another method must not ask more of the stack than the job does */
    const uint32_t known = lq_job_missing_parallelism(job);
    for (size_t i = 0; i < 2; i++) {
        variant.method = methods[i];
        const uint32_t lost = lq_job_missing_parallelism(&variant) & ~known;
        if (methods[i].kind > job->method.kind && lost == 0 && variant_fits(&variant, factors)) {
            snprintf(text, size, "%s of rank 16 with full gradient checkpointing would fit",
                     LQ_METHOD_NAMES[methods[i].kind]);
            return;
        }
    }
    snprintf(text, size, "a device of at least %.1f GiB would fit it",
             lq_memory_total_bytes(memory, factors, 1.0, (double)job->lengths->longest_tokens) /
                 LQ_GIB);
}

/* " as data 2 x tensor 4, ZeRO 3": what each of several devices holds a part of; else nothing. */
static void describe_layout(const struct lq_layout *layout, char *text, size_t size)
{
    const struct {
        const char *name;
        int64_t ranks;
    } groups[] = {{"data", layout->data},
                  {"tensor", layout->tensor},
                  {"pipeline", layout->pipeline},
                  {"expert", layout->expert},
                  {"context", layout->context}};
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (groups[i].ranks > 1) {
            used +=
                (size_t)snprintf(text + used, size - used, "%s%s %lld", used > 0 ? " x " : " as ",
                                 groups[i].name, (long long)groups[i].ranks);
        }
    }
    if (used > 0 && layout->zero_stage > 0) {
        snprintf(text + used, size - used, ", ZeRO %d", layout->zero_stage);
    }
}

static enum lq_code refuse(const struct lq_job *job, const struct lq_memory *memory,
                           const struct lq_memory_factors *factors, int64_t batch_size,
                           struct lq_error *err)
{
    const double needed = lq_memory_total_bytes(memory, factors, (double)batch_size,
                                                (double)job->lengths->longest_tokens);
    const int64_t largest =
        lq_memory_max_batch(memory, factors, job->gpu->memory_bytes, job->lengths->longest_tokens);
    char advice[160];
    char layout[160]; /* the product of the ranks has 19 digits at most */
    describe_layout(&job->layout, layout, sizeof layout);
    if (largest > 0) {
        snprintf(advice, sizeof advice, "a batch of %lld would fit", (long long)largest);
    } else {
        advise(job, memory, factors, advice, sizeof advice);
    }
    return lq_fail(
        err, LQ_ENOFIT, batch_size > 1 ? "/batch_size" : "/gpu",
        "batch size %lld with rows of up to %lld tokens needs %.0f bytes, %.0f more than the "
        "%.0f of %s%s; %s",
        (long long)batch_size, (long long)job->lengths->longest_tokens, needed,
        needed - job->gpu->memory_bytes, job->gpu->memory_bytes, job->gpu->id, layout, advice);
}

/* Eq. 1's pair for the estimators named after the paper; NULL for others and where it has none. */
static const struct lq_xia2024_batch *paper_pair(const struct lq_job *job)
{
    const bool printed = job->estimator == LQ_ESTIMATOR_XIA2024_PRINTED;
    return printed || job->estimator == LQ_ESTIMATOR_XIA2024
               ? lq_xia2024_batch_find(job->model->id, printed)
               : NULL;
}

static double sparsity_of(const struct lq_job *job)
{
    const int64_t experts = lq_model_experts(job->model);
    return experts > 0 ? (double)job->active_experts / (double)experts : 1.0;
}

/* Eq. 1 solved for the memory of one row. */
static enum lq_code refuse_by_paper(const struct lq_job *job, const struct lq_xia2024_batch *pair,
                                    struct lq_error *err)
{
    const double share = (1.0 - pair->c1) + pair->c1 * sparsity_of(job);
    const double needed =
        LQ_GIB * (pair->model_gb + (double)job->lengths->longest_tokens * share / pair->c0);
    return lq_fail(err, LQ_ENOFIT, "/estimator",
                   "Eq. 1 of the paper takes %.0f bytes for one row of %lld tokens, %.0f more than "
                   "the %.0f of %s; the default estimator counts memory by itself",
                   needed, (long long)job->lengths->longest_tokens,
                   needed - job->gpu->memory_nominal_bytes, job->gpu->memory_nominal_bytes,
                   job->gpu->id);
}

/* A batch that somebody ran under this identity on rows at least as long is known to fit. */
static bool was_measured(const struct lq_job *job, const struct lq_evidence *evidence,
                         const struct lq_identity *identity)
{
    struct lq_conditions conditions = {.active_experts = job->active_experts,
                                       .batch_size = job->batch_size,
                                       .accumulation_steps = job->training.accumulation_steps,
                                       .sequence_tokens = job->fixed_tokens,
                                       .rule = {job->lengths->padding, job->lengths->cutoff_tokens,
                                                job->lengths->padding_multiple}};
    snprintf(conditions.lengths, sizeof conditions.lengths, "%s", job->lengths_id);
    const struct lq_point *nearest = NULL;
    return lq_evidence_point(evidence, identity, &conditions, &nearest) != NULL;
}

/* The spread of ln(total) widens the total, and the device that a batch must fit. */
static void fill_interval(const struct lq_job *job, const struct lq_memory_factors *factors,
                          struct lq_estimate *out)
{
    const double longest = (double)job->lengths->longest_tokens;
    double slopes[LQ_MEMORY_FACTORS];
    const double total = lq_memory_peak_bytes(&out->memory, factors, LQ_MEMORY_DEVICE,
                                              (double)out->batch_size, longest, slopes);
    const double log_sd = lq_basis_memory_log_sd(&out->memory_basis, slopes);
    const double z = lq_interval_z(job->confidence);
    double capacity[2];
    lq_interval_around(total, log_sd, z, out->interval.memory_bytes);
    lq_interval_around(job->gpu->memory_bytes, log_sd, z, capacity);
    for (int i = 0; i < 2; i++) {
        out->interval.max_batch_size[i] =
            lq_memory_max_batch(&out->memory, factors, capacity[i], job->lengths->longest_tokens);
    }
    /* Eq. 1's and measured batches may lie outside what the memory model brackets */
    int64_t *bounds = out->interval.max_batch_size;
    bounds[0] = out->max_batch_size < bounds[0] ? out->max_batch_size : bounds[0];
    bounds[1] = out->max_batch_size > bounds[1] ? out->max_batch_size : bounds[1];
}

static enum lq_code check_asked(const struct lq_job *job, const struct lq_evidence *evidence,
                                const struct lq_identity *identity,
                                const struct lq_memory_factors *factors, struct lq_estimate *out,
                                struct lq_error *err)
{
    if (job->batch_size <= out->max_batch_size) {
        return LQ_OK;
    }
    if (was_measured(job, evidence, identity)) {
        out->warnings |= 1u << LQ_WARN_BATCH_MEASURED;
        return LQ_OK;
    }
    const double total = lq_memory_total_bytes(&out->memory, factors, (double)job->batch_size,
                                               (double)job->lengths->longest_tokens);
    if (job->batch_size <= out->interval.max_batch_size[1] &&
        total <= DOUBTFUL_SHARE * job->gpu->memory_bytes) {
        out->warnings |= 1u << LQ_WARN_MAY_NOT_FIT;
        return LQ_OK;
    }
    return refuse(job, &out->memory, factors, job->batch_size, err);
}

/* A batch that was tried and ran out of memory bounds the largest, whatever is counted. */
static void respect_failures(const struct lq_job *job, const struct lq_evidence *evidence,
                             const struct lq_identity *identity, struct lq_estimate *out)
{
    const int64_t failed = lq_evidence_too_large(evidence, identity, job->active_experts,
                                                 (double)job->lengths->longest_tokens);
    if (failed > 0 && failed <= out->max_batch_size) {
        out->max_batch_size = failed > 1 ? failed - 1 : 1;
        out->warnings |= failed > 1 ? 0u : 1u << LQ_WARN_MAY_NOT_FIT;
    }
}

/* The largest batch by memory, by Eq. 1 where it was asked for, or as measured. */
static void set_largest(const struct lq_job *job, const struct lq_evidence *evidence,
                        const struct lq_identity *identity, const struct lq_xia2024_batch *pair,
                        const struct lq_memory_factors *factors, struct lq_estimate *out)
{
    if (pair != NULL) {
        out->max_batch_size =
            lq_xia2024_max_batch(pair, job->gpu->memory_nominal_bytes / LQ_GIB,
                                 (double)job->lengths->longest_tokens, sparsity_of(job));
        return;
    }
    out->max_batch_size = lq_memory_max_batch(&out->memory, factors, job->gpu->memory_bytes,
                                              job->lengths->longest_tokens);
    respect_failures(job, evidence, identity, out);
    if (out->point != NULL && out->point->conditions.batch_size > out->max_batch_size) {
        out->max_batch_size = out->point->conditions.batch_size;
        out->warnings |= 1u << LQ_WARN_BATCH_MEASURED;
    }
}

enum lq_code lq_batch_choose(const struct lq_job *job, const struct lq_evidence *evidence,
                             const struct lq_identity *identity, struct lq_estimate *out,
                             struct lq_error *err)
{
    const struct lq_applicant applicant = {.identity = identity,
                                           .model_class = lq_model_class(job->model)};
    out->memory_basis = lq_evidence_memory(evidence, &applicant);
    const struct lq_memory_factors factors = lq_memory_factors_of(&out->memory_basis.belief);
    out->memory = lq_job_memory(job);
    const struct lq_xia2024_batch *pair = paper_pair(job);
    set_largest(job, evidence, identity, pair, &factors, out);
    if (out->max_batch_size < 1 && job->batch_size < 1) {
        return pair != NULL ? refuse_by_paper(job, pair, err)
                            : refuse(job, &out->memory, &factors, 1, err);
    }
    out->batch_size = job->batch_size > 0 ? job->batch_size : out->max_batch_size;
    if (out->point != NULL) {
        out->batch_size = out->point->conditions.batch_size;
    }
    fill_interval(job, &factors, out);
    LQ_TRY(check_asked(job, evidence, identity, &factors, out, err));
    out->held = lq_memory_at_peak(&out->memory, &factors, (double)out->batch_size,
                                  (double)job->lengths->longest_tokens);
    out->total_bytes = out->held.total_bytes;
    /* Eq. 1 may say that it fits where the count says no; the count may just say that it does */
    if ((pair != NULL && out->total_bytes > job->gpu->memory_bytes) ||
        out->interval.max_batch_size[0] < 1) {
        out->warnings |= 1u << LQ_WARN_MAY_NOT_FIT;
    }
    return LQ_OK;
}
