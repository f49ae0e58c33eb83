/* The table of software stacks. A value without a published source is marked ASSUMED together with
 * the measurement that would settle it. */
#include "core/finetune/efficiency.h"

#include "core/base/units.h"

#include <string.h>

/* Each constant: value, source, date, where it holds. "Mixtral t0, t1" are the step times of
 * Mixtral-8x7B QLoRA on A40, A100-40, A100-80 and H100 in Xia et al. 2024 (arXiv 2408.04693). */

/* 0.42: Mixtral's t1 per active expert is 64, 116, 133 and 328 TFLOP/s of 150, 312, 312, 756. */
#define HF_MATMUL_EFFICIENCY 0.42

/* 0.77: Mixtral's t0 falls as 0.82 TB over the bandwidth: 4.5 bytes for each of 3 * 46.4e9 weights
 * that are dequantised and read. */
#define HF_BANDWIDTH_EFFICIENCY 0.77

/* 0.1 ms: BlackMamba's t0 of 0.38 s on A40 (2024) less its weight and optimizer traffic, over its
 * calls. Unfused PyTorch. */
#define HF_LINEAR_CALL_S 1e-4

/* 0.2 ms: ASSUMED twice a plain layer, for three matmuls in place of one; one LoRA step tells. */
#define HF_LORA_CALL_S 2e-4

/* 0.5 ms each: the 1.5 s of Mixtral's t0 that no bandwidth shortens are 2 ms for each of 768 calls
 * of an expert (32 layers, 8 experts, 3 passes), made of its selection and three adapted layers. */
#define HF_QUANTIZED_CALL_S 5e-4
#define HF_EXPERT_CALL_S 5e-4

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

/* Stacks other than hf-2024 share its times: nothing of their own was measured yet. */
#define HF_TIME                                                                                    \
    .matmul_efficiency = HF_MATMUL_EFFICIENCY, .bandwidth_efficiency = HF_BANDWIDTH_EFFICIENCY,    \
    .linear_call_s = HF_LINEAR_CALL_S, .lora_call_s = HF_LORA_CALL_S,                              \
    .quantized_call_s = HF_QUANTIZED_CALL_S, .expert_call_s = HF_EXPERT_CALL_S
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
     HF_TIME,
     NATIVE_MEMORY},
    {.id = "hf-2023",
     .description = "Transformers + PEFT + bitsandbytes, 2023",
     HF_TIME,
     HF_MEMORY},
    {.id = "hf-2024",
     .description = "Transformers + PEFT + bitsandbytes, 2024",
     HF_TIME,
     HF_MEMORY},
    {.id = "internevo",
     .borrowed_times = true,
     .description = "InternEvo distributed training",
     HF_TIME,
     NATIVE_MEMORY},
    {.id = "litgpt-2023",
     .borrowed_times = true,
     .description = "LitGPT, torch 2.1",
     HF_TIME,
     NATIVE_MEMORY},
    {.id = "llmquote-worker",
     .borrowed_times = true,
     .description = "llmquote's own calibration worker",
     HF_TIME,
     NATIVE_MEMORY},
    {.id = "torchtitan",
     .borrowed_times = true,
     .description = "torchtitan: FSDP2 and torch.compile",
     .options = COMPILED,
     HF_TIME,
     NATIVE_MEMORY},
    {.id = "torchtune",
     .borrowed_times = true,
     .description = "torchtune recipes",
     .options = CHUNKED,
     HF_TIME,
     NATIVE_MEMORY},
    {.id = "unsloth-2024",
     .borrowed_times = true,
     .description = "Unsloth on Transformers, 2024",
     .options = OFFLOADED,
     HF_TIME,
     HF_MEMORY},
    {.id = "vllm",
     .description = "vLLM, serving only",
     .serves_only = true,
     HF_TIME,
     NATIVE_MEMORY},
    {.id = "xtuner",
     .borrowed_times = true,
     .description = "XTuner on DeepSpeed",
     HF_TIME,
     HF_MEMORY},
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
