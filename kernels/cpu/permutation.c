/* Tokens sorted by expert, moved there and back. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

#include <assert.h>
#include <string.h>

enum { GRAIN = 16384 }; /* elements: some microseconds of work, more than waking a thread costs */

/* Serial: two passes over indices, a thousandth of what moving their rows takes. */
enum lq_code lq_cpu_sort(struct lq_device *device, const struct lq_op_permutation *op,
                         struct lq_error *err)
{
    (void)err;
    assert(op->experts >= 1 && op->tokens >= 0 && op->active >= 0);
    assert(op->tokens * op->active <= INT32_MAX);
    int32_t *offsets = op->offsets;
    memset(offsets, 0, (size_t)(op->experts + 1) * sizeof *offsets);
    const int64_t n = op->tokens * op->active;
    for (int64_t i = 0; i < n; i++) {
        assert(op->index[i] >= 0 && op->index[i] < op->experts);
        offsets[op->index[i] + 1]++;
    }
    for (int64_t e = 0; e < op->experts; e++) {
        offsets[e + 1] += offsets[e];
    }
    /* offsets[e] counts up to where expert e + 1 begins, and is moved back by one afterwards */
    for (int64_t i = 0; i < n; i++) {
        op->slots[i] = offsets[op->index[i]]++;
    }
    memmove(offsets + 1, offsets, (size_t)op->experts * sizeof *offsets);
    offsets[0] = 0;
    lq_cpu_count(device, (struct lq_tally){0});
    return LQ_OK;
}

static const float *row_of(const void *rows, int64_t i, int64_t hidden)
{
    return (const float *)rows + i * hidden;
}

static void set_scaled(float *restrict out, const float *restrict x, float factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = factor * x[i];
    }
}

static void add_scaled(float *restrict out, const float *restrict x, float factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] += factor * x[i];
    }
}

static void set_scaled_pair(float *restrict out, const float *restrict x, float of_x,
                            const float *restrict y, float of_y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = of_x * x[i] + of_y * y[i];
    }
}

/* out = sum of weight * its row of `sorted`; weights NULL are 1. */
static void sum_rows(const struct lq_op_permutation *op, int64_t t, const void *sorted,
                     const float *weights, float *out)
{
    const int32_t *slots = op->slots + t * op->active;
    const float *w = weights == NULL ? NULL : weights + t * op->active;
    const int64_t hidden = op->hidden;
    int64_t k = 0;
    if (op->active >= 2) {
        set_scaled_pair(out, row_of(sorted, slots[0], hidden), w == NULL ? 1.0F : w[0],
                        row_of(sorted, slots[1], hidden), w == NULL ? 1.0F : w[1], hidden);
        k = 2;
    } else {
        set_scaled(out, row_of(sorted, slots[0], hidden), w == NULL ? 1.0F : w[0], hidden);
        k = 1;
    }
    for (; k < op->active; k++) {
        add_scaled(out, row_of(sorted, slots[k], hidden), w == NULL ? 1.0F : w[k], hidden);
    }
}

static void gather_forward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_permutation *op = context;
    for (int64_t t = begin; t < end; t++) {
        for (int64_t k = 0; k < op->active; k++) {
            float *to = (float *)op->sorted + op->slots[t * op->active + k] * op->hidden;
            memcpy(to, row_of(op->x, t, op->hidden), (size_t)op->hidden * sizeof *to);
        }
    }
}

static void gather_backward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_permutation *op = context;
    for (int64_t t = begin; t < end; t++) {
        sum_rows(op, t, op->d_sorted, NULL, (float *)op->d_x + t * op->hidden);
    }
}

static void combine_forward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_permutation *op = context;
    for (int64_t t = begin; t < end; t++) {
        sum_rows(op, t, op->sorted, op->weights, (float *)op->y + t * op->hidden);
    }
}

static void combine_backward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_permutation *op = context;
    for (int64_t t = begin; t < end; t++) {
        const float *d_y = row_of(op->d_y, t, op->hidden);
        for (int64_t i = t * op->active; i < (t + 1) * op->active; i++) {
            const int64_t slot = op->slots[i];
            set_scaled((float *)op->d_sorted + slot * op->hidden, d_y, op->weights[i], op->hidden);
            op->d_weights[i] = (float)lq_dot(row_of(op->sorted, slot, op->hidden), d_y, op->hidden);
        }
    }
}

static void run(struct lq_device *device, const struct lq_op_permutation *op, lq_range_fn *range,
                double accesses)
{
    assert(op->tokens >= 0 && op->hidden >= 1 && op->active >= 1);
    struct lq_op_permutation context = *op;
    lq_parallel(device, op->tokens, 1 + GRAIN / (op->hidden * op->active), range, &context);
    lq_cpu_count(device, (struct lq_tally){.traffic_bytes = accesses * (double)op->tokens *
                                                            (double)op->hidden * sizeof(float)});
}

enum lq_code lq_cpu_gather(struct lq_device *device, const struct lq_op_permutation *op,
                           enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    const double active = (double)op->active;
    if (pass == LQ_PASS_FORWARD) {
        run(device, op, gather_forward, 2.0 * active);
    } else {
        run(device, op, gather_backward, active + 1.0);
    }
    return LQ_OK;
}

enum lq_code lq_cpu_combine(struct lq_device *device, const struct lq_op_permutation *op,
                            enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    const double active = (double)op->active;
    if (pass == LQ_PASS_FORWARD) {
        run(device, op, combine_forward, active + 1.0);
    } else {
        run(device, op, combine_backward, 3.0 * active);
    }
    return LQ_OK;
}
