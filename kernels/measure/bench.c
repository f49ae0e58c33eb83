/* A backend between a layer and the real one, which sees each operation pass by, and runs those
 * that it has not seen yet again and again. What is run, and in which order, the layer says. */
#include "kernels/measure/bench.h"

#include "kernels/base/stop.h"
#include "kernels/layer/layer.h"
#include "kernels/measure/bench_label.h"
#include "kernels/measure/counting.h"
#include "kernels/measure/stopwatch.h"

#include <stdio.h>
#include <string.h>

const char *const LQ_BOUND_NAMES[] = {"launch", "memory", "compute"};

/* The device as the layer has it. */
struct lq_device {
    const struct lq_bench_job *job;
    struct lq_bench *out;
    double copies; /* of the layer at hand in the model */
};

/* The row of such operations: `is_new` where this is the first. */
static enum lq_code find_row(struct lq_bench *bench, const struct lq_bench_row *sought,
                             struct lq_bench_row **out, bool *is_new, struct lq_error *err)
{
    for (size_t i = 0; i < bench->count; i++) {
        struct lq_bench_row *row = &bench->row[i];
        if (strcmp(row->name, sought->name) == 0 && strcmp(row->shape, sought->shape) == 0) {
            *out = row;
            *is_new = false;
            return LQ_OK;
        }
    }
    if (bench->count == LQ_BENCH_ROWS_MAX) {
        return lq_fail(err, LQ_EIMPOSSIBLE, NULL, "the model has more than %d kinds of operations",
                       LQ_BENCH_ROWS_MAX);
    }
    *out = &bench->row[bench->count++];
    **out = *sought;
    *is_new = true;
    return LQ_OK;
}

/* One operation of the layer: run once for its sake, and if it is new timed. What it computes again
 * and again stays finite: sums grow with the number of runs, nothing feeds on itself. */
static enum lq_code observe(struct lq_device *device, const struct lq_bench_row *sought,
                            lq_work_fn *work, const void *call, struct lq_error *err)
{
    const struct lq_bench_job *job = device->job;
    struct lq_bench_row *row = NULL;
    bool is_new = false;
    if (lq_stop_asked()) {
        return lq_fail(err, LQ_EDEVICE, NULL, "interrupted");
    }
    LQ_TRY(find_row(device->out, sought, &row, &is_new, err));
    row->calls += device->copies;
    (void)job->backend->tally(job->device);
    LQ_TRY(work(call, err));
    if (!is_new) {
        return LQ_OK;
    }
    row->work = job->backend->tally(job->device);
    if (!(job->budget_s > 0.0)) {
        return LQ_OK;
    }
    const struct lq_stopwatch watch = {
        .backend = job->backend, .device = job->device, .work = work, .context = call};
    return lq_stopwatch_time(&watch, job->budget_s, &row->time, err);
}

/* A call of the real backend's, and this backend's operation of the same name. */
#define X(called, type)                                                                            \
    struct called##_call {                                                                         \
        const struct lq_bench_job *job;                                                            \
        const struct type *op;                                                                     \
        enum lq_pass pass;                                                                         \
    };                                                                                             \
    static enum lq_code run_##called(const void *context, struct lq_error *err)                    \
    {                                                                                              \
        const struct called##_call *call = context;                                                \
        return call->job->backend->called(call->job->device, call->op, call->pass, err);           \
    }                                                                                              \
    static enum lq_code see_##called(struct lq_device *device, const struct type *op,              \
                                     enum lq_pass pass, struct lq_error *err)                      \
    {                                                                                              \
        const struct called##_call call = {device->job, op, pass};                                 \
        struct lq_bench_row row = {.calls = 0.0};                                                  \
        snprintf(row.name, sizeof row.name, #called "%s", lq_pass_name(pass));                     \
        lq_shape_##called(op, row.shape, sizeof row.shape);                                        \
        return observe(device, &row, run_##called, &call, err);                                    \
    }
LQ_OPS_WITH_PASS(X)
#undef X

#define X(called, type)                                                                            \
    struct called##_call {                                                                         \
        const struct lq_bench_job *job;                                                            \
        const struct type *op;                                                                     \
    };                                                                                             \
    static enum lq_code run_##called(const void *context, struct lq_error *err)                    \
    {                                                                                              \
        const struct called##_call *call = context;                                                \
        return call->job->backend->called(call->job->device, call->op, err);                       \
    }                                                                                              \
    static enum lq_code see_##called(struct lq_device *device, const struct type *op,              \
                                     struct lq_error *err)                                         \
    {                                                                                              \
        const struct called##_call call = {device->job, op};                                       \
        struct lq_bench_row row = {.calls = 0.0};                                                  \
        snprintf(row.name, sizeof row.name, #called "%s", lq_suffix_##called(op));                 \
        lq_shape_##called(op, row.shape, sizeof row.shape);                                        \
        return observe(device, &row, run_##called, &call, err);                                    \
    }
LQ_OPS_WITHOUT_PASS(X)
#undef X

/* Memory is the real device's. */
static enum lq_code allocate(struct lq_device *device, size_t bytes, void **memory,
                             struct lq_error *err)
{
    return device->job->backend->allocate(device->job->device, bytes, memory, err);
}

static void release(struct lq_device *device, void *memory)
{
    device->job->backend->release(device->job->device, memory);
}

static enum lq_code to_device(struct lq_device *device, void *to, const void *from, size_t bytes,
                              struct lq_error *err)
{
    return device->job->backend->to_device(device->job->device, to, from, bytes, err);
}

static enum lq_code copy(struct lq_device *device, void *to, const void *from, size_t bytes,
                         struct lq_error *err)
{
    return device->job->backend->copy(device->job->device, to, from, bytes, err);
}

static enum lq_code zero(struct lq_device *device, void *memory, size_t bytes, struct lq_error *err)
{
    return device->job->backend->zero(device->job->device, memory, bytes, err);
}

static enum lq_code randomize(struct lq_device *device, void *memory, int64_t n, uint64_t seed,
                              double scale, struct lq_error *err)
{
    return device->job->backend->randomize(device->job->device, memory, n, seed, scale, err);
}

/* The layer's ledger stays empty. */
static struct lq_tally no_tally(struct lq_device *device)
{
    (void)device;
    return (struct lq_tally){.flop = 0.0};
}

/* What a layer calls, and nothing else. */
static const struct lq_backend WITNESS = {.name = "witness",
                                          .allocate = allocate,
                                          .release = release,
                                          .to_device = to_device,
                                          .copy = copy,
                                          .zero = zero,
                                          .randomize = randomize,
                                          .tally = no_tally,
#define X(called, type) .called = see_##called,
                                          LQ_OPS_WITH_PASS(X) LQ_OPS_WITHOUT_PASS(X)
#undef X
};

static enum lq_code run_layer(struct lq_space *space, const struct lq_layer_job *job, int kind,
                              struct lq_error *err)
{
    struct lq_training_layer *layer = NULL;
    LQ_TRY(lq_layer_open(space, job, kind, &layer, err));
    enum lq_code code = lq_layer_forward(layer, err);
    code = code == LQ_OK ? lq_layer_backward(layer, err) : code;
    code = code == LQ_OK ? lq_layer_step(layer, err) : code;
    lq_layer_close(layer);
    return code;
}

static enum lq_code run_ends(struct lq_space *space, const struct lq_layer_job *job,
                             struct lq_error *err)
{
    struct lq_training_ends *ends = NULL;
    LQ_TRY(lq_ends_open(space, job, &ends, err));
    enum lq_code code = lq_ends_forward(ends, err);
    code = code == LQ_OK ? lq_ends_backward(ends, err) : code;
    code = code == LQ_OK ? lq_ends_step(ends, err) : code;
    lq_ends_close(ends);
    return code;
}

enum lq_code lq_bench_run(const struct lq_bench_job *job, struct lq_bench *out,
                          struct lq_error *err)
{
    struct lq_device device = {.job = job, .out = out};
    const struct lq_layer_job shape = {.model = job->model,
                                       .method = job->method,
                                       .checkpointing = LQ_CHECKPOINTING_NONE,
                                       .rows = 1,
                                       .tokens = job->tokens,
                                       .active_experts = job->active_experts,
                                       .seed = 1};
    out->count = 0;
    for (int kind = 0; kind <= job->model->layer_kinds; kind++) {
        const bool is_layer = kind < job->model->layer_kinds;
        struct lq_space space;
        device.copies = is_layer ? (double)job->model->layers[kind].count : 1.0;
        lq_space_open(&space, &WITNESS, &device, job->element);
        const enum lq_code code =
            is_layer ? run_layer(&space, &shape, kind, err) : run_ends(&space, &shape, err);
        lq_space_close(&space);
        LQ_TRY(code);
    }
    return LQ_OK;
}

enum lq_code lq_bench_count(const struct lq_bench_job *job, struct lq_bench *out,
                            struct lq_error *err)
{
    struct lq_bench_job counted = *job;
    counted.backend = lq_counting_backend();
    counted.budget_s = 0.0;
    LQ_TRY(counted.backend->open(0, job->element, &counted.device, err));
    const enum lq_code code = lq_bench_run(&counted, out, err);
    counted.backend->close(counted.device);
    return code;
}

double lq_tally_bytes(const struct lq_tally *work)
{
    return work->weight_bytes + work->stream_bytes + work->traffic_bytes;
}

double lq_roofline_s(const struct lq_roofline *roofline, const struct lq_tally *work,
                     enum lq_bound *bound)
{
    const double compute_s = work->flop / roofline->flop_per_s;
    const double memory_s = lq_tally_bytes(work) / roofline->bytes_per_s;
    double slowest_s = roofline->launch_s;
    *bound = LQ_BOUND_LAUNCH;
    if (memory_s > slowest_s) {
        slowest_s = memory_s;
        *bound = LQ_BOUND_MEMORY;
    }
    if (compute_s > slowest_s) {
        slowest_s = compute_s;
        *bound = LQ_BOUND_COMPUTE;
    }
    return slowest_s;
}
