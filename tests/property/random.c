/* See random.h. The generator is splitmix64 (Steele, Lea, Flood 2014, OOPSLA). */
#include "tests/property/random.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 20240801;
static uint64_t state;

void random_start(void)
{
    const char *given = getenv("LLMQUOTE_SEED");
    if (given != NULL) {
        seed = strtoull(given, NULL, 10);
    }
    printf("# LLMQUOTE_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
}

uint64_t random_bits(void)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void random_case(uint64_t stream, int number)
{
    state = seed + stream * 0x100000001b3u + (uint64_t)number;
    state = random_bits();
}

int64_t random_between(int64_t low, int64_t high)
{
    return low + (int64_t)(random_bits() % (uint64_t)(high - low + 1));
}

double random_share(void)
{
    return (double)(random_bits() >> 11) * 0x1p-53;
}

bool random_flag(void)
{
    return (random_bits() & 1) != 0;
}

struct lq_method random_method(void)
{
    static const uint32_t TARGETS[] = {
        LQ_TARGETS_ALL_LINEAR, LQ_TARGETS_ATTENTION, LQ_TARGETS_EXPERTS | LQ_TARGETS_DENSE_MLP,
        LQ_TARGETS_EXPERTS | LQ_TARGET_BIT(LQ_TARGET_ROUTER),
        LQ_TARGETS_ALL_LINEAR | LQ_TARGET_BIT(LQ_TARGET_HEAD) | LQ_TARGET_BIT(LQ_TARGET_EMBEDDING)};
    struct lq_method method = {.kind = (enum lq_method_kind)random_between(0, LQ_METHOD_QLORA)};
    if (method.kind == LQ_METHOD_FULL) {
        return method;
    }
    method.rank = (int64_t)1 << random_between(0, 8);
    method.targets = TARGETS[random_between(0, 4)];
    method.train_embeddings = random_between(0, 7) == 0;
    if (method.kind == LQ_METHOD_QLORA) {
        method.quantization =
            (enum lq_quantization)random_between(LQ_QUANTIZATION_NF4_DQ, LQ_QUANTIZATION_INT8);
    }
    return method;
}

struct lq_training random_training(void)
{
    return (struct lq_training){
        .precision = (enum lq_precision)random_between(0, LQ_PRECISION_FP8),
        .optimizer = (enum lq_optimizer)random_between(0, LQ_OPTIMIZER_SGD),
        .attention = (enum lq_attention)random_between(0, LQ_ATTENTION_EAGER),
        .checkpointing = (enum lq_checkpointing)random_between(0, LQ_CHECKPOINTING_SELECTIVE),
        .master_weights = random_flag(),
        .accumulation_steps = random_between(1, 16),
    };
}

size_t random_histogram(struct lq_length_bin *out, size_t room, int64_t longest)
{
    const size_t n = (size_t)random_between(1, (int64_t)room);
    int64_t tokens = 0;
    size_t count = 0;
    for (size_t i = 0; i < n && tokens < longest; i++) {
        tokens += random_between(1, 1 + (longest - tokens) / (int64_t)(n - i));
        const double queries = random_between(0, 3) == 0 ? 0.0 : (double)random_between(1, 1000);
        out[count++] = (struct lq_length_bin){.tokens = tokens, .queries = queries};
    }
    out[count - 1].queries += 1.0; /* never empty as a whole */
    return count;
}

void random_fill(const struct lq_catalog *catalog, size_t model, size_t gpu, struct random_job *out)
{
    static const char *const STACKS[] = {"hf-2024", "torchtune", "litgpt-2023", "llmquote-worker"};
    static const enum lq_padding PADDINGS[] = {LQ_PADDING_LONGEST, LQ_PADDING_FIXED,
                                               LQ_PADDING_PACKED};
    const struct lq_model *m = &catalog->models[model].model;
    out->gpu = catalog->gpus[gpu].gpu;
    struct lq_length_bin raw[RANDOM_BINS];
    const size_t n = random_histogram(raw, RANDOM_BINS, random_between(8, 4096));
    const struct lq_padding_rule rule = {PADDINGS[random_between(0, 2)], random_between(16, 2048),
                                         (int64_t)1 << random_between(0, 6)};
    struct lq_error err = {0};
    ck_assert_int_eq(lq_lengths_prepare(raw, n, &rule, out->bins, &out->lengths, &err), LQ_OK);
    const int64_t experts = lq_model_experts(m);
    out->job = (struct lq_job){.model = m,
                               .gpu = &out->gpu,
                               .gpu_count = (int64_t)1 << random_between(0, 4),
                               .network = {.node_gpu_count = (int64_t)1 << random_between(0, 3)},
                               .method = random_method(),
                               .training = random_training(),
                               .active_experts = experts > 0 ? random_between(1, experts) : 0,
                               .lengths = &out->lengths,
                               .lengths_id = "",
                               .queries = (double)random_between(1, 10000000),
                               .epochs = 0.1 + 10.0 * random_share(),
                               .stack = STACKS[random_between(0, 3)],
                               .confidence = 0.01 + 0.98 * random_share()};
    if (lq_stack_parallelism(lq_job_stack(&out->job), &out->job.method) == 0) {
        out->job.gpu_count = 1; /* more are refused */
    }
}

void random_roomy(const struct lq_catalog *catalog, struct random_job *out)
{
    random_fill(catalog, (size_t)random_between(0, (int64_t)catalog->model_count - 1),
                (size_t)random_between(0, (int64_t)catalog->gpu_count - 1), out);
    out->gpu.memory_bytes = 1e18;
    out->job.batch_size = random_between(1, 64);
}

const char *random_describe(const struct lq_job *job)
{
    static char text[512];
    snprintf(text, sizeof text,
             "%s on %d x %s: %s rank %d targets %x %s, %s, %s, %s, checkpointing %s, %d of the "
             "experts, batch %d, rows of up to %d (%s)",
             job->model->id, (int)job->gpu_count, job->gpu->id, LQ_METHOD_NAMES[job->method.kind],
             (int)job->method.rank, (unsigned)job->method.targets,
             LQ_QUANTIZATION_NAMES[job->method.quantization],
             LQ_PRECISION_NAMES[job->training.precision],
             LQ_OPTIMIZER_NAMES[job->training.optimizer],
             LQ_ATTENTION_NAMES[job->training.attention],
             LQ_CHECKPOINTING_NAMES[job->training.checkpointing], (int)job->active_experts,
             (int)job->batch_size, (int)job->lengths->longest_tokens,
             LQ_PADDING_NAMES[job->lengths->padding]);
    return text;
}
