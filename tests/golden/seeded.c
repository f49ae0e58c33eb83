/* Opens the seed once per program. */
#include "tests/golden/seeded.h"

#include "server/jobs/refit.h"
#include "server/json/model_config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BINS_MAX = 4096 };

static struct lq_store *store;
static const struct lq_catalog *catalog;
static char directory[] = "/tmp/llmquote-golden-XXXXXX";
static char path[sizeof directory + 16];
static struct lq_length_bin bins[BINS_MAX];
static struct lq_lengths math_lengths;

static void must(enum lq_code code, const struct lq_error *err)
{
    if (code != LQ_OK) {
        fprintf(stderr, "%s: %s\n", lq_code_slug(code), err->detail);
        abort();
    }
}

const struct lq_catalog *seeded_open(void)
{
    static const struct lq_hooks HOOKS = {.decode_model = lq_model_decode, .refit = lq_refit};
    struct lq_error err = {0};
    if (mkdtemp(directory) == NULL) {
        abort();
    }
    snprintf(path, sizeof path, "%s/golden.db", directory);
    must(lq_store_open(path, &HOOKS, &store, &err), &err);
    catalog = lq_store_acquire(store);
    return catalog;
}

void seeded_close(void)
{
    lq_store_release(store, catalog);
    lq_store_close(store);
    unlink(path);
    rmdir(directory);
}

void assert_near(const char *what, double got, double want, double absolute, double relative)
{
    const double tolerance = absolute + relative * fabs(want);
    const double off = fabs(got - want);
    ck_assert_msg(off <= tolerance, "%s: got %.9g, published %.9g, off by %.0f %% of the tolerance",
                  what, got, want, 100.0 * off / tolerance);
}

void assert_at_most(const char *what, double got, double most)
{
    printf("# %s: %.4g of at most %.4g\n", what, got, most);
    ck_assert_msg(got <= most, "%s: got %.4g, at most %.4g", what, got, most);
}

struct lq_job paper_job(const struct lq_catalog *from, const char *gpu)
{
    const struct lq_dataset *math = lq_catalog_dataset(from, "xia2024-math");
    const struct lq_padding_rule rule = {LQ_PADDING_LONGEST, 1024, 8};
    struct lq_error err = {0};
    must(lq_lengths_prepare(math->bins, math->count, &rule, bins, &math_lengths, &err), &err);
    return (struct lq_job){
        .model = &lq_catalog_model(from, "mixtral-8x7b")->model,
        .gpu = &lq_catalog_gpu(from, gpu)->gpu,
        .gpu_count = 1,
        .method = {.kind = LQ_METHOD_QLORA,
                   .rank = 16,
                   .targets = LQ_TARGETS_EXPERTS | LQ_TARGET_BIT(LQ_TARGET_ROUTER),
                   .quantization = LQ_QUANTIZATION_NF4_DQ},
        .training = {.checkpointing = LQ_CHECKPOINTING_FULL, .accumulation_steps = 1},
        .active_experts = 2,
        .lengths = &math_lengths,
        .lengths_id = math->id,
        .queries = 15000.0,
        .epochs = 10.0,
        .stack = "hf-2024",
        .confidence = 0.9};
}

struct lq_evidence evidence_of(const struct lq_catalog *from)
{
    return (struct lq_evidence){from->fits, from->fit_count, from->points, from->point_count};
}

size_t points_of(const struct lq_catalog *from, const struct lq_selection *selection,
                 const struct lq_point *out[SELECTED_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < from->point_count; i++) {
        const struct lq_point *p = &from->points[i];
        if (lq_point_is_fitted(p) && strcmp(p->identity.model, selection->model) == 0 &&
            strcmp(p->identity.gpu, selection->gpu) == 0 &&
            (selection->dataset == NULL || strcmp(p->dataset, selection->dataset) == 0)) {
            ck_assert_uint_lt(n, SELECTED_MAX);
            out[n++] = p;
        }
    }
    ck_assert_uint_gt(n, 0);
    return n;
}

const struct lq_fit *fit_of(const struct lq_catalog *from, const struct lq_identity *identity)
{
    for (size_t i = 0; i < from->fit_count; i++) {
        const struct lq_fit *fit = &from->fits[i];
        if (fit->kind == LQ_FIT_STEP_TIME && fit->scope == LQ_SCOPE_IDENTITY &&
            lq_identity_equal(&fit->identity, identity)) {
            return fit;
        }
    }
    ck_abort_msg("no fit of %s on %s", identity->model, identity->gpu);
    return NULL;
}

double mean_error(const struct lq_catalog *from, const struct lq_fit *fit,
                  const struct lq_point *const *points, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += fabs(lq_fit_predict_point(from, fit, points[i]) / points[i]->queries_per_s - 1.0);
    }
    return sum / (double)n;
}
