/* One accelerator as software sees or rents it: capacities and peak rates in base units. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { LQ_ID_MAX = 64 };

/* Rates are dense peaks per second with FP32 accumulation; 0 means unknown or not available.
 * Source of every value: the catalog row's own `source`. */
struct lq_gpu {
    char id[LQ_ID_MAX];
    char vendor[24];
    char architecture[24];
    char compute_capability[16];
    double memory_bytes;         /* what the driver reports where known, else nominal * GiB */
    bool memory_is_reported;     /* false: memory_bytes is the nominal capacity */
    double memory_nominal_bytes; /* the marketing figure, read as GiB */
    double memory_bandwidth_bytes_per_s;
    double fp32_flop_per_s; /* vector rate */
    double tf32_flop_per_s;
    double fp16_flop_per_s; /* fp16 and bf16 matrix rate */
    double fp8_flop_per_s;
    double int8_op_per_s;
    double fp4_flop_per_s;
    double interconnect_bytes_per_s; /* both directions together */
    int64_t pcie_generation;
    int64_t sm_count;
    double tdp_w;
    double l2_bytes;
    double boost_hz;
};
