/* Choosing experts from logits, and the gradient of their weights. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { EXPERTS_MAX = 1024, GRAIN = 64 /* tokens: some microseconds of work */ };

/* The indices of the `active` largest, in falling order. NaN is never larger than anything. */
static void select_largest(const float *logits, int64_t experts, int64_t active, int32_t *index)
{
    bool taken[EXPERTS_MAX] = {false};
    for (int64_t k = 0; k < active; k++) {
        int64_t best = -1;
        for (int64_t e = 0; e < experts; e++) {
            if (!taken[e] && (best < 0 || logits[e] > logits[best])) {
                best = e;
            }
        }
        taken[best] = true;
        index[k] = (int32_t)best;
    }
}

/* e^(logit - largest) over their sum; returns that sum. */
static double exponentials(const float *logits, float largest, int64_t experts, float *out)
{
    for (int64_t e = 0; e < experts; e++) {
        out[e] = lq_exp(logits[e] - largest);
    }
    double sum = 0.0;
    for (int64_t e = 0; e < experts; e++) {
        sum += (double)out[e];
    }
    return sum;
}

static void forward_tokens(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_router *op = context;
    for (int64_t t = begin; t < end; t++) {
        const float *logits = (const float *)op->logits + t * op->experts;
        int32_t *index = op->index + t * op->active;
        float *weights = op->weights + t * op->active;
        select_largest(logits, op->experts, op->active, index);
        const float largest = logits[index[0]];
        float all[EXPERTS_MAX];
        double sum = exponentials(logits, largest, op->experts, all);
        if (op->normalized) {
            sum = 0.0;
            for (int64_t k = 0; k < op->active; k++) {
                sum += (double)all[index[k]];
            }
        }
        for (int64_t k = 0; k < op->active; k++) {
            weights[k] = (float)((double)all[index[k]] / sum);
        }
    }
}

/* d weight[k] / d logit[e] = weight[k] ((e is index[k]) - p[e]), p the softmax that the weights
 * are part of. Expects d_logits to be 0. */
static void add_selected(const struct lq_op_router *op, int64_t t, float *d_logits)
{
    const int32_t *index = op->index + t * op->active;
    const float *weights = op->weights + t * op->active;
    const float *d_weights = op->d_weights + t * op->active;
    double shared = 0.0;
    for (int64_t k = 0; k < op->active; k++) {
        shared += (double)d_weights[k] * (double)weights[k];
    }
    if (op->normalized) {
        for (int64_t k = 0; k < op->active; k++) {
            d_logits[index[k]] = weights[k] * (d_weights[k] - (float)shared);
        }
        return;
    }
    const float *logits = (const float *)op->logits + t * op->experts;
    const double sum = exponentials(logits, logits[index[0]], op->experts, d_logits);
    const float scale = (float)(-shared / sum);
    for (int64_t e = 0; e < op->experts; e++) {
        d_logits[e] *= scale;
    }
    for (int64_t k = 0; k < op->active; k++) {
        d_logits[index[k]] += weights[k] * d_weights[k];
    }
}

static void backward_tokens(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_router *op = context;
    for (int64_t t = begin; t < end; t++) {
        float *d_logits = (float *)op->d_logits + t * op->experts;
        memset(d_logits, 0, (size_t)op->experts * sizeof *d_logits);
        add_selected(op, t, d_logits);
    }
}

enum lq_code lq_cpu_router(struct lq_device *device, const struct lq_op_router *op,
                           enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    assert(op->tokens >= 0 && op->experts >= 1 && op->experts <= EXPERTS_MAX);
    assert(op->active >= 1 && op->active <= op->experts);
    struct lq_op_router range = *op;
    const bool forward = pass == LQ_PASS_FORWARD;
    lq_parallel(device, op->tokens, GRAIN, forward ? forward_tokens : backward_tokens, &range);
    const double elements = (double)op->tokens * (double)op->experts;
    lq_cpu_count(device, (struct lq_tally){.traffic_bytes =
                                               (forward ? 1.0 : 2.0) * elements * sizeof(float)});
    return LQ_OK;
}
