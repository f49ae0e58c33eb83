/* What devices reach of the rates their catalog entries promise, by generation. What software makes
 * of that stands in efficiency.h. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/method.h"

#include <stdbool.h>

/* The peak matrix rate the precision runs at on this GPU, FLOP/s: the tensor rate where the catalog
 * has one, else the vector rate. `*fallback` is set where the exact rate is not in the catalog. */
double lq_peak_flop_per_s(const struct lq_gpu *gpu, enum lq_precision precision, bool *fallback);

/* Share of that peak that the best-sized matrix multiplication reaches. */
double lq_achievable_share(const struct lq_gpu *gpu, enum lq_precision precision);

/* The same of attention scores, computed by fused kernels. */
double lq_attention_share(const struct lq_gpu *gpu);

/* FLOP/s of selective scans, which no matrix unit computes. */
double lq_scan_flop_per_s(const struct lq_gpu *gpu);
