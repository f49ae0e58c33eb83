/* The time of one training step as a sum of named terms, each with a part that does not depend on
 * the tokens and parts per token: t = t0 + (t1 + k * t1e) * padded tokens. */
#pragma once

#include "core/arch/gpu.h"
#include "core/finetune/efficiency.h"
#include "core/finetune/work.h"

#include <stdbool.h>
#include <stdint.h>

/* t0, t1 and t1e of one term in one stage, or of a whole step. */
struct lq_step_coefficients {
    double fixed_s;        /* whatever the tokens: weight traffic, calls, optimizer */
    double token_s;        /* per padded token */
    double expert_token_s; /* per padded token and active expert */
};

struct lq_step_time {
    struct lq_step_coefficients term[LQ_TERM_COUNT][LQ_STAGE_COUNT];
    struct lq_step_coefficients total;
};

/* What the prior needs beside the counted work. Borrowed pointers. */
struct lq_step_device {
    const struct lq_gpu *gpu;
    const struct lq_stack *stack;
    enum lq_precision precision;
    int64_t gpu_count;     /* data-parallel devices */
    double gradient_bytes; /* reduced among them once per optimizer step */
    int64_t accumulation_steps;
    double row_tokens;     /* mean padded row: attention's scores grow with it */
    int64_t window_tokens; /* longest row a score sees; 0 = no window */
};

/* The peak matrix rate the precision runs at on this GPU, FLOP/s: the tensor rate where the catalog
 * has one, else the vector rate. `*fallback` is set where the exact rate is not in the catalog. */
double lq_peak_flop_per_s(const struct lq_gpu *gpu, enum lq_precision precision, bool *fallback);

/* Work over rates: what the step takes if the stack's efficiencies hold. A prior, not a
 * measurement. All-reduce: ring over the slower direction of the interconnect, 2 (n-1)/n of the
 * gradient bytes, not overlapped (arXiv 1802.05799). */
struct lq_step_time lq_step_prior(const struct lq_work_table *work,
                                  const struct lq_step_device *device);

/* Scales the fixed, per-token and per-expert parts of every term so that the totals become
 * `target`. A part without prior work stays zero, whatever its target. */
void lq_step_scale(struct lq_step_time *step, const struct lq_step_coefficients *target);

/* What keeps a term from being faster. */
enum lq_bound { LQ_BOUND_COMPUTE, LQ_BOUND_MEMORY, LQ_BOUND_OVERHEAD, LQ_BOUND_NETWORK };
extern const char *const LQ_BOUND_NAMES[];

/* The larger part of a term at `tokens` padded tokens: per-token work is compute, what does not
 * depend on the tokens is memory traffic, or host time in the overhead terms. */
enum lq_bound lq_step_bound(enum lq_term term, const struct lq_step_coefficients *c, double tokens,
                            double active_experts);

/* Seconds of one term in one stage, or of coefficients in general, for `tokens` padded tokens. */
double lq_step_seconds(const struct lq_step_coefficients *c, double tokens, double active_experts);
