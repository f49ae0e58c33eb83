/* What one token leaves on the device between forward and backward, tensor by tensor as autograd
 * saves them. Weights and their gradients are counted in memory_state.c. */
#include "core/finetune/memory_parts.h"

#include <stdbool.h>
#include <stddef.h>

/* Eight chunks of the tokens take turns at the loss (torchtune's CEWithChunkedOutputLoss, 2024),
 * each in fp32. */
static const double CHUNK_SHARE = 1.0 / 8.0;
static const double CHUNK_BYTES_PER_LOGIT = 4.0;

/* Offloaded activations pass through buffers of two layers: one is filled, one is sent. */
static const double OFFLOAD_LAYERS = 2.0;

static double max_of(double a, double b)
{
    return a > b ? a : b;
}

static double min_of(double a, double b)
{
    return a < b ? a : b;
}

static bool has_option(const struct lq_memory_job *job, enum lq_option option)
{
    return (job->training->options & LQ_OPTION_BIT(option)) != 0;
}

/* What the count of a layer needs of its job, in doubles. */
struct scope {
    const struct lq_memory_job *job;
    double hidden;
    double element;  /* bytes of an activation */
    double residual; /* bytes of an element between layers */
    double tensor;   /* ranks */
    bool full;
    bool compiled;
    bool quantized;
};

static struct scope scope_of(const struct lq_memory_job *job)
{
    const double element = lq_precision_bytes(job->training->precision);
    const bool quantized = job->method->quantization != LQ_QUANTIZATION_NONE;
    return (struct scope){.job = job,
                          .hidden = (double)job->model->hidden_size,
                          .element = element,
                          /* fp32 embeddings make the sum that all layers add to fp32 */
                          .residual = quantized && job->stack->upcasts_unquantized ? 4.0 : element,
                          .tensor = (double)lq_memory_layout(job)->tensor,
                          .full = job->method->kind == LQ_METHOD_FULL,
                          .compiled = has_option(job, LQ_OPTION_COMPILE),
                          .quantized = quantized};
}

/* Bytes per token of one layer. */
struct layer {
    double input;     /* kept by full checkpointing */
    double selected;  /* kept by selective checkpointing */
    double saved;     /* kept without */
    double held;      /* kept whatever the checkpointing: inputs of quantised matrices */
    double held_more; /* those of them that are not within `saved` */
    double transient; /* gradients of the feed-forward intermediates */
    double square;    /* eager scores, per squared row length */
};

/* Attention saves q, k, v and the output of flash attention (arXiv 2205.14135); key-value heads
 * that the stack repeats for every query head count as such. Selective checkpointing keeps the
 * output and every second matmul (torchtitan, 2024). */
static void add_attention(const struct scope *s, const struct lq_mixer *mixer, struct layer *out)
{
    const double q = (double)(mixer->heads * mixer->head_size) / s->tensor;
    const double kv_heads = max_of((double)mixer->kv_heads / s->tensor, 1.0);
    const double kv = kv_heads * (double)mixer->head_size;
    const double kept = s->job->stack->repeats_kv_heads ? max_of(q, kv) : kv;
    out->saved += (2.0 * q + 2.0 * kept) * s->element;
    out->selected += (q + 0.5 * (q + 2.0 * kv) + 0.5 * s->hidden / s->tensor) * s->element;
}

/* Latent attention saves its two latent vectors and the expanded heads. */
static void add_mla(const struct scope *s, const struct lq_mixer *mixer, struct layer *out)
{
    const double heads = (double)mixer->heads / s->tensor;
    const double q = heads * (double)(mixer->nope_size + mixer->rope_size);
    const double v = heads * (double)mixer->value_size;
    const double latents = (double)(mixer->q_rank + mixer->kv_rank);
    out->saved += (latents + 2.0 * q + 2.0 * v) * s->element;
    out->selected += (v + 0.5 * (latents + 2.0 * q + v)) * s->element;
}

/* The fused scan (arXiv 2312.00752) saves both halves of in_proj, its output and the gated one, and
 * what x_proj gives. */
static void add_mamba(const struct scope *s, const struct lq_mixer *mixer, struct layer *out)
{
    const double inner = (double)mixer->inner_size / s->tensor;
    const double small = (double)mixer->dt_rank + 2.0 * (double)mixer->state_size;
    out->saved += (4.0 * inner + small) * s->element;
    out->selected += 2.0 * inner * s->element;
}

static void add_mixer(const struct scope *s, const struct lq_mixer *mixer, struct layer *out)
{
    switch (mixer->kind) {
    case LQ_MIXER_NONE:
        return;
    case LQ_MIXER_ATTENTION:
        add_attention(s, mixer, out);
        break;
    case LQ_MIXER_MLA:
        add_mla(s, mixer, out);
        break;
    case LQ_MIXER_MAMBA:
        add_mamba(s, mixer, out);
        return;
    }
    if (s->job->training->attention == LQ_ATTENTION_EAGER) {
        /* softmax's input and output, and its fp32 form */
        out->square = (double)mixer->heads / s->tensor * (2.0 * s->element + 4.0);
    }
}

/* `copies` feed-forward networks of `size`. Gated: gate, its activation and the up projection, of
 * which a compiled kernel recomputes the activation; else the projection. Their gradients, while
 * the layer runs backward, are those of `at_once` networks. */
static void add_ffn(const struct scope *s, bool gated, double size, double copies, double at_once,
                    struct layer *out)
{
    const double saved = gated ? (s->compiled ? 2.0 : 3.0) : 1.0;
    const double inner = size / s->tensor * s->element;
    out->saved += copies * saved * inner;
    out->transient += at_once * (gated ? 3.0 : 2.0) * inner;
    out->selected +=
        copies * (0.5 * (gated ? 2.0 : 1.0) * inner + 0.5 * s->hidden / s->tensor * s->element);
}

static double active_of(const struct lq_memory_job *job, const struct lq_ffn *ffn)
{
    return (double)(job->active_experts < ffn->experts ? job->active_experts : ffn->experts);
}

/* Experts add, per token and expert, the gathered input, the output and its weighted copy; they run
 * backward one after another, each with its share of the tokens. What other ranks' experts are
 * sent, and send back, is there twice while the layer is at work. */
static void add_feed_forward(const struct scope *s, const struct lq_ffn *ffn, struct layer *out)
{
    switch (ffn->kind) {
    case LQ_FFN_NONE:
        return;
    case LQ_FFN_DENSE:
        add_ffn(s, ffn->gated, (double)ffn->intermediate_size, 1.0, 1.0, out);
        return;
    case LQ_FFN_MOE:
        break;
    }
    const double active = active_of(s->job, ffn);
    add_ffn(s, ffn->gated, (double)ffn->intermediate_size, active, active / (double)ffn->experts,
            out);
    out->saved += active * 3.0 * s->hidden * s->element / s->tensor;
    if (lq_memory_layout(s->job)->expert > 1) {
        out->transient += 2.0 * active * s->hidden * s->element;
    }
    if (ffn->shared_size > 0) {
        add_ffn(s, ffn->gated, (double)ffn->shared_size, 1.0, 1.0, out);
    }
}

/* Tensors that several matrices read: autograd keeps one of each. */
enum input {
    INPUT_ATTENTION = 1 << 0, /* of q, k, v: the norm's output */
    INPUT_MIXED = 1 << 1,     /* of o: attention's output, saved by attention itself */
    INPUT_FFN = 1 << 2,       /* of gate, up and router: the norm's output */
    INPUT_INNER = 1 << 3,     /* of down */
    INPUT_GATHERED = 1 << 4,  /* of an expert: counted with the experts */
    INPUT_EXPERT = 1 << 5,    /* of an expert's down */
    INPUT_MAMBA = 1 << 6,     /* of in_proj: the norm's output */
    INPUT_SCAN = 1 << 7       /* within the fused scan, saved by it */
};

static unsigned input_of(const struct lq_matrix *matrix)
{
    switch (matrix->target) {
    case LQ_TARGET_Q:
    case LQ_TARGET_K:
    case LQ_TARGET_V:
        return INPUT_ATTENTION;
    case LQ_TARGET_O:
        return INPUT_MIXED;
    case LQ_TARGET_EXPERT_GATE:
    case LQ_TARGET_EXPERT_UP:
        return matrix->routed ? INPUT_GATHERED : INPUT_FFN;
    case LQ_TARGET_EXPERT_DOWN:
        return matrix->routed ? INPUT_EXPERT : INPUT_INNER;
    case LQ_TARGET_DOWN:
        return INPUT_INNER;
    case LQ_TARGET_MAMBA_IN:
        return INPUT_MAMBA;
    case LQ_TARGET_MAMBA_X:
    case LQ_TARGET_MAMBA_DT:
    case LQ_TARGET_MAMBA_OUT:
        return INPUT_SCAN;
    case LQ_TARGET_GATE:
    case LQ_TARGET_UP:
    case LQ_TARGET_ROUTER:
    case LQ_TARGET_EMBEDDING:
    case LQ_TARGET_HEAD:
    case LQ_TARGET_COUNT:
        break;
    }
    return INPUT_FFN;
}

/* Inputs that are sharded by columns where tensor parallelism splits the matrix by rows. */
static double input_elements(const struct scope *s, const struct lq_ffn *ffn,
                             const struct lq_matrix *matrix, unsigned input)
{
    const double copies = matrix->routed ? active_of(s->job, ffn) : 1.0;
    const bool sharded = (input & (INPUT_MIXED | INPUT_INNER | INPUT_EXPERT | INPUT_SCAN)) != 0;
    return copies * (double)matrix->cols / (sharded ? s->tensor : 1.0);
}

/* Whether the 4-bit matmul holds on to this matrix's input past checkpointing. */
static bool holds_input(const struct scope *s, const struct lq_ffn *ffn, bool adapted)
{
    const struct lq_stack *stack = s->job->stack;
    return s->quantized && (stack->holds_quantized_inputs ||
                            (stack->holds_expert_inputs && adapted && ffn->kind == LQ_FFN_MOE));
}

/* Inputs of matrices: a trained or adapted weight needs its own for its gradient, a frozen one
 * nothing; 4-bit matmuls of bitsandbytes before 0.43 keep theirs, out of checkpointing's reach. */
static void add_inputs(const struct scope *s, const struct lq_layer *layer, struct layer *out)
{
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    const int n = lq_layer_matrices(s->job->model, layer, matrices);
    const unsigned counted = INPUT_MIXED | INPUT_GATHERED | INPUT_SCAN;
    unsigned saved = counted;
    unsigned held = INPUT_MIXED | INPUT_SCAN;
    for (int i = 0; i < n; i++) {
        const unsigned input = input_of(&matrices[i]);
        const double elements = input_elements(s, &layer->ffn, &matrices[i], input);
        const bool adapted =
            !s->full && (s->job->method->targets & LQ_TARGET_BIT(matrices[i].target)) != 0;
        if (adapted && s->job->stack->lora_input_bytes > 0.0) {
            out->saved += elements * s->job->stack->lora_input_bytes; /* dropped out: its own */
        } else if ((s->full || adapted) && (saved & input) == 0) {
            saved |= input;
            out->saved += elements * s->element;
        }
        if (holds_input(s, &layer->ffn, adapted) && (held & input) == 0) {
            held |= input;
            out->held += elements * s->element;
            out->held_more += (saved & input) == 0 ? elements * s->element : 0.0;
        }
    }
}

static struct layer count_layer(const struct scope *s, const struct lq_layer *layer)
{
    const double norm =
        max_of(s->compiled ? s->element : s->job->stack->norm_bytes_per_element, s->residual);
    const double norms = (layer->mixer.kind != LQ_MIXER_NONE ? 1.0 : 0.0) +
                         (layer->ffn.kind != LQ_FFN_NONE ? 1.0 : 0.0);
    struct layer out = {.input = s->hidden * s->residual / s->tensor,
                        .saved = norms * s->hidden * norm / s->tensor};
    out.selected = out.input;
    add_mixer(s, &layer->mixer, &out);
    add_feed_forward(s, &layer->ffn, &out);
    add_inputs(s, layer, &out);
    /* a policy that kept more than there is would keep all of it */
    const double twice = out.held - out.held_more;
    out.saved = max_of(out.saved, out.input + twice);
    out.selected = min_of(out.selected, out.saved - twice);
    return out;
}

/* Sums over one stage's layers, and the largest of them. */
struct sums {
    double input;
    double selected;
    double saved;
    double held;
    double held_more;
    double square;
    double largest; /* saved and transient */
    double transient;
    double largest_square;
    double layers;
};

static struct sums sum_layers(const struct scope *s)
{
    const double share = lq_memory_stage_share(s->job);
    struct sums sums = {0};
    for (int i = 0; i < s->job->model->layer_kinds; i++) {
        const struct layer one = count_layer(s, &s->job->model->layers[i]);
        const double count = share * (double)s->job->model->layers[i].count;
        sums.input += count * one.input;
        sums.selected += count * one.selected;
        sums.saved += count * one.saved;
        sums.held += count * one.held;
        sums.held_more += count * one.held_more;
        sums.square += count * one.square;
        sums.layers += count;
        sums.largest = max_of(sums.largest, one.saved + one.transient);
        sums.transient = max_of(sums.transient, one.transient);
        sums.largest_square = max_of(sums.largest_square, one.square);
    }
    return sums;
}

/* Copies of the logits around the loss; with tensor parallelism also the gathered input of the
 * head and its gradient. */
static double logit_bytes(const struct scope *s)
{
    const struct lq_stack *stack = s->job->stack;
    const double vocab = (double)s->job->model->vocab_size;
    const double per_logit = has_option(s->job, LQ_OPTION_CHUNKED_LOSS)
                                 ? stack->kept_bytes_per_logit + CHUNK_BYTES_PER_LOGIT * CHUNK_SHARE
                                 : stack->head_bytes_per_logit;
    const double gathered = min_of(2.0 * s->hidden * s->element, vocab * per_logit);
    return vocab * per_logit / s->tensor + gathered * (1.0 - 1.0 / s->tensor);
}

/* What is kept of a micro-batch, and how many of them are under way on the first stage (1F1B: one
 * for each stage behind it). Offloading takes what checkpointing keeps, not what it cannot reach.
 * The layer at work is what is not kept of it, up to all there is without checkpointing. */
static void keep(const struct scope *s, const struct sums *sums, double kept, double kept_squares,
                 struct lq_memory *memory)
{
    const struct lq_layout *layout = lq_memory_layout(s->job);
    const int64_t under_way = layout->pipeline < s->job->training->accumulation_steps
                                  ? layout->pipeline
                                  : s->job->training->accumulation_steps;
    const double batches = layout->pipeline > 1 && under_way > 1 ? (double)under_way : 1.0;
    const double here = has_option(s->job, LQ_OPTION_OFFLOAD_ACTIVATIONS)
                            ? min_of(1.0, OFFLOAD_LAYERS / sums->layers)
                            : 1.0;
    const double all = sums->saved + sums->held_more - sums->held + sums->transient;
    memory->saved_token_bytes = batches * (kept * here + sums->held);
    memory->saved_square_bytes = batches * here * kept_squares;
    memory->work_token_bytes = min_of(sums->largest, all - kept * here);
    memory->work_square_bytes = sums->largest_square;
    memory->layer_token_bytes = sums->largest;
}

void lq_memory_count_tokens(const struct lq_memory_job *job, struct lq_memory *memory)
{
    const struct scope s = scope_of(job);
    const struct sums sums = sum_layers(&s);
    switch (job->training->checkpointing) {
    case LQ_CHECKPOINTING_FULL:
        keep(&s, &sums, sums.input, 0.0, memory);
        break;
    case LQ_CHECKPOINTING_SELECTIVE:
        keep(&s, &sums, sums.selected, 0.0, memory);
        break;
    case LQ_CHECKPOINTING_NONE:
        keep(&s, &sums, sums.saved + sums.held_more - sums.held, sums.square, memory);
        break;
    }
    memory->logit_token_bytes = logit_bytes(&s);
    const double ranks = (double)lq_memory_layout(job)->context;
    memory->saved_token_bytes /= ranks;
    memory->saved_square_bytes /= ranks;
    memory->work_token_bytes /= ranks;
    memory->work_square_bytes /= ranks;
    memory->layer_token_bytes /= ranks;
    memory->logit_token_bytes /= ranks;
}
