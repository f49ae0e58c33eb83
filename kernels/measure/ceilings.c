/* Small benchmarks of single operations, each repeated and summarised by its median. */
#include "kernels/measure/ceilings.h"

#include "kernels/layer/space.h"
#include "kernels/measure/stopwatch.h"

#include <math.h>
#include <stdlib.h>

/* 256 MiB, or four times the device's last-level cache where that is more, but never more than an
 * eighth of its memory. Square matmuls of
 * 1,024 to 4,096 are where rates level off. 16 Mi weights are a matrix of 4,096 by 4,096. */
enum { COPY_BYTES_LEAST = 256 * 1024 * 1024, LAUNCHES = 200, DEQUANTIZED = 4096 * 4096 };
static const int64_t MATMUL_SIZES[] = {1024, 2048, 4096};
static const double BUDGET_S = 0.3; /* of one benchmark */

/* One operation to be timed. */
struct bench {
    struct lq_space *space;
    const void *op;
};

static enum lq_code time_it(const struct bench *bench, lq_work_fn *run, struct lq_timing *out,
                            struct lq_error *err)
{
    const struct lq_stopwatch watch = {.backend = bench->space->backend,
                                       .device = bench->space->device,
                                       .work = run,
                                       .context = bench};
    return lq_stopwatch_time(&watch, BUDGET_S, out, err);
}

struct copy {
    void *to;
    const void *from;
    size_t bytes;
};

static enum lq_code run_copy(const void *context, struct lq_error *err)
{
    const struct bench *bench = context;
    const struct copy *copy = bench->op;
    return bench->space->backend->copy(bench->space->device, copy->to, copy->from, copy->bytes,
                                       err);
}

static enum lq_code run_linear(const void *context, struct lq_error *err)
{
    const struct bench *bench = context;
    return bench->space->backend->linear(bench->space->device, bench->op, err);
}

static enum lq_code run_dequantize(const void *context, struct lq_error *err)
{
    const struct bench *bench = context;
    return bench->space->backend->dequantize(bench->space->device, bench->op, err);
}

static enum lq_code run_launches(const void *context, struct lq_error *err)
{
    const struct bench *bench = context;
    for (int i = 0; i < LAUNCHES; i++) {
        LQ_TRY(bench->space->backend->add(bench->space->device, bench->op, err));
    }
    return LQ_OK;
}

static size_t copy_bytes(const struct lq_device_info *info)
{
    const double wanted = fmax((double)COPY_BYTES_LEAST, 4.0 * info->cache_bytes);
    const double most = info->memory_bytes / 8.0;
    return (size_t)(most > 0.0 ? fmin(wanted, most) : wanted);
}

static enum lq_code measure_copy(struct lq_space *space, const struct lq_device_info *info,
                                 double *bytes_per_s, struct lq_error *err)
{
    struct copy copy = {.bytes = copy_bytes(info)};
    void *from = NULL;
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_SCRATCH, copy.bytes, &from, err));
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_SCRATCH, copy.bytes, &copy.to, err));
    LQ_TRY(space->backend->zero(space->device, from, copy.bytes, err));
    copy.from = from;
    struct lq_timing timing;
    LQ_TRY(time_it(&(struct bench){space, &copy}, run_copy, &timing, err));
    *bytes_per_s = 2.0 * (double)copy.bytes / timing.median_s;
    return LQ_OK;
}

/* A forward matmul on random numbers; offsets of an even load where there are groups. */
static enum lq_code time_linear(struct lq_space *space, struct lq_op_linear *op,
                                struct lq_timing *out, struct lq_error *err)
{
    LQ_TRY(lq_space_random(space, LQ_USE_SCRATCH, op->tokens * op->inputs, 1, 1.0, &op->x, err));
    LQ_TRY(lq_space_random(space, LQ_USE_SCRATCH, op->groups * op->outputs * op->inputs, 2, 0.1,
                           &op->w, err));
    LQ_TRY(lq_space_take(space, LQ_USE_SCRATCH, op->tokens * op->outputs, &op->y, err));
    return time_it(&(struct bench){space, op}, run_linear, out, err);
}

/* A size that would take longer than the budget is left out: on so slow a device the rate has
 * levelled off before it. */
static enum lq_code measure_matmul(const struct lq_rig *rig, enum lq_arithmetic arithmetic,
                                   int64_t size, double *flop_per_s, struct lq_error *err)
{
    const double flop = 2.0 * pow((double)size, 3.0);
    if (*flop_per_s > 0.0 && flop / *flop_per_s > BUDGET_S) {
        return LQ_OK;
    }
    struct lq_space space;
    struct lq_timing timing;
    struct lq_op_linear op = {.tokens = size,
                              .outputs = size,
                              .inputs = size,
                              .groups = 1,
                              .scale = 1.0,
                              .arithmetic = arithmetic};
    lq_space_open(&space, rig->backend, rig->device, rig->element);
    const enum lq_code code = time_linear(&space, &op, &timing, err);
    lq_space_close(&space);
    LQ_TRY(code);
    *flop_per_s = fmax(*flop_per_s, flop / timing.median_s);
    return LQ_OK;
}

static enum lq_code measure_matmuls(const struct lq_rig *rig, enum lq_arithmetic arithmetic,
                                    double *flop_per_s, struct lq_error *err)
{
    *flop_per_s = 0.0;
    for (size_t i = 0; i < sizeof MATMUL_SIZES / sizeof *MATMUL_SIZES; i++) {
        LQ_TRY(measure_matmul(rig, arithmetic, MATMUL_SIZES[i], flop_per_s, err));
    }
    return LQ_OK;
}

static enum lq_code measure_dequantization(struct lq_space *space, double *bytes_per_s,
                                           struct lq_error *err)
{
    void *packed = NULL;
    void *absmax = NULL;
    void *scale = NULL;
    const size_t blocks = DEQUANTIZED / 64;
    const size_t scales = blocks / 256 * sizeof(float);
    struct lq_op_dequantization op = {.n = DEQUANTIZED, .offset = 1.0F};
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_SCRATCH, DEQUANTIZED / 2, &packed, err));
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_SCRATCH, blocks, &absmax, err));
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_SCRATCH, scales, &scale, err));
    LQ_TRY(lq_space_take(space, LQ_USE_SCRATCH, DEQUANTIZED, &op.out, err));
    LQ_TRY(space->backend->zero(space->device, packed, DEQUANTIZED / 2, err));
    LQ_TRY(space->backend->zero(space->device, absmax, blocks, err));
    LQ_TRY(space->backend->zero(space->device, scale, scales, err));
    op.packed = packed;
    op.absmax = absmax;
    op.absmax_scale = scale;
    struct lq_timing timing;
    LQ_TRY(time_it(&(struct bench){space, &op}, run_dequantize, &timing, err));
    const double bytes = (double)(DEQUANTIZED / 2) + (double)blocks + (double)scales +
                         (double)DEQUANTIZED * (double)space->element_bytes;
    *bytes_per_s = bytes / timing.median_s;
    return LQ_OK;
}

static enum lq_code measure_launch(struct lq_space *space, double *seconds, struct lq_error *err)
{
    void *one = NULL;
    LQ_TRY(lq_space_random(space, LQ_USE_SCRATCH, 1, 3, 1.0, &one, err));
    const struct lq_op_add op = {.n = 1, .a = one, .b = one, .out = one};
    struct lq_timing timing;
    LQ_TRY(time_it(&(struct bench){space, &op}, run_launches, &timing, err));
    *seconds = timing.median_s / LAUNCHES;
    return LQ_OK;
}

enum lq_code lq_ceilings_measure(const struct lq_rig *rig, struct lq_ceilings *out,
                                 struct lq_error *err)
{
    *out = (struct lq_ceilings){.launch_s = 0.0};
    LQ_TRY(measure_matmuls(rig, LQ_ARITHMETIC_NATIVE, &out->matmul_flop_per_s, err));
    struct lq_space space;
    lq_space_open(&space, rig->backend, rig->device, rig->element);
    enum lq_code code = measure_copy(&space, &rig->info, &out->copy_bytes_per_s, err);
    if (code == LQ_OK) {
        code = measure_dequantization(&space, &out->dequantization_bytes_per_s, err);
    }
    if (code == LQ_OK) {
        code = measure_launch(&space, &out->launch_s, err);
    }
    lq_space_close(&space);
    return code;
}

/* On the device opened once more, with an element that the arithmetic takes. */
static enum lq_code try_arithmetic(const struct lq_rig *rig, enum lq_arithmetic arithmetic,
                                   double *flop_per_s, struct lq_error *err)
{
    const bool has_bf16 = (rig->info.elements & LQ_ELEMENT_BIT(LQ_ELEMENT_BF16)) != 0;
    const enum lq_element narrow = has_bf16 ? LQ_ELEMENT_BF16 : LQ_ELEMENT_F16;
    struct lq_rig own = *rig;
    *flop_per_s = 0.0;
    if ((rig->info.arithmetics & LQ_ARITHMETIC_BIT(arithmetic)) == 0) {
        return LQ_OK;
    }
    own.element = arithmetic == LQ_ARITHMETIC_TF32 ? LQ_ELEMENT_F32 : narrow;
    own.device = NULL;
    LQ_TRY(lq_rig_open(&own, err));
    const enum lq_code code = measure_matmuls(&own, arithmetic, flop_per_s, err);
    lq_rig_close(&own);
    return code;
}

/* A device may offer what its library has no algorithm for: then there is no rate, and a reason. */
static enum lq_code measure_arithmetic(const struct lq_rig *rig, enum lq_arithmetic arithmetic,
                                       double *flop_per_s, struct lq_ceilings *out,
                                       struct lq_error *err)
{
    struct lq_error refused = {0};
    const enum lq_code code = try_arithmetic(rig, arithmetic, flop_per_s, &refused);
    if (code == LQ_EDEVICE) {
        *flop_per_s = 0.0;
        out->refused = refused;
        return LQ_OK;
    }
    return code == LQ_OK ? LQ_OK : lq_fail(err, code, NULL, "%s", refused.detail);
}

enum lq_code lq_ceilings_measure_arithmetics(const struct lq_rig *rig, struct lq_ceilings *out,
                                             struct lq_error *err)
{
    LQ_TRY(measure_arithmetic(rig, LQ_ARITHMETIC_TF32, &out->tf32_flop_per_s, out, err));
    return measure_arithmetic(rig, LQ_ARITHMETIC_FP8, &out->fp8_flop_per_s, out, err);
}

/* Where each group's rows begin when all get the same number. */
static enum lq_code even_offsets(struct lq_space *space, int64_t groups, int64_t each,
                                 const int32_t **out, struct lq_error *err)
{
    void *offsets = NULL;
    const size_t bytes = (size_t)(groups + 1) * sizeof(int32_t);
    LQ_TRY(lq_space_take_bytes(space, LQ_USE_SCRATCH, bytes, &offsets, err));
    int32_t *host = malloc(bytes);
    if (host == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "out of host memory");
    }
    for (int64_t g = 0; g <= groups; g++) {
        host[g] = (int32_t)(g * each);
    }
    const enum lq_code code = space->backend->to_device(space->device, offsets, host, bytes, err);
    free(host);
    *out = offsets;
    return code;
}

static enum lq_code rate_matrix(struct lq_space *space, const struct lq_matrix *matrix,
                                int64_t tokens, struct lq_matmul_rate *out, struct lq_error *err)
{
    struct lq_op_linear op = {.tokens = tokens * matrix->count,
                              .outputs = matrix->rows,
                              .inputs = matrix->cols,
                              .groups = matrix->count,
                              .scale = 1.0};
    struct lq_timing timing;
    if (matrix->count > 1) {
        LQ_TRY(even_offsets(space, matrix->count, tokens, &op.offsets, err));
    }
    LQ_TRY(time_linear(space, &op, &timing, err));
    *out = (struct lq_matmul_rate){.target = matrix->target,
                                   .tokens = tokens,
                                   .outputs = matrix->rows,
                                   .inputs = matrix->cols,
                                   .groups = matrix->count,
                                   .flop_per_s = 2.0 * (double)op.tokens * (double)op.outputs *
                                                 (double)op.inputs / timing.median_s,
                                   .spread = timing.spread};
    return LQ_OK;
}

/* Tokens that one of the matrix's copies gets. */
static int64_t tokens_of(const struct lq_matrix *matrix, const struct lq_layer *layer,
                         int64_t tokens, int64_t active)
{
    if (!matrix->routed) {
        return tokens;
    }
    const int64_t chosen = active > 0 ? active : layer->ffn.active_experts;
    const int64_t each = tokens * chosen / matrix->count;
    return each > 0 ? each : 1;
}

enum lq_code lq_matmul_rates(const struct lq_backend *backend, struct lq_device *device,
                             enum lq_element element, const struct lq_model *model, int64_t tokens,
                             int64_t active, struct lq_matmul_rate *out, size_t max, size_t *count,
                             struct lq_error *err)
{
    *count = 0;
    for (int kind = 0; kind < model->layer_kinds; kind++) {
        const struct lq_layer *layer = &model->layers[kind];
        struct lq_matrix matrices[LQ_MATRICES_MAX];
        const int n = lq_layer_matrices(model, layer, matrices);
        for (int i = 0; i < n && *count < max; i++) {
            struct lq_space space;
            lq_space_open(&space, backend, device, element);
            const enum lq_code code =
                rate_matrix(&space, &matrices[i], tokens_of(&matrices[i], layer, tokens, active),
                            &out[*count], err);
            lq_space_close(&space);
            LQ_TRY(code);
            (*count)++;
        }
    }
    return LQ_OK;
}
