/* The table of serving stacks. A value without a published source is marked ASSUMED together with
 * the measurement that would settle it. */
#include "core/planning/serving_stack.h"

#include <string.h>
#include <strings.h>

/* 0.83, 0.67, 0.57 of the bandwidth; 48 us per layer; 10 us per collective: the robust fit of these
 * five to the thirteen Llama-2 rows that gpt-fast's README prints (2024, one request at a time on
 * 1-8 A100-80GB). Its eighteen rows of Llama 3.1 and Mixtral were left out and are off by .12 (rms
 * of the logarithm): that is the out-of-sample spread. Hold for compiled decoding with CUDA graphs.
 */
#define COMPILED_BANDWIDTH                                                                         \
    {                                                                                              \
        0.83, 0.67, 0.57                                                                           \
    }
#define COMPILED_LAYER_S 48e-6
#define COLLECTIVE_S 10e-6
#define GPT_FAST_LOG_SD 0.12

/* 0.60 of the matrix peak: ASSUMED. What large prompt matmuls reach; one timed prompt tells. */
#define COMPUTE_EFFICIENCY 0.6

/* 0.77: ASSUMED. The bus bandwidth of nccl-tests' all_reduce_perf on 8 GPUs over NVLink's peak in
 * one direction is about that; one run of it tells. */
#define LINK_EFFICIENCY 0.77

/* 0.90: vLLM's default gpu_memory_utilization (2024); the rest is its context, activations and
 * workspaces. For the other stacks ASSUMED alike; torch.cuda.memory_stats of one run tells. */
#define USABLE_MEMORY 0.9

/* 8 ms: what Qwen-72B under vLLM 0.2 on two A100 (Qwen's README, 2023; 56.8 ms a token) takes
 * beyond its weights, layers and collectives with the constants above. One row, so its spread is
 * not known: ASSUMED like that of Transformers from the same source. */
#define VLLM_ITERATION_S 8e-3

/* 0.75 ms of host time per layer, and 0.60, 0.33, 0.23 of the bandwidth: the robust fit to Qwen
 * 1.8B-72B under Transformers (Qwen's README, 2023; twelve rows on A100-80GB). Up to 14B a token
 * takes that long per layer whatever the width of the layer or of its weights, so the host is what
 * takes it; only the three rows of 72B are bound by the device, and they alone fix the three
 * shares. .13: rms of the logarithm when each of the three smaller models in turn is left out. */
#define HF_BANDWIDTH                                                                               \
    {                                                                                              \
        0.60, 0.33, 0.23                                                                           \
    }
#define HF_HOST_LAYER_S 0.75e-3
#define HF_LOG_SD 0.13

/* One 16-bit scale and one 16-bit zero point for each group of 32 (gpt-fast, quantize.py, 2023). */
#define GPT_FAST_INT4_BYTES (0.5 + 4.0 / 32.0)
/* A 16-bit scale and a 4-bit zero point for each group of 128: GPTQ's common checkpoints. */
#define GPTQ_INT4_BYTES (0.5 + 2.5 / 128.0)

#define HF                                                                                         \
    .bandwidth_efficiency = HF_BANDWIDTH, .compute_efficiency = COMPUTE_EFFICIENCY,                \
    .link_efficiency = LINK_EFFICIENCY, .host_layer_s = HF_HOST_LAYER_S,                           \
    .usable_memory = USABLE_MEMORY, .int4_bytes = GPTQ_INT4_BYTES, .devices_take_turns = true,     \
    .fitted_models = "measured:qwen-",                                                             \
                                                                                                   \
    .single_log_sd = HF_LOG_SD

const struct lq_serving_stack LQ_SERVING_STACKS[] = {
    {.id = "gpt-fast",
     .description = "gpt-fast: compiled PyTorch with CUDA graphs, tensor parallel",
     .bandwidth_efficiency = COMPILED_BANDWIDTH,
     .compute_efficiency = COMPUTE_EFFICIENCY,
     .link_efficiency = LINK_EFFICIENCY,
     .layer_s = COMPILED_LAYER_S,
     .collective_s = COLLECTIVE_S,
     .usable_memory = USABLE_MEMORY,
     .int4_bytes = GPT_FAST_INT4_BYTES,
     .quantizes_head = true,
     .fitted_models = "llama-2-",
     .single_log_sd = GPT_FAST_LOG_SD},
    {.id = "hf-2023", .description = "Transformers, layers spread by device_map, 2023", HF},
    {.id = "hf-2024", .description = "Transformers, layers spread by device_map, 2024", HF},
    {.id = "roofline",
     .description = "efficiencies alone: no fixed time, no communication",
     .bandwidth_efficiency = COMPILED_BANDWIDTH,
     .compute_efficiency = COMPUTE_EFFICIENCY,
     .usable_memory = USABLE_MEMORY,
     .int4_bytes = GPTQ_INT4_BYTES,
     .fitted_models = "llama-2-",
     .single_log_sd = LQ_SERVING_BATCHED_LOG_SD},
    {.id = "vllm",
     .description = "vLLM: paged KV cache, continuous batching, tensor parallel",
     .bandwidth_efficiency = COMPILED_BANDWIDTH,
     .compute_efficiency = COMPUTE_EFFICIENCY,
     .link_efficiency = LINK_EFFICIENCY,
     .iteration_s = VLLM_ITERATION_S,
     .layer_s = COMPILED_LAYER_S,
     .collective_s = COLLECTIVE_S,
     .usable_memory = USABLE_MEMORY,
     .int4_bytes = GPTQ_INT4_BYTES,
     .fitted_models = "measured:qwen-",
     .single_log_sd = HF_LOG_SD},
};
const size_t LQ_SERVING_STACK_COUNT = sizeof LQ_SERVING_STACKS / sizeof LQ_SERVING_STACKS[0];

const struct lq_serving_stack *lq_serving_stack_find(const char *id)
{
    for (size_t i = 0; i < LQ_SERVING_STACK_COUNT; i++) {
        if (strcasecmp(LQ_SERVING_STACKS[i].id, id) == 0) {
            return &LQ_SERVING_STACKS[i];
        }
    }
    return NULL;
}

bool lq_serving_stack_fitted_to(const struct lq_serving_stack *stack, const char *model)
{
    return strncmp(model, stack->fitted_models, strlen(stack->fitted_models)) == 0;
}

enum lq_weight_class lq_weight_class_of(enum lq_precision precision,
                                        enum lq_quantization quantization)
{
    switch (quantization) {
    case LQ_QUANTIZATION_NONE:
        return precision == LQ_PRECISION_FP8 ? LQ_WEIGHTS_8BIT : LQ_WEIGHTS_16BIT;
    case LQ_QUANTIZATION_INT8:
        return LQ_WEIGHTS_8BIT;
    case LQ_QUANTIZATION_NF4_DQ:
    case LQ_QUANTIZATION_NF4:
    case LQ_QUANTIZATION_INT4:
        return LQ_WEIGHTS_4BIT;
    }
    return LQ_WEIGHTS_16BIT;
}
