/* SwiGLU and GELU, element by element. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

#include <assert.h>

enum { GRAIN = 4096 }; /* elements: some microseconds of work, more than waking a thread costs */

static void swiglu_forward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_activation *op = context;
    const float *gate = op->gate;
    const float *up = op->up;
    float *out = op->out;
    LQ_ELEMENTWISE
    for (int64_t i = begin; i < end; i++) {
        out[i] = gate[i] * lq_sigmoid(gate[i]) * up[i];
    }
}

static void swiglu_backward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_activation *op = context;
    const float *gate = op->gate;
    const float *up = op->up;
    const float *d_out = op->d_out;
    float *d_gate = op->d_gate;
    float *d_up = op->d_up;
    LQ_ELEMENTWISE
    for (int64_t i = begin; i < end; i++) {
        const float g = gate[i];
        const float d = d_out[i];
        const float s = lq_sigmoid(g);
        const float d_g = d * up[i] * (s + g * s * (1.0F - s));
        d_up[i] = d * g * s;
        d_gate[i] = d_g;
    }
}

/* sqrt(2 / pi) and the cubic's coefficient of the tanh form; (1 + tanh(u)) / 2 is sigmoid(2 u). */
static const float TWO_ROOT_2_BY_PI = 2.0F * 0.797884561F;
static const float CUBIC = 0.044715F;

static void gelu_forward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_activation *op = context;
    const float *gate = op->gate;
    float *out = op->out;
    LQ_ELEMENTWISE
    for (int64_t i = begin; i < end; i++) {
        const float x = gate[i];
        out[i] = x * lq_sigmoid(TWO_ROOT_2_BY_PI * (x + CUBIC * x * x * x));
    }
}

static void gelu_backward(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct lq_op_activation *op = context;
    const float *gate = op->gate;
    const float *d_out = op->d_out;
    float *d_gate = op->d_gate;
    LQ_ELEMENTWISE
    for (int64_t i = begin; i < end; i++) {
        const float x = gate[i];
        const float s = lq_sigmoid(TWO_ROOT_2_BY_PI * (x + CUBIC * x * x * x));
        const float slope = TWO_ROOT_2_BY_PI * (1.0F + 3.0F * CUBIC * x * x);
        d_gate[i] = d_out[i] * (s + x * s * (1.0F - s) * slope);
    }
}

enum lq_code lq_cpu_activation(struct lq_device *device, const struct lq_op_activation *op,
                               enum lq_pass pass, struct lq_error *err)
{
    (void)err;
    assert(op->n >= 0);
    static const struct {
        lq_range_fn *run;
        double accesses;
    } PASSES[][2] = {
        [LQ_ACTIVATION_SWIGLU] = {[LQ_PASS_FORWARD] = {swiglu_forward, 3.0},
                                  [LQ_PASS_BACKWARD] = {swiglu_backward, 5.0}},
        [LQ_ACTIVATION_GELU] = {
            [LQ_PASS_FORWARD] = {gelu_forward, 2.0}, [LQ_PASS_BACKWARD] = {gelu_backward, 3.0}}};
    struct lq_op_activation range = *op;
    lq_parallel(device, op->n, GRAIN, PASSES[op->kind][pass].run, &range);
    lq_cpu_count(device, (struct lq_tally){.traffic_bytes = PASSES[op->kind][pass].accesses *
                                                            (double)op->n * sizeof(float)});
    return LQ_OK;
}
