/* Times what core answers with prepared models and histograms: an estimate on one GPU, beside a
 * yardstick of the same run (one expectation of the longest of a batch computed with pow() over the
 * raw histogram), the search for a layout of 64 GPUs, and the fits of a new database. Prints
 * medians. */
#include "core/finetune/estimate.h"
#include "server/jobs/refit.h"
#include "server/json/arena.h"
#include "server/json/model_config.h"
#include "server/store/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { REPETITIONS = 31, BINS_MAX = 4096 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* What is timed: `run` once, its result added up so that nothing can be left out. */
struct subject {
    const char *name;
    double (*run)(const void *context);
    const void *context;
    int calls; /* per repetition */
};

static double sink;

static void measure(const struct subject *subject, double *median_us)
{
    double us[REPETITIONS];
    for (int r = 0; r < REPETITIONS; r++) {
        const double start = now_s();
        for (int i = 0; i < subject->calls; i++) {
            sink += subject->run(subject->context);
        }
        us[r] = 1e6 * (now_s() - start) / subject->calls;
    }
    qsort(us, REPETITIONS, sizeof us[0], by_value);
    *median_us = us[REPETITIONS / 2];
    printf("%-28s median %8.3f us   quartiles %8.3f .. %8.3f   %d x %d calls\n", subject->name,
           *median_us, us[REPETITIONS / 4], us[3 * REPETITIONS / 4], REPETITIONS, subject->calls);
}

struct estimation {
    struct lq_job job;
    struct lq_evidence evidence;
};

static double run_estimate(const void *context)
{
    const struct estimation *e = context;
    struct lq_estimate estimate;
    struct lq_error err = {0};
    if (lq_estimate(&e->job, &e->evidence, &estimate, &err) != LQ_OK) {
        fprintf(stderr, "estimate failed: %s\n", err.detail);
        exit(EXIT_FAILURE);
    }
    return estimate.queries_per_s;
}

/* The yardstick: the mean longest of four draws from the unpadded histogram, as a script has it. */
static double run_pow(const void *context)
{
    const struct lq_dataset *dataset = context;
    double below = 0.0;
    double previous = 0.0;
    double mean = 0.0;
    for (size_t i = 0; i < dataset->count; i++) {
        below += dataset->bins[i].queries;
        const double share = pow(below / dataset->queries, 4.0);
        mean += (share - previous) * (double)dataset->bins[i].tokens;
        previous = share;
    }
    return mean;
}

static double run_refit(const void *context)
{
    struct lq_fit *fits = NULL;
    size_t count = 0;
    struct lq_error err = {0};
    if (lq_refit(context, &fits, &count, &err) != LQ_OK) {
        fprintf(stderr, "refit failed: %s\n", err.detail);
        exit(EXIT_FAILURE);
    }
    free(fits);
    return (double)count;
}

static void prepare(const struct lq_length_bin *raw, size_t count, int64_t cutoff_tokens,
                    struct lq_length_bin bins[BINS_MAX], struct lq_lengths *lengths)
{
    const struct lq_padding_rule rule = {LQ_PADDING_LONGEST, cutoff_tokens, 8};
    struct lq_error err = {0};
    if (count > BINS_MAX || lq_lengths_prepare(raw, count, &rule, bins, lengths, &err) != LQ_OK) {
        fprintf(stderr, "cannot prepare the histogram: %s\n", err.detail);
        exit(EXIT_FAILURE);
    }
}

static const struct lq_model *model_of(const struct lq_catalog *catalog, const char *id)
{
    const struct lq_model_entry *entry = lq_catalog_model(catalog, id);
    if (entry == NULL) {
        fprintf(stderr, "the seed has no model %s\n", id);
        exit(EXIT_FAILURE);
    }
    return &entry->model;
}

static struct lq_evidence evidence_of(const struct lq_catalog *catalog)
{
    return (struct lq_evidence){catalog->fits, catalog->fit_count, catalog->points,
                                catalog->point_count};
}

/* Mixtral on one A40, the job of Table IV of Xia et al. 2024. */
static void bench_estimate(const struct lq_catalog *catalog)
{
    static struct lq_length_bin bins[BINS_MAX];
    const struct lq_dataset *dataset = lq_catalog_dataset(catalog, "xia2024-math");
    struct lq_lengths lengths;
    prepare(dataset->bins, dataset->count, 1024, bins, &lengths);
    const struct estimation estimation = {
        .job = {.model = model_of(catalog, "mixtral-8x7b"),
                .gpu = &lq_catalog_gpu(catalog, "A40")->gpu,
                .gpu_count = 1,
                .layout = LQ_LAYOUT_SINGLE,
                .method = {.kind = LQ_METHOD_QLORA,
                           .rank = 16,
                           .targets = LQ_TARGETS_EXPERTS | LQ_TARGET_BIT(LQ_TARGET_ROUTER),
                           .quantization = LQ_QUANTIZATION_NF4_DQ},
                .training = {.checkpointing = LQ_CHECKPOINTING_FULL, .accumulation_steps = 1},
                .active_experts = 2,
                .lengths = &lengths,
                .lengths_id = "xia2024-math",
                .queries = 15000.0,
                .epochs = 10.0,
                .stack = "hf-2024",
                .confidence = 0.9},
        .evidence = evidence_of(catalog)};
    const struct subject estimate = {"core estimate", run_estimate, &estimation, 2000};
    const struct subject yardstick = {"pow() over the histogram", run_pow, dataset, 2000};
    double estimate_us = 0.0;
    double yardstick_us = 0.0;
    measure(&estimate, &estimate_us);
    measure(&yardstick, &yardstick_us);
    printf("ratio estimate / yardstick   %.3f   (asked: estimate under 10 us)\n",
           estimate_us / yardstick_us);
}

/* All weights of a model on 64 H100, rows of 4,096 tokens, the layout left open. */
static void bench_search(const struct lq_catalog *catalog, const char *name, const char *model)
{
    static struct lq_length_bin bins[BINS_MAX];
    const struct lq_length_bin row = {.tokens = 4096, .queries = 1.0};
    struct lq_lengths lengths;
    prepare(&row, 1, 0, bins, &lengths);
    const struct estimation estimation = {
        .job = {.model = model_of(catalog, model),
                .gpu = &lq_catalog_gpu(catalog, "H100-SXM-80GB")->gpu,
                .gpu_count = 64,
                .network = {.node_gpu_count = 8},
                .method = {.kind = LQ_METHOD_FULL},
                .training = {.checkpointing = LQ_CHECKPOINTING_FULL, .accumulation_steps = 1},
                .active_experts = lq_model_active_experts(model_of(catalog, model)),
                .lengths = &lengths,
                .lengths_id = "",
                .fixed_tokens = 4096,
                .queries = 1e5,
                .epochs = 1.0,
                .stack = "torchtitan",
                .confidence = 0.9},
        .evidence = evidence_of(catalog)};
    const struct subject search = {name, run_estimate, &estimation, 20};
    double search_us = 0.0;
    measure(&search, &search_us);
    struct lq_estimate estimate;
    struct lq_error err = {0};
    if (lq_estimate(&estimation.job, &estimation.evidence, &estimate, &err) == LQ_OK) {
        printf("  %lld layouts tried   (asked: under 2000 us)\n",
               (long long)estimate.layouts_tried);
    }
}

static void bench(const struct lq_catalog *catalog)
{
    bench_estimate(catalog);
    bench_search(catalog, "layout search, dense", "llama-3.1-70b");
    bench_search(catalog, "layout search, experts", "mixtral-8x7b");
    const struct subject refit = {"fits of a new database", run_refit, catalog, 1};
    double refit_us = 0.0;
    measure(&refit, &refit_us);
}

int main(void)
{
    static const struct lq_hooks HOOKS = {.decode_model = lq_model_decode, .refit = lq_refit};
    char path[] = "/tmp/llmquote-bench-XXXXXX";
    if (mkdtemp(path) == NULL) {
        perror("mkdtemp");
        return EXIT_FAILURE;
    }
    char database[64];
    snprintf(database, sizeof database, "%s/bench.db", path);
    lq_arena_install();
    struct lq_store *store = NULL;
    struct lq_error err = {0};
    if (lq_store_open(database, &HOOKS, &store, &err) != LQ_OK) {
        fprintf(stderr, "%s\n", err.detail);
        return EXIT_FAILURE;
    }
    const struct lq_catalog *catalog = lq_store_acquire(store);
    bench(catalog);
    lq_store_release(store, catalog);
    lq_store_close(store);
    unlink(database);
    rmdir(path);
    return sink > 0.0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
