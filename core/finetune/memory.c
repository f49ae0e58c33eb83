/* Memory of a training step: the sum over its parts at each moment, and the batch that fills a
 * device. What a token takes is counted in memory_activations.c, weights in memory_state.c. */
#include "core/finetune/memory.h"

#include "core/base/units.h"
#include "core/finetune/memory_parts.h"

#include <math.h>
#include <stddef.h>

const struct lq_memory_factors LQ_MEMORY_FACTORS_ONE = {
    .activation = 1.0, .logits = 1.0, .overhead = 1.0, .communication = 1.0};

const char *const LQ_MEMORY_MOMENT_NAMES[] = {[LQ_MEMORY_AT_LOSS] = "loss",
                                              [LQ_MEMORY_AT_BACKWARD] = "backward",
                                              [LQ_MEMORY_AT_GRADIENTS] = "gradients",
                                              [LQ_MEMORY_AT_OPTIMIZER] = "optimizer",
                                              [LQ_MEMORY_MOMENTS] = NULL};

/* No batch is larger than this, however small its rows. */
static const double BATCH_MAX = 1e12;

/* 0.5 GiB: buffers of NCCL's channels beside the context of a device that has peers. ASSUMED
 * within the multi-GPU rows of 2023-2025; nvidia-smi before and after init_process_group tells. */
#define COLLECTIVES_BYTES (0.5 * LQ_GIB)

struct lq_memory lq_memory_count(const struct lq_memory_job *job)
{
    const double peers = lq_layout_gpus(lq_memory_layout(job)) > 1 ? COLLECTIVES_BYTES : 0.0;
    struct lq_memory memory = {.context_bytes = job->stack->context_bytes + peers,
                               .fragmentation = job->stack->fragmentation,
                               .static_fragmentation = job->stack->static_fragmentation,
                               .keeps_blocks = job->stack->flat_optimizer,
                               .scope = job->stack->peak_scope};
    lq_memory_count_tokens(job, &memory);
    lq_memory_count_state(job, &memory);
    return memory;
}

double lq_memory_fixed_bytes(const struct lq_memory *memory)
{
    return memory->weights_bytes + memory->adapter_bytes + memory->gradient_bytes +
           memory->optimizer_bytes + memory->scratch_bytes + memory->communication_bytes +
           memory->context_bytes;
}

/* One moment as a straight line over the batch: bytes that are there and bytes per row. */
struct line {
    double gradient_bytes;
    double step_bytes;
    double activation_row_bytes;
    double logit_row_bytes;
};

static struct line line_of(const struct lq_memory *memory, const struct lq_memory_factors *factors,
                           enum lq_memory_moment moment, double row_tokens)
{
    const double saved = factors->activation * row_tokens *
                         (memory->saved_token_bytes + memory->saved_square_bytes * row_tokens);
    const double squares = memory->work_square_bytes * row_tokens;
    const double work = factors->activation * row_tokens * (memory->work_token_bytes + squares);
    const double layer = factors->activation * row_tokens * (memory->layer_token_bytes + squares);
    const double logits = factors->logits * row_tokens * memory->logit_token_bytes;
    switch (moment) {
    case LQ_MEMORY_AT_LOSS:
        return (struct line){memory->carried_gradient_bytes + memory->head_gradient_bytes, 0.0,
                             saved, logits};
    case LQ_MEMORY_AT_BACKWARD:
        return (struct line){memory->carried_gradient_bytes, 0.0, saved + work, 0.0};
    case LQ_MEMORY_AT_GRADIENTS:
        return (struct line){memory->gradient_bytes, 0.0, layer, 0.0};
    case LQ_MEMORY_AT_OPTIMIZER:
        return (struct line){memory->gradient_bytes, memory->step_bytes,
                             memory->keeps_blocks ? saved : 0.0,
                             memory->keeps_blocks ? logits : 0.0};
    case LQ_MEMORY_MOMENTS:
        break;
    }
    return (struct line){0.0, 0.0, 0.0, 0.0};
}

static double held_bytes(const struct lq_memory *memory, const struct lq_memory_factors *factors)
{
    return memory->weights_bytes + memory->adapter_bytes + memory->optimizer_bytes +
           memory->scratch_bytes + factors->communication * memory->communication_bytes;
}

static double line_bytes(const struct line *line, double batch_size)
{
    return line->gradient_bytes + line->step_bytes +
           batch_size * (line->activation_row_bytes + line->logit_row_bytes);
}

/* The fullest moment, and what it allocates beside what is held throughout. */
static enum lq_memory_moment fullest(const struct lq_memory *memory,
                                     const struct lq_memory_factors *factors, double batch_size,
                                     double row_tokens, struct line *out)
{
    enum lq_memory_moment moment = LQ_MEMORY_AT_LOSS;
    double most = -1.0;
    for (int i = 0; i < LQ_MEMORY_MOMENTS; i++) {
        const struct line line = line_of(memory, factors, (enum lq_memory_moment)i, row_tokens);
        const double bytes = line_bytes(&line, batch_size);
        if (bytes > most) {
            most = bytes;
            moment = (enum lq_memory_moment)i;
            *out = line;
        }
    }
    return moment;
}

struct lq_memory_parts lq_memory_at_peak(const struct lq_memory *memory,
                                         const struct lq_memory_factors *factors, double batch_size,
                                         double row_tokens)
{
    struct line line = {0};
    const enum lq_memory_moment moment = fullest(memory, factors, batch_size, row_tokens, &line);
    struct lq_memory_parts parts = {.moment = moment,
                                    .weights_bytes = memory->weights_bytes,
                                    .adapter_bytes = memory->adapter_bytes,
                                    .gradient_bytes = line.gradient_bytes,
                                    .optimizer_bytes = memory->optimizer_bytes,
                                    .activation_bytes = batch_size * line.activation_row_bytes,
                                    .logits_bytes = batch_size * line.logit_row_bytes,
                                    .communication_bytes =
                                        factors->communication * memory->communication_bytes};
    const double lost = memory->static_fragmentation * held_bytes(memory, factors) +
                        memory->fragmentation * line_bytes(&line, batch_size);
    parts.overhead_bytes = memory->scratch_bytes + line.step_bytes +
                           factors->overhead * (memory->context_bytes + lost);
    parts.total_bytes = parts.weights_bytes + parts.adapter_bytes + parts.gradient_bytes +
                        parts.optimizer_bytes + parts.activation_bytes + parts.logits_bytes +
                        parts.communication_bytes + parts.overhead_bytes;
    return parts;
}

double lq_memory_total_bytes(const struct lq_memory *memory,
                             const struct lq_memory_factors *factors, double batch_size,
                             double row_tokens)
{
    return lq_memory_at_peak(memory, factors, batch_size, row_tokens).total_bytes;
}

double lq_memory_peak_bytes(const struct lq_memory *memory, const struct lq_memory_factors *factors,
                            enum lq_memory_scope scope, double batch_size, double row_tokens,
                            double slopes[LQ_MEMORY_FACTORS])
{
    struct line line = {0};
    (void)fullest(memory, factors, batch_size, row_tokens, &line);
    const double counts_lost = scope == LQ_MEMORY_ALLOCATED ? 0.0 : factors->overhead;
    const double counts_context = scope == LQ_MEMORY_DEVICE ? factors->overhead : 0.0;
    const double held = held_bytes(memory, factors);
    const double used = line_bytes(&line, batch_size);
    const double lost = memory->static_fragmentation * held + memory->fragmentation * used;
    const double total = held + used + counts_lost * lost + counts_context * memory->context_bytes;
    if (slopes != NULL) {
        const double of_used = (1.0 + counts_lost * memory->fragmentation) / total;
        const double of_held = (1.0 + counts_lost * memory->static_fragmentation) / total;
        slopes[0] = of_used * batch_size * line.activation_row_bytes;
        slopes[1] = of_used * batch_size * line.logit_row_bytes;
        slopes[2] = (counts_lost * lost + counts_context * memory->context_bytes) / total;
        slopes[3] = of_held * factors->communication * memory->communication_bytes;
    }
    return total;
}

double lq_memory_filling_batch(const struct lq_memory *memory,
                               const struct lq_memory_factors *factors, double capacity_bytes,
                               double row_tokens)
{
    const double held =
        held_bytes(memory, factors) * (1.0 + factors->overhead * memory->static_fragmentation);
    const double room = (capacity_bytes - held - factors->overhead * memory->context_bytes) /
                        (1.0 + factors->overhead * memory->fragmentation);
    double rows = BATCH_MAX;
    for (int i = 0; i < LQ_MEMORY_MOMENTS; i++) {
        const struct line line = line_of(memory, factors, (enum lq_memory_moment)i, row_tokens);
        const double left = room - line.gradient_bytes - line.step_bytes;
        if (!(left > 0.0)) {
            return 0.0;
        }
        const double row = line.activation_row_bytes + line.logit_row_bytes;
        rows = row * rows > left ? left / row : rows;
    }
    return rows;
}

int64_t lq_memory_max_batch(const struct lq_memory *memory, const struct lq_memory_factors *factors,
                            double capacity_bytes, int64_t row_tokens)
{
    return (int64_t)floor(
        lq_memory_filling_batch(memory, factors, capacity_bytes, (double)row_tokens));
}
