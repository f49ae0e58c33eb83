/* Memory of a training step. Counts elements layer by layer; what stacks make of an element stands
 * in efficiency.c, and one fitted factor scales the activations. */
#include "core/finetune/memory.h"

#include <math.h>
#include <stdbool.h>

/* No batch is larger than this, however small its rows. */
static const double BATCH_MAX = 1e12;

static double max_of(double a, double b)
{
    return a > b ? a : b;
}

static bool is_target(const struct lq_method *method, enum lq_target target)
{
    return method->kind != LQ_METHOD_FULL && (method->targets & LQ_TARGET_BIT(target)) != 0;
}

/* How many of a layer's copies of a matrix one token passes through. */
static double copies_per_token(const struct lq_memory_job *job, const struct lq_layer *layer,
                               const struct lq_matrix *matrix)
{
    if (!matrix->routed) {
        return 1.0;
    }
    const int64_t active =
        job->active_experts < layer->ffn.experts ? job->active_experts : layer->ffn.experts;
    return (double)active;
}

/* What an adapter saves of its layer's input, bytes per token. */
static double adapter_saved_bytes(const struct lq_memory_job *job, const struct lq_layer *layer)
{
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    const int n = lq_layer_matrices(job->model, layer, matrices);
    double bytes = 0.0;
    for (int i = 0; i < n; i++) {
        if (is_target(job->method, matrices[i].target)) {
            bytes += (double)matrices[i].cols * copies_per_token(job, layer, &matrices[i]) *
                     job->stack->lora_input_bytes;
        }
    }
    return bytes;
}

/* Elements per token that the sequence mixer saves for its backward pass, norm included apart.
 * Attention: input, q, k, v, their rotated copies and the output; flash attention saves no scores
 * (arXiv 2205.14135). MLA adds its two latent vectors. Mamba (the fused kernel of arXiv
 * 2312.00752): input, the two halves of in_proj, the scan's output and the gated output. */
static double mixer_elements(const struct lq_mixer *mixer, double hidden)
{
    switch (mixer->kind) {
    case LQ_MIXER_NONE:
        return 0.0;
    case LQ_MIXER_ATTENTION: {
        const double q = (double)(mixer->heads * mixer->head_size);
        const double kv = (double)(mixer->kv_heads * mixer->head_size);
        return hidden + 2.0 * q + 3.0 * kv + q;
    }
    case LQ_MIXER_MLA: {
        const double q = (double)(mixer->heads * (mixer->nope_size + mixer->rope_size));
        const double v = (double)(mixer->heads * mixer->value_size);
        return hidden + (double)(mixer->q_rank + mixer->kv_rank) + 3.0 * q + 2.0 * v;
    }
    case LQ_MIXER_MAMBA:
        return hidden + 4.0 * (double)mixer->inner_size + (double)mixer->dt_rank +
               2.0 * (double)mixer->state_size;
    }
    return 0.0;
}

/* Intermediate elements of one feed-forward network of width `size`: both projections, the
 * activation and the product where gated, the projection and the activation where not. */
static double ffn_intermediates(const struct lq_ffn *ffn, double size)
{
    return (ffn->gated ? 4.0 : 2.0) * size;
}

struct layer_bytes {
    double saved; /* kept from forward to backward, per token */
    double
        transient; /* gradients of the feed-forward intermediates, while the layer runs backward */
};

/* Feed-forward part: intermediates (twice in backward, with their gradients: experts of uneven
 * loads run one after another, yet blocks of differing sizes are not reused) and, per active
 * expert, the gathered input, the output and its weighted copy. */
static struct layer_bytes ffn_bytes(const struct lq_memory_job *job, const struct lq_ffn *ffn,
                                    double element_bytes)
{
    const double hidden = (double)job->model->hidden_size;
    double inner = 0.0;
    double outer = 0.0;
    switch (ffn->kind) {
    case LQ_FFN_NONE:
        break;
    case LQ_FFN_DENSE:
        inner = ffn_intermediates(ffn, (double)ffn->intermediate_size);
        outer = hidden;
        break;
    case LQ_FFN_MOE: {
        const double active =
            (double)(job->active_experts < ffn->experts ? job->active_experts : ffn->experts);
        inner = active * ffn_intermediates(ffn, (double)ffn->intermediate_size) +
                ffn_intermediates(ffn, (double)ffn->shared_size);
        outer = hidden + active * 3.0 * hidden;
        break;
    }
    }
    return (struct layer_bytes){.saved = (inner + outer) * element_bytes,
                                .transient = inner * element_bytes};
}

static struct layer_bytes layer_activation_bytes(const struct lq_memory_job *job,
                                                 const struct lq_layer *layer, double element_bytes)
{
    const double hidden = (double)job->model->hidden_size;
    const double norms = (layer->mixer.kind != LQ_MIXER_NONE ? 1.0 : 0.0) +
                         (layer->ffn.kind != LQ_FFN_NONE ? 1.0 : 0.0);
    struct layer_bytes bytes = ffn_bytes(job, &layer->ffn, element_bytes);
    bytes.saved += mixer_elements(&layer->mixer, hidden) * element_bytes +
                   norms * hidden * job->stack->norm_bytes_per_element +
                   adapter_saved_bytes(job, layer);
    return bytes;
}

/* Share of a layer's saved bytes that selective checkpointing keeps: the outputs of matmuls and of
 * attention, about half of what a layer saves. ASSUMED; measured by one run of each kind. */
static const double SELECTIVE_SHARE = 0.5;

/* Activation bytes per token at the peak, before the fitted factor.
 * none: every layer's saved bytes and the head's at once. full: each layer's input, and the larger
 * of one recomputed layer and the head. */
static double activation_token_bytes(const struct lq_memory_job *job)
{
    const struct lq_model *model = job->model;
    const double element = lq_precision_bytes(job->training->precision);
    const double head = (double)model->vocab_size * job->stack->head_bytes_per_logit;
    double inputs = 0.0;
    double saved = 0.0;
    double largest = 0.0;
    double transient = 0.0;
    for (int i = 0; i < model->layer_kinds; i++) {
        const struct lq_layer *layer = &model->layers[i];
        const struct layer_bytes bytes = layer_activation_bytes(job, layer, element);
        inputs += (double)(layer->count * model->hidden_size) * element;
        saved += (double)layer->count * bytes.saved;
        largest = max_of(largest, bytes.saved + bytes.transient);
        transient = max_of(transient, bytes.transient);
    }
    switch (job->training->checkpointing) {
    case LQ_CHECKPOINTING_FULL:
        return inputs + max_of(largest, head);
    case LQ_CHECKPOINTING_SELECTIVE:
        return inputs + SELECTIVE_SHARE * saved + max_of(largest, head);
    case LQ_CHECKPOINTING_NONE:
        return saved + max_of(transient, head);
    }
    return 0.0;
}

/* Eager attention keeps softmax's input and output (16 bit) and its fp32 form per head and pair of
 * positions; recomputed layers keep one such set, others every layer's. */
static double activation_square_bytes(const struct lq_memory_job *job)
{
    if (job->training->attention != LQ_ATTENTION_EAGER) {
        return 0.0;
    }
    const double per_score = 2.0 * lq_precision_bytes(job->training->precision) + 4.0;
    double all = 0.0;
    double largest = 0.0;
    for (int i = 0; i < job->model->layer_kinds; i++) {
        const struct lq_layer *layer = &job->model->layers[i];
        if (layer->mixer.kind == LQ_MIXER_ATTENTION || layer->mixer.kind == LQ_MIXER_MLA) {
            const double scores = (double)layer->mixer.heads * per_score;
            all += (double)layer->count * scores;
            largest = max_of(largest, scores);
        }
    }
    return job->training->checkpointing == LQ_CHECKPOINTING_NONE ? all : largest;
}

/* Two 16-bit buffers of the largest quantised matrix: the one in use and the next one's. */
static double dequantization_scratch_bytes(const struct lq_memory_job *job)
{
    if (job->method->quantization == LQ_QUANTIZATION_NONE) {
        return 0.0;
    }
    double largest = 0.0;
    for (int i = 0; i < job->model->layer_kinds; i++) {
        struct lq_matrix matrices[LQ_MATRICES_MAX];
        const int n = lq_layer_matrices(job->model, &job->model->layers[i], matrices);
        for (int j = 0; j < n; j++) {
            largest = max_of(largest, (double)matrices[j].rows * (double)matrices[j].cols);
        }
    }
    return 2.0 * largest * 2.0;
}

static double weights_bytes(const struct lq_memory_job *job, const struct lq_parameters *p)
{
    const double element = lq_precision_bytes(job->training->precision);
    if (job->method->quantization == LQ_QUANTIZATION_NONE) {
        return (double)p->total * element;
    }
    return (double)p->linear * lq_quantization_bytes(job->method->quantization) +
           (double)(p->total - p->linear) * element;
}

struct lq_trained lq_trained_count(const struct lq_model *model, const struct lq_method *method,
                                   const struct lq_training *training, const struct lq_stack *stack)
{
    const bool full = method->kind == LQ_METHOD_FULL;
    const struct lq_parameters p = lq_model_parameters(model, 0);
    struct lq_trained trained = {
        .parameters = full ? (double)p.total : (double)lq_lora_parameters(model, method),
        .weight_bytes = full ? lq_precision_bytes(training->precision) : stack->adapter_bytes};
    if (!full && method->train_embeddings) {
        trained.parameters += (double)(p.embedding + p.head);
    }
    const bool master = training->master_weights && trained.weight_bytes < 4.0;
    const double state_bytes = master ? 4.0 : trained.weight_bytes;
    trained.optimizer_bytes =
        lq_optimizer_bytes(training->optimizer, state_bytes) + (master ? 4.0 : 0.0);
    return trained;
}

struct lq_memory lq_memory_count(const struct lq_memory_job *job)
{
    const struct lq_parameters p = lq_model_parameters(job->model, job->active_experts);
    const struct lq_trained trained =
        lq_trained_count(job->model, job->method, job->training, job->stack);
    const bool full = job->method->kind == LQ_METHOD_FULL;
    return (struct lq_memory){
        .weights_bytes = weights_bytes(job, &p),
        .adapter_bytes = full ? 0.0 : trained.parameters * trained.weight_bytes,
        .gradient_bytes = trained.parameters * trained.weight_bytes,
        .optimizer_bytes = trained.parameters * trained.optimizer_bytes,
        .overhead_bytes = job->stack->context_bytes + dequantization_scratch_bytes(job),
        .fragmentation = job->stack->fragmentation,
        .activation_token_bytes = job->activation_factor * activation_token_bytes(job),
        .activation_square_bytes = job->activation_factor * activation_square_bytes(job),
    };
}

double lq_memory_fixed_bytes(const struct lq_memory *memory)
{
    return memory->weights_bytes + memory->adapter_bytes + memory->gradient_bytes +
           memory->optimizer_bytes + memory->overhead_bytes;
}

double lq_memory_activation_bytes(const struct lq_memory *memory, double batch_size,
                                  double row_tokens)
{
    return batch_size * row_tokens *
           (memory->activation_token_bytes + memory->activation_square_bytes * row_tokens);
}

double lq_memory_total_bytes(const struct lq_memory *memory, double batch_size, double row_tokens)
{
    return (lq_memory_fixed_bytes(memory) +
            lq_memory_activation_bytes(memory, batch_size, row_tokens)) /
           (1.0 - memory->fragmentation);
}

int64_t lq_memory_max_batch(const struct lq_memory *memory, double capacity_bytes,
                            int64_t row_tokens)
{
    const double free_bytes =
        capacity_bytes * (1.0 - memory->fragmentation) - lq_memory_fixed_bytes(memory);
    if (!(free_bytes > 0.0)) {
        return 0;
    }
    const double rows =
        floor(free_bytes / lq_memory_activation_bytes(memory, 1.0, (double)row_tokens));
    return rows < BATCH_MAX ? (int64_t)rows : (int64_t)BATCH_MAX;
}
