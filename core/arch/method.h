/* How a model is tuned: full, LoRA or QLoRA, which matrices, in which precision, by which
 * optimizer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The kinds of weight matrices of a model; a set of them is a bit mask of (1u << target). */
enum lq_target {
    LQ_TARGET_Q,
    LQ_TARGET_K,
    LQ_TARGET_V,
    LQ_TARGET_O,
    LQ_TARGET_GATE,
    LQ_TARGET_UP,
    LQ_TARGET_DOWN,
    LQ_TARGET_EXPERT_GATE, /* the same three inside routed and shared experts */
    LQ_TARGET_EXPERT_UP,
    LQ_TARGET_EXPERT_DOWN,
    LQ_TARGET_ROUTER,
    LQ_TARGET_EMBEDDING,
    LQ_TARGET_HEAD,
    LQ_TARGET_MAMBA_IN,  /* Mamba in_proj */
    LQ_TARGET_MAMBA_X,   /* Mamba x_proj: dt, B, C */
    LQ_TARGET_MAMBA_DT,  /* Mamba dt_proj */
    LQ_TARGET_MAMBA_OUT, /* Mamba out_proj */
    LQ_TARGET_COUNT
};

#define LQ_TARGET_BIT(t) (1u << (t))
#define LQ_TARGETS_ATTENTION                                                                       \
    (LQ_TARGET_BIT(LQ_TARGET_Q) | LQ_TARGET_BIT(LQ_TARGET_K) | LQ_TARGET_BIT(LQ_TARGET_V) |        \
     LQ_TARGET_BIT(LQ_TARGET_O))
#define LQ_TARGETS_DENSE_MLP                                                                       \
    (LQ_TARGET_BIT(LQ_TARGET_GATE) | LQ_TARGET_BIT(LQ_TARGET_UP) | LQ_TARGET_BIT(LQ_TARGET_DOWN))
#define LQ_TARGETS_EXPERTS                                                                         \
    (LQ_TARGET_BIT(LQ_TARGET_EXPERT_GATE) | LQ_TARGET_BIT(LQ_TARGET_EXPERT_UP) |                   \
     LQ_TARGET_BIT(LQ_TARGET_EXPERT_DOWN))
#define LQ_TARGETS_MAMBA                                                                           \
    (LQ_TARGET_BIT(LQ_TARGET_MAMBA_IN) | LQ_TARGET_BIT(LQ_TARGET_MAMBA_X) |                        \
     LQ_TARGET_BIT(LQ_TARGET_MAMBA_DT) | LQ_TARGET_BIT(LQ_TARGET_MAMBA_OUT))
/* Every linear layer but the router, the embedding and the head: what PEFT calls all-linear. */
#define LQ_TARGETS_ALL_LINEAR                                                                      \
    (LQ_TARGETS_ATTENTION | LQ_TARGETS_DENSE_MLP | LQ_TARGETS_EXPERTS | LQ_TARGETS_MAMBA)

/* What one name in a list of targets stands for. An MLP's three names mean dense layers and experts
 * alike, as adapters are attached by module name. Groups stand first, then single matrices of names
 * that the groups do not take; NULL at the end. */
struct lq_target_group {
    const char *name;
    uint32_t bits;
};
extern const struct lq_target_group LQ_TARGET_GROUPS[];

/* The bits of a group or of a single target; 0 for no name of one. */
uint32_t lq_targets_named(const char *name);

enum lq_method_kind { LQ_METHOD_FULL, LQ_METHOD_LORA, LQ_METHOD_QLORA };

enum lq_quantization {
    LQ_QUANTIZATION_NONE,
    LQ_QUANTIZATION_NF4_DQ,
    LQ_QUANTIZATION_NF4,
    LQ_QUANTIZATION_INT4,
    LQ_QUANTIZATION_INT8
};

struct lq_method {
    enum lq_method_kind kind;
    int64_t rank;     /* LoRA rank, 1..4096; 0 for full */
    uint32_t targets; /* bit mask of lq_target; 0 for full */
    enum lq_quantization quantization;
    bool train_embeddings; /* LoRA only: embedding and head trained in full beside the adapters */
};

enum lq_precision { LQ_PRECISION_BF16, LQ_PRECISION_FP16, LQ_PRECISION_FP32, LQ_PRECISION_FP8 };

enum lq_optimizer {
    LQ_OPTIMIZER_ADAMW,
    LQ_OPTIMIZER_ADAMW_8BIT,
    LQ_OPTIMIZER_PAGED_ADAMW_8BIT,
    LQ_OPTIMIZER_ADAFACTOR,
    LQ_OPTIMIZER_SGD
};

enum lq_attention { LQ_ATTENTION_FLASH, LQ_ATTENTION_EAGER };

enum lq_checkpointing { LQ_CHECKPOINTING_NONE, LQ_CHECKPOINTING_FULL, LQ_CHECKPOINTING_SELECTIVE };

/* What a trainer may do beyond the plain loop; a set of them is a bit mask of (1u << option). */
enum lq_option {
    LQ_OPTION_COMPILE,      /* compiled or hand-fused kernels: fewer calls, less traffic */
    LQ_OPTION_CHUNKED_LOSS, /* logits and their gradient for a part of the tokens at once */
    LQ_OPTION_OPTIMIZER_IN_BACKWARD, /* a weight is stepped, its gradient freed, as backward runs */
    LQ_OPTION_OFFLOAD_ACTIVATIONS,   /* checkpointed inputs wait in host memory */
    LQ_OPTION_OFFLOAD_OPTIMIZER,     /* weights and states wait in host memory */
    LQ_OPTION_COUNT
};

#define LQ_OPTION_BIT(o) (1u << (o))

/* Everything about the training loop that changes memory or time, beside the method. */
struct lq_training {
    enum lq_precision precision;
    enum lq_optimizer optimizer;
    enum lq_attention attention;
    enum lq_checkpointing checkpointing;
    bool master_weights;        /* fp32 copies of trained 16-bit weights */
    uint32_t options;           /* bit mask of lq_option */
    int64_t accumulation_steps; /* micro-batches per optimizer step, >= 1 */
};

/* Names as the API spells them, indexed by the enum, NULL at the end. */
extern const char *const LQ_TARGET_NAMES[];
extern const char *const LQ_METHOD_NAMES[];
extern const char *const LQ_QUANTIZATION_NAMES[];
extern const char *const LQ_PRECISION_NAMES[];
extern const char *const LQ_OPTIMIZER_NAMES[];
extern const char *const LQ_ATTENTION_NAMES[];
extern const char *const LQ_CHECKPOINTING_NAMES[];
extern const char *const LQ_OPTION_NAMES[];

/* Bytes of one parameter stored as `quantization` (scales included) in a block-wise format.
 * none: 0, since the precision decides. Source: QLoRA (arXiv 2305.14314) section 3:
 * nf4 has one fp32 scale per 64 weights; double quantisation makes that 8 bit plus fp32 per 256. */
double lq_quantization_bytes(enum lq_quantization quantization);

/* Bytes of one 16- or 32-bit weight as held in memory (fp8 training keeps 16-bit weights). */
double lq_precision_bytes(enum lq_precision precision);

/* Bytes of optimizer state per trained parameter whose weights have `weight_bytes` bytes each.
 * adamw keeps two moments in the weights' own type; 8-bit keeps two bytes plus block scales. */
double lq_optimizer_bytes(enum lq_optimizer optimizer, double weight_bytes);
