/* Rotary positions, in place. */
#include "kernels/cpu/cpu.h"

#include <assert.h>
#include <math.h>

enum {
    PAIRS_MAX = 512, /* of a head: published models have at most 128 (Gemma, head size 256) */
    GRAIN = 8192     /* elements: some microseconds of work, more than waking a thread costs */
};

/* Cosines and sines of one position, and what turns them into those of the next. */
struct angles {
    double cosine[PAIRS_MAX];
    double sine[PAIRS_MAX];
    double step_cosine[PAIRS_MAX];
    double step_sine[PAIRS_MAX];
};

struct rotation {
    struct lq_op_rotation op;
    double sign; /* -1 rotates back */
};

static void begin_at(const struct rotation *r, int64_t position, struct angles *a)
{
    for (int64_t i = 0; i < r->op.head_size / 2; i++) {
        const double exponent = -2.0 * (double)i / (double)r->op.head_size;
        const double step = r->sign * pow(r->op.base, exponent);
        sincos(step, &a->step_sine[i], &a->step_cosine[i]);
        sincos((double)position * step, &a->sine[i], &a->cosine[i]);
    }
}

/* By the addition theorems: an error of 1e-16 per step, far below fp32 for any context. */
static void advance(struct angles *a, int64_t pairs)
{
    for (int64_t i = 0; i < pairs; i++) {
        const double cosine = a->cosine[i] * a->step_cosine[i] - a->sine[i] * a->step_sine[i];
        a->sine[i] = a->sine[i] * a->step_cosine[i] + a->cosine[i] * a->step_sine[i];
        a->cosine[i] = cosine;
    }
}

static void rotate_head(float *restrict low, float *restrict high, const float *restrict cosine,
                        const float *restrict sine, int64_t pairs)
{
    for (int64_t i = 0; i < pairs; i++) {
        const float x = low[i];
        const float y = high[i];
        low[i] = x * cosine[i] - y * sine[i];
        high[i] = y * cosine[i] + x * sine[i];
    }
}

static void rotate_token(const struct lq_op_rotation *op, const struct angles *a, float *x)
{
    const int64_t pairs = op->head_size / 2;
    float cosine[PAIRS_MAX];
    float sine[PAIRS_MAX];
    for (int64_t i = 0; i < pairs; i++) {
        cosine[i] = (float)a->cosine[i];
        sine[i] = (float)a->sine[i];
    }
    for (int64_t h = 0; h < op->heads; h++) {
        rotate_head(x + h * op->stride, x + h * op->stride + pairs, cosine, sine, pairs);
    }
}

static void rotate_range(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct rotation *r = context;
    const struct lq_op_rotation *op = &r->op;
    struct angles angles;
    for (int64_t t = begin; t < end; t++) {
        if (t == begin || t % op->tokens == 0) {
            begin_at(r, t % op->tokens, &angles);
        }
        rotate_token(op, &angles, (float *)op->x + t * op->heads * op->stride);
        advance(&angles, op->head_size / 2);
    }
}

enum lq_code lq_cpu_rotation(struct lq_device *device, const struct lq_op_rotation *op,
                             enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    assert(op->rows >= 0 && op->tokens >= 0 && op->heads >= 0 && op->stride >= op->head_size);
    assert(op->head_size >= 2 && op->head_size % 2 == 0 && op->head_size / 2 <= PAIRS_MAX);
    struct rotation r = {.op = *op, .sign = pass == LQ_PASS_FORWARD ? 1.0 : -1.0};
    const int64_t width = op->heads * op->head_size;
    lq_parallel(device, op->rows * op->tokens, 1 + GRAIN / (width + 1), rotate_range, &r);
    const double elements = (double)(op->rows * op->tokens) * (double)width;
    lq_cpu_count(device, (struct lq_tally){.traffic_bytes = 2.0 * elements * sizeof(float)});
    return LQ_OK;
}
