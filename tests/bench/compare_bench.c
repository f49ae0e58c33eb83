/* Times comparisons without HTTP: all priced GPUs with 1, 2, 4 and 8 of each, and one of each
 * alone. For each the trials (estimates, layouts and offers), and the whole call from text to text.
 * Prints medians; the yardstick is the same estimates asked one by one through POST /v1/estimates.
 */
#include "server/api/comparisons.h"
#include "server/api/estimates.h"
#include "server/api/lookup.h"
#include "server/api/trials.h"
#include "server/jobs/refit.h"
#include "server/json/arena.h"
#include "server/json/comparison.h"
#include "server/json/field.h"
#include "server/json/model_config.h"
#include "server/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { REPETITIONS = 31, BODY_MAX = 1 << 20 };

#define JOB                                                                                        \
    "\"model\": \"mixtral-8x7b\", \"epochs\": 10, \"method\": {\"kind\": \"qlora\", "              \
    "\"rank\": 16, \"targets\": [\"experts\", \"router\"]}, \"dataset\": {\"queries\": 15000, "    \
    "\"lengths\": {\"name\": \"xia2024-math\"}, \"cutoff_tokens\": 1024}"
#define SMALL                                                                                      \
    "\"model\": \"llama-3.1-8b\", \"dataset\": {\"queries\": 10000, \"lengths\": "                 \
    "{\"quantiles\": {\"p50\": 174, \"p90\": 271, \"max\": 1470}}}"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* One call; returns the bytes of its answer. */
static size_t ask(const struct lq_catalog *catalog, lq_handler handler, const char *body)
{
    const struct lq_request request = {.body = body, .body_size = strlen(body), .id = "bench"};
    struct lq_faults faults = {.count = 0};
    struct lq_call call = {.catalog = catalog, .request = &request, .faults = &faults};
    struct lq_reply reply = {.status = 0};
    if (handler(&call, &reply) != LQ_OK) {
        fprintf(stderr, "%s: %s\n", faults.items[0].pointer, faults.items[0].detail);
        exit(EXIT_FAILURE);
    }
    reply.free_body((void *)(size_t)reply.body);
    return reply.body_size;
}

static void report(const char *name, double ms[REPETITIONS], size_t bytes)
{
    qsort(ms, REPETITIONS, sizeof ms[0], by_value);
    printf("%-44s median %8.3f ms   quartiles %8.3f .. %8.3f   %zu bytes\n", name,
           ms[REPETITIONS / 2], ms[REPETITIONS / 4], ms[3 * REPETITIONS / 4], bytes);
}

static void measure(const struct lq_catalog *catalog, const char *name, lq_handler handler,
                    const char *body)
{
    double ms[REPETITIONS];
    size_t bytes = 0;
    for (int r = 0; r < REPETITIONS; r++) {
        const double start = now_s();
        bytes = ask(catalog, handler, body);
        ms[r] = 1e3 * (now_s() - start);
    }
    report(name, ms, bytes);
}

/* The same estimates, each asked for by itself: what a script does without comparisons. */
static void measure_singles(const struct lq_catalog *catalog, const char *job)
{
    char *body = malloc(BODY_MAX);
    size_t used = (size_t)snprintf(body, BODY_MAX, "{\"jobs\": [");
    for (size_t i = 0; i < catalog->gpu_count; i++) {
        for (int count = 1; count <= 8 && !catalog->gpus[i].unlisted; count *= 2) {
            used += (size_t)snprintf(body + used, BODY_MAX - used,
                                     "%s{%s, \"gpu\": \"%s\", \"gpu_count\": %d}",
                                     used > 16 ? ", " : "", job, catalog->gpus[i].gpu.id, count);
        }
    }
    snprintf(body + used, BODY_MAX - used, "]}");
    measure(catalog, "yardstick: the estimates one by one", lq_estimates_post, body);
    free(body);
}

/* Estimates and offers alone, decoded and not encoded. */
static void measure_trials(const struct lq_catalog *catalog, const char *name, const char *body)
{
    static struct lq_comparison_document document;
    struct lq_faults faults = {.count = 0};
    const struct lq_lookup lookup = lq_catalog_lookup(catalog);
    json_t *root = lq_parse(body, strlen(body), &faults);
    if (lq_comparison_decode(root, catalog->gpus[0].gpu.id, &lookup, &document, &faults) != LQ_OK) {
        fprintf(stderr, "%s: %s\n", faults.items[0].pointer, faults.items[0].detail);
        exit(EXIT_FAILURE);
    }
    double ms[REPETITIONS];
    struct lq_trials trials;
    for (int r = 0; r < REPETITIONS; r++) {
        struct lq_error err = {.code = LQ_OK};
        const double start = now_s();
        const enum lq_code code = lq_trials_run(&document, catalog, &trials, &err);
        ms[r] = 1e3 * (now_s() - start);
        lq_trials_free(&trials);
        if (code != LQ_OK) {
            exit(EXIT_FAILURE);
        }
    }
    report(name, ms, 0);
    lq_comparison_release(&document);
    json_decref(root);
}

static void bench(const struct lq_catalog *catalog)
{
    printf("asked: under 25 ms for all counts, under 5 ms for single GPUs\n");
    measure(catalog, "Mixtral QLoRA, 1 2 4 8 GPUs, first 50", lq_comparisons_post, "{" JOB "}");
    measure_trials(catalog, "  of it estimates and offers", "{" JOB "}");
    measure(catalog, "Mixtral QLoRA, spot too, budget, deadline", lq_comparisons_post,
            "{" JOB ", \"spot\": \"both\", \"budget_usd\": 50, \"deadline_s\": 36000}");
    measure(catalog, "Mixtral QLoRA, one GPU", lq_comparisons_post,
            "{" JOB ", \"gpu_counts\": [1]}");
    measure(catalog, "Llama 8B LoRA, 1 2 4 8 GPUs, first 50", lq_comparisons_post, "{" SMALL "}");
    measure(catalog, "Llama 8B LoRA, one GPU", lq_comparisons_post,
            "{" SMALL ", \"gpu_counts\": [1]}");
    measure_singles(catalog, JOB);
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
    return EXIT_SUCCESS;
}
