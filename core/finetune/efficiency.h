/* What a software stack makes of a device: efficiencies, call overheads, copies and contexts. Every
 * constant stands in one table with its source; nothing here depends on a job. */
#pragma once

#include "core/arch/method.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A software stack. Times in s, sizes in bytes, efficiencies as shares of the catalog's peak. */
struct lq_stack {
    const char *id;
    const char *description;
    bool serves_only; /* it trains nothing */
    uint32_t options; /* bit mask of lq_option: what it does unless told otherwise */
    /* time */
    double matmul_efficiency;         /* of the achievable matrix rate, in matmuls */
    double bandwidth_efficiency;      /* of the memory bandwidth, in streaming kernels */
    double dequantization_efficiency; /* of the same, in kernels that dequantise */
    double sequence_block_s;          /* one block of a sequence kernel on one multiprocessor */
    double call_s;                    /* host time of one element-wise operation */
    double input_row_s;               /* feeding one row */
    double owner_broadcast_s; /* where each rank of a shard group sends its updated weights in turn:
                                 time of one beyond its bytes; 0 = they are gathered */
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

/* What a stack does unless told otherwise; that of hf-2024 for labels not in the table. */
uint32_t lq_stack_options(const char *id);

/* The stack an estimate uses for a label that only occurs in measurements: hf-2024. */
const struct lq_stack *lq_stack_default(void);
