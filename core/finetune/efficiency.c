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

/* 22 us: Python and dispatch of one eager operation; LitGPT's public rows take 4.2 ms for about 190
 * of them per layer and step (2023). */
#define CALL_S 22e-6

/* 5 us: one launch from C, without Python or dispatch. ASSUMED for GPUs (nsys shows 3 to 8); a CPU
 * takes about 1 (llmquote-worker ceilings). The worker feeds no rows. */
#define WORKER_CALL_S 5e-6

/* 5 ms: feeding, logging and what else a run does outside its steps, per row. ASSUMED within what
 * the fits find, 1 to 45 ms (a run of 1,000 queries that takes 5 s to start and save does as much);
 * the gap between steps in any profile tells. */
#define INPUT_ROW_S 5e-3

/* 1 GiB: context with bitsandbytes' and flash attention's kernels, cuBLAS workspaces. Longest
 * contexts of HF on 12-80 GB devices (2025) and largest batches of Mixtral on 40-80 GB (2024) both
 * begin at 0.7-1.3 GiB beyond what is counted. 0.5 GiB for stacks without: CUDA 12 on A100 and H100
 * shows 0.4-0.5 (2024), nvidia-smi of an idle process tells. */
#define HF_CONTEXT_BYTES (1.0 * LQ_GIB)
#define NATIVE_CONTEXT_BYTES (0.5 * LQ_GIB)

/* 8 %: torchtitan's reserved peaks over what is counted as allocated, 2024: 4-12 % at 8B to 405B on
 * 8 to 512 devices. Weights and states take the same where they were quantised or flattened on the
 * device; Unsloth loads checkpoints quantised before. */
#define FRAGMENTATION 0.08
#define UNSLOTH_STATIC_FRAGMENTATION 0.0

/* 4: PEFT keeps adapters in fp32 beside 16-bit and quantised weights (autocast_adapter_dtype). 2:
 * torchtune and LitGPT keep them in the model's type. */
#define HF_ADAPTER_BYTES 4.0
#define NATIVE_ADAPTER_BYTES 2.0

/* 3: LitGPT drops out the adapters' inputs: 16-bit copy and mask. The others' defaults do not. */
#define LITGPT_LORA_INPUT_BYTES 3.0

/* Bytes per logit around an unchunked loss: fp32 logits, their shifted copy, log-softmax and
 * gradient (Transformers 4.36-4.48; 2.13 MB per token at 128,256 words in the longest contexts of
 * 2025); 16-bit logits for the copy (torchtitan, 84 GiB at 32,768 tokens, 2024); neither
 * (torchtune, 60 GiB at 8,192 tokens, 2024); all four in 16 bit (LitGPT, slope of peak over batch
 * for phi-1.5 and StableLM-3B: 9.1, 2023); 16-bit logits and gradient (Unsloth, in place). */
#define HF_HEAD_BYTES_PER_LOGIT 16.0
#define TORCHTITAN_HEAD_BYTES_PER_LOGIT 14.0
#define TORCHTUNE_HEAD_BYTES_PER_LOGIT 12.0
#define LITGPT_HEAD_BYTES_PER_LOGIT 8.0
#define UNSLOTH_HEAD_BYTES_PER_LOGIT 4.0
/* 4: fp32 logits, whose gradient takes their place (kernels/layer/ends.c). */
#define WORKER_HEAD_BYTES_PER_LOGIT 4.0

/* 2: chunked losses keep 16-bit logits of all tokens (torchtune's LoRA, 8.5 GiB at 8,192 tokens,
 * 2024). 0: Unsloth's fused one keeps none (342,733 tokens on 80 GB, 2025). */
#define KEPT_BYTES_PER_LOGIT 2.0
#define UNSLOTH_KEPT_BYTES_PER_LOGIT 0.0

/* 4: the fp32 cast of a normalisation's input (RMSNorm of Transformers, torchtune and LitGPT);
 * compiled kernels keep the input alone. */
#define NORM_BYTES_PER_ELEMENT 4.0

#define TIME                                                                                       \
    .matmul_efficiency = MATMUL_EFFICIENCY, .bandwidth_efficiency = BANDWIDTH_EFFICIENCY,          \
    .dequantization_efficiency = DEQUANTIZATION_EFFICIENCY, .call_s = CALL_S,                      \
    .input_row_s = INPUT_ROW_S
#define SHARED_MEMORY                                                                              \
    .fragmentation = FRAGMENTATION, .static_fragmentation = FRAGMENTATION,                         \
    .norm_bytes_per_element = NORM_BYTES_PER_ELEMENT, .repeats_kv_heads = true
/* PEFT prepares 4-bit models by casting embedding, head and norms to fp32; in models with experts,
 * where checkpointing must not be reentrant, bitsandbytes keeps the inputs of adapted experts
 * outside of it: 32 layers times 2 (4096 + 14336) bytes per token and expert of Mixtral's largest
 * batches (Xia et al. 2024). */
#define HF_MEMORY                                                                                  \
    SHARED_MEMORY, .peak_scope = LQ_MEMORY_RESERVED, .context_bytes = HF_CONTEXT_BYTES,            \
                   .adapter_bytes = HF_ADAPTER_BYTES,                                              \
                   .head_bytes_per_logit = HF_HEAD_BYTES_PER_LOGIT,                                \
                   .kept_bytes_per_logit = KEPT_BYTES_PER_LOGIT, .upcasts_unquantized = true,      \
                   .holds_expert_inputs = true
#define NATIVE_MEMORY                                                                              \
    SHARED_MEMORY, .peak_scope = LQ_MEMORY_RESERVED, .context_bytes = NATIVE_CONTEXT_BYTES,        \
                   .adapter_bytes = NATIVE_ADAPTER_BYTES,                                          \
                   .head_bytes_per_logit = TORCHTITAN_HEAD_BYTES_PER_LOGIT,                        \
                   .kept_bytes_per_logit = KEPT_BYTES_PER_LOGIT
/* max_memory_allocated; bitsandbytes 0.41 keeps the inputs of all 4-bit matmuls. */
#define LITGPT_MEMORY                                                                              \
    SHARED_MEMORY, .peak_scope = LQ_MEMORY_ALLOCATED, .context_bytes = NATIVE_CONTEXT_BYTES,       \
                   .adapter_bytes = NATIVE_ADAPTER_BYTES,                                          \
                   .lora_input_bytes = LITGPT_LORA_INPUT_BYTES,                                    \
                   .head_bytes_per_logit = LITGPT_HEAD_BYTES_PER_LOGIT,                            \
                   .kept_bytes_per_logit = KEPT_BYTES_PER_LOGIT, .holds_quantized_inputs = true,   \
                   .flat_gradients = true
#define TORCHTUNE_MEMORY                                                                           \
    SHARED_MEMORY, .peak_scope = LQ_MEMORY_ALLOCATED, .context_bytes = NATIVE_CONTEXT_BYTES,       \
                   .adapter_bytes = NATIVE_ADAPTER_BYTES,                                          \
                   .head_bytes_per_logit = TORCHTUNE_HEAD_BYTES_PER_LOGIT,                         \
                   .kept_bytes_per_logit = KEPT_BYTES_PER_LOGIT, .fused_optimizer = true
#define UNSLOTH_MEMORY                                                                             \
    .fragmentation = FRAGMENTATION, .static_fragmentation = UNSLOTH_STATIC_FRAGMENTATION,          \
    .norm_bytes_per_element = NORM_BYTES_PER_ELEMENT, .peak_scope = LQ_MEMORY_RESERVED,            \
    .context_bytes = NATIVE_CONTEXT_BYTES, .adapter_bytes = HF_ADAPTER_BYTES,                      \
    .head_bytes_per_logit = UNSLOTH_HEAD_BYTES_PER_LOGIT,                                          \
    .kept_bytes_per_logit = UNSLOTH_KEPT_BYTES_PER_LOGIT
/* The whole device; flat fp32 buffers of the optimizer (InternEvo's hybrid ZeRO; DeepSpeed's, which
 * XTuner runs under Transformers). */
#define FLAT_MEMORY                                                                                \
    SHARED_MEMORY, .peak_scope = LQ_MEMORY_DEVICE, .context_bytes = NATIVE_CONTEXT_BYTES,          \
                   .adapter_bytes = NATIVE_ADAPTER_BYTES,                                          \
                   .head_bytes_per_logit = TORCHTITAN_HEAD_BYTES_PER_LOGIT,                        \
                   .kept_bytes_per_logit = KEPT_BYTES_PER_LOGIT, .flat_optimizer = true

/* What a stack's own recipes and examples switch on: gpt-fast and torchtitan compile; torchtune
 * compiles and takes the loss in chunks (README, 2024); Unsloth's kernels are fused by hand, its
 * loss is in chunks and checkpointed inputs wait in host memory (README 2025-04). */
#define COMPILED LQ_OPTION_BIT(LQ_OPTION_COMPILE)
#define CHUNKED (COMPILED | LQ_OPTION_BIT(LQ_OPTION_CHUNKED_LOSS))
#define OFFLOADED (CHUNKED | LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_ACTIVATIONS))

/* The worker's peaks are what it allocated, on CPUs too, where no context is: none is counted.
 * Logits' gradients take the logits' place. */
#define WORKER_MEMORY                                                                              \
    .peak_scope = LQ_MEMORY_ALLOCATED, .adapter_bytes = NATIVE_ADAPTER_BYTES,                      \
    .head_bytes_per_logit = WORKER_HEAD_BYTES_PER_LOGIT, .fused_optimizer = true

/* What each trains by on several devices. RECALLED from the documentation of its version, but for
 * what its public rows ran with (migrations/seed/measured); a two-device run of the recipe tells.
 * What came later is left out: jobs may name any layout. */
#define KIND(name) LQ_PARALLELISM_BIT(LQ_PARALLELISM_##name)

/* Trainer's arguments `deepspeed` (stages 1 to 3) and `fsdp` (shard_grad_op, full_shard,
 * hybrid_shard, hybrid_shard_zero2), DDP without either; Transformers 4.36-4.48. device_map="auto"
 * lays layers over devices that take turns, which is no parallelism. */
#define HF_KINDS                                                                                   \
    (KIND(DATA) | KIND(ZERO_1) | KIND(ZERO_2) | KIND(ZERO_3) | KIND(HYBRID_2) | KIND(HYBRID_3))
/* 4-bit weights: bitsandbytes before 0.43 (2024-03) cannot shard them; since then FSDP can, and
 * DeepSpeed's stage 3 since 0.43.3 (2024-07), both as full shards (PEFT's guides to DeepSpeed and
 * FSDP, "Use PEFT QLoRA and ..."). Other quantised weights are taken to do the same. */
#define HF_2023_QUANTIZED_KINDS (KIND(DATA) | KIND(ZERO_1) | KIND(ZERO_2))
#define HF_2024_QUANTIZED_KINDS (HF_2023_QUANTIZED_KINDS | KIND(ZERO_3))

/* Everything but ZeRO-2: ZeRO-1 in groups of any size ("zero1", size 1: none), FSDP over the same
 * groups, tensor (mtp, msp, fsp), pipeline, sequence (isp) and experts (InternEvo 0.5,
 * doc/en/usage.md, "parallel"). No quantised weights. */
#define INTERNEVO_KINDS                                                                            \
    (KIND(DATA) | KIND(DATA_COMBINED) | KIND(ZERO_1) | KIND(HYBRID_1) | KIND(ZERO_3) |             \
     KIND(HYBRID_3) | KIND(TENSOR) | KIND(PIPELINE) | KIND(EXPERT) | KIND(CONTEXT))

/* FSDPStrategy wherever there is more than one device; finetune/lora.py refuses --quantize there
 * (Lit-GPT, 2023). */
#define LITGPT_KINDS KIND(ZERO_3)

/* FSDP2, HSDP and DDP, the last with nothing else; tensor, pipeline and context over FSDP2 (README
 * and docs, 2024-12). Experts came in 2025, after the public rows; no quantised weights. */
#define TORCHTITAN_KINDS                                                                           \
    (KIND(DATA) | KIND(ZERO_2) | KIND(ZERO_3) | KIND(HYBRID_2) | KIND(HYBRID_3) | KIND(TENSOR) |   \
     KIND(PIPELINE) | KIND(CONTEXT))

/* FSDP2, with or without reshard_after_forward, over NF4 too: the distributed recipes of 0.2-0.5
 * (2024), which the public rows are of. Tensor parallelism is of 0.6 (2025-03). */
#define TORCHTUNE_KINDS (KIND(ZERO_2) | KIND(ZERO_3))

/* DDP, DeepSpeed by --deepspeed, sequence parallelism with it; QLoRA up to stage 2 (README and
 * docs of 0.1, 2024). */
#define XTUNER_KINDS (KIND(DATA) | KIND(ZERO_1) | KIND(ZERO_2) | KIND(ZERO_3) | KIND(CONTEXT))
#define XTUNER_QUANTIZED_KINDS (KIND(DATA) | KIND(ZERO_1) | KIND(ZERO_2) | KIND(CONTEXT))

/* One device alone: unsloth-2024, whose README of 2024-2025 leaves several GPUs to paid versions,
 * and llmquote-worker, which trains a layer on one; what its points say of a device serves jobs of
 * every stack. */

const struct lq_stack LQ_STACKS[] = {
    {.id = "gpt-fast",
     .description = "gpt-fast: compiled PyTorch, decoding only",
     .serves_only = true,
     .options = COMPILED,
     TIME,
     NATIVE_MEMORY},
    {.id = "hf-2023",
     .description = "Transformers + PEFT + bitsandbytes, 2023",
     .parallelism = HF_KINDS,
     .quantized_parallelism = HF_2023_QUANTIZED_KINDS,
     TIME,
     HF_MEMORY},
    {.id = "hf-2024",
     .description = "Transformers + PEFT + bitsandbytes, 2024",
     .parallelism = HF_KINDS,
     .quantized_parallelism = HF_2024_QUANTIZED_KINDS,
     TIME,
     HF_MEMORY},
    {.id = "internevo",
     /* 2.5 ms: what a step loses per rank of the shard group between groups of 8 and of all ranks
      * (InternEvo's public table, 7B on 8 to 1024 A100, 2023) */
     .owner_broadcast_s = 2.5e-3,
     .description = "InternEvo distributed training",
     .parallelism = INTERNEVO_KINDS,
     TIME,
     FLAT_MEMORY},
    {.id = "litgpt-2023",
     .description = "LitGPT, torch 2.1",
     .parallelism = LITGPT_KINDS,
     TIME,
     LITGPT_MEMORY},
    {.id = "llmquote-worker",
     .description = "llmquote's own calibration worker",
     .own_kernels = true,
     .call_s = WORKER_CALL_S,
     .matmul_efficiency = MATMUL_EFFICIENCY,
     .bandwidth_efficiency = BANDWIDTH_EFFICIENCY,
     .dequantization_efficiency = DEQUANTIZATION_EFFICIENCY,
     WORKER_MEMORY},
    {.id = "torchtitan",
     .description = "torchtitan: FSDP2 and torch.compile",
     .options = COMPILED,
     .parallelism = TORCHTITAN_KINDS,
     TIME,
     NATIVE_MEMORY},
    {.id = "torchtune",
     .description = "torchtune recipes",
     .options = CHUNKED,
     .parallelism = TORCHTUNE_KINDS,
     .quantized_parallelism = TORCHTUNE_KINDS,
     TIME,
     TORCHTUNE_MEMORY},
    {.id = "unsloth-2024",
     .description = "Unsloth on Transformers, 2024",
     .options = OFFLOADED,
     TIME,
     UNSLOTH_MEMORY},
    {.id = "vllm", .description = "vLLM, serving only", .serves_only = true, TIME, NATIVE_MEMORY},
    {.id = "xtuner",
     .description = "XTuner on DeepSpeed",
     .parallelism = XTUNER_KINDS,
     .quantized_parallelism = XTUNER_QUANTIZED_KINDS,
     TIME,
     HF_MEMORY,
     .flat_optimizer = true},
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

uint32_t lq_stack_parallelism(const struct lq_stack *stack, const struct lq_method *method)
{
    return method->quantization == LQ_QUANTIZATION_NONE ? stack->parallelism
                                                        : stack->quantized_parallelism;
}
