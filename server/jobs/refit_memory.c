/* Gathers what was seen of memory, per model, method and stack, for core's fit. */
#include "server/jobs/refit_memory.h"

#include "core/base/names.h"
#include "core/finetune/estimate.h"
#include "core/finetune/memory.h"
#include "server/jobs/refit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One piece of evidence: a largest batch, a measured peak, or a batch that did not fit. */
struct evidence {
    struct lq_identity identity; /* without GPU */
    const char *gpu;
    const char *source;
    enum lq_memory_evidence kind;
    int64_t active_experts;
    int64_t batch_size;
    int64_t accumulation_steps;
    double row_tokens;
    double peak_bytes; /* of a peak */
};

static struct lq_identity without_gpu(const struct lq_identity *identity)
{
    struct lq_identity any = *identity;
    memset(any.gpu, 0, sizeof any.gpu);
    return any;
}

static struct evidence of_capacity(const struct lq_capacity *c)
{
    return (struct evidence){.identity = without_gpu(&c->identity),
                             .gpu = c->identity.gpu,
                             .source = c->source,
                             .kind = LQ_MEMORY_LARGEST,
                             .active_experts = c->active_experts,
                             .batch_size = c->max_batch_size,
                             .accumulation_steps = 1,
                             .row_tokens = (double)c->longest_tokens};
}

static struct evidence of_point(const struct lq_point *p)
{
    const struct lq_conditions *c = &p->conditions;
    return (struct evidence){.identity = without_gpu(&p->identity),
                             .gpu = p->identity.gpu,
                             .source = p->source,
                             .kind = p->out_of_memory ? LQ_MEMORY_TOO_LARGE : LQ_MEMORY_PEAK,
                             .active_experts = c->active_experts,
                             .batch_size = c->batch_size,
                             .accumulation_steps = c->accumulation_steps,
                             .row_tokens =
                                 p->longest_tokens > 0.0 ? p->longest_tokens : c->row_tokens,
                             .peak_bytes = p->peak_memory_bytes};
}

static size_t gather(const struct lq_catalog *catalog, struct evidence *out)
{
    size_t n = 0;
    for (size_t i = 0; i < catalog->capacity_count; i++) {
        if (catalog->capacities[i].measured) {
            out[n++] = of_capacity(&catalog->capacities[i]);
        }
    }
    for (size_t i = 0; i < catalog->point_count; i++) {
        const struct lq_point *p = &catalog->points[i];
        if ((p->peak_memory_bytes > 0.0 || p->out_of_memory) && !p->implausible) {
            out[n++] = of_point(p);
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
    job.active_experts = e->active_experts;
    job.training.accumulation_steps = e->accumulation_steps > 0 ? e->accumulation_steps : 1;
    *out = (struct lq_memory_observation){
        .memory = lq_job_memory(&job),
        .kind = e->kind,
        .batch_size = (double)e->batch_size,
        .row_tokens = e->row_tokens,
        .held_bytes = e->kind == LQ_MEMORY_PEAK ? e->peak_bytes : job.gpu->memory_bytes,
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
