/* Gathers what was seen of memory, per model, method and stack, for core's fit. */
#include "server/jobs/refit_memory.h"

#include "core/base/names.h"
#include "core/finetune/estimate.h"
#include "core/finetune/memory.h"
#include "server/jobs/refit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One piece of evidence: a largest batch, or a measured peak. */
struct evidence {
    struct lq_identity identity; /* without GPU */
    const char *gpu;
    const char *source;
    int64_t active_experts;
    int64_t batch_size;
    double row_tokens;
    double peak_bytes; /* 0: the batch was the largest that fitted */
};

static struct lq_identity without_gpu(const struct lq_identity *identity)
{
    struct lq_identity any = *identity;
    memset(any.gpu, 0, sizeof any.gpu);
    return any;
}

static size_t gather(const struct lq_catalog *catalog, struct evidence *out)
{
    size_t n = 0;
    for (size_t i = 0; i < catalog->capacity_count; i++) {
        const struct lq_capacity *c = &catalog->capacities[i];
        if (c->measured) {
            out[n++] = (struct evidence){
                without_gpu(&c->identity), c->identity.gpu,           c->source, c->active_experts,
                c->max_batch_size,         (double)c->longest_tokens, 0.0};
        }
    }
    for (size_t i = 0; i < catalog->point_count; i++) {
        const struct lq_point *p = &catalog->points[i];
        if (p->peak_memory_bytes > 0.0 && !p->implausible) {
            out[n++] = (struct evidence){
                without_gpu(&p->identity),    p->identity.gpu,          p->source,
                p->conditions.active_experts, p->conditions.batch_size, p->conditions.row_tokens,
                p->peak_memory_bytes};
        }
    }
    return n;
}

static int by_identity(const void *a, const void *b)
{
    const struct evidence *left = a;
    const struct evidence *right = b;
    const int order = lq_identity_compare(&left->identity, &right->identity);
    if (order != 0) {
        return order;
    }
    const int gpu = strcmp(left->gpu, right->gpu);
    if (gpu != 0) {
        return gpu;
    }
    if (left->active_experts != right->active_experts) {
        return left->active_experts < right->active_experts ? -1 : 1;
    }
    if (left->row_tokens != right->row_tokens) {
        return left->row_tokens < right->row_tokens ? -1 : 1;
    }
    return (left->batch_size > right->batch_size) - (left->batch_size < right->batch_size);
}

/* False where the catalog does not know the model or the device any more. */
static bool observe(const struct lq_catalog *catalog, const struct evidence *e,
                    struct lq_memory_observation *out)
{
    struct lq_identity identity = e->identity;
    snprintf(identity.gpu, sizeof identity.gpu, "%s", e->gpu);
    struct lq_job job;
    if (!lq_job_of(catalog, &identity, &job)) {
        return false;
    }
    const struct lq_memory_job memory_job = {.model = job.model,
                                             .method = &job.method,
                                             .training = &job.training,
                                             .stack = lq_job_stack(&job),
                                             .active_experts = e->active_experts,
                                             .activation_factor = 1.0};
    const struct lq_memory memory = lq_memory_count(&memory_job);
    const double held =
        e->peak_bytes > 0.0 ? e->peak_bytes : job.gpu->memory_bytes * (1.0 - memory.fragmentation);
    *out = (struct lq_memory_observation){
        .activation_bytes =
            lq_memory_activation_bytes(&memory, (double)e->batch_size, e->row_tokens),
        .free_bytes = held - lq_memory_fixed_bytes(&memory),
        .batch_size = (double)e->batch_size,
        .is_peak = e->peak_bytes > 0.0,
    };
    return true;
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ byte[i]) * 1099511628211ULL; /* FNV-1a */
    }
    return hash;
}

/* Fits one run of evidence of the same identity. */
static void fit_run(const struct lq_catalog *catalog, const struct evidence *run, size_t n,
                    struct lq_memory_observation *observations,
                    void (*add)(void *context, const struct lq_fit *fit, uint64_t hash),
                    void *context)
{
    struct lq_fit fit = {.identity = run[0].identity};
    uint64_t hash = 14695981039346656037ULL;
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (observe(catalog, &run[i], &observations[used])) {
            hash = hash_bytes(hash, run[i].gpu, strlen(run[i].gpu));
            hash = hash_bytes(hash, &run[i].active_experts, sizeof run[i].active_experts);
            hash = hash_bytes(hash, &observations[used].batch_size, sizeof(double));
            hash = hash_bytes(hash, &run[i].row_tokens, sizeof(double));
            hash = hash_bytes(hash, &run[i].peak_bytes, sizeof(double));
            used++;
        }
        lq_names_add(fit.sources, sizeof fit.sources, run[i].source);
    }
    struct lq_error err = {0};
    if (used > 0 && lq_fit_memory(observations, used, &fit, &err) == LQ_OK) {
        add(context, &fit, hash);
    }
}

bool lq_refit_memory(const struct lq_catalog *catalog,
                     void (*add)(void *context, const struct lq_fit *fit, uint64_t hash),
                     void *context)
{
    const size_t most = catalog->capacity_count + catalog->point_count + 1;
    struct evidence *evidence = calloc(most, sizeof *evidence);
    struct lq_memory_observation *observations = calloc(most, sizeof *observations);
    const bool ready = evidence != NULL && observations != NULL;
    if (ready) {
        const size_t n = gather(catalog, evidence);
        qsort(evidence, n, sizeof *evidence, by_identity);
        size_t start = 0;
        while (start < n) {
            size_t end = start + 1;
            while (end < n &&
                   lq_identity_equal(&evidence[end].identity, &evidence[start].identity)) {
                end++;
            }
            fit_run(catalog, &evidence[start], end - start, observations, add, context);
            start = end;
        }
    }
    free(evidence);
    free(observations);
    return ready;
}
