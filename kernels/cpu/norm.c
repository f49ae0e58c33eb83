/* RMSNorm and its gradients, a row at a time. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { GRAIN = 16384 }; /* elements: some microseconds of work, more than waking a thread costs */

/* The factor that a row is multiplied with. */
static double inverse_root(const struct lq_op_norm *op, const float *x)
{
    return 1.0 / sqrt(lq_dot(x, x, op->width) / (double)op->width + op->epsilon);
}

static void scale_row(const float *x, const float *weight, float *y, float factor, int64_t width)
{
    LQ_ELEMENTWISE
    for (int64_t i = 0; i < width; i++) {
        y[i] = x[i] * factor * weight[i];
    }
}

static void forward_rows(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_norm *op = context;
    for (int64_t t = begin; t < end; t++) {
        const float *x = (const float *)op->x + t * op->width;
        scale_row(x, op->weight, (float *)op->y + t * op->width, (float)inverse_root(op, x),
                  op->width);
    }
}

struct backward {
    struct lq_op_norm op;
    float *d_weights; /* [threads, width], or NULL: each thread's part of d_weight */
};

/* sum of d_y weight x: what all of a row's gradients share. */
static double shared_sum(const float *restrict d_y, const float *restrict weight,
                         const float *restrict x, float *restrict product, int64_t width)
{
    enum { BLOCK = 256 };
    double sum = 0.0;
    for (int64_t i = 0; i < width; i += BLOCK) {
        const int64_t n = width - i < BLOCK ? width - i : BLOCK;
        for (int64_t j = 0; j < n; j++) {
            product[j] = d_y[i + j] * weight[i + j];
        }
        sum += lq_dot(product, x + i, n);
    }
    return sum;
}

static void add_gradient(const float *restrict d_y, const float *restrict weight,
                         const float *restrict x, float *restrict d_x, const float factors[2],
                         int64_t width)
{
    const float of_y = factors[0];
    const float of_x = factors[1];
    for (int64_t i = 0; i < width; i++) {
        d_x[i] += of_y * (d_y[i] * weight[i]) - of_x * x[i];
    }
}

static void add_weight_gradient(const float *restrict d_y, const float *restrict x,
                                float *restrict d_weight, float factor, int64_t width)
{
    for (int64_t i = 0; i < width; i++) {
        d_weight[i] += d_y[i] * (x[i] * factor);
    }
}

static void backward_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const struct backward *b = context;
    const struct lq_op_norm *op = &b->op;
    const int64_t width = op->width;
    float *d_weight = b->d_weights == NULL ? NULL : b->d_weights + thread * width;
    float product[256];
    for (int64_t t = begin; t < end; t++) {
        const float *x = (const float *)op->x + t * width;
        const float *d_y = (const float *)op->d_y + t * width;
        const double root = inverse_root(op, x);
        const double sum = shared_sum(d_y, op->weight, x, product, width);
        const float factors[2] = {(float)root, (float)(root * root * root * sum / (double)width)};
        add_gradient(d_y, op->weight, x, (float *)op->d_x + t * width, factors, width);
        if (d_weight != NULL) {
            add_weight_gradient(d_y, x, d_weight, factors[0], width);
        }
    }
}

static enum lq_code backward(struct lq_device *device, const struct lq_op_norm *op,
                             struct lq_error *err)
{
    const int threads = lq_pool_threads(device->pool);
    struct backward b = {.op = *op};
    if (op->d_weight != NULL) {
        const size_t bytes = (size_t)threads * (size_t)op->width * sizeof *b.d_weights;
        void *scratch = NULL;
        LQ_TRY(lq_cpu_scratch(device, bytes, &scratch, err));
        b.d_weights = scratch;
        memset(b.d_weights, 0, bytes);
    }
    lq_parallel(device, op->tokens, 1 + GRAIN / op->width, backward_rows, &b);
    float *d_weight = op->d_weight;
    for (int64_t i = 0; d_weight != NULL && i < op->width; i++) {
        double sum = 0.0;
        for (int thread = 0; thread < threads; thread++) {
            sum += (double)b.d_weights[thread * op->width + i];
        }
        d_weight[i] += (float)sum;
    }
    return LQ_OK;
}

enum lq_code lq_cpu_norm(struct lq_device *device, const struct lq_op_norm *op, enum lq_pass pass,
                         struct lq_error *err)
{
    assert(op->tokens >= 0 && op->width >= 1);
    double accesses = 2.0;
    if (pass == LQ_PASS_FORWARD) {
        struct lq_op_norm range = *op;
        lq_parallel(device, op->tokens, 1 + GRAIN / op->width, forward_rows, &range);
    } else {
        LQ_TRY(backward(device, op, err));
        accesses = 4.0;
    }
    lq_cpu_count(device, (struct lq_tally){.traffic_bytes = accesses * (double)op->tokens *
                                                            (double)op->width * sizeof(float)});
    return LQ_OK;
}
