/* See refit_fixture.h. */
#include "tests/unit/refit_fixture.h"

#include "server/jobs/refit_step.h"
#include "tests/unit/tiny.h"

#include <check.h>
#include <stdio.h>

static struct lq_model_entry models[2];
struct lq_gpu_entry gpus[2];
struct lq_point points[POINTS_MAX];
struct lq_capacity capacities[3];
struct lq_catalog catalog;

struct lq_identity identity_on(const char *gpu)
{
    struct lq_job job = small_job();
    job.stack = "hf-2024";
    struct lq_identity id = lq_job_identity(&job);
    snprintf(id.gpu, sizeof id.gpu, "%s", gpu);
    return id;
}

struct lq_point run(int i, const char *gpu, double times)
{
    struct lq_point p = {.identity = identity_on(gpu), .queries_per_s = 1.0};
    struct lq_conditions *c = &p.conditions;
    c->active_experts = 1 << i % 4;
    c->batch_size = 1 + i % 6;
    c->accumulation_steps = 1;
    c->queries_per_row = 1.0;
    c->row_tokens = i < RUNS / 2 ? 300.0 : 700.0;
    snprintf(c->lengths, sizeof c->lengths, "%s", i < RUNS / 2 ? "a" : "b");
    struct lq_step_observation o;
    ck_assert(lq_step_observe(&catalog, &p, &o));
    double factor[LQ_FACTOR_COUNT];
    for (int f = 0; f < LQ_FACTOR_COUNT; f++) {
        factor[f] = times;
    }
    struct lq_step_time step;
    lq_step_evaluate(&o.parts, factor, &step);
    p.step_time_s = step.total_s;
    p.queries_per_s = o.queries / step.total_s;
    snprintf(p.id, sizeof p.id, "%s-%02d", gpu, i);
    snprintf(p.source, sizeof p.source, "%s", i % 2 == 0 ? "lab" : "laboratory");
    snprintf(p.dataset, sizeof p.dataset, "set-%.8s-%.8s", c->lengths, gpu);
    return p;
}

/* A largest batch that an activation factor of 1.5 explains, half a row to spare. */
static struct lq_capacity capacity(const char *gpu, int64_t active_experts, int64_t tokens)
{
    struct lq_capacity c = {.identity = identity_on(gpu),
                            .active_experts = active_experts,
                            .longest_tokens = tokens,
                            .measured = true,
                            .source = "lab"};
    struct lq_job job;
    ck_assert(lq_job_of(&catalog, &c.identity, &job));
    job.active_experts = active_experts;
    const struct lq_memory memory = lq_job_memory(&job);
    struct lq_memory_factors factors = LQ_MEMORY_FACTORS_ONE;
    factors.activation = 1.5;
    factors.logits = 1.5;
    c.max_batch_size = lq_memory_max_batch(&memory, &factors, job.gpu->memory_bytes, tokens);
    ck_assert_int_gt(c.max_batch_size, 1);
    return c;
}

void fill_catalog(void)
{
    (void)small_job();
    models[0].model = small_moe();
    models[1].model = small_moe();
    snprintf(models[0].model.id, sizeof models[0].model.id, "other-moe");
    gpus[0].gpu = SMALL_GPU;
    gpus[1].gpu = SMALL_GPU;
    snprintf(gpus[1].gpu.id, sizeof gpus[1].gpu.id, "S2");
    gpus[1].gpu.memory_bytes = 8e9;
    catalog = (struct lq_catalog){.models = models, .model_count = 2, .gpus = gpus, .gpu_count = 2};
    for (int i = 0; i < RUNS; i++) {
        points[i] = run(i, "S1", 1.3);
        points[RUNS + i] = run(i, "S2", 2.0);
    }
    capacities[0] = capacity("S1", 2, 2048);
    capacities[1] = capacity("S2", 2, 512);
    capacities[2] = capacity("S1", 8, 1024);
    catalog.points = points;
    catalog.point_count = 2 * RUNS;
    catalog.capacities = capacities;
    catalog.capacity_count = 3;
}
