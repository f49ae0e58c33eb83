/* Measured decoding runs: what was served, how fast, and what the roofline says of the same run. */
#pragma once

#include "core/finetune/evidence.h"
#include "core/planning/serving.h"

#include <stddef.h>

/* One measured run of `concurrent_requests` at a time. The model is borrowed. */
struct lq_decode_run {
    char id[LQ_ID_MAX]; /* file:row */
    const struct lq_model *model;
    char gpu[LQ_ID_MAX];   /* catalog id */
    char stack[LQ_ID_MAX]; /* as a table of stacks spells it */
    int64_t gpu_count;
    struct lq_serving_format format;
    struct lq_request_kind request; /* its share is 1 */
    double concurrent_requests;
    double tokens_per_s; /* generated; > 0 */
    char source[LQ_ID_MAX * 2];
};

/* Tokens per second that the roofline predicts for a run: of the decoding passes alone, since that
 * is what such tables print. gpu: the run's. Errors: as lq_serving_at; LQ_EFIELD at /stack for a
 * stack without constants. */
LQ_MUST_USE enum lq_code lq_decode_predict(const struct lq_decode_run *run,
                                           const struct lq_gpu *gpu, double *tokens_per_s,
                                           struct lq_error *err);

/* What a serving answer rests on. */
struct lq_serving_basis {
    enum lq_basis_kind kind;
    size_t runs; /* of the stack */
    const struct lq_decode_run
        *near; /* of the stack; of the same model where there is one; or NULL */
};

/* The question that a basis is sought for. */
struct lq_serving_identity {
    const char *model; /* ids */
    const char *gpu;
    const char *stack;
    int64_t gpu_count;
    struct lq_serving_format format;
    double concurrent_requests;
};

/* `calibrated` where a run has the same model, GPU, count, stack, storage of weights and concurrent
 * requests; `transferred` where the stack has any run; else `prior`. */
struct lq_serving_basis lq_serving_basis_of(const struct lq_decode_run *runs, size_t count,
                                            const struct lq_serving_identity *identity);
