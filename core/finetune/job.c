/* What follows from a job alone: its identity among measurements and its prior step time. */
#include "core/finetune/estimate.h"

#include <stdbool.h>
#include <stdio.h>

static void copy_id(char *out, size_t size, const char *id)
{
    snprintf(out, size, "%s", id);
}

struct lq_identity lq_job_identity(const struct lq_job *job)
{
    struct lq_identity identity = {.gpu_count = job->gpu_count,
                                   .method = job->method,
                                   .precision = job->training.precision,
                                   .optimizer = job->training.optimizer,
                                   .checkpointing = job->training.checkpointing};
    copy_id(identity.model, sizeof identity.model, job->model->id);
    copy_id(identity.gpu, sizeof identity.gpu, job->gpu->id);
    copy_id(identity.stack, sizeof identity.stack, job->stack);
    return identity;
}

/* The widest view of any attention layer: the longest context the scores are computed over. Layers
 * with windows beside layers without count as without. */
static int64_t widest_window(const struct lq_model *model)
{
    int64_t widest = 0;
    for (int i = 0; i < model->layer_kinds; i++) {
        const struct lq_mixer *mixer = &model->layers[i].mixer;
        if (mixer->kind != LQ_MIXER_ATTENTION && mixer->kind != LQ_MIXER_MLA) {
            continue;
        }
        if (mixer->window_tokens == 0) {
            return 0;
        }
        widest = mixer->window_tokens > widest ? mixer->window_tokens : widest;
    }
    return widest;
}

/* Gradients in the trained weights' own type, reduced among data-parallel devices. */
static double gradient_bytes(const struct lq_job *job, const struct lq_stack *stack)
{
    const struct lq_trained trained =
        lq_trained_count(job->model, &job->method, &job->training, stack);
    return trained.parameters * trained.weight_bytes;
}

const struct lq_stack *lq_job_stack(const struct lq_job *job)
{
    const struct lq_stack *stack = lq_stack_find(job->stack);
    return stack != NULL ? stack : lq_stack_default();
}

struct lq_memory lq_job_memory(const struct lq_job *job)
{
    struct lq_layout replicas = LQ_LAYOUT_SINGLE;
    replicas.data = job->gpu_count;
    const struct lq_memory_job memory_job = {.model = job->model,
                                             .method = &job->method,
                                             .training = &job->training,
                                             .stack = lq_job_stack(job),
                                             .layout =
                                                 job->layout.data > 0 ? &job->layout : &replicas,
                                             .active_experts = job->active_experts};
    return lq_memory_count(&memory_job);
}

double lq_job_least_step_s(const struct lq_job *job, double tokens, double row_tokens)
{
    static const struct lq_stack PERFECT = {.matmul_efficiency = 1.0, .bandwidth_efficiency = 1.0};
    bool fallback = false;
    (void)lq_peak_flop_per_s(job->gpu, job->training.precision, &fallback);
    if (fallback) {
        return 0.0;
    }
    const struct lq_work_table work =
        lq_work_count(job->model, &job->method, &job->training, &PERFECT);
    const struct lq_step_device device = {.gpu = job->gpu,
                                          .stack = &PERFECT,
                                          .precision = job->training.precision,
                                          .gpu_count = 1,
                                          .accumulation_steps = 1,
                                          .row_tokens = row_tokens,
                                          .window_tokens = widest_window(job->model)};
    const struct lq_step_coefficients total = lq_step_prior(&work, &device).total;
    return (total.token_s + (double)job->active_experts * total.expert_token_s) * tokens;
}

struct lq_step_time lq_job_prior(const struct lq_job *job, double row_tokens)
{
    const struct lq_stack *stack = lq_job_stack(job);
    const struct lq_work_table work =
        lq_work_count(job->model, &job->method, &job->training, stack);
    const struct lq_step_device device = {
        .gpu = job->gpu,
        .stack = stack,
        .precision = job->training.precision,
        .gpu_count = job->gpu_count,
        .gradient_bytes = job->gpu_count > 1 ? gradient_bytes(job, stack) : 0.0,
        .accumulation_steps = job->training.accumulation_steps,
        .row_tokens = row_tokens,
        .window_tokens = widest_window(job->model),
    };
    return lq_step_prior(&work, &device);
}
