/* The time of one micro-batch as a sum of named terms: work over rates, scaled by a few factors
 * that fits move. */
#pragma once

#include "core/arch/expert_load.h"
#include "core/arch/gpu.h"
#include "core/finetune/communication.h"
#include "core/finetune/efficiency.h"
#include "core/finetune/work.h"

#include <stdbool.h>
#include <stdint.h>

/* What a fit may find slower or faster than the constants say. A factor multiplies seconds. */
enum lq_factor {
    LQ_FACTOR_MATMUL,   /* matmuls outside routed experts */
    LQ_FACTOR_EXPERT,   /* matmuls of routed experts */
    LQ_FACTOR_SEQUENCE, /* attention scores and scans */
    LQ_FACTOR_TRAFFIC,  /* element-wise kernels, weights, optimizer */
    LQ_FACTOR_DEQUANTIZATION,
    LQ_FACTOR_HOST,    /* calls */
    LQ_FACTOR_INPUT,   /* feeding rows */
    LQ_FACTOR_NETWORK, /* communication */
    LQ_FACTOR_COUNT
};
extern const char *const LQ_FACTOR_NAMES[];

/* What a micro-batch of one device holds. */
struct lq_step_shape {
    double tokens;         /* padded */
    double rows;           /* sequences; context parallelism shares one among devices */
    double keys;           /* mean padded tokens of a row, which a query's scores run over */
    double active_experts; /* 0 for dense models */
};

/* What the rates depend on. Borrowed pointers. */
struct lq_step_device {
    const struct lq_gpu *gpu;
    const struct lq_stack *stack;
    const struct lq_model *model;
    const struct lq_method *method;
    const struct lq_training *training;
    const struct lq_layout *layout;
    const struct lq_expert_load *expert_load; /* NULL = even */
};

/* Seconds of one term in one stage at factor 1, before kernels overlap. */
struct lq_step_cell {
    double compute_s;  /* FLOPs at the matrix rate */
    double operands_s; /* reading and writing what the same kernels work on */
    double stream_s;   /* kernels of their own that only move bytes, fixed */
    double traffic_s;  /* the same in proportion to the tokens */
    double call_s;     /* host time of the calls */
    double flop;
    double bytes; /* of device memory */
};

/* Communication of one term, its share of a micro-batch. */
struct lq_step_flow {
    double exposed_s;       /* nothing runs beside it */
    double hideable_s;      /* may run beside the micro-batch's forward and backward */
    double hideable_once_s; /* may run beside the last micro-batch's backward only */
};

/* All of a micro-batch's seconds by term and stage, before factors. */
struct lq_step_parts {
    struct lq_step_cell cell[LQ_TERM_COUNT][LQ_STAGE_COUNT];
    struct lq_step_flow flow[LQ_TERM_COUNT];
    double peak_flop_per_s; /* of the device, by its catalog entry */
    double bytes_per_s;
    double pipeline_stretch; /* forward and backward over those of an even pipeline always full */
    double accumulation_steps;
};

/* Adds what the devices send each other. */
void lq_step_add_flows(struct lq_step_parts *parts, const struct lq_communication *communication);

struct lq_step_time {
    double term_s[LQ_TERM_COUNT][LQ_STAGE_COUNT];
    double total_s;                /* the sum of all terms and stages */
    double share[LQ_FACTOR_COUNT]; /* d ln(total) / d ln(factor) */
};

/* Work over rates, communication left at zero. Within a term FLOPs and operands share kernels:
 * their times add as squares (a roofline with a round corner: 260 us measured where the sides are
 * 150 and 235, 1,490 where they are 1,490 and 235; Xia et al. 2024, Fig. 6). */
struct lq_step_parts lq_step_count(const struct lq_work_table *work,
                                   const struct lq_step_device *device,
                                   const struct lq_step_shape *shape);

/* Seconds with factors applied (`factor` has LQ_FACTOR_COUNT entries > 0). Host and device run side
 * by side: in forward and backward their times add as a norm (1.6), and what exceeds the device's
 * is the overhead terms'. The optimizer's share of a micro-batch is 1 / accumulation_steps. */
void lq_step_evaluate(const struct lq_step_parts *parts, const double *factor,
                      struct lq_step_time *out);

/* Seconds of one term over all stages. */
double lq_step_term_s(const struct lq_step_time *step, enum lq_term term);

/* What a term works through in a micro-batch, and what it reaches of the device's peak in whichever
 * of the two, FLOPs and bytes, takes longer at peak; 0 for terms without such work. */
struct lq_amount {
    double flop;
    double bytes;
    double efficiency; /* 0..1 */
};
struct lq_amount lq_step_amount(const struct lq_step_parts *parts, const struct lq_step_time *step,
                                enum lq_term term);

/* What keeps a term from being faster. */
enum lq_bound { LQ_BOUND_COMPUTE, LQ_BOUND_MEMORY, LQ_BOUND_OVERHEAD, LQ_BOUND_NETWORK };
extern const char *const LQ_BOUND_NAMES[];

/* The largest side of a term. `*turning` is the multiple of this micro-batch's tokens at which
 * compute overtakes memory (for the overhead terms: the device the host); 0 where it never does. */
enum lq_bound lq_step_bound(const struct lq_step_parts *parts, const double *factor,
                            enum lq_term term, double *turning);
