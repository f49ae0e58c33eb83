/* Reading nf4 weights back to fp32. */
#include "kernels/cpu/cpu.h"

#include <string.h>

enum {
    BLOCK = 64,         /* weights of one scale */
    SCALES_BLOCK = 256, /* 8-bit scales of one scale's scale */
    CODES = 16
};

/* Both weights of a byte, the one in the high half first. */
struct pair {
    float weight[2];
};

typedef float floats __attribute__((vector_size(4 * sizeof(float))));
typedef uint64_t words __attribute__((vector_size(2 * sizeof(struct pair))));

struct dequantization {
    const struct lq_op_dequantization *op;
    struct pair pairs[256];
    float code8[256];
};

static float scale_of(const struct dequantization *context, int64_t block)
{
    const struct lq_op_dequantization *op = context->op;
    if (op->absmax == NULL) {
        return op->scales[block];
    }
    return context->code8[op->absmax[block]] * op->absmax_scale[block / SCALES_BLOCK] + op->offset;
}

/* Two bytes at a time: their pairs are moved as words, so that four weights meet the scale. */
static void read_block(const struct dequantization *context, const uint8_t *packed, float scale,
                       float *out)
{
    for (int i = 0; i < BLOCK / 2; i += 2) {
        uint64_t left;
        uint64_t right;
        memcpy(&left, &context->pairs[packed[i]], sizeof left);
        memcpy(&right, &context->pairs[packed[i + 1]], sizeof right);
        const words both = {left, right};
        const floats weights = (floats)both * (floats){scale, scale, scale, scale};
        memcpy(out + (int64_t)2 * i, &weights, sizeof weights);
    }
}

/* Items are blocks of weights; the last may be a part of one. */
static void run(void *argument, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct dequantization *context = argument;
    const struct lq_op_dequantization *op = context->op;
    float *out = op->out;
    for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * BLOCK;
        const float scale = scale_of(context, block);
        if (op->n - first >= BLOCK) {
            read_block(context, op->packed + first / 2, scale, out + first);
            continue;
        }
        for (int64_t i = first; i < op->n; i++) {
            out[i] = context->pairs[op->packed[i / 2]].weight[i % 2] * scale;
        }
    }
}

static double bytes_per_weight(const struct lq_op_dequantization *op)
{
    const double scale =
        op->absmax == NULL ? (double)sizeof(float) : 1.0 + (double)sizeof(float) / SCALES_BLOCK;
    return 0.5 + scale / BLOCK + (double)sizeof(float);
}

enum lq_code lq_cpu_dequantize(struct lq_device *device, const struct lq_op_dequantization *op,
                               struct lq_error *err)
{
    (void)err;
    struct dequantization context = {.op = op};
    for (int code = 0; code < 256; code++) {
        context.pairs[code] = (struct pair){{LQ_NF4[code / CODES], LQ_NF4[code % CODES]}};
    }
    lq_code8(context.code8);
    /* 64 KiB of weights for a thread, so that starting it pays */
    lq_parallel(device, (op->n + BLOCK - 1) / BLOCK, 256, run, &context);
    lq_cpu_count(device, (struct lq_tally){.stream_bytes = bytes_per_weight(op) * (double)op->n});
    return LQ_OK;
}
