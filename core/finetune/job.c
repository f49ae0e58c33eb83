/* What follows from a job alone: its identity among measurements and the physics of its step. */
#include "core/finetune/communication.h"
#include "core/finetune/device.h"
#include "core/finetune/estimate.h"

#include <math.h>
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
                                   .checkpointing = job->training.checkpointing,
                                   .attention = job->training.attention,
                                   .master_weights = job->training.master_weights,
                                   .options = job->training.options,
                                   .layout = job->layout};
    if (job->layout.data == 0) {
        const int64_t node =
            job->network.node_gpu_count > 0 ? job->network.node_gpu_count : LQ_NODE_GPUS_DEFAULT;
        identity.layout = lq_layout_replicas(job->gpu_count, node);
    }
    copy_id(identity.model, sizeof identity.model, job->model->id);
    copy_id(identity.gpu, sizeof identity.gpu, job->gpu->id);
    copy_id(identity.stack, sizeof identity.stack, job->stack);
    return identity;
}

const struct lq_stack *lq_job_stack(const struct lq_job *job)
{
    const struct lq_stack *stack = lq_stack_find(job->stack);
    return stack != NULL ? stack : lq_stack_default();
}

uint32_t lq_job_parallelism(const struct lq_job *job, const struct lq_evidence *evidence)
{
    const uint32_t offered = lq_stack_parallelism(lq_job_stack(job), &job->method);
    return lq_stack_find(job->stack) != NULL
               ? offered
               : offered | lq_evidence_parallelism(evidence, job->stack, &job->method);
}

uint32_t lq_job_missing_parallelism(const struct lq_job *job)
{
    const struct lq_stack *stack = lq_stack_find(job->stack);
    return stack != NULL
               ? lq_layout_parallelism(&job->layout) & ~lq_stack_parallelism(stack, &job->method)
               : 0;
}

/* FLOPs of one micro-batch on one device, every expert's share even. */
static double step_flop(const struct lq_work_table *work, const struct lq_step_shape *shape)
{
    double sum = 0.0;
    for (int t = 0; t < LQ_TERM_COUNT; t++) {
        for (int s = 0; s < LQ_STAGE_COUNT; s++) {
            const struct lq_work *w = &work->term[t][s];
            sum += w->token_flop + shape->active_experts * w->expert_token_flop;
        }
    }
    return sum * shape->tokens;
}

static struct lq_work_table count_work(const struct lq_job *job)
{
    const struct lq_work_job work = {.model = job->model,
                                     .method = &job->method,
                                     .training = &job->training,
                                     .stack = lq_job_stack(job),
                                     .layout = &job->layout};
    return lq_work_count(&work);
}

/* What a data rank's rows are to one of its devices: context parallelism cuts them. */
static struct lq_step_shape shape_of(const struct lq_job *job, double rows, double row_tokens)
{
    const double share = 1.0 / (double)job->layout.context;
    return (struct lq_step_shape){.tokens = rows * row_tokens * share,
                                  .rows = rows * share,
                                  .keys = row_tokens,
                                  .active_experts = (double)job->active_experts};
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

double lq_job_least_step_s(const struct lq_job *job, double rows, double row_tokens)
{
    bool fallback = false;
    const double peak = lq_peak_flop_per_s(job->gpu, job->training.precision, &fallback);
    if (fallback) {
        return 0.0;
    }
    const struct lq_work_table work = count_work(job);
    const struct lq_step_shape shape = shape_of(job, rows, row_tokens);
    return step_flop(&work, &shape) / peak;
}

/* Bytes of the whole model that devices may have to send each other. */
static struct lq_communication count_communication(const struct lq_job *job, double tokens)
{
    const struct lq_stack *stack = lq_job_stack(job);
    const struct lq_parameters p = lq_model_parameters(job->model, 0);
    const struct lq_trained trained =
        lq_trained_count(job->model, &job->method, &job->training, stack);
    const double element = lq_precision_bytes(job->training.precision);
    const bool quantized = job->method.quantization != LQ_QUANTIZATION_NONE;
    const double linear = quantized ? lq_quantization_bytes(job->method.quantization) : element;
    const double experts = p.linear > 0 ? (double)p.experts / (double)p.linear : 0.0;
    const double gradients = trained.parameters * trained.weight_bytes;
    const struct lq_communication_job communication = {
        .model = job->model,
        .gpu = job->gpu,
        .layout = &job->layout,
        .network = &job->network,
        .training = &job->training,
        .expert_load = job->expert_load,
        .active_experts = job->active_experts,
        .micro_batch_tokens = tokens,
        .weights_bytes = (double)p.linear * linear + (double)(p.total - p.linear) * element,
        .expert_weights_bytes = (double)p.experts * linear,
        .gradient_bytes = gradients,
        .expert_gradient_bytes = gradients * experts,
        .updated_bytes = gradients,
        .expert_updated_bytes = gradients * experts,
        .owner_broadcast_s = stack->owner_broadcast_s,
    };
    return lq_communication_count(&communication);
}

struct lq_step_parts lq_job_step(const struct lq_job *job, double rows, double row_tokens)
{
    const struct lq_work_table work = count_work(job);
    const struct lq_step_device device = {.gpu = job->gpu,
                                          .stack = lq_job_stack(job),
                                          .model = job->model,
                                          .method = &job->method,
                                          .training = &job->training,
                                          .layout = &job->layout,
                                          .expert_load = job->expert_load};
    const struct lq_step_shape shape = shape_of(job, rows, row_tokens);
    struct lq_step_parts parts = lq_step_count(&work, &device, &shape);
    const uint32_t offloads = LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_OPTIMIZER);
    if (lq_layout_gpus(&job->layout) > 1 || (job->training.options & offloads) != 0) {
        const struct lq_communication c = count_communication(job, rows * row_tokens);
        lq_step_add_flows(&parts, &c);
    }
    return parts;
}
