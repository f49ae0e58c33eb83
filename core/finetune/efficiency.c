/* The table of software stacks. A value without a published source is marked ASSUMED together with
 * the measurement that would settle it. */
#include "core/finetune/efficiency.h"

#include "core/base/units.h"

#include <string.h>

/* matmul_efficiency 0.42, bandwidth_efficiency 0.77, quantized_call_s 0.5 ms, expert_call_s 0.5 ms:
 * read off the step times of Mixtral-8x7B QLoRA on A40, A100-40, A100-80 and H100 (Xia et al. 2024,
 * arXiv 2408.04693, throughput.csv). The slope per active expert is 64, 116, 133 and 328 TFLOP/s of
 * 150, 312, 312 and 756; t0 falls as 0.82 TB over the bandwidth plus 1.5 s, which is 4.5 bytes for
 * each of 3 * 46.4e9 dequantised weights and 2 ms for each of 768 calls of an expert's three
 * layers. linear_call_s 0.1 ms: BlackMamba's t0 of 0.38 s on A40 less its weight and optimizer
 * traffic. lora_call_s: ASSUMED twice linear_call_s (three matmuls for one); measured by one LoRA
 * step. context 1 GiB, fragmentation 8 %: ASSUMED within what the largest batches of max_batch.csv
 * on 40, 48 and 80 GB devices allow; measured by torch.cuda.memory_stats of a run. lora_input_bytes
 * 9: fp32 cast, dropped copy and mask (PEFT 0.7 LoRA on bitsandbytes 4-bit). head 14: bf16 and fp32
 * logits, their shifted copy and the gradient (Transformers 4.36 loss). norm 6: the 16-bit input
 * and its fp32 cast (Transformers RMSNorm). Stacks other than hf-2024 share its values where
 * nothing of their own was measured. */
#define HF_TIME                                                                                    \
    .matmul_efficiency = 0.42, .bandwidth_efficiency = 0.77, .linear_call_s = 1e-4,                \
    .lora_call_s = 2e-4, .quantized_call_s = 5e-4, .expert_call_s = 5e-4
#define HF_MEMORY                                                                                  \
    .context_bytes = 1.0 * LQ_GIB, .fragmentation = 0.08, .adapter_bytes = 4.0,                    \
    .lora_input_bytes = 9.0, .head_bytes_per_logit = 14.0, .norm_bytes_per_element = 6.0
/* Native PyTorch trainers keep adapters in 16 bit and cast nothing to fp32 on the way to LoRA. */
#define NATIVE_MEMORY                                                                              \
    .context_bytes = 1.0 * LQ_GIB, .fragmentation = 0.05, .adapter_bytes = 2.0,                    \
    .lora_input_bytes = 3.0, .head_bytes_per_logit = 10.0, .norm_bytes_per_element = 6.0

const struct lq_stack LQ_STACKS[] = {
    {.id = "gpt-fast",
     .description = "gpt-fast: compiled PyTorch, decoding only",
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
    {.id = "internevo", .description = "InternEvo distributed training", HF_TIME, NATIVE_MEMORY},
    {.id = "litgpt-2023", .description = "LitGPT, torch 2.1", HF_TIME, NATIVE_MEMORY},
    {.id = "llmquote-worker",
     .description = "llmquote's own calibration worker",
     HF_TIME,
     NATIVE_MEMORY},
    {.id = "torchtitan",
     .description = "torchtitan: FSDP2 and torch.compile",
     HF_TIME,
     NATIVE_MEMORY},
    {.id = "torchtune", .description = "torchtune recipes", HF_TIME, NATIVE_MEMORY},
    {.id = "unsloth-2024", .description = "Unsloth on Transformers, 2024", HF_TIME, HF_MEMORY},
    {.id = "vllm", .description = "vLLM, serving only", HF_TIME, NATIVE_MEMORY},
    {.id = "xtuner", .description = "XTuner on DeepSpeed", HF_TIME, HF_MEMORY},
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
