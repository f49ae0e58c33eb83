/* One step of AdamW, element by element. */
#include "kernels/cpu/cpu.h"

#include <assert.h>
#include <math.h>

struct update {
    float *parameter;
    const float *gradient;
    float *first;
    float *second;
    float beta1;
    float fresh1; /* 1 - beta1; in fp32 the difference of two rounded numbers is not exact enough */
    float beta2;
    float fresh2;
    float kept;      /* 1 - rate decay */
    float rate;      /* rate / (1 - beta1^step): the first moment's correction */
    float deviation; /* 1 / sqrt(1 - beta2^step): the second's */
    float epsilon;
};

static void run(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct update update = *(const struct update *)context;
    float *restrict parameter = update.parameter;
    float *restrict first = update.first;
    float *restrict second = update.second;
    const float *restrict gradient = update.gradient;
    for (int64_t i = begin; i < end; i++) {
        const float g = gradient[i];
        const float m = update.beta1 * first[i] + update.fresh1 * g;
        const float v = update.beta2 * second[i] + update.fresh2 * g * g;
        first[i] = m;
        second[i] = v;
        parameter[i] = update.kept * parameter[i] -
                       update.rate * m / (sqrtf(v) * update.deviation + update.epsilon);
    }
}

enum lq_code lq_cpu_adamw(struct lq_device *device, const struct lq_op_adamw *op,
                          struct lq_error *err)
{
    (void)err;
    assert(op->step >= 1);
    const double step = (double)op->step;
    struct update update = {.parameter = op->parameter,
                            .gradient = op->gradient,
                            .first = op->first,
                            .second = op->second,
                            .beta1 = (float)op->beta1,
                            .fresh1 = (float)(1.0 - op->beta1),
                            .beta2 = (float)op->beta2,
                            .fresh2 = (float)(1.0 - op->beta2),
                            .kept = (float)(1.0 - op->rate * op->decay),
                            .rate = (float)(op->rate / (1.0 - pow(op->beta1, step))),
                            .deviation = (float)(1.0 / sqrt(1.0 - pow(op->beta2, step))),
                            .epsilon = (float)op->epsilon};
    /* 64 KiB of every array for a thread, so that starting it pays */
    lq_parallel(device, op->n, 16384, run, &update);
    lq_cpu_count(device, (struct lq_tally){.stream_bytes = 7.0 * (double)op->n * sizeof(float)});
    return LQ_OK;
}
