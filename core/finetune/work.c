/* Counts the FLOPs, bytes and calls of a micro-batch. Rates and times live in step_time.c, counts
 * per element in work_traffic.h. */
#include "core/finetune/work.h"

#include "core/finetune/work_parts.h"
#include "core/finetune/work_traffic.h"

#include <stdbool.h>

/* Everything that counting needs, and the table it fills. */
struct count {
    const struct lq_work_job *job;
    const struct lq_accesses *accesses; /* of a forward pass */
    const struct lq_accesses *backward; /* of backward, in units of backward_passes */
    double backward_passes;
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

/* Per-token bytes of `elements`: the kind of accesses that lies at `member` of both tables. */
#define PASSES(member)                                                                             \
    (struct passes)                                                                                \
    {                                                                                              \
        c->accesses->member, c->backward->member                                                   \
    }
struct passes {
    double forward; /* accesses per element */
    double backward;
};

static void add_passes(struct count *c, enum lq_term term, const struct lq_work *once,
                       struct passes passes)
{
    struct lq_work *stages = c->table.term[term];
    add_scaled(&stages[LQ_STAGE_FORWARD], once, passes.forward * c->layers);
    add_scaled(&stages[LQ_STAGE_RECOMPUTATION], once, passes.forward * c->layers * c->recomputed);
    add_scaled(&stages[LQ_STAGE_BACKWARD], once, passes.backward * c->layers * c->backward_passes);
}

static void add_traffic(struct count *c, enum lq_term term, double elements, struct passes passes)
{
    add_passes(c, term, &(struct lq_work){.token_bytes = elements * c->element_bytes}, passes);
}

static void add_expert_traffic(struct count *c, enum lq_term term, double elements,
                               struct passes passes)
{
    add_passes(c, term, &(struct lq_work){.expert_token_bytes = elements * c->element_bytes},
               passes);
}

/* An adapter's two matmuls (their weights' gradients, too), the casts on the way in and the sum on
 * the way out. */
static void add_adapter(struct count *c, const struct lq_matrix *matrix)
{
    const double copies = matrix->routed ? 1.0 : (double)matrix->count;
    const double share = copies / c->tensor;
    const double rank = (double)c->job->method->rank;
    const double flop = 2.0 * rank * (double)(matrix->rows + matrix->cols) * share;
    const struct {
        double elements;
        struct passes passes;
    } sides[] = {{(double)matrix->cols * share, PASSES(lora_input)},
                 {(double)matrix->rows * share, PASSES(lora_output)},
                 {rank * copies, PASSES(lora_rank)}};
    const enum lq_term term = matrix->routed ? LQ_TERM_EXPERT_LORA : LQ_TERM_LORA;
    add(c, term,
        matrix->routed ? &(struct lq_work){.expert_token_flop = flop}
                       : &(struct lq_work){.token_flop = flop},
        2.0);
    for (int i = 0; i < 3; i++) {
        if (matrix->routed) {
            add_expert_traffic(c, term, sides[i].elements, sides[i].passes);
        } else {
            add_traffic(c, term, sides[i].elements, sides[i].passes);
        }
    }
}

static void add_matrix(struct count *c, const struct lq_matrix *matrix)
{
    const enum lq_term term = lq_matrix_term(matrix);
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
              (matrix->routed && c->calls->grouped ? 1.0 : copies) *
                  (c->calls->linear + (adapted ? c->calls->lora : 0.0) +
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
    add_traffic(c, LQ_TERM_ATTENTION, query_key / c->tensor, PASSES(query_key));
    add_traffic(c, LQ_TERM_ATTENTION, value / c->tensor, PASSES(value));
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
    add_traffic(c, LQ_TERM_MAMBA, channels, PASSES(mamba));
    add_traffic(c, LQ_TERM_MAMBA, (double)mixer->state_size, PASSES(scan_state));
    add_traffic(c, LQ_TERM_MAMBA, (double)mixer->dt_rank, PASSES(scan_rank));
    add_calls(c, LQ_TERM_OVERHEAD, c->calls->mamba);
}

static void add_ffn(struct count *c, const struct lq_ffn *ffn)
{
    const struct passes activation = ffn->gated ? PASSES(gated) : PASSES(plain);
    const double hidden = (double)c->job->model->hidden_size;
    switch (ffn->kind) {
    case LQ_FFN_NONE:
        break;
    case LQ_FFN_DENSE:
        add_traffic(c, LQ_TERM_MLP, (double)ffn->intermediate_size / c->tensor, activation);
        add_calls(c, LQ_TERM_OVERHEAD, c->calls->mlp);
        break;
    case LQ_FFN_MOE:
        add_expert_traffic(c, LQ_TERM_EXPERT_PERMUTATION,
                           (double)ffn->intermediate_size / c->tensor, activation);
        add_expert_traffic(c, LQ_TERM_EXPERT_PERMUTATION, hidden, PASSES(permuted));
        add_traffic(c, LQ_TERM_EXPERT_PERMUTATION, hidden, PASSES(combined));
        add_traffic(c, LQ_TERM_SHARED_EXPERT, (double)ffn->shared_size / c->tensor, activation);
        /* softmax and top-k; and its matmul, which reads more than it computes */
        add_traffic(c, LQ_TERM_ROUTER, (double)ffn->experts, PASSES(router));
        add_traffic(c, LQ_TERM_ROUTER, hidden, PASSES(routed));
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
    const double normed = norms * (double)c->job->model->hidden_size;
    add_traffic(c, LQ_TERM_NORM, normed, PASSES(norm));
    add_traffic(c, LQ_TERM_NORM, normed, PASSES(residual));
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
    const struct lq_work logits = {.token_bytes =
                                       (double)model->vocab_size / c->tensor * c->element_bytes};
    add_passes(c, LQ_TERM_HEAD, &logits,
               (struct passes){c->accesses->logit, c->backward->logit / c->backward_passes});
    add_calls(c, LQ_TERM_OVERHEAD, c->calls->head);
    const struct lq_work lookup = {.token_bytes = (double)model->hidden_size * c->element_bytes};
    add_passes(c, LQ_TERM_EMBEDDING, &lookup,
               (struct passes){c->accesses->embedded, trained ? c->backward->embedded : 0.0});
    if (trained) {
        /* the gradient of the whole table is zeroed and then added to */
        c->table.term[LQ_TERM_EMBEDDING][LQ_STAGE_BACKWARD].stream_bytes +=
            cells * c->element_bytes;
    }
}

/* Which kernels run: the worker's own, compiled ones, or one per operation. */
static void choose_kernels(struct count *c)
{
    const bool fused = (c->job->training->options & LQ_OPTION_BIT(LQ_OPTION_COMPILE)) != 0;
    if (c->job->stack->own_kernels) {
        c->accesses = &WORKER_ACCESSES;
        c->backward = &WORKER_BACKWARD;
        c->backward_passes = 1.0;
        c->calls = &WORKER_CALLS;
        return;
    }
    c->accesses = fused ? &FUSED_ACCESSES : &EAGER_ACCESSES;
    c->backward = c->accesses;
    c->backward_passes = BACKWARD_PASSES;
    c->calls = fused ? &FUSED_CALLS : &EAGER_CALLS;
}

struct lq_work_table lq_work_count(const struct lq_work_job *job)
{
    struct count c = {.job = job,
                      .element_bytes = lq_precision_bytes(job->training->precision),
                      .tensor = (double)job->layout->tensor,
                      .expert = (double)job->layout->expert,
                      .full = job->method->kind == LQ_METHOD_FULL,
                      .quantized = job->method->quantization != LQ_QUANTIZATION_NONE};
    choose_kernels(&c);
    const double stages = (double)job->layout->pipeline;
    for (int i = 0; i < job->model->layer_kinds; i++) {
        c.recomputed = recomputed_share(job->training->checkpointing);
        c.layers = (double)job->model->layers[i].count / stages;
        add_layer(&c, &job->model->layers[i]);
    }
    add_ends(&c);
    c.table.term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER] = lq_work_optimizer(job, c.calls->tensor);
    return c.table;
}
