/* What a software stack makes of a device: efficiencies, call overheads, copies and contexts. Every
 * constant stands in one table with its source; nothing here depends on a job. */
#pragma once

#include "core/arch/method.h"

#include <stdbool.h>
#include <stddef.h>

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
    bool borrowed_times; /* its time constants are those of hf-2024 */
    bool serves_only;    /* it trains nothing */
    /* time */
    double matmul_efficiency;    /* of the matrix peak, in matmuls that fill the device */
    double bandwidth_efficiency; /* of the memory bandwidth, in streaming weights and states */
    double linear_call_s;        /* host time of one linear layer in one pass */
    double lora_call_s;          /* the same with a LoRA adapter on it */
    double quantized_call_s;     /* the same with a LoRA adapter on quantised weights */
    double expert_call_s;        /* selecting, gathering and scattering the tokens of one expert */
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

/* The stack an estimate uses for a label that only occurs in measurements: hf-2024. */
const struct lq_stack *lq_stack_default(void);
