/* What a software stack makes of a device, and of several: efficiencies, call overheads, copies,
 * contexts and kinds of parallelism. Every constant stands in one table with its source; nothing
 * here depends on a job. */
#pragma once

#include "core/arch/method.h"
#include "core/arch/parallelism.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How much of a device's memory a figure counts; each includes the one before. */
enum lq_memory_scope {
    LQ_MEMORY_ALLOCATED, /* tensors: torch.cuda.max_memory_allocated, "active" */
    LQ_MEMORY_RESERVED,  /* and what the allocator holds beside them */
    LQ_MEMORY_DEVICE     /* and the context: nvidia-smi */
};

/* A software stack. Times in s, sizes in bytes, efficiencies as shares of the catalog's peak. */
struct lq_stack {
    const char *id;
    const char *description;
    bool serves_only;     /* it trains nothing */
    uint32_t options;     /* bit mask of lq_option: what it does unless told otherwise */
    bool own_kernels;     /* the calibration worker's: its operations are counted as it runs them */
    uint32_t parallelism; /* bit mask of lq_parallelism: what it can train by; 0: it runs
                             on one device */
    uint32_t quantized_parallelism; /* the same over quantised base weights */
    /* time */
    double matmul_efficiency;         /* of the achievable matrix rate, in matmuls */
    double bandwidth_efficiency;      /* of the memory bandwidth, in streaming kernels */
    double dequantization_efficiency; /* of the same, in kernels that dequantise */
    double call_s;                    /* host time of one element-wise operation */
    double input_row_s;               /* feeding one row */
    double owner_broadcast_s; /* where each rank of a shard group sends its updated weights in turn:
                                 time of one beyond its bytes; 0 = they are gathered */
    /* memory */
    enum lq_memory_scope peak_scope; /* what the peaks that are published of it count */
    double context_bytes;            /* CUDA context, libraries' workspaces */
    double fragmentation;            /* lost over what a step allocates, as a share of it */
    double static_fragmentation;     /* lost over weights and states, as a share of them */
    double adapter_bytes;            /* per LoRA parameter */
    double lora_input_bytes;         /* saved per input element of an adapter that drops out; 0: no
                                        dropout, the adapter reads what its matrix reads */
    double head_bytes_per_logit;     /* copies of the logits around the loss */
    double kept_bytes_per_logit;     /* of all tokens where the loss is chunked */
    double norm_bytes_per_element;   /* saved per element of a normalisation's input */
    bool repeats_kv_heads;           /* keys and values are saved once per query head */
    bool upcasts_unquantized;        /* what stays un-quantised beside 4-bit weights is fp32 */
    bool holds_quantized_inputs;     /* 4-bit matmuls keep their inputs past checkpointing */
    bool holds_expert_inputs;        /* so do the adapted ones of models with experts */
    bool flat_gradients;             /* FSDP gives frozen weights gradients */
    bool flat_optimizer;             /* master weights and fp32 gradients in flat buffers beside
                                        16-bit weights; else the fp32 weights are the parameters */
    bool fused_optimizer;            /* AdamW steps without temporaries */
};

extern const struct lq_stack LQ_STACKS[];
extern const size_t LQ_STACK_COUNT;

/* The stack with that id, or NULL. */
const struct lq_stack *lq_stack_find(const char *id);

/* What a stack does unless told otherwise; that of hf-2024 for labels not in the table. */
uint32_t lq_stack_options(const char *id);

/* The kinds of parallelism that a stack offers to a method. */
uint32_t lq_stack_parallelism(const struct lq_stack *stack, const struct lq_method *method);

/* The stack an estimate uses for a label that only occurs in measurements: hf-2024. */
const struct lq_stack *lq_stack_default(void);
