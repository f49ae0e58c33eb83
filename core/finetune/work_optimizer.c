/* The work of one optimizer step: states and weights streamed, tensors stepped. */
#include "core/finetune/memory.h"
#include "core/finetune/work.h"
#include "core/finetune/work_parts.h"

#include <stdbool.h>

/* Eager optimizers run one kernel per elementary operation over all states: AdamW reads or writes
 * 20 elements per weight where 7 would do (torch.optim foreach implementation, 2.1). */
static const double EAGER_OPTIMIZER_ACCESSES = 20.0 / 7.0;

/* Tensors an optimizer steps through: two per adapted matrix, or all of them. */
static double trained_tensors(const struct lq_work_job *job)
{
    double tensors = 0.0;
    for (int i = 0; i < job->model->layer_kinds; i++) {
        const struct lq_layer *layer = &job->model->layers[i];
        struct lq_matrix matrices[LQ_MATRICES_MAX];
        const int n = lq_layer_matrices(job->model, layer, matrices);
        for (int j = 0; j < n; j++) {
            const double copies = (double)(layer->count * matrices[j].count) /
                                  (matrices[j].routed ? (double)job->layout->expert : 1.0);
            if (job->method->kind == LQ_METHOD_FULL) {
                tensors += copies;
            } else if ((job->method->targets & LQ_TARGET_BIT(matrices[j].target)) != 0) {
                tensors += 2.0 * copies;
            }
        }
    }
    return tensors / (double)job->layout->pipeline;
}

struct lq_work lq_work_optimizer(const struct lq_work_job *job, double calls_per_tensor)
{
    const struct lq_training *training = job->training;
    const struct lq_trained trained =
        lq_trained_count(job->model, job->method, training, job->stack);
    const struct lq_layout *layout = job->layout;
    double local = trained.parameters / (double)(layout->tensor * layout->pipeline);
    if (layout->zero_stage > 0) {
        local /= (double)lq_layout_shards(layout);
    }
    const bool fused = (training->options & LQ_OPTION_BIT(LQ_OPTION_COMPILE)) != 0 ||
                       job->stack->own_kernels || training->optimizer == LQ_OPTIMIZER_ADAMW_8BIT ||
                       training->optimizer == LQ_OPTIMIZER_PAGED_ADAMW_8BIT;
    const double bytes = 3.0 * trained.weight_bytes + 2.0 * trained.optimizer_bytes;
    return (struct lq_work){.stream_bytes =
                                local * bytes * (fused ? 1.0 : EAGER_OPTIMIZER_ACCESSES),
                            .calls = trained_tensors(job) * calls_per_tensor};
}
