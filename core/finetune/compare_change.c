/* What to change in a job that does not fit. */
#include "core/finetune/compare.h"

#include "core/arch/parallelism.h"

/* Whether a job with its layout set takes its batch in rows of so many tokens. */
static bool layout_fits(const struct lq_job *job, const struct lq_evidence *evidence,
                        int64_t row_tokens)
{
    const struct lq_identity identity = lq_job_identity(job);
    const struct lq_applicant applicant = {.identity = &identity,
                                           .model_class = lq_model_class(job->model)};
    const struct lq_basis basis = lq_evidence_memory(evidence, &applicant);
    const struct lq_memory_factors factors = lq_memory_factors_of(&basis.belief);
    const struct lq_memory memory = lq_job_memory(job);
    const int64_t asked = job->batch_size > 0 ? job->batch_size : 1;
    return lq_memory_max_batch(&memory, &factors, job->gpu->memory_bytes, row_tokens) >= asked;
}

/* The same under ZeRO of the highest stage that the stack offers, or its plain replicas. */
static bool shards_fit(struct lq_job *laid_out, const struct lq_evidence *evidence, uint32_t kinds,
                       int64_t row_tokens)
{
    static const enum lq_parallelism STAGES[] = {LQ_PARALLELISM_DATA, LQ_PARALLELISM_ZERO_1,
                                                 LQ_PARALLELISM_ZERO_2, LQ_PARALLELISM_ZERO_3};
    for (int stage = 3; stage >= 0; stage--) {
        if ((kinds & LQ_PARALLELISM_BIT(STAGES[stage])) != 0) {
            laid_out->layout.zero_stage = stage;
            return layout_fits(laid_out, evidence, row_tokens);
        }
    }
    return false;
}

/* The same for any layout of the few that save most memory. */
static bool fits(const struct lq_job *job, const struct lq_evidence *evidence, int64_t row_tokens)
{
    if (job->layout.data > 0) {
        return layout_fits(job, evidence, row_tokens);
    }
    struct lq_job laid_out = *job;
    laid_out.layout = lq_layout_replicas(job->gpu_count, job->network.node_gpu_count);
    if (job->gpu_count == 1) {
        return layout_fits(&laid_out, evidence, row_tokens);
    }
    const uint32_t kinds = lq_job_parallelism(job, evidence);
    if (shards_fit(&laid_out, evidence, kinds, row_tokens)) {
        return true;
    }
    laid_out.layout.zero_stage = 0;
    laid_out.layout.data = 1;
    laid_out.layout.tensor = job->gpu_count;
    return (kinds & LQ_PARALLELISM_BIT(LQ_PARALLELISM_TENSOR)) != 0 &&
           lq_layout_check(&laid_out.layout, job->model, job->gpu_count, &job->network, NULL) ==
               LQ_OK &&
           layout_fits(&laid_out, evidence, row_tokens);
}

/* The job with another number in it. */
typedef bool (*fits_with)(const struct lq_job *job, const struct lq_evidence *evidence,
                          int64_t number);

static bool fits_batch(const struct lq_job *job, const struct lq_evidence *evidence, int64_t batch)
{
    struct lq_job smaller = *job;
    smaller.batch_size = batch;
    return fits(&smaller, evidence, job->lengths->longest_tokens);
}

/* The largest number in 1..high with which the job fits; 0 if none does. */
static int64_t largest(const struct lq_job *job, const struct lq_evidence *evidence,
                       fits_with does_fit, int64_t high)
{
    int64_t low = 0;
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        if (does_fit(job, evidence, middle)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

enum lq_change lq_nearest_change(const struct lq_job *job, const struct lq_evidence *evidence,
                                 double *to)
{
    static const struct lq_method METHODS[] = {
        {.kind = LQ_METHOD_LORA, .rank = 16, .targets = LQ_TARGETS_ALL_LINEAR},
        {.kind = LQ_METHOD_QLORA,
         .rank = 16,
         .targets = LQ_TARGETS_ALL_LINEAR,
         .quantization = LQ_QUANTIZATION_NF4_DQ}};
    static const enum lq_change CHANGES[] = {LQ_CHANGE_LORA, LQ_CHANGE_QLORA};
    const int64_t rows = job->lengths->longest_tokens;
    struct lq_job variant = *job;
    *to = 0.0;
    if (job->training.checkpointing != LQ_CHECKPOINTING_FULL) {
        variant.training.checkpointing = LQ_CHECKPOINTING_FULL;
        if (fits(&variant, evidence, rows)) {
            return LQ_CHANGE_CHECKPOINTING;
        }
    }
    if (job->batch_size > 1) {
        *to = (double)largest(job, evidence, fits_batch, job->batch_size - 1);
        if (*to > 0.0) {
            return LQ_CHANGE_BATCH;
        }
    }
    for (int i = 0; i < 2; i++) {
        variant.method = METHODS[i];
        if (METHODS[i].kind > job->method.kind && fits(&variant, evidence, rows)) {
            return CHANGES[i];
        }
    }
    *to = (double)largest(job, evidence, fits, rows);
    return *to > 0.0 ? LQ_CHANGE_ROWS : LQ_CHANGE_NONE;
}
