/* Device memory of a training step by component, and the largest batch that fits: of the fullest
 * device of a layout. */
#pragma once

#include "core/arch/layout.h"
#include "core/arch/lengths.h"
#include "core/arch/model.h"
#include "core/finetune/efficiency.h"

#include <stdint.h>

/* What the memory of a step depends on beside the batch. All pointers are borrowed. */
struct lq_memory_job {
    const struct lq_model *model;
    const struct lq_method *method;
    const struct lq_training *training;
    const struct lq_stack *stack;
    const struct lq_layout *layout; /* NULL = one device */
    int64_t active_experts;         /* routed experts per token */
};

/* Measured over counted: what fits may move. Each is positive, and 1 where nothing was measured. */
struct lq_memory_factors {
    double activation;    /* saved activations and the layer at work */
    double logits;        /* copies of the logits around the loss */
    double overhead;      /* context and fragmentation */
    double communication; /* gathered weights and their gradients */
};
enum { LQ_MEMORY_FACTORS = 4 }; /* members of struct lq_memory_factors, in their order */

extern const struct lq_memory_factors LQ_MEMORY_FACTORS_ONE;

/* The moments of a step one of which is the peak: each holds other things beside what is held
 * throughout. */
enum lq_memory_moment {
    LQ_MEMORY_AT_LOSS,      /* saved activations and the logits with their gradient */
    LQ_MEMORY_AT_BACKWARD,  /* saved activations and the last layer's gradients */
    LQ_MEMORY_AT_GRADIENTS, /* all gradients and the first layer's activations */
    LQ_MEMORY_AT_OPTIMIZER, /* all gradients and the optimizer's temporaries */
    LQ_MEMORY_MOMENTS
};
extern const char *const LQ_MEMORY_MOMENT_NAMES[];

/* Memory as a function of the batch. Bytes of one device; per token means per token of the micro
 * batch, whose rows the ranks of a context group share. */
struct lq_memory {
    /* held throughout */
    double weights_bytes;
    double adapter_bytes;
    double optimizer_bytes;
    double scratch_bytes; /* one dequantised matrix */
    double communication_bytes;
    /* gradients: all of them, what of them is there while activations are, and while logits are */
    double gradient_bytes;
    double carried_gradient_bytes;
    double head_gradient_bytes;
    double step_bytes; /* the optimizer's temporaries */
    /* by token, and by squared row length and row (eager attention's scores) */
    double saved_token_bytes;
    double saved_square_bytes;
    double work_token_bytes; /* of the layer that runs backward while the others wait */
    double work_square_bytes;
    double layer_token_bytes; /* of the last layer to run backward, alone */
    double logit_token_bytes;
    bool keeps_blocks; /* blocks freed after backward do not serve the optimizer's flat buffers */
    /* of the device */
    double context_bytes;
    double fragmentation;        /* lost over what a step allocates */
    double static_fragmentation; /* lost over what is held throughout */
    enum lq_memory_scope scope;  /* of the figure that the stack prints */
};

/* What is on the device at the peak. The parts add up to total_bytes. */
struct lq_memory_parts {
    enum lq_memory_moment moment;
    double weights_bytes;
    double adapter_bytes;
    double gradient_bytes; /* those that are there at that moment */
    double optimizer_bytes;
    double activation_bytes;
    double logits_bytes;
    double communication_bytes;
    double overhead_bytes; /* context, scratch, temporaries of the optimizer, fragmentation */
    double total_bytes;
};

/* What an optimizer step touches. */
struct lq_trained {
    double parameters;
    double weight_bytes;    /* of one trained weight, and of its gradient */
    double optimizer_bytes; /* of one trained weight's states, master copy included */
};

/* Full: every weight in the training precision. LoRA: the adapters in the stack's type, and with
 * train_embeddings a copy of embedding and head beside the frozen ones (PEFT's modules_to_save).
 * master_weights adds fp32 copies of 16-bit weights, whose moments are then fp32, too. */
struct lq_trained lq_trained_count(const struct lq_model *model, const struct lq_method *method,
                                   const struct lq_training *training,
                                   const struct lq_stack *stack);

/* Counts the memory of a job. Never fails: the model and the layout were checked.
 * Source: components after Xia et al. 2024 section IV-A, sharding after ZeRO (arXiv 1910.02054);
 * element counts in memory_activations.c, states in memory_state.c. */
struct lq_memory lq_memory_count(const struct lq_memory_job *job);

/* Bytes that do not depend on the batch: held throughout, with all gradients. */
double lq_memory_fixed_bytes(const struct lq_memory *memory);

/* The peak of a step of `batch_size` rows of `row_tokens`, by part. */
struct lq_memory_parts lq_memory_at_peak(const struct lq_memory *memory,
                                         const struct lq_memory_factors *factors, double batch_size,
                                         double row_tokens);

/* Bytes of the device that such a step takes. */
double lq_memory_total_bytes(const struct lq_memory *memory,
                             const struct lq_memory_factors *factors, double batch_size,
                             double row_tokens);

/* The same as far as `scope` counts it: to be compared with a measured peak. With `slopes` not
 * NULL, it gets d ln(peak) / d ln(factor) of the four factors. */
double lq_memory_peak_bytes(const struct lq_memory *memory, const struct lq_memory_factors *factors,
                            enum lq_memory_scope scope, double batch_size, double row_tokens,
                            double slopes[LQ_MEMORY_FACTORS]);

/* The batch, whole or not, of rows of `row_tokens` (>= 1) that fills `capacity_bytes`; 0 if not
 * even an empty one fits. */
double lq_memory_filling_batch(const struct lq_memory *memory,
                               const struct lq_memory_factors *factors, double capacity_bytes,
                               double row_tokens);

/* The largest whole batch that fits. */
int64_t lq_memory_max_batch(const struct lq_memory *memory, const struct lq_memory_factors *factors,
                            double capacity_bytes, int64_t row_tokens);
