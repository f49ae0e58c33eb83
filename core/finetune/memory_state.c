/* Weights, gradients and optimizer states of the fullest device. Activations are counted in
 * memory_activations.c. */
#include "core/finetune/memory_parts.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

static double max_of(double a, double b)
{
    return a > b ? a : b;
}

static double min_of(double a, double b)
{
    return a < b ? a : b;
}

const struct lq_layout *lq_memory_layout(const struct lq_memory_job *job)
{
    return job->layout != NULL ? job->layout : &LQ_LAYOUT_SINGLE;
}

double lq_memory_stage_share(const struct lq_memory_job *job)
{
    const double layers = (double)lq_model_layers(job->model);
    return ceil(layers / (double)lq_memory_layout(job)->pipeline) / layers;
}

/* Bytes of a trained weight: adapters are never narrower than what the model computes in. */
static double trained_weight_bytes(const struct lq_method *method,
                                   const struct lq_training *training, const struct lq_stack *stack)
{
    const double element = lq_precision_bytes(training->precision);
    return method->kind == LQ_METHOD_FULL ? element : max_of(element, stack->adapter_bytes);
}

struct lq_trained lq_trained_count(const struct lq_model *model, const struct lq_method *method,
                                   const struct lq_training *training, const struct lq_stack *stack)
{
    const bool full = method->kind == LQ_METHOD_FULL;
    const struct lq_parameters p = lq_model_parameters(model, 0);
    struct lq_trained trained = {.parameters = full ? (double)p.total
                                                    : (double)lq_lora_parameters(model, method),
                                 .weight_bytes = trained_weight_bytes(method, training, stack)};
    if (!full && method->train_embeddings) {
        trained.parameters += (double)(p.embedding + p.head);
    }
    const bool master = training->master_weights && trained.weight_bytes < 4.0;
    const double state_bytes = master ? 4.0 : trained.weight_bytes;
    trained.optimizer_bytes =
        lq_optimizer_bytes(training->optimizer, state_bytes) + (master ? 4.0 : 0.0);
    return trained;
}

/* Parameters of one device before ZeRO shards them. Experts stand apart: expert groups share them
 * out among ranks that the others are replicated on. */
struct owned {
    double shared;  /* replicated over the data ranks */
    double experts; /* of one expert rank */
    double ends;    /* embedding and head; within `shared` */
    double layer;   /* the largest layer's matrices */
};

/* Matrices of the largest layer on one device. */
static double largest_layer(const struct lq_memory_job *job)
{
    const struct lq_layout *layout = lq_memory_layout(job);
    double largest = 0.0;
    for (int i = 0; i < job->model->layer_kinds; i++) {
        struct lq_matrix matrices[LQ_MATRICES_MAX];
        const int n = lq_layer_matrices(job->model, &job->model->layers[i], matrices);
        double sum = 0.0;
        for (int j = 0; j < n; j++) {
            const double copies =
                (double)matrices[j].count / (matrices[j].routed ? (double)layout->expert : 1.0);
            sum += copies * (double)matrices[j].rows * (double)matrices[j].cols;
        }
        largest = max_of(largest, sum);
    }
    return largest / (double)layout->tensor;
}

/* The stage with the most: as many layers as any, and with more than one stage the larger of
 * embedding and head (both need it where it is tied). */
static struct owned owned_weights(const struct lq_memory_job *job)
{
    const struct lq_layout *layout = lq_memory_layout(job);
    const struct lq_parameters p = lq_model_parameters(job->model, job->active_experts);
    const double stage = lq_memory_stage_share(job) / (double)layout->tensor;
    const double ends = layout->pipeline > 1 ? max_of((double)p.embedding, (double)p.head)
                                             : (double)(p.embedding + p.head);
    struct owned owned = {.ends = ends / (double)layout->tensor,
                          .experts = stage * (double)p.experts / (double)layout->expert,
                          .layer = largest_layer(job)};
    owned.shared = stage * (double)(p.linear - p.experts) + owned.ends +
                   lq_memory_stage_share(job) * (double)p.rest;
    return owned;
}

static struct owned owned_adapters(const struct lq_memory_job *job, const struct owned *weights)
{
    const struct lq_layout *layout = lq_memory_layout(job);
    const double stage = lq_memory_stage_share(job) / (double)layout->tensor;
    struct lq_method experts = *job->method;
    experts.targets &= LQ_TARGETS_EXPERTS;
    const double all = (double)lq_lora_parameters(job->model, job->method);
    const double routed = (double)lq_lora_parameters(job->model, &experts);
    const double copies = job->method->train_embeddings ? weights->ends : 0.0;
    return (struct owned){.shared = stage * (all - routed) + copies,
                          .experts = stage * routed / (double)layout->expert,
                          .ends = copies,
                          .layer = 0.0};
}

static double whole(const struct owned *owned)
{
    return owned->shared + owned->experts;
}

/* One rank's share of what ZeRO shards. */
static double sharded(const struct owned *owned, const struct lq_layout *layout)
{
    const double ranks = (double)lq_layout_shards(layout);
    return owned->shared / ranks + owned->experts / max_of(1.0, ranks / (double)layout->expert);
}

static double share_at(const struct owned *owned, const struct lq_layout *layout, int stage)
{
    return layout->zero_stage >= stage ? sharded(owned, layout) : whole(owned);
}

/* Bytes per trained weight, by what they are for. */
struct trained_bytes {
    double weight; /* fp32 where it is its own master */
    double gradient;
    double optimizer;
    double step; /* temporaries */
};

/* With master weights the fp32 copy is the parameter itself (autocast, FSDP2: its gradient is fp32,
 * too), or stands beside 16-bit weights with a flat fp32 copy of the gradients (DeepSpeed,
 * InternEvo). AdamW over many tensors holds one more copy while it steps unless it is fused; paged
 * states lie in managed memory that the device need not hold. */
static struct trained_bytes bytes_of_trained(const struct lq_memory_job *job)
{
    const struct lq_training *training = job->training;
    const double element = trained_weight_bytes(job->method, training, job->stack);
    const bool master = training->master_weights && element < 4.0;
    const double state = master ? 4.0 : element;
    struct trained_bytes bytes = {.weight = element,
                                  .gradient = master && !job->stack->flat_optimizer ? 4.0 : element,
                                  .optimizer = lq_optimizer_bytes(training->optimizer, state)};
    if (training->optimizer == LQ_OPTIMIZER_PAGED_ADAMW_8BIT) {
        bytes.optimizer = 0.0;
    }
    if (training->optimizer == LQ_OPTIMIZER_ADAMW && !job->stack->fused_optimizer) {
        bytes.step = state;
    }
    if (master) {
        bytes.optimizer += job->stack->flat_optimizer ? 8.0 : 4.0;
        /* gradients that lie where autograd left them are flattened before they are cast */
        const bool scattered = lq_memory_layout(job)->zero_stage < 3;
        bytes.step += job->stack->flat_optimizer && scattered ? element : 0.0;
    }
    return bytes;
}

static bool has_option(const struct lq_memory_job *job, enum lq_option option)
{
    return (job->training->options & LQ_OPTION_BIT(option)) != 0;
}

/* Bytes of the frozen or trained weights as they lie there, un-quantised parts in their own type.
 */
static double layer_element_bytes(const struct lq_memory_job *job)
{
    return job->method->quantization == LQ_QUANTIZATION_NONE
               ? lq_precision_bytes(job->training->precision)
               : lq_quantization_bytes(job->method->quantization);
}

static void count_weights(const struct lq_memory_job *job, const struct owned *owned,
                          struct lq_memory *memory)
{
    const struct lq_layout *layout = lq_memory_layout(job);
    const bool full = job->method->kind == LQ_METHOD_FULL;
    const double element = lq_precision_bytes(job->training->precision);
    const double matrix = layer_element_bytes(job);
    const double rest_share = lq_memory_stage_share(job);
    const double norms =
        rest_share * (double)lq_model_parameters(job->model, job->active_experts).rest;
    const bool quantized = job->method->quantization != LQ_QUANTIZATION_NONE;
    const double end = quantized && job->stack->upcasts_unquantized ? 4.0 : element;
    const double plain = owned->ends + norms; /* never quantised */
    const struct owned bytes = {.shared = (owned->shared - plain) * matrix + plain * end,
                                .experts = owned->experts * matrix};
    /* fp32 shards are the parameters: 16-bit ones exist only while gathered */
    const bool fp32_shards = full && job->training->master_weights && element < 4.0 &&
                             !job->stack->flat_optimizer && layout->zero_stage >= 3;
    memory->weights_bytes = fp32_shards ? 0.0 : share_at(&bytes, layout, 3);
    if (quantized) {
        double largest = 0.0;
        for (int i = 0; i < job->model->layer_kinds; i++) {
            struct lq_matrix matrices[LQ_MATRICES_MAX];
            const int n = lq_layer_matrices(job->model, &job->model->layers[i], matrices);
            for (int j = 0; j < n; j++) {
                largest = max_of(largest, (double)matrices[j].rows * (double)matrices[j].cols);
            }
        }
        memory->scratch_bytes = 2.0 * largest / (double)layout->tensor;
    }
}

/* What FSDP gathers: embedding and head for the whole pass, the layer at work and the next one;
 * and one layer's gradients on their way to being scattered. A rank's own shards are not counted
 * twice, and nothing is gathered beyond what there is. */
static void count_communication(const struct lq_memory_job *job, const struct owned *owned,
                                double gradient, struct lq_memory *memory)
{
    const struct lq_layout *layout = lq_memory_layout(job);
    const double ranks = (double)lq_layout_shards(layout);
    if (layout->zero_stage < 3 || ranks <= 1.0) {
        return;
    }
    const double element = lq_precision_bytes(job->training->precision);
    const double matrix = layer_element_bytes(job);
    const double most = (whole(owned) - owned->ends) * matrix + owned->ends * element;
    const double weights = min_of(owned->ends * element + 2.0 * owned->layer * matrix, most);
    const double gradients =
        job->method->kind == LQ_METHOD_FULL ? min_of(owned->layer, whole(owned)) * gradient : 0.0;
    const double others = 1.0 - 1.0 / ranks;
    const bool away = has_option(job, LQ_OPTION_OFFLOAD_OPTIMIZER); /* so are its own shards */
    memory->communication_bytes = weights * (away ? 1.0 : others) + gradients;
}

/* Gradients of all trained weights at the end of the backward pass. */
static double gradient_bytes(const struct lq_memory_job *job, const struct owned *weights,
                             const struct owned *trained, double gradient)
{
    const struct lq_layout *layout = lq_memory_layout(job);
    const bool accumulates = job->training->accumulation_steps > 1;
    /* pipelined micro-batches add to whole gradients and scatter them once */
    const bool pipelined = layout->pipeline > 1 && accumulates;
    double bytes = (pipelined ? whole(trained) : share_at(trained, layout, 2)) * gradient;
    if (job->stack->flat_gradients && job->method->kind != LQ_METHOD_FULL &&
        layout->zero_stage >= 3) {
        /* FSDP's flat parameters mix frozen weights with trained ones: gradients of both, whole
         * while micro-batches accumulate (LitGPT under FSDP, torch 2.1, 2023) */
        const double element = lq_precision_bytes(job->training->precision);
        bytes += (accumulates ? whole(weights) : sharded(weights, layout)) * element;
    }
    return bytes;
}

static void count_gradients(const struct lq_memory_job *job, const struct owned *weights,
                            const struct owned *trained, double gradient, struct lq_memory *memory)
{
    const struct lq_layout *layout = lq_memory_layout(job);
    const double ranks = layout->zero_stage >= 2 ? (double)lq_layout_shards(layout) : 1.0;
    const bool trains_ends = job->method->kind == LQ_METHOD_FULL || job->method->train_embeddings;
    const double head = trains_ends
                            ? (double)job->model->vocab_size * (double)job->model->hidden_size *
                                  gradient / ((double)layout->tensor * ranks)
                            : 0.0;
    double all = gradient_bytes(job, weights, trained, gradient);
    if (has_option(job, LQ_OPTION_OPTIMIZER_IN_BACKWARD)) {
        all = min_of(all, max_of(head, weights->layer * gradient));
    }
    memory->gradient_bytes = all;
    memory->carried_gradient_bytes = job->training->accumulation_steps > 1 ? all : 0.0;
    memory->head_gradient_bytes = job->training->accumulation_steps > 1 ? 0.0 : min_of(head, all);
}

void lq_memory_count_state(const struct lq_memory_job *job, struct lq_memory *memory)
{
    const struct lq_layout *layout = lq_memory_layout(job);
    const bool full = job->method->kind == LQ_METHOD_FULL;
    const struct owned weights = owned_weights(job);
    const struct owned trained = full ? weights : owned_adapters(job, &weights);
    const struct trained_bytes bytes = bytes_of_trained(job);
    count_weights(job, &weights, memory);
    count_communication(job, &weights, bytes.gradient, memory);
    count_gradients(job, &weights, &trained, bytes.gradient, memory);
    memory->adapter_bytes = full ? 0.0 : share_at(&trained, layout, 3) * bytes.weight;
    memory->optimizer_bytes = share_at(&trained, layout, 1) * bytes.optimizer;
    memory->step_bytes = share_at(&trained, layout, 1) * bytes.step;
    if (has_option(job, LQ_OPTION_OPTIMIZER_IN_BACKWARD)) {
        memory->step_bytes = 0.0; /* one weight at a time */
    }
    if (has_option(job, LQ_OPTION_OFFLOAD_OPTIMIZER)) {
        memory->optimizer_bytes = 0.0;
        memory->step_bytes = 0.0;
        if (layout->zero_stage >= 3) {
            memory->weights_bytes = 0.0;
            memory->adapter_bytes = 0.0;
            memory->gradient_bytes = 0.0;
            memory->carried_gradient_bytes = 0.0;
            memory->head_gradient_bytes = 0.0;
        }
    }
}
