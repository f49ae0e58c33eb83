/* A language model as the estimator sees it: a few kinds of layers, each a sequence mixer and a
 * feed-forward part, an embedding and a head; and the weight matrices and counts that follow. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/method.h"
#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum lq_mixer_kind { LQ_MIXER_NONE, LQ_MIXER_ATTENTION, LQ_MIXER_MLA, LQ_MIXER_MAMBA };
enum lq_ffn_kind { LQ_FFN_NONE, LQ_FFN_DENSE, LQ_FFN_MOE };

/* Sequence mixer of one layer. Sizes are in elements. */
struct lq_mixer {
    enum lq_mixer_kind kind;
    /* attention and MLA */
    int64_t heads;
    int64_t kv_heads;
    int64_t head_size;
    int64_t window_tokens;   /* sliding window or chunk; 0 = full context */
    int64_t bias_parameters; /* of q, k, v and o together, plus sinks */
    /* MLA (arXiv 2405.04434): low-rank query and key-value projections */
    int64_t q_rank; /* 0 = full-rank query */
    int64_t kv_rank;
    int64_t nope_size;
    int64_t rope_size;
    int64_t value_size;
    /* Mamba (arXiv 2312.00752) */
    int64_t inner_size;
    int64_t state_size;
    int64_t conv_size;
    int64_t dt_rank;
    int64_t small_parameters; /* conv, dt bias, A, D, inner norms */
};

/* Feed-forward part of one layer. */
struct lq_ffn {
    enum lq_ffn_kind kind;
    bool gated;                /* SwiGLU or GeGLU: three matrices in place of two */
    int64_t intermediate_size; /* of the dense MLP, or of one routed expert */
    int64_t experts;           /* routed experts; 0 for dense */
    int64_t active_experts;    /* top-k as released */
    int64_t shared_size;       /* total intermediate size of the shared experts; 0 = none */
    int64_t bias_parameters;   /* dense: of the MLP; MoE: of ONE routed expert */
    int64_t router_parameters; /* beyond its matrix: bias, score correction, shared gate */
    int64_t shared_bias_parameters;
};

/* `count` identical layers. */
struct lq_layer {
    int64_t count;
    struct lq_mixer mixer;
    struct lq_ffn ffn;
    int64_t norm_parameters; /* of one layer, incl. biases and q/k norms */
};

enum { LQ_LAYER_KINDS_MAX = 8, LQ_MATRICES_MAX = 16 };

struct lq_model {
    char id[LQ_ID_MAX];
    char type[32]; /* model_type of its config.json */
    int64_t hidden_size;
    int64_t vocab_size;
    int64_t context_tokens; /* longest position it was made for; 0 = no limit */
    bool tied_embeddings;
    int64_t embedding_parameters; /* token + position embeddings, once */
    int64_t head_parameters;      /* 0 where tied; includes its bias */
    int64_t final_norm_parameters;
    int64_t other_parameters; /* projections in and out (OPT), anything not above */
    int layer_kinds;
    struct lq_layer layers[LQ_LAYER_KINDS_MAX];
};

/* One kind of weight matrix of one layer. */
struct lq_matrix {
    enum lq_target target;
    int64_t rows;  /* output features */
    int64_t cols;  /* input features */
    int64_t count; /* such matrices in the layer (experts for routed ones) */
    bool routed;   /* a token passes through active_experts of `count` */
};

/* Lists the weight matrices of one layer.
 * model: for hidden_size; layer: one of its kinds; out: room for LQ_MATRICES_MAX.
 * Returns how many were written. Shared experts are one matrix of their total width. */
int lq_layer_matrices(const struct lq_model *model, const struct lq_layer *layer,
                      struct lq_matrix out[LQ_MATRICES_MAX]);

/* Parameter counts by role. All int64_t, exact. */
struct lq_parameters {
    int64_t total;   /* every weight, norms, biases, router, embeddings once when tied */
    int64_t active;  /* total less the routed experts that a token does not visit */
    int64_t experts; /* routed expert weights, all of them */
    int64_t linear;  /* all matrices of the layers, incl. router: quantised, adapted */
    int64_t router;
    int64_t embedding; /* input embeddings */
    int64_t head;      /* 0 where tied */
    int64_t rest;      /* norms, biases, convolutions: never quantised */
};

/* Counts the parameters of `model` with `active_experts` routed experts per token
 * (0 = as released; more than a layer has counts all of them). Vision towers and
 * multi-token-prediction modules are not part of struct lq_model and so never counted. */
struct lq_parameters lq_model_parameters(const struct lq_model *model, int64_t active_experts);

/* Trainable parameters of LoRA: rank * (rows + cols) of each matrix in the target set,
 * with the embedding (vocab x hidden) and head where targeted. Source: arXiv 2106.09685
 * section 4.1. */
int64_t lq_lora_parameters(const struct lq_model *model, const struct lq_method *method);

/* The most routed experts any layer has and the largest released top-k; 0 for dense models. */
int64_t lq_model_experts(const struct lq_model *model);
int64_t lq_model_active_experts(const struct lq_model *model);
/* What kind of model it is, as far as measurements carry over: bit 0 has experts, bit 1 has Mamba
 * layers. */
unsigned lq_model_class(const struct lq_model *model);
/* Layers in all. */
int64_t lq_model_layers(const struct lq_model *model);

/* Checks what every caller relies on: sizes within range, kv_heads <= heads, active <= experts,
 * at least one layer. Errors: LQ_EFIELD with a pointer naming the config key's nearest name. */
LQ_MUST_USE enum lq_code lq_model_check(const struct lq_model *model, struct lq_error *err);
