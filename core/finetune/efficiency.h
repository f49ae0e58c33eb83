/* What a software stack makes of a device: efficiencies, call overheads, copies and contexts. Every
 * constant stands in one table with its source; nothing here depends on a job. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/method.h"

#include <stdbool.h>
#include <stddef.h>

/* A software stack. Times in s, sizes in bytes, efficiencies as shares of the catalog's peak. */
struct lq_stack {
    const char *id;
    const char *description;
    bool borrowed_times; /* its time constants are those of hf-2024 */
    bool serves_only;    /* it trains nothing */
    /* time */
    double matmul_efficiency;        /* of the achievable matrix rate, in matmuls */
    double bandwidth_efficiency;     /* of the memory bandwidth, in streaming kernels */
    double dequantization_efficiency; /* of the same, in kernels that dequantise */
    double sequence_block_s; /* one block of a sequence kernel on one multiprocessor */
    double call_s;           /* host time of one element-wise operation */
    double input_row_s;      /* feeding one row */
    /* memory */
    double context_bytes;          /* CUDA context, libraries' workspaces */
    double fragmentation;          /* share of the device the allocator cannot use */
    double adapter_bytes;          /* per LoRA parameter */
    double lora_input_bytes;       /* saved per input element of a layer with an adapter */
    double head_bytes_per_logit;   /* copies of the logits around the loss */
    double norm_bytes_per_element; /* saved per element of a normalisation's input */
};

extern const struct lq_stack LQ_STACKS[];
extern const size_t LQ_STACK_COUNT;

/* The stack with that id, or NULL. */
const struct lq_stack *lq_stack_find(const char *id);

/* The stack an estimate uses for a label that only occurs in measurements: hf-2024. */
const struct lq_stack *lq_stack_default(void);

/* Multiprocessors of a device whose catalog entry does not tell: those of most data-centre GPUs. */
extern const double LQ_TYPICAL_SMS;

/* Share of the catalog's dense peak that the best-sized matrix multiplication reaches. */
double lq_achievable_share(const struct lq_gpu *gpu, enum lq_precision precision);

/* The same of attention scores, computed by fused kernels, and of scans. */
double lq_attention_share(const struct lq_gpu *gpu);
