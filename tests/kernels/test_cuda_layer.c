/* A training step of whole layers over the CUDA backend on the shim: everything that it leaves in
 * memory is what the CPU backend leaves there, and so is what it counts. */
#include "kernels/cpu/cpu.h"
#include "kernels/cuda/shim/control.h"
#include "tests/kernels/layer_fixture.h"
#include "tests/kernels/subject.h"
#include "tests/unit/check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const struct lq_backend *lq_cuda_backend(void);

enum { BLOCKS_MAX = 512, ROWS = 2, TOKENS = 9 };

/* fp32 against fp32 through a whole layer, forward and backward; measured are 2e-6 and below. */
static const double STEP_TOLERANCE = 1e-5;

/* What a step has left behind: each allocation in order, and the work. */
struct trace {
    size_t count;
    size_t bytes[BLOCKS_MAX];
    float *at[BLOCKS_MAX];
    struct lq_tally work[LQ_TERM_COUNT][LQ_STAGE_COUNT];
};

/* A backend between the layer and a real one: it keeps a list of what is allocated, zeroes that,
 * and draws the same numbers whatever the device. */
static struct {
    const struct lq_backend *real;
    struct lq_device *generator;
    size_t count;
    void *memory[BLOCKS_MAX];
    size_t bytes[BLOCKS_MAX];
} witness;

static enum lq_code allocate(struct lq_device *to, size_t bytes, void **memory,
                             struct lq_error *err)
{
    LQ_TRY(witness.real->allocate(to, bytes, memory, err));
    ck_assert_uint_lt(witness.count, BLOCKS_MAX);
    witness.memory[witness.count] = *memory;
    witness.bytes[witness.count++] = bytes;
    return witness.real->to_device(to, *memory, lend(bytes, 1), bytes, err);
}

static void release(struct lq_device *from, void *memory)
{
    for (size_t i = 0; i < witness.count; i++) {
        if (witness.memory[i] == memory) {
            witness.memory[i] = NULL;
            witness.bytes[i] = 0;
        }
    }
    witness.real->release(from, memory);
}

static enum lq_code randomize(struct lq_device *to, void *memory, int64_t n, uint64_t seed,
                              double scale, struct lq_error *err)
{
    float *numbers = zero_floats((size_t)n);
    LQ_TRY(lq_cpu_backend()->randomize(witness.generator, numbers, n, seed, scale, err));
    return witness.real->to_device(to, memory, numbers, (size_t)n * sizeof *numbers, err);
}

static void keep_trace(struct lq_device *from, const struct lq_space *room, struct trace *trace)
{
    trace->count = witness.count;
    for (size_t i = 0; i < witness.count; i++) {
        const size_t bytes = witness.bytes[i];
        trace->bytes[i] = bytes;
        trace->at[i] = lend(bytes, 1);
        OK(witness.real->to_host(from, trace->at[i], witness.memory[i], bytes, &err));
    }
    memcpy(trace->work, room->work, sizeof trace->work);
}

/* Forward, backward, the optimizer's step, and forward with what that has changed. */
static void run_step(const struct lq_backend *real, struct lq_device *on,
                     const struct lq_layer_job *job, struct trace *trace)
{
    struct lq_backend backend = *real;
    backend.allocate = allocate;
    backend.release = release;
    backend.randomize = randomize;
    witness.real = real;
    witness.count = 0;
    lq_space_open(&space, &backend, on, LQ_ELEMENT_F32);
    OK(lq_layer_open(&space, job, 0, &layer, &err));
    OK(lq_layer_forward(layer, &err));
    OK(lq_layer_backward(layer, &err));
    OK(lq_layer_step(layer, &err));
    OK(lq_layer_forward(layer, &err));
    keep_trace(on, &space, trace);
    close_layer();
}

static struct lq_device *shim;

static void set_up_both(void)
{
    set_up();
    witness.generator = open_device(1);
    OK(lq_cuda_backend()->open(0, LQ_ELEMENT_F32, &shim, &err));
}

static void tear_down_both(void)
{
    tear_down();
    lq_cuda_backend()->close(shim);
    lq_shim_order(0);
    ck_assert_uint_eq(lq_shim_left(), 0);
}

static void assert_same_work(const struct trace *got, const struct trace *want)
{
    for (int term = 0; term < LQ_TERM_COUNT; term++) {
        for (int stage = 0; stage < LQ_STAGE_COUNT; stage++) {
            const struct lq_tally *a = &got->work[term][stage];
            const struct lq_tally *b = &want->work[term][stage];
            ck_assert_double_eq(a->flop, b->flop);
            ck_assert_double_eq(a->weight_bytes, b->weight_bytes);
            ck_assert_double_eq(a->stream_bytes, b->stream_bytes);
            ck_assert_double_eq(a->traffic_bytes, b->traffic_bytes);
            ck_assert_double_eq(a->calls, b->calls);
        }
    }
}

/* Codes and indices are equal, numbers near. */
static void assert_near_traces(const struct trace *got, const struct trace *want)
{
    ck_assert_uint_eq(got->count, want->count);
    for (size_t i = 0; i < got->count; i++) {
        ck_assert_uint_eq(got->bytes[i], want->bytes[i]);
        if (!same_bytes(got->at[i], want->at[i], want->bytes[i])) {
            const size_t n = want->bytes[i] / sizeof(float);
            char what[48];
            snprintf(what, sizeof what, "allocation %zu of %zu", i, want->count);
            assert_near(what, got->at[i], widen(want->at[i], n), n, STEP_TOLERANCE);
        }
    }
}

static struct lq_model model_at(int i)
{
    struct lq_model models[] = {dense(), moe(), mamba(), mla()};
    models[1].layers[0].ffn.experts = 8; /* enough, and soon done */
    models[1].layers[0].ffn.active_experts = 3;
    return models[i];
}
static const struct lq_method *const METHODS[] = {&FULL, &LORA, &QLORA};

START_TEST(a_step_leaves_what_the_cpu_leaves)
{
    static struct trace got;
    static struct trace want;
    const struct lq_model model = model_at(_i / 3);
    const struct lq_layer_job job = {.model = &model,
                                     .method = METHODS[_i % 3],
                                     .checkpointing = LQ_CHECKPOINTING_FULL,
                                     .rows = ROWS,
                                     .tokens = TOKENS,
                                     .seed = 11};
    run_step(lq_cpu_backend(), device, &job, &want);
    run_step(lq_cuda_backend(), shim, &job, &got);
    assert_same_work(&got, &want);
    assert_near_traces(&got, &want);
}
END_TEST

START_TEST(a_step_is_the_same_in_every_order)
{
    static struct trace got;
    static struct trace want;
    const struct lq_model model = model_at(_i);
    const struct lq_layer_job job = {
        .model = &model, .method = &QLORA, .rows = 1, .tokens = TOKENS, .seed = 11};
    lq_shim_order(0);
    run_step(lq_cuda_backend(), shim, &job, &want);
    lq_shim_order(20 + (uint64_t)_i);
    run_step(lq_cuda_backend(), shim, &job, &got);
    ck_assert_uint_eq(got.count, want.count);
    for (size_t i = 0; i < got.count; i++) {
        ck_assert_msg(same_bytes(got.at[i], want.at[i], want.bytes[i]), "allocation %zu", i);
    }
}
END_TEST

/* A step in bf16 of a layer with experts, which the grouped kernel multiplies, on a device of its
 * own; how many calls of the runtime that took. */
static enum lq_code try_step(const struct lq_layer_job *job, uint64_t *calls, struct lq_error *err)
{
    struct lq_device *other = NULL;
    LQ_TRY(lq_cuda_backend()->open(0, LQ_ELEMENT_BF16, &other, err));
    lq_space_open(&space, lq_cuda_backend(), other, LQ_ELEMENT_BF16);
    enum lq_code code = lq_layer_open(&space, job, 0, &layer, err);
    code = code == LQ_OK ? lq_layer_forward(layer, err) : code;
    code = code == LQ_OK ? lq_layer_backward(layer, err) : code;
    code = code == LQ_OK ? lq_layer_step(layer, err) : code;
    code = code == LQ_OK ? lq_cuda_backend()->synchronize(other, err) : code;
    *calls = lq_shim_calls(); /* those that follow give back: nobody hears of their failures */
    lq_layer_close(layer);
    layer = NULL;
    lq_space_close(&space);
    lq_cuda_backend()->close(other);
    return code;
}

START_TEST(whichever_call_of_a_step_fails_is_reported_and_leaves_nothing)
{
    enum { TRIES = 10 };
    struct lq_model model = model_at(1);
    model.layers[0].ffn.experts = 4;
    const struct lq_layer_job job = {
        .model = &model, .method = &LORA, .rows = 1, .tokens = 5, .seed = 11};
    const size_t left = lq_shim_left();
    uint64_t calls = 0;
    uint64_t made = 0;
    lq_shim_fail(0);
    OK(try_step(&job, &calls, &err));
    for (uint64_t i = 0; i < TRIES; i++) {
        const uint64_t n = 1 + i * (calls - 1) / (TRIES - 1);
        struct lq_error err = {0};
        lq_shim_fail(n);
        const enum lq_code code = try_step(&job, &made, &err);
        ck_assert_msg(code == LQ_EDEVICE || code == LQ_ENOFIT, "call %llu of %llu: %s",
                      (unsigned long long)n, (unsigned long long)calls, lq_code_slug(code));
        ck_assert_uint_eq(lq_shim_left(), left);
    }
    lq_shim_fail(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_layer");
    TCase *tests = tcase_create("cuda_layer");
    tcase_add_checked_fixture(tests, set_up_both, tear_down_both);
    tcase_add_loop_test(tests, a_step_leaves_what_the_cpu_leaves, 0, 12);
    tcase_add_loop_test(tests, a_step_is_the_same_in_every_order, 0, 4);
    tcase_add_test(tests, whichever_call_of_a_step_fails_is_reported_and_leaves_nothing);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
