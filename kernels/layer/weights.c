/* Matmuls of one kind of matrix with its adapters, gradients and optimizer step. */
#include "kernels/layer/weights.h"

#include <math.h>
#include <stdlib.h>

/* AdamW as torch.optim has it; their values do not change the time. */
static const double LEARNING_RATE = 1e-4;
static const double BETA1 = 0.9;
static const double BETA2 = 0.999;
static const double EPSILON = 1e-8;
static const double DECAY = 0.01;

/* alpha / rank of PEFT's usual alpha = 2 rank. */
static const double ADAPTER_SCALE = 2.0;

enum { NF4_BLOCK = 64, NF4_BLOCKS_PER_SCALE = 256 };

static int64_t blocks_of(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

enum lq_code lq_tensor_open(struct lq_space *space, int64_t n, bool trained, uint64_t seed,
                            double scale, struct lq_trained_tensor *out, struct lq_error *err)
{
    *out = (struct lq_trained_tensor){.n = n};
    LQ_TRY(lq_space_random(space, LQ_USE_WEIGHT, n, seed, scale, &out->value, err));
    if (!trained) {
        return LQ_OK;
    }
    LQ_TRY(lq_space_take(space, LQ_USE_GRADIENT, n, &out->gradient, err));
    LQ_TRY(lq_space_take(space, LQ_USE_STATE, n, &out->first, err));
    LQ_TRY(lq_space_take(space, LQ_USE_STATE, n, &out->second, err));
    LQ_TRY(lq_space_clear(space, out->gradient, n, err));
    LQ_TRY(lq_space_clear(space, out->first, n, err));
    return lq_space_clear(space, out->second, n, err);
}

enum lq_code lq_tensor_step(struct lq_space *space, const struct lq_trained_tensor *tensor,
                            int64_t step, struct lq_error *err)
{
    if (tensor->gradient == NULL) {
        return LQ_OK;
    }
    const struct lq_op_adamw op = {.n = tensor->n,
                                   .step = step,
                                   .rate = LEARNING_RATE,
                                   .beta1 = BETA1,
                                   .beta2 = BETA2,
                                   .epsilon = EPSILON,
                                   .decay = DECAY,
                                   .parameter = tensor->value,
                                   .gradient = tensor->gradient,
                                   .first = tensor->first,
                                   .second = tensor->second};
    return space->backend->adamw(space->device, &op, err);
}

/* Random codes on the host: what they hold does not change the time, only that they are finite. */
static enum lq_code send_codes(struct lq_space *space, void *to, size_t bytes, uint64_t seed,
                               struct lq_error *err)
{
    enum { CHUNK = 1 << 16 };
    static const uint64_t MULTIPLIER = 6364136223846793005U; /* Knuth's MMIX generator */
    uint8_t chunk[CHUNK];
    uint64_t state = seed;
    for (size_t i = 0; i < CHUNK; i++) {
        state = state * MULTIPLIER + 1442695040888963407U;
        chunk[i] = (uint8_t)(state >> 56);
    }
    for (size_t at = 0; at < bytes; at += CHUNK) {
        const size_t n = bytes - at < CHUNK ? bytes - at : CHUNK;
        LQ_TRY(space->backend->to_device(space->device, (uint8_t *)to + at, chunk, n, err));
    }
    return LQ_OK;
}

static enum lq_code open_quantized(struct lq_space *space, int64_t n, double deviation,
                                   uint64_t seed, struct lq_weights *out, struct lq_error *err)
{
    const int64_t blocks = blocks_of(n, NF4_BLOCK);
    const int64_t scales = blocks_of(blocks, NF4_BLOCKS_PER_SCALE);
    void *packed = NULL;
    void *absmax = NULL;
    void *scale = NULL;
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_WEIGHT, (size_t)((n + 1) / 2), &packed, err));
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_WEIGHT, (size_t)blocks, &absmax, err));
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_WEIGHT, (size_t)scales * sizeof(float), &scale, err));
    LQ_TRY(send_codes(space, packed, (size_t)((n + 1) / 2), seed, err));
    LQ_TRY(send_codes(space, absmax, (size_t)blocks, seed + 1, err));
    const float second = (float)(0.1 * deviation);
    for (int64_t i = 0; i < scales; i++) {
        LQ_TRY(space->backend->to_device(space->device, (float *)scale + i, &second, sizeof second,
                                         err));
    }
    out->packed = packed;
    out->absmax = absmax;
    out->absmax_scale = scale;
    out->offset = (float)(2.0 * deviation);
    return lq_space_widen(space, n, err);
}

static enum lq_code open_adapter(struct lq_space *space, const struct lq_method *method,
                                 int64_t rows, uint64_t seed, struct lq_weights *out,
                                 struct lq_error *err)
{
    const struct lq_matrix *m = &out->matrix;
    const double deviation = 1.0 / sqrt((double)m->cols);
    out->rank = method->rank;
    out->adapter_scale = ADAPTER_SCALE;
    LQ_TRY(lq_tensor_open(space, m->count * method->rank * m->cols, true, seed + 2, deviation,
                          &out->down, err));
    LQ_TRY(lq_tensor_open(space, m->count * m->rows * method->rank, true, seed + 3, deviation,
                          &out->up, err));
    LQ_TRY(lq_space_take(space, LQ_USE_INNER, rows * method->rank, &out->middle, err));
    return lq_space_take(space, LQ_USE_SCRATCH, rows * method->rank, &out->d_middle, err);
}

enum lq_code lq_weights_open(struct lq_space *space, const struct lq_method *method,
                             const struct lq_matrix *matrix, int64_t rows, uint64_t seed,
                             struct lq_weights *out, struct lq_error *err)
{
    const int64_t n = matrix->count * matrix->rows * matrix->cols;
    const double deviation = 1.0 / sqrt((double)matrix->cols);
    *out = (struct lq_weights){.matrix = *matrix,
                               .term = lq_matrix_term(matrix),
                               .trained = method->kind == LQ_METHOD_FULL,
                               .quantized = method->quantization != LQ_QUANTIZATION_NONE};
    if (out->quantized) {
        LQ_TRY(open_quantized(space, n, deviation, seed, out, err));
    } else {
        LQ_TRY(lq_tensor_open(space, n, out->trained, seed, deviation, &out->full, err));
    }
    if (!out->trained && (method->targets & LQ_TARGET_BIT(matrix->target)) != 0) {
        return open_adapter(space, method, rows, seed, out, err);
    }
    return LQ_OK;
}

/* The matrix as matmuls read it: itself, or what its codes stand for. */
static enum lq_code ready(struct lq_space *space, const struct lq_weights *w, void **value,
                          struct lq_error *err)
{
    *value = w->full.value;
    if (!w->quantized) {
        return LQ_OK;
    }
    const struct lq_op_dequantization op = {.n = w->matrix.count * w->matrix.rows * w->matrix.cols,
                                            .packed = w->packed,
                                            .absmax = w->absmax,
                                            .absmax_scale = w->absmax_scale,
                                            .offset = w->offset,
                                            .out = space->dequantized};
    *value = space->dequantized;
    LQ_TRY(space->backend->dequantize(space->device, &op, err));
    return lq_space_count(
        space, w->matrix.routed ? LQ_TERM_EXPERT_DEQUANTIZATION : LQ_TERM_DEQUANTIZATION, err);
}

/* One matmul of the matrix, or of half of its adapter. */
static struct lq_op_linear matmul(const struct lq_weights *w, const struct lq_rows *rows)
{
    return (struct lq_op_linear){.tokens = rows->count,
                                 .outputs = w->matrix.rows,
                                 .inputs = w->matrix.cols,
                                 .groups = rows->groups,
                                 .offsets = rows->offsets,
                                 .scale = 1.0};
}

static struct lq_op_linear adapter_down(const struct lq_weights *w, const struct lq_rows *rows)
{
    struct lq_op_linear op = matmul(w, rows);
    op.outputs = w->rank;
    op.w = w->down.value;
    op.y = w->middle;
    op.adapter = true;
    return op;
}

static struct lq_op_linear adapter_up(const struct lq_weights *w, const struct lq_rows *rows)
{
    struct lq_op_linear op = matmul(w, rows);
    op.inputs = w->rank;
    op.w = w->up.value;
    op.x = w->middle;
    op.scale = w->adapter_scale;
    op.adapter = true;
    return op;
}

static enum lq_code run(struct lq_space *space, const struct lq_op_linear *op, struct lq_error *err)
{
    return space->backend->linear(space->device, op, err);
}

static enum lq_term adapter_term(const struct lq_weights *w)
{
    return w->matrix.routed ? LQ_TERM_EXPERT_LORA : LQ_TERM_LORA;
}

enum lq_code lq_weights_forward(struct lq_space *space, struct lq_weights *w,
                                const struct lq_rows *rows, void *x, void *y, bool accumulate,
                                struct lq_error *err)
{
    struct lq_op_linear op = matmul(w, rows);
    LQ_TRY(ready(space, w, &op.w, err));
    op.pass = LQ_LINEAR_FORWARD;
    op.x = x;
    op.y = y;
    op.accumulate = accumulate;
    LQ_TRY(run(space, &op, err));
    LQ_TRY(lq_space_count(space, w->term, err));
    if (w->rank == 0) {
        return LQ_OK;
    }
    struct lq_op_linear down = adapter_down(w, rows);
    down.x = x;
    LQ_TRY(run(space, &down, err));
    struct lq_op_linear up = adapter_up(w, rows);
    up.y = y;
    up.accumulate = true;
    LQ_TRY(run(space, &up, err));
    return lq_space_count(space, adapter_term(w), err);
}

static enum lq_code adapter_backward(struct lq_space *space, const struct lq_weights *w,
                                     const struct lq_rows *rows, void *x, void *d_y, void *d_x,
                                     struct lq_error *err)
{
    struct lq_op_linear op = adapter_up(w, rows);
    op.y = d_y;
    op.pass = LQ_LINEAR_WEIGHT;
    op.w = w->up.gradient;
    LQ_TRY(run(space, &op, err));
    op.pass = LQ_LINEAR_INPUT;
    op.w = w->up.value;
    op.x = w->d_middle;
    LQ_TRY(run(space, &op, err));
    op = adapter_down(w, rows);
    op.y = w->d_middle;
    op.pass = LQ_LINEAR_WEIGHT;
    op.x = x;
    op.w = w->down.gradient;
    LQ_TRY(run(space, &op, err));
    op.pass = LQ_LINEAR_INPUT;
    op.x = d_x;
    op.w = w->down.value;
    op.accumulate = true;
    LQ_TRY(run(space, &op, err));
    return lq_space_count(space, adapter_term(w), err);
}

enum lq_code lq_weights_backward(struct lq_space *space, struct lq_weights *w,
                                 const struct lq_rows *rows, void *x, void *d_y, void *d_x,
                                 bool accumulate, struct lq_error *err)
{
    struct lq_op_linear op = matmul(w, rows);
    LQ_TRY(ready(space, w, &op.w, err));
    op.pass = LQ_LINEAR_INPUT;
    op.x = d_x;
    op.y = d_y;
    op.accumulate = accumulate;
    LQ_TRY(run(space, &op, err));
    if (w->trained) {
        op.pass = LQ_LINEAR_WEIGHT;
        op.x = x;
        op.w = w->full.gradient;
        op.accumulate = false;
        LQ_TRY(run(space, &op, err));
    }
    LQ_TRY(lq_space_count(space, w->term, err));
    return w->rank > 0 ? adapter_backward(space, w, rows, x, d_y, d_x, err) : LQ_OK;
}

enum lq_code lq_weights_step(struct lq_space *space, struct lq_weights *w, int64_t step,
                             struct lq_error *err)
{
    LQ_TRY(lq_tensor_step(space, &w->full, step, err));
    LQ_TRY(lq_tensor_step(space, &w->down, step, err));
    LQ_TRY(lq_tensor_step(space, &w->up, step, err));
    return lq_space_count(space, LQ_TERM_OPTIMIZER, err);
}
