/* The work of one training step by named term: FLOPs, bytes and calls, in forward and backward. */
#pragma once

#include "core/arch/model.h"
#include "core/finetune/efficiency.h"

#include <stdint.h>

/* A term of the step time. The order is that of a layer's execution. */
enum lq_term {
    LQ_TERM_ATTENTION, /* projections and scores */
    LQ_TERM_MAMBA,     /* projections, convolution and scan */
    LQ_TERM_MLP,       /* dense feed-forward */
    LQ_TERM_ROUTER,
    LQ_TERM_EXPERT_MATMUL, /* routed experts */
    LQ_TERM_SHARED_EXPERT,
    LQ_TERM_HEAD,           /* output projection and loss */
    LQ_TERM_DEQUANTIZATION, /* of everything but the experts */
    LQ_TERM_EXPERT_DEQUANTIZATION,
    LQ_TERM_LORA,            /* adapters' matmuls */
    LQ_TERM_OVERHEAD,        /* host time of the calls outside experts */
    LQ_TERM_EXPERT_OVERHEAD, /* host time of selecting and calling experts */
    LQ_TERM_OPTIMIZER,
    LQ_TERM_ALL_REDUCE, /* gradients of data-parallel devices */
    LQ_TERM_COUNT
};
extern const char *const LQ_TERM_NAMES[];

enum lq_stage { LQ_STAGE_FORWARD, LQ_STAGE_BACKWARD, LQ_STAGE_OPTIMIZER, LQ_STAGE_COUNT };

/* What one term does in one stage of one micro-batch. Backward includes recomputation. */
struct lq_work {
    double token_flop;        /* per padded token, independent of active experts */
    double expert_token_flop; /* per padded token and active expert */
    double score_flop;        /* per padded token and token of the row: attention scores */
    double weight_bytes;      /* read or written however many tokens there are */
    double linear_calls;      /* plain linear layers */
    double lora_calls;        /* linear layers with an adapter */
    double quantized_calls;   /* linear layers with an adapter on quantised weights */
    double expert_calls;      /* experts selected and run */
};

struct lq_work_table {
    struct lq_work term[LQ_TERM_COUNT][LQ_STAGE_COUNT];
};

/* Counts a step's work. Full tuning runs forward 1x and backward 2x the matmul FLOPs (gradients of
 * inputs and of weights); frozen weights need no weight gradient; full checkpointing adds one
 * forward to the backward stage. An expert that is hit costs its weights and calls whatever its
 * load: all experts count as hit, as they are beyond a few dozen tokens. Pointers are borrowed; the
 * result is complete. Source: Xia et al. 2024 section IV-B for the stages; 2 FLOPs per
 * multiply-add; causal attention computes half of the scores. */
struct lq_work_table lq_work_count(const struct lq_model *model, const struct lq_method *method,
                                   const struct lq_training *training,
                                   const struct lq_stack *stack);

/* True for the terms that make up the mixture-of-experts part (Xia et al. 2024, Fig. 5). */
bool lq_term_is_moe(enum lq_term term);
