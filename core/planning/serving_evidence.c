/* Holds the roofline against measured runs. Where runs are kept is the store's business. */
#include "core/planning/serving_evidence.h"

#include <string.h>
#include <strings.h>

enum lq_code lq_decode_predict(const struct lq_decode_run *run, const struct lq_gpu *gpu,
                               double *tokens_per_s, struct lq_error *err)
{
    const struct lq_serving_stack *stack = lq_serving_stack_find(run->stack);
    if (stack == NULL) {
        return lq_fail(err, LQ_EFIELD, "/stack", "no constants for serving with \"%s\"",
                       run->stack);
    }
    const struct lq_traffic traffic = {.kinds = &run->request, .count = 1};
    struct lq_serving_load load;
    lq_serving_count(run->model, &run->format, stack, &traffic, &load);
    const struct lq_serving_setup setup = {
        .gpu = gpu, .stack = stack, .max_concurrent_requests = (int64_t)run->concurrent_requests};
    struct lq_serving serving;
    LQ_TRY(lq_serving_at(&load, &setup, run->gpu_count, &serving, err));
    *tokens_per_s = serving.concurrent_requests / serving.decode_s;
    return LQ_OK;
}

static bool same_weights(const struct lq_serving_format *a, const struct lq_serving_format *b)
{
    return a->precision == b->precision && a->quantization == b->quantization;
}

struct lq_serving_basis lq_serving_basis_of(const struct lq_decode_run *runs, size_t count,
                                            const struct lq_serving_identity *identity)
{
    struct lq_serving_basis basis = {.kind = LQ_BASIS_PRIOR};
    for (size_t i = 0; i < count; i++) {
        const struct lq_decode_run *run = &runs[i];
        if (strcmp(run->stack, identity->stack) != 0) {
            continue;
        }
        basis.runs++;
        const bool same_model = strcasecmp(run->model->id, identity->model) == 0;
        if (basis.near == NULL) {
            basis.near = run;
            basis.kind = LQ_BASIS_TRANSFERRED;
        }
        if (same_model && strcasecmp(basis.near->model->id, identity->model) != 0) {
            basis.near = run;
        }
        if (same_model && strcasecmp(run->gpu, identity->gpu) == 0 &&
            run->gpu_count == identity->gpu_count &&
            same_weights(&run->format, &identity->format) &&
            run->concurrent_requests == identity->concurrent_requests) {
            basis.near = run;
            basis.kind = LQ_BASIS_CALIBRATED;
        }
    }
    return basis;
}
