/* Device memory of a training step by component, and the largest batch that fits. */
#pragma once

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
    int64_t active_experts;   /* routed experts per token */
    double activation_factor; /* measured over counted activation bytes; 1 where nothing was
                                 measured */
};

/* Memory as a function of the batch: fixed parts, and activations per row of a given length.
 * Bytes, before the share that fragmentation takes. */
struct lq_memory {
    double weights_bytes;
    double adapter_bytes;
    double gradient_bytes;
    double optimizer_bytes;
    double overhead_bytes;          /* context and dequantisation scratch */
    double fragmentation;           /* share of the device the allocator cannot use */
    double activation_token_bytes;  /* per padded token, activation factor included */
    double activation_square_bytes; /* per squared row length and row: eager attention's scores */
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

/* Counts the memory of a job. Never fails: the model was checked.
 * Source: Xia et al. 2024 section IV-A for the components; element counts per layer in memory.c. */
struct lq_memory lq_memory_count(const struct lq_memory_job *job);

/* Bytes that do not depend on the batch. */
double lq_memory_fixed_bytes(const struct lq_memory *memory);

/* Activation bytes of `batch_size` rows of `row_tokens`. */
double lq_memory_activation_bytes(const struct lq_memory *memory, double batch_size,
                                  double row_tokens);

/* Bytes of the device that a step of `batch_size` rows of `row_tokens` takes, fragmentation
 * included. */
double lq_memory_total_bytes(const struct lq_memory *memory, double batch_size, double row_tokens);

/* The largest whole batch of rows of `row_tokens` (>= 1) that fits `capacity_bytes`; 0 if none. */
int64_t lq_memory_max_batch(const struct lq_memory *memory, double capacity_bytes,
                            int64_t row_tokens);
