/* Every operation of a model's training step by itself: its work, and the time it takes or, by a
 * roofline, would take. */
#pragma once

#include "core/arch/method.h"
#include "core/arch/model.h"
#include "kernels/backend.h"
#include "kernels/measure/timing.h"

#include <stddef.h>
#include <stdint.h>

enum { LQ_BENCH_ROWS_MAX = 320, LQ_BENCH_NAME_MAX = 32, LQ_BENCH_SHAPE_MAX = 80 };

/* An operation with one pass and shape. */
struct lq_bench_row {
    char name[LQ_BENCH_NAME_MAX];   /* "linear forward": a row of lq_backend and its pass */
    char shape[LQ_BENCH_SHAPE_MAX]; /* "512 x 4096 -> 14336, 8 groups": for humans */
    double calls;                   /* in one step of the whole model */
    struct lq_tally work;           /* of one call */
    struct lq_timing time;          /* of one call; no samples where it was only counted */
};

struct lq_bench {
    struct lq_bench_row row[LQ_BENCH_ROWS_MAX];
    size_t count;
};

/* What is run: one row of `tokens` tokens, without recomputation. Borrowed pointers. */
struct lq_bench_job {
    const struct lq_backend *backend;
    struct lq_device *device;
    enum lq_element element;
    const struct lq_model *model;
    const struct lq_method *method;
    int64_t tokens;
    int64_t active_experts; /* 0: the model's own */
    double budget_s;        /* of each row's samples; 0: nothing is timed, only counted */
};

/* Runs a step of a layer of each kind and of the ends, and each operation of it by itself.
 * Errors: LQ_ENOFIT, LQ_EDEVICE, LQ_EIMPOSSIBLE (layer.h). */
LQ_MUST_USE enum lq_code lq_bench_run(const struct lq_bench_job *job, struct lq_bench *out,
                                      struct lq_error *err);
/* The same without a device: work alone. */
LQ_MUST_USE enum lq_code lq_bench_count(const struct lq_bench_job *job, struct lq_bench *out,
                                        struct lq_error *err);

/* What a device reaches at best. */
struct lq_roofline {
    double flop_per_s;
    double bytes_per_s;
    double launch_s; /* of any operation; 0: not known */
};

/* What bounds an operation. */
enum lq_bound { LQ_BOUND_LAUNCH, LQ_BOUND_MEMORY, LQ_BOUND_COMPUTE };
extern const char *const LQ_BOUND_NAMES[];

/* Every byte that is counted (weights, streams, activations; of matmuls weights alone). */
double lq_tally_bytes(const struct lq_tally *work);
/* Seconds of the slowest side of the roofline (Williams et al. 2009, doi 10.1145/1498765.1498785):
 * FLOPs at their rate, bytes at theirs, or the launch. */
double lq_roofline_s(const struct lq_roofline *roofline, const struct lq_tally *work,
                     enum lq_bound *bound);
