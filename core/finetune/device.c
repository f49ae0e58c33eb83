/* Shares of peak by generation. A value without a published source is marked ASSUMED together with
 * the measurement that would settle it. */
#include "core/finetune/device.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static double rate_or(double rate, double fallback_rate, bool *fallback)
{
    if (rate > 0.0) {
        return rate;
    }
    *fallback = true;
    return fallback_rate;
}

double lq_peak_flop_per_s(const struct lq_gpu *gpu, enum lq_precision precision, bool *fallback)
{
    *fallback = false;
    const double fp16 = gpu->fp16_flop_per_s;
    switch (precision) {
    case LQ_PRECISION_BF16:
    case LQ_PRECISION_FP16:
        return rate_or(fp16, gpu->fp32_flop_per_s, fallback);
    case LQ_PRECISION_FP32:
        /* PyTorch's default since 1.12 (2022): no TF32 in matmuls */
        return rate_or(gpu->fp32_flop_per_s, fp16, fallback);
    case LQ_PRECISION_FP8:
        return rate_or(gpu->fp8_flop_per_s, fp16 > 0.0 ? fp16 : gpu->fp32_flop_per_s, fallback);
    }
    return fp16;
}

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
    {"7.0", 0.80, 0.50, 0.0},    {"7.5", 0.40, 0.25, 0.0}, {"8.0", 0.86, 0.60, 400.0},
    {"8.6", 0.85, 0.55, 0.0},    {"8.7", 0.85, 0.55, 0.0}, {"8.9", 0.85, 0.55, 0.0},
    {"9.0", 0.79, 0.33, 700.0},  {"10.", 0.77, 0.40, 0.0}, {"gfx942", 0.51, 0.30, 0.0},
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

/* The same chip with less power runs slower: around its working point power grows about as the
 * square of the clock (voltage follows it part of the way). ASSUMED; one matmul at two limits
 * tells. */
static double power_share(const struct lq_gpu *gpu, const struct achievable *found)
{
    const bool limited = found->module_w > 0.0 && gpu->tdp_w > 0.0 && gpu->tdp_w < found->module_w;
    return limited ? sqrt(gpu->tdp_w / found->module_w) : 1.0;
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

/* 0.10 of the vector rate: exponentials run at a quarter of it, and a row's tokens wait for each
 * other. Mamba layers of BlackMamba take 11 to 22 us a token on A40 (Xia et al. 2024, Fig. 5,
 * slopes over the batch), of which projections and traffic are 10: the scan's 6 us by this share
 * are ASSUMED within the rest. A profile of one layer tells. */
static const double SCAN_SHARE = 0.10;

double lq_scan_flop_per_s(const struct lq_gpu *gpu)
{
    bool fallback = false;
    return lq_peak_flop_per_s(gpu, LQ_PRECISION_FP32, &fallback) * SCAN_SHARE;
}
