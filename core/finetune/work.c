/* Counts the FLOPs, bytes and calls of a training step. Rates and times live in step_time.c. */
#include "core/finetune/work.h"

#include "core/finetune/memory.h"

#include <stdbool.h>

const char *const LQ_TERM_NAMES[] = {
    [LQ_TERM_ATTENTION] = "attention",
    [LQ_TERM_MAMBA] = "mamba",
    [LQ_TERM_MLP] = "mlp",
    [LQ_TERM_ROUTER] = "router",
    [LQ_TERM_EXPERT_MATMUL] = "expert_matmul",
    [LQ_TERM_SHARED_EXPERT] = "shared_expert",
    [LQ_TERM_HEAD] = "head",
    [LQ_TERM_DEQUANTIZATION] = "dequantization",
    [LQ_TERM_EXPERT_DEQUANTIZATION] = "expert_dequantization",
    [LQ_TERM_LORA] = "lora",
    [LQ_TERM_OVERHEAD] = "overhead",
    [LQ_TERM_EXPERT_OVERHEAD] = "expert_overhead",
    [LQ_TERM_OPTIMIZER] = "optimizer",
    [LQ_TERM_ALL_REDUCE] = "all_reduce",
    [LQ_TERM_COUNT] = NULL,
};

/* Everything that counting one model's work needs, and the table it fills. */
struct count {
    const struct lq_model *model;
    const struct lq_method *method;
    const struct lq_training *training;
    double recomputed; /* share of a forward pass that runs again in backward */
    double element_bytes;
    struct lq_work_table table;
};

/* Selective checkpointing recomputes what is cheap to recompute: about a third of a forward pass.
 * ASSUMED; measured by one run of each kind. */
static const double SELECTIVE_RECOMPUTED = 0.33;

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

bool lq_term_is_moe(enum lq_term term)
{
    return term == LQ_TERM_ROUTER || term == LQ_TERM_EXPERT_MATMUL ||
           term == LQ_TERM_SHARED_EXPERT || term == LQ_TERM_EXPERT_DEQUANTIZATION ||
           term == LQ_TERM_EXPERT_OVERHEAD;
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

/* Adds `flop` per token of forward work; backward gets `backward` times as much and the
 * recomputation. */
static void add_flop(struct count *c, enum lq_term term, bool per_expert, double flop,
                     double backward)
{
    struct lq_work *forward_work = &c->table.term[term][LQ_STAGE_FORWARD];
    struct lq_work *backward_work = &c->table.term[term][LQ_STAGE_BACKWARD];
    if (per_expert) {
        forward_work->expert_token_flop += flop;
        backward_work->expert_token_flop += flop * (backward + c->recomputed);
    } else {
        forward_work->token_flop += flop;
        backward_work->token_flop += flop * (backward + c->recomputed);
    }
}

static void add_bytes(struct count *c, enum lq_term term, double bytes, double backward)
{
    c->table.term[term][LQ_STAGE_FORWARD].weight_bytes += bytes;
    c->table.term[term][LQ_STAGE_BACKWARD].weight_bytes += bytes * (backward + c->recomputed);
}

static void add_calls(struct count *c, const struct lq_matrix *matrix, double layers)
{
    const enum lq_term term = matrix->routed ? LQ_TERM_EXPERT_OVERHEAD : LQ_TERM_OVERHEAD;
    const bool adapted = c->method->kind != LQ_METHOD_FULL &&
                         (c->method->targets & LQ_TARGET_BIT(matrix->target)) != 0;
    const bool quantized = c->method->quantization != LQ_QUANTIZATION_NONE;
    const double forward = layers * (double)matrix->count;
    for (int stage = LQ_STAGE_FORWARD; stage <= LQ_STAGE_BACKWARD; stage++) {
        struct lq_work *work = &c->table.term[term][stage];
        const double calls = forward * (stage == LQ_STAGE_FORWARD ? 1.0 : 1.0 + c->recomputed);
        if (adapted && quantized) {
            work->quantized_calls += calls;
        } else if (adapted) {
            work->lora_calls += calls;
        } else {
            work->linear_calls += calls;
        }
        if (matrix->target == LQ_TARGET_EXPERT_DOWN && matrix->routed) {
            work->expert_calls += calls;
        }
    }
}

/* Weights of a matrix: read in each pass; quantised ones are read small, written and read large. */
static void add_weights(struct count *c, enum lq_term term, double parameters, double backward)
{
    if (c->method->quantization == LQ_QUANTIZATION_NONE) {
        add_bytes(c, term, parameters * c->element_bytes, backward);
        return;
    }
    const double bytes =
        parameters * (lq_quantization_bytes(c->method->quantization) + 2.0 * c->element_bytes);
    add_bytes(
        c, term == LQ_TERM_EXPERT_MATMUL ? LQ_TERM_EXPERT_DEQUANTIZATION : LQ_TERM_DEQUANTIZATION,
        bytes, 1.0);
}

static void add_matrix(struct count *c, const struct lq_matrix *matrix, double layers)
{
    const enum lq_term term = matrix_term(matrix);
    const double cells = (double)matrix->rows * (double)matrix->cols * layers;
    const double one = matrix->routed ? cells : cells * (double)matrix->count;
    const double backward = c->method->kind == LQ_METHOD_FULL ? 2.0 : 1.0;
    add_flop(c, term, matrix->routed, 2.0 * one, backward);
    add_weights(c, term, cells * (double)matrix->count, backward);
    add_calls(c, matrix, layers);
    if (c->method->kind != LQ_METHOD_FULL &&
        (c->method->targets & LQ_TARGET_BIT(matrix->target)) != 0) {
        const double features = (double)(matrix->rows + matrix->cols) * layers *
                                (matrix->routed ? 1.0 : (double)matrix->count);
        add_flop(c, LQ_TERM_LORA, matrix->routed, 2.0 * (double)c->method->rank * features, 2.0);
    }
}

/* Scores and their use: 2 * 2 FLOPs per query element and key, half of them masked; a window or
 * chunk bounds the keys, which step_time.c applies. Flash attention recomputes scores in backward
 * (arXiv 2205.14135), 2.5 times the forward work. */
static void add_scores(struct count *c, const struct lq_mixer *mixer, double layers)
{
    double width = 0.0;
    if (mixer->kind == LQ_MIXER_ATTENTION) {
        width = 2.0 * (double)(mixer->heads * mixer->head_size);
    } else if (mixer->kind == LQ_MIXER_MLA) {
        width = (double)(mixer->heads * (mixer->nope_size + mixer->rope_size + mixer->value_size));
    }
    const double flop = width * layers; /* 2 FLOPs * width keys+values / 2 masked */
    c->table.term[LQ_TERM_ATTENTION][LQ_STAGE_FORWARD].score_flop += flop;
    c->table.term[LQ_TERM_ATTENTION][LQ_STAGE_BACKWARD].score_flop += flop * (2.5 + c->recomputed);
}

/* The selective scan: 9 FLOPs per channel and state in forward (discretise, update, output), and
 * the convolution. Source: arXiv 2312.00752 section 3.3; count ours. */
static void add_scan(struct count *c, const struct lq_mixer *mixer, double layers)
{
    const double channels = (double)mixer->inner_size;
    const double flop =
        channels * (9.0 * (double)mixer->state_size + 2.0 * (double)mixer->conv_size);
    add_flop(c, LQ_TERM_MAMBA, false, flop * layers, 2.0);
}

static void add_head(struct count *c)
{
    const double cells = (double)c->model->vocab_size * (double)c->model->hidden_size;
    const double backward =
        c->method->kind == LQ_METHOD_FULL || c->method->train_embeddings ? 2.0 : 1.0;
    const double recomputed = c->recomputed;
    c->recomputed = 0.0; /* the head lies outside the checkpointed layers */
    add_flop(c, LQ_TERM_HEAD, false, 2.0 * cells, backward);
    add_bytes(c, LQ_TERM_HEAD, cells * c->element_bytes, backward);
    c->table.term[LQ_TERM_OVERHEAD][LQ_STAGE_FORWARD].linear_calls += 1.0;
    c->table.term[LQ_TERM_OVERHEAD][LQ_STAGE_BACKWARD].linear_calls += 1.0;
    c->recomputed = recomputed;
}

/* Reads and writes the trained weights, reads the gradients, reads and writes the states. */
static void add_optimizer(struct count *c, const struct lq_stack *stack)
{
    const struct lq_trained trained = lq_trained_count(c->model, c->method, c->training, stack);
    c->table.term[LQ_TERM_OPTIMIZER][LQ_STAGE_OPTIMIZER].weight_bytes =
        trained.parameters * (3.0 * trained.weight_bytes + 2.0 * trained.optimizer_bytes);
}

struct lq_work_table lq_work_count(const struct lq_model *model, const struct lq_method *method,
                                   const struct lq_training *training, const struct lq_stack *stack)
{
    struct count c = {.model = model,
                      .method = method,
                      .training = training,
                      .recomputed = recomputed_share(training->checkpointing),
                      .element_bytes = lq_precision_bytes(training->precision)};
    for (int i = 0; i < model->layer_kinds; i++) {
        const struct lq_layer *layer = &model->layers[i];
        struct lq_matrix matrices[LQ_MATRICES_MAX];
        const int n = lq_layer_matrices(model, layer, matrices);
        for (int j = 0; j < n; j++) {
            add_matrix(&c, &matrices[j], (double)layer->count);
        }
        if (layer->mixer.kind == LQ_MIXER_MAMBA) {
            add_scan(&c, &layer->mixer, (double)layer->count);
        } else {
            add_scores(&c, &layer->mixer, (double)layer->count);
        }
    }
    add_head(&c);
    add_optimizer(&c, stack);
    return c.table;
}
