/* One fine-tuning job in, one quote out: batch, throughput, time, memory, intervals and what they
 * rest on. Pure: the same job against the same evidence gives the same numbers. */
#pragma once

#include "core/arch/expert_load.h"
#include "core/arch/gpu.h"
#include "core/arch/layout.h"
#include "core/arch/lengths.h"
#include "core/arch/model.h"
#include "core/finetune/evidence.h"
#include "core/finetune/memory.h"
#include "core/finetune/step_time.h"

#include <stdbool.h>
#include <stdint.h>

/* Which model of the throughput answers. */
enum lq_estimator {
    LQ_ESTIMATOR_DEFAULT,
    LQ_ESTIMATOR_XIA2024,
    LQ_ESTIMATOR_XIA2024_PRINTED,
    LQ_ESTIMATOR_MEASURED
};
extern const char *const LQ_ESTIMATOR_NAMES[];

/* A job. Pointers are borrowed for the call. */
struct lq_job {
    const struct lq_model *model;
    const struct lq_gpu *gpu;
    int64_t gpu_count;         /* devices in all, >= 1 */
    struct lq_layout layout;   /* how they share the work; data = 0: the best one that the stack
                                  offers is sought */
    struct lq_network network; /* between them */
    const struct lq_expert_load *expert_load; /* NULL = even */
    struct lq_method method;
    struct lq_training training;
    int64_t active_experts;           /* routed experts per token; 0 for dense models */
    const struct lq_lengths *lengths; /* prepared with the job's cut-off and padding */
    const char *lengths_id;           /* name of the distribution, "" for none */
    int64_t fixed_tokens;             /* padded row length where every row is alike, else 0 */
    double queries;                   /* > 0 */
    double epochs;                    /* > 0 */
    int64_t batch_size;               /* per device; 0 = the largest that fits */
    const char *stack;
    enum lq_estimator estimator;
    double confidence; /* level of the intervals, in (0, 1) */
};

/* Why an answer needs a second look; bits of `warnings`. */
enum lq_warning {
    LQ_WARN_PRIOR,              /* nothing measured: the throughput is a prior */
    LQ_WARN_TRANSFERRED,        /* measured under another identity */
    LQ_WARN_MEMORY_PRIOR,       /* no measurement of this model's, method's and stack's memory */
    LQ_WARN_MEMORY_TRANSFERRED, /* its memory was measured under another identity */
    LQ_WARN_MAY_NOT_FIT, /* the batch is within the interval of the largest, above its estimate */
    LQ_WARN_BATCH_MEASURED,  /* the batch exceeds the memory model but was measured to run */
    LQ_WARN_OUTSIDE_POINTS,  /* the padded tokens per step lie outside what was measured */
    LQ_WARN_PAPER_FORM,      /* logarithmic form: negative and unbounded outside its data */
    LQ_WARN_EQ1_PRINTED,     /* Eq. 1's printed pair does not reproduce measured batches */
    LQ_WARN_RATE_FALLBACK,   /* the catalog lacks the matrix rate of this precision */
    LQ_WARN_MEMORY_NOMINAL,  /* the driver's figure of the device's memory is not known */
    LQ_WARN_CONTEXT,         /* rows are longer than the model was made for */
    LQ_WARN_NO_BF16,         /* bf16 on a device without it */
    LQ_WARN_STACK,           /* nothing was measured on the stack */
    LQ_WARN_INTERNODE,       /* several nodes, and nobody said how they are joined */
    LQ_WARN_BATCH_OVER_DATA, /* a batch holds more queries than the data set */
    LQ_WARN_LAYOUT,          /* the stack is not known to offer the layout's parallelism */
    LQ_WARNING_COUNT
};
extern const char *const LQ_WARNING_CODES[];
extern const char *const LQ_WARNING_DETAILS[];

/* Bounds are [low, high] at the job's confidence. */
struct lq_estimate_interval {
    double queries_per_s[2];
    double tokens_per_s_per_gpu[2];
    double duration_s[2];
    double memory_bytes[2];
    int64_t max_batch_size[2];
};

struct lq_estimate {
    struct lq_layout layout; /* the one asked for, or the best one found */
    int64_t layouts_tried;   /* 1 where it was asked for */
    int64_t batch_size;
    int64_t max_batch_size;
    double row_tokens;    /* mean padded tokens of a row at this batch */
    double queries_per_s; /* of the whole job */
    double tokens_per_s;  /* padded */
    double unpadded_tokens_per_s;
    double tokens_per_s_per_gpu;
    double step_s; /* one micro-batch, its share of the optimizer included */
    double stage_s[LQ_STAGE_COUNT];
    double moe_share;               /* of forward and backward */
    struct lq_step_parts parts;     /* physics of the micro-batch */
    double factor[LQ_FACTOR_COUNT]; /* that the basis believes in */
    struct lq_step_time step;       /* terms; they sum to step_s */
    double step_tokens;             /* padded tokens of one micro-batch of one data rank */
    struct lq_memory memory;        /* per device */
    struct lq_memory_parts held;    /* of its peak, at this batch and the longest row */
    double total_bytes;
    double duration_s;
    double log_sd; /* standard deviation of ln(throughput) */
    struct lq_estimate_interval interval;
    struct lq_basis basis;        /* of the throughput */
    struct lq_basis memory_basis; /* of the memory */
    const struct lq_point *point; /* estimator measured: the point */
    const struct lq_fit *form;    /* estimators xia2024*: the fit */
    uint32_t warnings;            /* bits of (1u << lq_warning) */
};

/* Answers one job.
 * Errors: LQ_ENOFIT (the largest batch is asked for and is 0, or the asked one is beyond the memory
 *   interval and was never measured; detail has the missing bytes and what would fit),
 *   LQ_ENOCOEFFICIENTS, LQ_ENOMEASUREMENT (detail names the nearest point), LQ_EIMPOSSIBLE (a form
 *   predicts no positive throughput; several devices without a known interconnect, or a layout to
 *   seek on a stack that trains on one alone), LQ_ENUMBER.
 * Thread-safe; allocates nothing. Under 10 microseconds with a prepared model and histogram; where
 * a layout is sought, that for each one tried. */
LQ_MUST_USE enum lq_code lq_estimate(const struct lq_job *job, const struct lq_evidence *evidence,
                                     struct lq_estimate *out, struct lq_error *err);

/* The job's identity as measurements know it. */
struct lq_identity lq_job_identity(const struct lq_job *job);

/* The constants of the job's stack; those of hf-2024 where the label is only known from points. */
const struct lq_stack *lq_job_stack(const struct lq_job *job);

/* The kinds of parallelism (bit mask of lq_parallelism) that are tried where the job names no
 * layout: those that its stack offers to its method. A label that is only known from points has
 * those of hf-2024, which most trainers offer, and those that its points ran with. */
uint32_t lq_job_parallelism(const struct lq_job *job, const struct lq_evidence *evidence);

/* The kinds that the job's layout uses though its stack does not offer them to its method; 0 for
 * labels that are only known from points, whose abilities nobody told. The layout must be set. */
uint32_t lq_job_missing_parallelism(const struct lq_job *job);

/* Seconds below which no device finishes a micro-batch of `rows` of `row_tokens` on average: its
 * FLOPs at the catalog's peak rate, nothing else; 0 where the rate is not in the catalog. The job's
 * layout must be set. */
double lq_job_least_step_s(const struct lq_job *job, double rows, double row_tokens);

/* The physics of a micro-batch of `rows` rows per data rank. The job's layout must be set. */
struct lq_step_parts lq_job_step(const struct lq_job *job, double rows, double row_tokens);
/* Counts the job's memory; a job whose layout is still sought holds a replica on each device. */
struct lq_memory lq_job_memory(const struct lq_job *job);
