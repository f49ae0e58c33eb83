/* The table of software stacks. A value without a published source is marked ASSUMED together with
 * the measurement that would settle it. */
#include "core/finetune/efficiency.h"

#include "core/base/units.h"

#include <string.h>

/* Each constant: value, source, date, where it holds. They are where the fits start from: the
 * public measurements move them (GET /v1/fits, scope "all"). */

/* 0.80: of what the best-sized matrix multiplication reaches: layers are narrower, and kernels
 * start and end (Xia et al. 2024, Fig. 6: 101 of A40's 150 TFLOP/s over 1,280 tokens). */
#define MATMUL_EFFICIENCY 0.90

/* 0.85: copies on A100 and A40 alike. ASSUMED; a copy of a large buffer tells. */
#define BANDWIDTH_EFFICIENCY 0.85

/* 0.59: 58.7e6 nf4 weights dequantised in 359 us on A40 (Xia et al. 2024, Fig. 6). */
#define DEQUANTIZATION_EFFICIENCY 0.59

/* 6 us per block and multiprocessor: ASSUMED; a scan of one row tells. */
#define SEQUENCE_BLOCK_S 6e-6

/* 22 us: Python and dispatch of one eager operation; LitGPT's public rows take 4.2 ms for about 190
 * of them per layer and step (2023). */
#define CALL_S 22e-6

/* 2 ms: collating and logging one row. ASSUMED; the gap between steps in any profile tells. */
#define INPUT_ROW_S 2e-3

/* 1 GiB and 8 %: ASSUMED within what the largest batches on 40, 48 and 80 GB devices allow
 * (max_batch.csv, 2024); torch.cuda.memory_stats of one run tells. */
#define HF_CONTEXT_BYTES (1.0 * LQ_GIB)
#define HF_FRAGMENTATION 0.08

/* 4: PEFT keeps adapters in fp32 beside 16-bit and quantised weights (autocast_adapter_dtype). */
#define HF_ADAPTER_BYTES 4.0

/* 9: fp32 cast, its dropped-out copy and the mask (PEFT 0.7, LoRA on bitsandbytes 4-bit, 2023). */
#define HF_LORA_INPUT_BYTES 9.0

/* 14: 16-bit and fp32 logits, their shifted copy and the gradient (Transformers 4.36, 2023). */
#define HF_HEAD_BYTES_PER_LOGIT 14.0

/* 6: the 16-bit input and its fp32 cast (Transformers RMSNorm). */
#define NORM_BYTES_PER_ELEMENT 6.0

/* Native PyTorch trainers keep adapters in 16 bit and cast nothing on the way to them: dropped-out
 * copy and mask; logits, fp32 loss input and gradient. 5 % fragmentation ASSUMED as above. */
#define NATIVE_FRAGMENTATION 0.05
#define NATIVE_ADAPTER_BYTES 2.0
#define NATIVE_LORA_INPUT_BYTES 3.0
#define NATIVE_HEAD_BYTES_PER_LOGIT 10.0

#define TIME                                                                                       \
    .matmul_efficiency = MATMUL_EFFICIENCY, .bandwidth_efficiency = BANDWIDTH_EFFICIENCY,          \
    .dequantization_efficiency = DEQUANTIZATION_EFFICIENCY, .sequence_block_s = SEQUENCE_BLOCK_S,  \
    .call_s = CALL_S, .input_row_s = INPUT_ROW_S
#define HF_MEMORY                                                                                  \
    .context_bytes = HF_CONTEXT_BYTES, .fragmentation = HF_FRAGMENTATION,                          \
    .adapter_bytes = HF_ADAPTER_BYTES, .lora_input_bytes = HF_LORA_INPUT_BYTES,                    \
    .head_bytes_per_logit = HF_HEAD_BYTES_PER_LOGIT,                                               \
    .norm_bytes_per_element = NORM_BYTES_PER_ELEMENT
#define NATIVE_MEMORY                                                                              \
    .context_bytes = HF_CONTEXT_BYTES, .fragmentation = NATIVE_FRAGMENTATION,                      \
    .adapter_bytes = NATIVE_ADAPTER_BYTES, .lora_input_bytes = NATIVE_LORA_INPUT_BYTES,            \
    .head_bytes_per_logit = NATIVE_HEAD_BYTES_PER_LOGIT,                                           \
    .norm_bytes_per_element = NORM_BYTES_PER_ELEMENT

/* What a stack's own recipes and examples switch on: gpt-fast and torchtitan compile; torchtune
 * compiles and takes the loss in chunks (README, 2024); Unsloth's kernels are fused by hand, its
 * loss is in chunks and checkpointed inputs wait in host memory (README 2025-04). */
#define COMPILED LQ_OPTION_BIT(LQ_OPTION_COMPILE)
#define CHUNKED (COMPILED | LQ_OPTION_BIT(LQ_OPTION_CHUNKED_LOSS))
#define OFFLOADED (CHUNKED | LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_ACTIVATIONS))

const struct lq_stack LQ_STACKS[] = {
    {.id = "gpt-fast",
     .description = "gpt-fast: compiled PyTorch, decoding only",
     .serves_only = true,
     .options = COMPILED,
     TIME,
     NATIVE_MEMORY},
    {.id = "hf-2023", .description = "Transformers + PEFT + bitsandbytes, 2023", TIME, HF_MEMORY},
    {.id = "hf-2024", .description = "Transformers + PEFT + bitsandbytes, 2024", TIME, HF_MEMORY},
    {.id = "internevo",
     /* 2.5 ms: what a step loses per rank of the shard group between groups of 8 and of all ranks
      * (InternEvo's public table, 7B on 8 to 1024 A100, 2023) */
     .owner_broadcast_s = 2.5e-3,
     .description = "InternEvo distributed training",
     TIME,
     NATIVE_MEMORY},
    {.id = "litgpt-2023", .description = "LitGPT, torch 2.1", TIME, NATIVE_MEMORY},
    {.id = "llmquote-worker",
     .description = "llmquote's own calibration worker",
     TIME,
     NATIVE_MEMORY},
    {.id = "torchtitan",
     .description = "torchtitan: FSDP2 and torch.compile",
     .options = COMPILED,
     TIME,
     NATIVE_MEMORY},
    {.id = "torchtune",
     .description = "torchtune recipes",
     .options = CHUNKED,
     TIME,
     NATIVE_MEMORY},
    {.id = "unsloth-2024",
     .description = "Unsloth on Transformers, 2024",
     .options = OFFLOADED,
     TIME,
     HF_MEMORY},
    {.id = "vllm", .description = "vLLM, serving only", .serves_only = true, TIME, NATIVE_MEMORY},
    {.id = "xtuner", .description = "XTuner on DeepSpeed", TIME, HF_MEMORY},
};
const size_t LQ_STACK_COUNT = sizeof LQ_STACKS / sizeof LQ_STACKS[0];

const struct lq_stack *lq_stack_find(const char *id)
{
    for (size_t i = 0; i < LQ_STACK_COUNT; i++) {
        if (strcmp(LQ_STACKS[i].id, id) == 0) {
            return &LQ_STACKS[i];
        }
    }
    return NULL;
}

const struct lq_stack *lq_stack_default(void)
{
    return lq_stack_find("hf-2024");
}

uint32_t lq_stack_options(const char *id)
{
    const struct lq_stack *stack = lq_stack_find(id);
    return stack != NULL ? stack->options : lq_stack_default()->options;
}
