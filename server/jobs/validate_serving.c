/* Validation of serving: one row per stack with measured runs. Nothing is stored; the same catalog
 * gives the same figures. */
#include "server/jobs/validate_serving.h"

#include "core/finetune/interval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL 0.9

/* Buffers for the runs of one stack. */
struct buffers {
    double *predicted;
    double *measured;
    double *scratch;
};

/* Errors of the runs from the first on, or of those alone that were held out; n = 0: none. */
static struct lq_errors errors_of(const struct lq_serving_validation *v, bool held_out,
                                  const struct buffers *b)
{
    size_t n = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct lq_serving_prediction *p = &v->predictions[i];
        if (!held_out || !lq_serving_stack_fitted_to(v->stack, p->run->model->id)) {
            b->predicted[n] = p->predicted;
            b->measured[n] = p->run->tokens_per_s;
            n++;
        }
    }
    return n > 0 ? lq_errors_of(b->predicted, b->measured, n, b->scratch)
                 : (struct lq_errors){.n = 0};
}

static double coverage_of(const struct lq_serving_validation *v)
{
    const double z = lq_interval_z(LEVEL);
    size_t within = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct lq_serving_prediction *p = &v->predictions[i];
        const double sd = lq_serving_log_sd(v->stack, p->run->concurrent_requests);
        within += fabs(log(p->predicted / p->run->tokens_per_s)) <= z * sd;
    }
    return (double)within / (double)v->count;
}

/* Predicts the runs of one stack into `out`; returns how many. */
static size_t predict_runs(const struct lq_catalog *catalog, const struct lq_serving_stack *stack,
                           struct lq_serving_prediction *out)
{
    size_t n = 0;
    for (size_t i = 0; i < catalog->decode_count; i++) {
        const struct lq_decode_run *run = &catalog->decodes[i];
        const struct lq_gpu_entry *gpu = lq_catalog_gpu(catalog, run->gpu);
        struct lq_error err = {0};
        if (gpu != NULL && strcmp(run->stack, stack->id) == 0 &&
            lq_decode_predict(run, &gpu->gpu, &out[n].predicted, &err) == LQ_OK) {
            out[n++].run = run;
        }
    }
    return n;
}

static void validate(const struct lq_catalog *catalog, const struct buffers *buffers,
                     struct lq_serving_validations *out)
{
    struct lq_serving_prediction *next = out->prediction;
    for (size_t i = 0; i < LQ_SERVING_STACK_COUNT; i++) {
        const struct lq_serving_stack *stack = &LQ_SERVING_STACKS[i];
        const size_t n = predict_runs(catalog, stack, next);
        if (n == 0) {
            continue;
        }
        struct lq_serving_validation *v = &out->stack[out->stack_count++];
        *v = (struct lq_serving_validation){.stack = stack, .predictions = next, .count = n};
        v->errors = errors_of(v, false, buffers);
        v->held_out = errors_of(v, true, buffers);
        v->has_held_out = v->held_out.n > 0;
        v->coverage = coverage_of(v);
        next += n;
    }
}

enum lq_code lq_validate_serving(const struct lq_catalog *catalog,
                                 struct lq_serving_validations *out, struct lq_error *err)
{
    const size_t n = catalog->decode_count + 1;
    *out =
        (struct lq_serving_validations){.stack = calloc(LQ_SERVING_STACK_COUNT, sizeof *out->stack),
                                        .prediction = calloc(n, sizeof *out->prediction)};
    double *numbers = calloc(3 * n, sizeof *numbers);
    const bool ready = out->stack != NULL && out->prediction != NULL && numbers != NULL;
    if (ready) {
        const struct buffers buffers = {numbers, numbers + n, numbers + 2 * n};
        validate(catalog, &buffers, out);
    } else {
        lq_serving_validations_release(out);
    }
    free(numbers);
    return ready ? LQ_OK : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory while validating");
}

void lq_serving_validations_release(struct lq_serving_validations *validations)
{
    free(validations->stack);
    free(validations->prediction);
    *validations = (struct lq_serving_validations){.stack_count = 0};
}
