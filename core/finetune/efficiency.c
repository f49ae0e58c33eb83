/* The table of software stacks. A value without a published source is marked ASSUMED together with
 * the measurement that would settle it. */
#include "core/finetune/efficiency.h"

#include "core/base/units.h"

#include <math.h>
#include <string.h>

/* Each constant: value, source, date, where it holds. They are where the fits start from: the
 * public measurements move them (GET /v1/fits, scope "all"). */

/* 0.80: of what the best-sized matrix multiplication reaches: layers are narrower, and kernels
 * start and end (Xia et al. 2024, Fig. 6: 101 of A40's 150 TFLOP/s over 1,280 tokens). */
#define MATMUL_EFFICIENCY 0.90

/* 0.77: streaming kernels, STREAM on A100 and A40 alike. ASSUMED; the worker's copy test tells. */
#define BANDWIDTH_EFFICIENCY 0.77

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
    .matmul_efficiency = MATMUL_EFFICIENCY, .bandwidth_efficiency = BANDWIDTH_EFFICIENCY,                                                  \
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

const struct lq_stack LQ_STACKS[] = {
    {.id = "gpt-fast",
     .description = "gpt-fast: compiled PyTorch, decoding only",
     .serves_only = true,
     TIME,
     NATIVE_MEMORY},
    {.id = "hf-2023",
     .description = "Transformers + PEFT + bitsandbytes, 2023",
     TIME,
     HF_MEMORY},
    {.id = "hf-2024",
     .description = "Transformers + PEFT + bitsandbytes, 2024",
     TIME,
     HF_MEMORY},
    {.id = "internevo",
     .description = "InternEvo distributed training",
     TIME,
     NATIVE_MEMORY},
    {.id = "litgpt-2023",
     .description = "LitGPT, torch 2.1",
     TIME,
     NATIVE_MEMORY},
    {.id = "llmquote-worker",
     .description = "llmquote's own calibration worker",
     TIME,
     NATIVE_MEMORY},
    {.id = "torchtitan",
     .description = "torchtitan: FSDP2 and torch.compile",
     TIME,
     NATIVE_MEMORY},
    {.id = "torchtune",
     .description = "torchtune recipes",
     TIME,
     NATIVE_MEMORY},
    {.id = "unsloth-2024",
     .description = "Unsloth on Transformers, 2024",
     TIME,
     HF_MEMORY},
    {.id = "vllm",
     .description = "vLLM, serving only",
     .serves_only = true,
     TIME,
     NATIVE_MEMORY},
    {.id = "xtuner",
     .description = "XTuner on DeepSpeed",
     TIME,
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

const double LQ_TYPICAL_SMS = 108.0;

/* What a generation's matrix units reach, over the catalog's dense peak. matmul: the largest of a
 * sweep of sizes, in the "maximum achievable matmul FLOPS" table of the ML Engineering book (S.
 * Bekman, 2024; recalled, not re-read) where it has the part: A100 0.86, H100 0.79, B200 0.77,
 * MI300X 0.51. Others ASSUMED: Ampere and Ada without HBM 0.85, Volta 0.80, T4 0.40 (70 W hold it
 * below half its clock). attention: FlashAttention-2 forward and backward, causal (arXiv
 * 2307.08691: 190 of A100's 312, 335 of H100's 989 TFLOP/s); others ASSUMED 0.7 of matmul.
 * module_w: power of the module the share was measured on; 0: any. */
struct achievable {
    const char *target; /* compute capability or LLVM target, a prefix */
    double matmul;
    double attention;
    double module_w;
};
static const struct achievable ACHIEVABLE[] = {
    {"7.0", 0.80, 0.50, 0.0},   {"7.5", 0.40, 0.25, 0.0},   {"8.0", 0.86, 0.60, 400.0},
    {"8.6", 0.85, 0.55, 0.0},   {"8.7", 0.85, 0.55, 0.0},   {"8.9", 0.85, 0.55, 0.0},
    {"9.0", 0.79, 0.33, 700.0}, {"10.", 0.77, 0.40, 0.0},   {"gfx942", 0.51, 0.30, 0.0},
    {"gfx90a", 0.77, 0.45, 0.0},
};
static const struct achievable ACHIEVABLE_ELSE = {"", 0.75, 0.45, 0.0};

/* 8-bit matmuls reach a smaller share: scaling and casting around them. ASSUMED from torchtitan's
 * float8 rows against bf16 (1.28x where the peaks differ 2x, 2024). */
static const double ACHIEVABLE_FP8 = 0.65;

static const struct achievable *find_achievable(const struct lq_gpu *gpu)
{
    for (size_t i = 0; i < sizeof ACHIEVABLE / sizeof ACHIEVABLE[0]; i++) {
        const char *target = ACHIEVABLE[i].target;
        if (strncmp(gpu->compute_capability, target, strlen(target)) == 0) {
            return &ACHIEVABLE[i];
        }
    }
    return &ACHIEVABLE_ELSE;
}

/* The same chip with less power runs slower: dynamic power grows as the cube of the clock. */
static double power_share(const struct lq_gpu *gpu, const struct achievable *found)
{
    const bool limited = found->module_w > 0.0 && gpu->tdp_w > 0.0 && gpu->tdp_w < found->module_w;
    return limited ? cbrt(gpu->tdp_w / found->module_w) : 1.0;
}

double lq_achievable_share(const struct lq_gpu *gpu, enum lq_precision precision)
{
    const struct achievable *found = find_achievable(gpu);
    const bool fp8 = precision == LQ_PRECISION_FP8 && gpu->fp8_flop_per_s > 0.0;
    return found->matmul * power_share(gpu, found) * (fp8 ? ACHIEVABLE_FP8 : 1.0);
}

double lq_attention_share(const struct lq_gpu *gpu)
{
    const struct achievable *found = find_achievable(gpu);
    return found->attention * power_share(gpu, found);
}
