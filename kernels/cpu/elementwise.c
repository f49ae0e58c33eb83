/* Sums of tensors, and blocks copied between layouts. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

#include <assert.h>
#include <string.h>

enum { GRAIN = 16384 }; /* elements: some microseconds of work, more than waking a thread costs */

static void add_range(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_add *op = context;
    const float *a = op->a;
    const float *b = op->b;
    float *out = op->out;
    LQ_ELEMENTWISE
    for (int64_t i = begin; i < end; i++) {
        out[i] = a[i] + b[i];
    }
}

enum lq_code lq_cpu_add(struct lq_device *device, const struct lq_op_add *op, struct lq_error *err)
{
    (void)err;
    assert(op->n >= 0);
    struct lq_op_add range = *op;
    lq_parallel(device, op->n, GRAIN, add_range, &range);
    lq_cpu_count(device, (struct lq_tally){.traffic_bytes = 3.0 * (double)op->n * sizeof(float)});
    return LQ_OK;
}

static void add_block(const float *restrict source, float *restrict target, int64_t width)
{
    for (int64_t i = 0; i < width; i++) {
        target[i] += source[i];
    }
}

static void move_blocks(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_blocks *op = context;
    for (int64_t t = begin; t < end; t++) {
        const float *source = (const float *)op->source + t * op->source_stride;
        float *target = (float *)op->target + t * op->target_stride;
        for (int64_t h = 0; h < op->heads; h++) {
            if (op->accumulate) {
                add_block(source, target, op->width);
            } else {
                memcpy(target, source, (size_t)op->width * sizeof *target);
            }
            source += op->source_head_stride;
            target += op->target_head_stride;
        }
    }
}

enum lq_code lq_cpu_blocks(struct lq_device *device, const struct lq_op_blocks *op,
                           struct lq_error *err)
{
    (void)err;
    assert(op->tokens >= 0 && op->heads >= 1 && op->width >= 1);
    assert(op->accumulate || op->heads == 1 || op->target_head_stride != 0);
    struct lq_op_blocks range = *op;
    const int64_t grain = 1 + GRAIN / (op->heads * op->width);
    lq_parallel(device, op->tokens, grain, move_blocks, &range);
    const double elements = (double)op->tokens * (double)op->heads * (double)op->width;
    const double accesses = op->accumulate ? 3.0 : 2.0;
    lq_cpu_count(device, (struct lq_tally){.traffic_bytes = accesses * elements * sizeof(float)});
    return LQ_OK;
}
