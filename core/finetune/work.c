/* Counts the FLOPs, bytes and calls of a micro-batch. Rates and times live in step_time.c, counts
 * per element in work_traffic.h. */
#include "core/finetune/work.h"

#include "core/finetune/memory.h"
#include "core/finetune/work_traffic.h"

#include <stdbool.h>

const char *const LQ_TERM_NAMES[] = {
    [LQ_TERM_INPUT] = "input",
    [LQ_TERM_EMBEDDING] = "embedding",
    [LQ_TERM_NORM] = "norm",
    [LQ_TERM_ATTENTION] = "attention",
    [LQ_TERM_ATTENTION_SCORES] = "attention_scores",
    [LQ_TERM_MAMBA] = "mamba",
    [LQ_TERM_MAMBA_SCAN] = "mamba_scan",
    [LQ_TERM_MLP] = "mlp",
    [LQ_TERM_ROUTER] = "router",
    [LQ_TERM_EXPERT_DEQUANTIZATION] = "expert_dequantization",
    [LQ_TERM_EXPERT_MATMUL] = "expert_matmul",
    [LQ_TERM_EXPERT_PERMUTATION] = "expert_permutation",
    [LQ_TERM_EXPERT_LORA] = "expert_lora",
    [LQ_TERM_SHARED_EXPERT] = "shared_expert",
    [LQ_TERM_DEQUANTIZATION] = "dequantization",
    [LQ_TERM_LORA] = "lora",
    [LQ_TERM_HEAD] = "head",
    [LQ_TERM_OVERHEAD] = "overhead",
    [LQ_TERM_EXPERT_OVERHEAD] = "expert_overhead",
    [LQ_TERM_OPTIMIZER] = "optimizer",
    [LQ_TERM_ALL_REDUCE] = "all_reduce",
    [LQ_TERM_WEIGHT_GATHER] = "weight_gather",
    [LQ_TERM_TENSOR_PARALLEL] = "tensor_parallel",
    [LQ_TERM_EXPERT_EXCHANGE] = "expert_exchange",
    [LQ_TERM_CONTEXT_EXCHANGE] = "context_exchange",
    [LQ_TERM_HOST_TRANSFER] = "host_transfer",
    [LQ_TERM_PIPELINE] = "pipeline",
    [LQ_TERM_COUNT] = NULL,
};

/* Everything that counting needs, and the table it fills. */
struct count {
    const struct lq_work_job *job;
    const struct lq_accesses *accesses;
    const struct lq_calls *calls;
    double recomputed;    /* share of a forward pass that runs again before backward */
    double layers;        /* layers of this kind on a pipeline stage, on average */
    double element_bytes; /* of activations and of weights as computed with */
    double tensor;        /* ranks a matrix is divided over */
    double expert;        /* ranks the routed experts are divided over */
    bool full;
    bool quantized;
    struct lq_work_table table;
};

bool lq_term_is_routed(enum lq_term term)
{
    return term == LQ_TERM_EXPERT_MATMUL || term == LQ_TERM_EXPERT_DEQUANTIZATION ||
           term == LQ_TERM_EXPERT_OVERHEAD || term == LQ_TERM_EXPERT_LORA ||
           term == LQ_TERM_EXPERT_PERMUTATION;
}

bool lq_term_is_moe(enum lq_term term)
{
    return lq_term_is_routed(term) || term == LQ_TERM_ROUTER || term == LQ_TERM_SHARED_EXPERT ||
           term == LQ_TERM_EXPERT_EXCHANGE;
}

bool lq_term_is_network(enum lq_term term)
{
    return term >= LQ_TERM_ALL_REDUCE && term < LQ_TERM_COUNT;
}

/* Selective checkpointing recomputes what is cheap: everything but matmuls and attention
 * (torchtitan and Megatron-LM, arXiv 2205.05198), and a part of the matmuls. ASSUMED half of a
 * pass's element- wise work and a tenth of its FLOPs; measured by one run of each kind. */
static const double SELECTIVE_RECOMPUTED = 0.2;

static double recomputed_share(enum lq_checkpointing checkpointing)
{
    switch (checkpointing) {
    case LQ_CHECKPOINTING_NONE:
        return 0.0;
    case LQ_CHECKPOINTING_FULL:
        return 1.0;
    case LQ_CHECKPOINTING_SELECTIVE:
        return SELECTIVE_RECOMPUTED;
    }
    return 0.0;
}

static bool is_adapted(const struct count *c, enum lq_target target)
{
    return !c->full && (c->job->method->targets & LQ_TARGET_BIT(target)) != 0;
}

static void add_scaled(struct lq_work *sum, const struct lq_work *work, double scale)
{
    sum->token_flop += work->token_flop * scale;
    sum->expert_token_flop += work->expert_token_flop * scale;
    sum->score_flop += work->score_flop * scale;
    sum->weight_bytes += work->weight_bytes * scale;
    sum->stream_bytes += work->stream_bytes * scale;
    sum->token_bytes += work->token_bytes * scale;
    sum->expert_token_bytes += work->expert_token_bytes * scale;
    sum->score_bytes += work->score_bytes * scale;
    sum->latency_s += work->latency_s * scale;
}

/* Adds one layer's forward work to all layers of its kind: once in forward, again where recomputed,
 * `backward` times in backward. */
static void add(struct count *c, enum lq_term term, const struct lq_work *forward, double backward)
{
    struct lq_work *stages = c->table.term[term];
    add_scaled(&stages[LQ_STAGE_FORWARD], forward, c->layers);
    add_scaled(&stages[LQ_STAGE_RECOMPUTATION], forward, c->layers * c->recomputed);
    add_scaled(&stages[LQ_STAGE_BACKWARD], forward, c->layers * backward);
}

static void add_calls(struct count *c, enum lq_term term, double calls)
{
    struct lq_work *stages = c->table.term[term];
    stages[LQ_STAGE_FORWARD].calls += calls * c->layers;
    stages[LQ_STAGE_RECOMPUTATION].calls += calls * c->layers * c->recomputed;
    stages[LQ_STAGE_BACKWARD].calls += calls * c->layers * BACKWARD_CALLS;
}

/* Per-token bytes of `elements` touched `accesses` times in forward, twice that in backward. */
static void add_traffic(struct count *c, enum lq_term term, double elements, double accesses)
{
    const struct lq_work work = {.token_bytes = elements * accesses * c->element_bytes};
    add(c, term, &work, BACKWARD_PASSES);
}

static void add_expert_traffic(struct count *c, enum lq_term term, double elements, double accesses)
{
    const struct lq_work work = {.expert_token_bytes = elements * accesses * c->element_bytes};
    add(c, term, &work, BACKWARD_PASSES);
}

static enum lq_term matrix_term(const struct lq_matrix *matrix)
{
    const uint32_t bit = LQ_TARGET_BIT(matrix->target);
    if (matrix->routed) {
        return LQ_TERM_EXPERT_MATMUL;
    }
    if ((bit & LQ_TARGETS_EXPERTS) != 0) {
        return LQ_TERM_SHARED_EXPERT;
    }
    if ((bit & LQ_TARGETS_ATTENTION) != 0) {
        return LQ_TERM_ATTENTION;
    }
    if ((bit & LQ_TARGETS_MAMBA) != 0) {
        return LQ_TERM_MAMBA;
    }
    return matrix->target == LQ_TARGET_ROUTER ? LQ_TERM_ROUTER : LQ_TERM_MLP;
}

/* An adapter's two matmuls (their weights' gradients, too), the casts on the way in and the sum on
 * the way out. */
static void add_adapter(struct count *c, const struct lq_matrix *matrix)
{
    const double copies = matrix->routed ? 1.0 : (double)matrix->count;
    const double features = (double)(matrix->rows + matrix->cols) * copies / c->tensor;
    const double flop = 2.0 * (double)c->job->method->rank * features;
    const double bytes = ((double)matrix->cols * c->accesses->lora_input +
                          (double)matrix->rows * c->accesses->lora_output) *
                         copies * c->element_bytes / c->tensor;
    if (matrix->routed) {
        add(c, LQ_TERM_EXPERT_LORA,
            &(struct lq_work){.expert_token_flop = flop, .expert_token_bytes = bytes}, 2.0);
    } else {
        add(c, LQ_TERM_LORA, &(struct lq_work){.token_flop = flop, .token_bytes = bytes}, 2.0);
    }
}

static void add_matrix(struct count *c, const struct lq_matrix *matrix)
{
    const enum lq_term term = matrix_term(matrix);
    const double share = matrix->target == LQ_TARGET_ROUTER ? 1.0 : 1.0 / c->tensor;
    const double copies = (double)matrix->count / (matrix->routed ? c->expert : 1.0);
    const double cells = (double)matrix->rows * (double)matrix->cols * share;
    struct lq_work work = {.weight_bytes = cells * copies * c->element_bytes};
    if (matrix->routed) {
        work.expert_token_flop = 2.0 * cells;
    } else {
        work.token_flop = 2.0 * cells * copies;
    }
    add(c, term, &work, c->full ? 2.0 : 1.0);
    if (c->quantized) {
        /* read small, written large, once in every pass; the matmul then reads it as above */
        const double bytes = lq_quantization_bytes(c->job->method->quantization) + c->element_bytes;
        add(c, matrix->routed ? LQ_TERM_EXPERT_DEQUANTIZATION : LQ_TERM_DEQUANTIZATION,
            &(struct lq_work){.stream_bytes = cells * copies * bytes}, 1.0);
    }
    const bool adapted = is_adapted(c, matrix->target);
    if (adapted) {
        add_adapter(c, matrix);
    }
    add_calls(c, matrix->routed ? LQ_TERM_EXPERT_OVERHEAD : LQ_TERM_OVERHEAD,
              copies * (c->calls->linear + (adapted ? c->calls->lora : 0.0) +
                        (c->quantized ? c->calls->quantized : 0.0)));
}

/* Eager attention writes, masks, casts to fp32, normalises, casts back and reads every score of
 * every head: 12 accesses of 16 bit. Source: Transformers' eager_attention_forward. */
static const double EAGER_SCORE_ACCESSES = 12.0;

/* Scores and their use: 2 * 2 FLOPs per query element and key, half of them masked (eager attention
 * masks after computing all). Flash attention computes the scores again in backward
 * (arXiv 2205.14135): 2.5 times the forward work, 2 times without. */
static void add_scores(struct count *c, const struct lq_mixer *mixer)
{
    double width = 0.0;
    if (mixer->kind == LQ_MIXER_ATTENTION) {
        width = 2.0 * (double)(mixer->heads * mixer->head_size);
    } else if (mixer->kind == LQ_MIXER_MLA) {
        width = (double)(mixer->heads * (mixer->nope_size + mixer->rope_size + mixer->value_size));
    }
    const bool eager = c->job->training->attention == LQ_ATTENTION_EAGER;
    struct lq_work work = {.score_flop = width * (eager ? 2.0 : 1.0) / c->tensor};
    if (eager) {
        work.score_bytes =
            (double)mixer->heads * EAGER_SCORE_ACCESSES * c->element_bytes / c->tensor;
    }
    add(c, LQ_TERM_ATTENTION_SCORES, &work, eager ? BACKWARD_PASSES : 2.5);
}

static void add_attention(struct count *c, const struct lq_mixer *mixer)
{
    double query_key = 0.0;
    double value = 0.0;
    if (mixer->kind == LQ_MIXER_ATTENTION) {
        query_key = (double)((mixer->heads + mixer->kv_heads) * mixer->head_size);
        value = query_key;
    } else {
        query_key = 2.0 * (double)(mixer->heads * (mixer->nope_size + mixer->rope_size));
        value = 2.0 * (double)(mixer->heads * mixer->value_size);
    }
    add_traffic(c, LQ_TERM_ATTENTION, query_key / c->tensor, c->accesses->query_key);
    add_traffic(c, LQ_TERM_ATTENTION, value / c->tensor, c->accesses->value);
    add_calls(c, LQ_TERM_OVERHEAD, c->calls->attention);
    add_scores(c, mixer);
}

/* The selective scan: 9 FLOPs per channel and state in forward (discretise, update, output), and
 * the convolution. Source: arXiv 2312.00752 section 3.3; count ours.
 */
static void add_mamba(struct count *c, const struct lq_mixer *mixer)
{
    const double channels = (double)mixer->inner_size / c->tensor;
    const struct lq_work scan = {.token_flop = channels * (9.0 * (double)mixer->state_size +
                                                           2.0 * (double)mixer->conv_size)};
    add(c, LQ_TERM_MAMBA_SCAN, &scan, BACKWARD_PASSES);
    add_traffic(c, LQ_TERM_MAMBA, channels, c->accesses->mamba);
    add_calls(c, LQ_TERM_OVERHEAD, c->calls->mamba);
}

static void add_ffn(struct count *c, const struct lq_ffn *ffn)
{
    const double accesses = ffn->gated ? c->accesses->gated : c->accesses->plain;
    const double hidden = (double)c->job->model->hidden_size;
    switch (ffn->kind) {
    case LQ_FFN_NONE:
        break;
    case LQ_FFN_DENSE:
        add_traffic(c, LQ_TERM_MLP, (double)ffn->intermediate_size / c->tensor, accesses);
        add_calls(c, LQ_TERM_OVERHEAD, c->calls->mlp);
        break;
    case LQ_FFN_MOE:
        add_expert_traffic(c, LQ_TERM_EXPERT_PERMUTATION,
                           (double)ffn->intermediate_size / c->tensor, accesses);
        add_expert_traffic(c, LQ_TERM_EXPERT_PERMUTATION, hidden, c->accesses->permuted);
        add_traffic(c, LQ_TERM_SHARED_EXPERT, (double)ffn->shared_size / c->tensor, accesses);
        /* softmax and top-k; and its matmul, which reads more than it computes */
        add_traffic(c, LQ_TERM_ROUTER, (double)ffn->experts, 2.0 * c->accesses->norm);
        add_traffic(c, LQ_TERM_ROUTER, hidden, 1.0);
        add(c, LQ_TERM_ROUTER, &(struct lq_work){.latency_s = ROUTER_LATENCY_S}, 1.0);
        add_calls(c, LQ_TERM_EXPERT_OVERHEAD, (double)ffn->experts / c->expert * c->calls->expert);
        add_calls(c, LQ_TERM_EXPERT_OVERHEAD, c->calls->router);
        break;
    }
}

static void add_layer(struct count *c, const struct lq_layer *layer)
{
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    const int n = lq_layer_matrices(c->job->model, layer, matrices);
    for (int i = 0; i < n; i++) {
        add_matrix(c, &matrices[i]);
    }
    if (layer->mixer.kind == LQ_MIXER_MAMBA) {
        add_mamba(c, &layer->mixer);
    } else if (layer->mixer.kind != LQ_MIXER_NONE) {
        add_attention(c, &layer->mixer);
    }
    add_ffn(c, &layer->ffn);
    const double norms = (layer->mixer.kind != LQ_MIXER_NONE ? 1.0 : 0.0) +
                         (layer->ffn.kind != LQ_FFN_NONE ? 1.0 : 0.0);
    add_traffic(c, LQ_TERM_NORM, norms * (double)c->job->model->hidden_size,
                c->accesses->norm + c->accesses->residual);
    add_calls(c, LQ_TERM_OVERHEAD,
              norms * c->calls->norm + (c->job->layout->zero_stage == 3 ? c->calls->shard : 0.0));
}

/* Embedding and head lie outside the checkpointed layers, on the first and last pipeline stage. */
static void add_ends(struct count *c)
{
    const struct lq_model *model = c->job->model;
    const double cells = (double)model->vocab_size * (double)model->hidden_size / c->tensor;
    const bool trained = c->full || c->job->method->train_embeddings;
    c->layers = 1.0;
    c->recomputed = 0.0;
    add(c, LQ_TERM_HEAD,
        &(struct lq_work){.token_flop = 2.0 * cells, .weight_bytes = cells * c->element_bytes},
        trained ? 2.0 : 1.0);
    const struct lq_work logits = {.token_bytes = (double)model->vocab_size / c->tensor *
                                                  c->accesses->logit * c->element_bytes};
    add(c, LQ_TERM_HEAD, &logits, 1.0);
    add_calls(c, LQ_TERM_OVERHEAD, c->calls->head);
    const struct lq_work lookup = {.token_bytes =
                                       2.0 * (double)model->hidden_size * c->element_bytes};
    add(c, LQ_TERM_EMBEDDING, &lookup, trained ? BACKWARD_PASSES : 0.0);
    if (trained) {
        /* the gradient of the whole table is zeroed and then added to */
        c->table.term[LQ_TERM_EMBEDDING][LQ_STAGE_BACKWARD].stream_bytes +=
            cells * c->element_bytes;
    }
}

/* Eager optimizers run one kernel per elementary operation over all states: AdamW reads or writes
 * 20 elements per weight where 7 would do (torch.optim foreach implementation, 2.1). */
static const double EAGER_OPTIMIZER_ACCESSES = 20.0 / 7.0;

/* Tensors an optimizer steps through: two per adapted matrix, or all of them. */
static double trained_tensors(const struct count *c)
{
    double tensors = 0.0;
    for (int i = 0; i < c->job->model->layer_kinds; i++) {
        const struct lq_layer *layer = &c->job->model->layers[i];
        struct lq_matrix matrices[LQ_MATRICES_MAX];
        const int n = lq_layer_matrices(c->job->model, layer, matrices);
        for (int j = 0; j < n; j++) {
            const double copies =
                (double)(layer->count * matrices[j].count) / (matrices[j].routed ? c->expert : 1.0);
            if (c->full) {
                tensors += copies;
            } else if (is_adapted(c, matrices[j].target)) {
                tensors += 2.0 * copies;
            }
        }
    }
    return tensors / (double)c->job->layout->pipeline;
}

/* Reads and writes the trained weights, reads the gradients, reads and writes the states; sharded
 * by ZeRO. Fused and quantised optimizers touch every element once. */
static void add_optimizer(struct count *c)
{
    const struct lq_training *training = c->job->training;
    const struct lq_trained trained =
        lq_trained_count(c->job->model, c->job->method, training, c->job->stack);
    const struct lq_layout *layout = c->job->layout;
    double local = trained.parameters / (double)(layout->tensor * layout->pipeline);
    if (layout->zero_stage > 0) {
        local /= (double)lq_layout_shards(layout);
    }
    const bool fused = (training->options & LQ_OPTION_BIT(LQ_OPTION_COMPILE)) != 0 ||
                       training->optimizer == LQ_OPTIMIZER_ADAMW_8BIT ||
                       training->optimizer == LQ_OPTIMIZER_PAGED_ADAMW_8BIT;
    const double bytes = 3.0 * trained.weight_bytes + 2.0 * trained.optimizer_bytes;
    struct lq_work *work = &c->table.term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER];
    work->stream_bytes = local * bytes * (fused ? 1.0 : EAGER_OPTIMIZER_ACCESSES);
    work->calls = trained_tensors(c) * c->calls->tensor;
}

struct lq_work_table lq_work_count(const struct lq_work_job *job)
{
    const bool fused = (job->training->options & LQ_OPTION_BIT(LQ_OPTION_COMPILE)) != 0;
    struct count c = {.job = job,
                      .accesses = fused ? &FUSED_ACCESSES : &EAGER_ACCESSES,
                      .calls = fused ? &FUSED_CALLS : &EAGER_CALLS,
                      .element_bytes = lq_precision_bytes(job->training->precision),
                      .tensor = (double)job->layout->tensor,
                      .expert = (double)job->layout->expert,
                      .full = job->method->kind == LQ_METHOD_FULL,
                      .quantized = job->method->quantization != LQ_QUANTIZATION_NONE};
    const double stages = (double)job->layout->pipeline;
    for (int i = 0; i < job->model->layer_kinds; i++) {
        c.recomputed = recomputed_share(job->training->checkpointing);
        c.layers = (double)job->model->layers[i].count / stages;
        add_layer(&c, &job->model->layers[i]);
    }
    add_ends(&c);
    add_optimizer(&c);
    return c.table;
}
