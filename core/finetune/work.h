/* The work of one micro-batch on one device by named term and stage: FLOPs, bytes, host calls. */
#pragma once

#include "core/arch/layout.h"
#include "core/arch/model.h"
#include "core/finetune/efficiency.h"

#include <stdbool.h>
#include <stdint.h>

/* A term of the step time. The order is that of execution; the last ones are communication. */
enum lq_term {
    LQ_TERM_INPUT,     /* feeding rows: collating, copying, logging */
    LQ_TERM_EMBEDDING, /* lookup and its gradient */
    LQ_TERM_NORM,      /* normalisations and residual sums */
    LQ_TERM_ATTENTION, /* projections, rotation */
    LQ_TERM_ATTENTION_SCORES,
    LQ_TERM_MAMBA,      /* projections, convolution, gate */
    LQ_TERM_MAMBA_SCAN, /* the selective scan */
    LQ_TERM_MLP,        /* dense feed-forward */
    LQ_TERM_ROUTER,     /* its matmul, softmax, top-k */
    LQ_TERM_EXPERT_DEQUANTIZATION,
    LQ_TERM_EXPERT_MATMUL,
    LQ_TERM_EXPERT_PERMUTATION, /* gathering, activating, weighting and scattering tokens */
    LQ_TERM_EXPERT_LORA,
    LQ_TERM_SHARED_EXPERT,
    LQ_TERM_DEQUANTIZATION, /* of everything but the experts */
    LQ_TERM_LORA,
    LQ_TERM_HEAD,            /* output projection and loss */
    LQ_TERM_OVERHEAD,        /* host time that the device waits for, outside the experts */
    LQ_TERM_EXPERT_OVERHEAD, /* the same of selecting and calling experts */
    LQ_TERM_OPTIMIZER,
    LQ_TERM_ALL_REDUCE,    /* gradients of data-parallel devices, sharded updates */
    LQ_TERM_WEIGHT_GATHER, /* ZeRO-3 */
    LQ_TERM_TENSOR_PARALLEL,
    LQ_TERM_EXPERT_EXCHANGE,
    LQ_TERM_CONTEXT_EXCHANGE,
    LQ_TERM_HOST_TRANSFER, /* offloaded weights and gradients */
    LQ_TERM_PIPELINE,      /* transfers, the bubble, the fullest stage */
    LQ_TERM_COUNT
};
extern const char *const LQ_TERM_NAMES[];

/* Backward as users know it is recomputation and backward together. */
enum lq_stage {
    LQ_STAGE_FORWARD,
    LQ_STAGE_RECOMPUTATION,
    LQ_STAGE_BACKWARD,
    LQ_STAGE_OPTIMIZER,
    LQ_STAGE_COUNT
};

/* What one term does in one stage of one micro-batch on one device. In terms of routed experts,
 * what does not depend on the tokens is for all local experts hit. */
struct lq_work {
    double token_flop;         /* per padded token */
    double expert_token_flop;  /* per padded token and active expert */
    double score_flop;         /* per padded token and key */
    double weight_bytes;       /* operands read or written by the kernels that do the FLOPs */
    double stream_bytes;       /* moved by kernels of their own, whatever the tokens */
    double token_bytes;        /* element-wise traffic per padded token */
    double expert_token_bytes; /* per padded token and active expert */
    double score_bytes;        /* per padded token and key */
    double latency_s;          /* of kernels too small for their tokens to matter */
    double calls;              /* operations the host issues */
};

struct lq_work_table {
    struct lq_work term[LQ_TERM_COUNT][LQ_STAGE_COUNT];
};

/* What is counted. Borrowed pointers. */
struct lq_work_job {
    const struct lq_model *model;
    const struct lq_method *method;
    const struct lq_training *training;
    const struct lq_stack *stack;
    const struct lq_layout *layout;
};

/* Counts the work of one micro-batch. Full tuning runs forward 1x and backward 2x the matmul FLOPs
 * (gradients of inputs and of weights); frozen weights need no weight gradient; checkpointing adds
 * recomputation. Tensor parallelism divides matrices, pipeline parallelism layers (evenly),
 * expert parallelism the routed experts. Never fails: the inputs were checked.
 * Sources: Xia et al. 2024 section IV-B for the stages; 2 FLOPs per multiply-add; causal attention
 * computes half of the scores; traffic and calls per operation in work_traffic.h. */
struct lq_work_table lq_work_count(const struct lq_work_job *job);

/* The term that the matmuls of a layer's matrix are counted under. */
enum lq_term lq_matrix_term(const struct lq_matrix *matrix);

/* True for the terms that make up the mixture-of-experts part (Xia et al. 2024, Fig. 5). */
bool lq_term_is_moe(enum lq_term term);
/* True for terms whose fixed work is that of routed experts, in proportion to those hit. */
bool lq_term_is_routed(enum lq_term term);
/* True for the terms that are communication between devices. */
bool lq_term_is_network(enum lq_term term);
