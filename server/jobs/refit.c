/* Groups stored points by identity and hands each group to core's fits. Fits are made in a fixed
 * order from nothing but the catalog, so the same data always gives the same coefficients and ids.
 */
#include "server/jobs/refit.h"

#include "core/base/hash.h"
#include "core/base/names.h"
#include "core/finetune/estimate.h"
#include "core/finetune/memory.h"
#include "core/finetune/xia2024.h"
#include "server/jobs/outliers.h"
#include "server/jobs/refit_memory.h"
#include "server/jobs/refit_step.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Stage times of Fig. 4, summed: profiled runs at one length, kept to check the fits against. */
static const char HELD_OUT[] = "xia2024-fig4";

/* A growing list of fits. */
struct fits {
    struct lq_fit *item;
    size_t count;
    size_t capacity;
    bool failed;
};

/* The next free fit, zeroed; NULL when out of memory. It stays unless the caller drops the count.
 */
static struct lq_fit *next_fit(struct fits *fits)
{
    if (fits->count == fits->capacity) {
        const size_t capacity = fits->capacity > 0 ? 2 * fits->capacity : 16;
        struct lq_fit *item = realloc(fits->item, capacity * sizeof *item);
        if (item == NULL) {
            fits->failed = true;
            return NULL;
        }
        fits->item = item;
        fits->capacity = capacity;
    }
    struct lq_fit *fit = &fits->item[fits->count++];
    memset(fit, 0, sizeof *fit);
    return fit;
}

bool lq_point_is_fitted(const struct lq_point *point)
{
    const bool held_out = point->shipped && strcmp(point->source, HELD_OUT) == 0;
    return point->queries_per_s > 0.0 && !held_out && lq_point_counts(point);
}

/* Counted memory meets public peaks within a factor of two, counted steps public ones within three
 * (GET /v1/validation): what is off by more than these was measured on something else. */
static const double LEAST_MEMORY_SHARE = 0.25;
static const double MOST_STEP_RATIO = 100.0;

static bool is_memory_plausible(const struct lq_job *job, const struct lq_point *point)
{
    const struct lq_memory memory = lq_job_memory(job);
    const double longest =
        point->longest_tokens > 0.0 ? point->longest_tokens : point->conditions.row_tokens;
    const double rows = (double)point->conditions.batch_size;
    if (point->out_of_memory) {
        return lq_memory_total_bytes(&memory, &LQ_MEMORY_FACTORS_ONE, rows, longest) >=
               LEAST_MEMORY_SHARE * job->gpu->memory_bytes;
    }
    /* as far as the stack's peaks count it: without the context, where they are of tensors */
    const double counted = lq_memory_peak_bytes(&memory, &LQ_MEMORY_FACTORS_ONE,
                                                lq_job_stack(job)->peak_scope, rows, longest, NULL);
    return point->peak_memory_bytes <= job->gpu->memory_bytes &&
           (!(point->peak_memory_bytes > 0.0) ||
            point->peak_memory_bytes >= LEAST_MEMORY_SHARE * counted);
}

static bool is_step_plausible(const struct lq_job *job, const struct lq_point *point)
{
    static const double ONE[LQ_FACTOR_COUNT] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0};
    const double rows = (double)point->conditions.batch_size;
    const double row_tokens = point->conditions.row_tokens;
    const struct lq_step_parts parts = lq_job_step(job, rows, row_tokens);
    struct lq_step_time step;
    lq_step_evaluate(&parts, ONE, &step);
    return point->step_time_s >= lq_job_least_step_s(job, rows, row_tokens) &&
           point->step_time_s <= MOST_STEP_RATIO * step.total_s;
}

bool lq_point_is_plausible(const struct lq_catalog *catalog, const struct lq_point *point)
{
    struct lq_job job;
    if (point->shipped || !lq_job_of(catalog, &point->identity, &job)) {
        return true;
    }
    job.active_experts = point->conditions.active_experts;
    return is_memory_plausible(&job, point) &&
           (point->out_of_memory || is_step_plausible(&job, point));
}

struct lq_observation lq_observation_of(const struct lq_point *point)
{
    return (struct lq_observation){
        .batch_size = (double)point->conditions.batch_size,
        .active_experts = (double)point->conditions.active_experts,
        .row_tokens = point->conditions.row_tokens,
        .queries_per_row = point->conditions.queries_per_row,
        .gpu_count = (double)point->identity.layout.data,
        .queries_per_s = point->queries_per_s,
    };
}

void lq_job_of_memory(const struct lq_catalog *catalog, const struct lq_identity *identity,
                      struct lq_job *job)
{
    *job = (struct lq_job){.model = lq_catalog_any_model(catalog, identity->model),
                           .gpu = lq_catalog_any_gpu(catalog, identity->gpu),
                           .gpu_count = identity->gpu_count,
                           .layout = identity->layout,
                           .network = {.node_gpu_count = LQ_NODE_GPUS_DEFAULT},
                           .method = identity->method,
                           .training = {.precision = identity->precision,
                                        .optimizer = identity->optimizer,
                                        .attention = identity->attention,
                                        .checkpointing = identity->checkpointing,
                                        .master_weights = identity->master_weights,
                                        .options = identity->options,
                                        .accumulation_steps = 1},
                           .stack = identity->stack};
}

bool lq_job_of(const struct lq_catalog *catalog, const struct lq_identity *identity,
               struct lq_job *job)
{
    lq_job_of_memory(catalog, identity, job);
    return job->model != NULL && job->gpu != NULL;
}

bool lq_job_of_point(const struct lq_catalog *catalog, const struct lq_point *point,
                     struct lq_job *job)
{
    if (!lq_job_of(catalog, &point->identity, job)) {
        return false;
    }
    job->active_experts = point->conditions.active_experts;
    job->training.accumulation_steps = point->conditions.accumulation_steps;
    return true;
}

double lq_fit_predict_point(const struct lq_catalog *catalog, const struct lq_fit *fit,
                            const struct lq_point *point)
{
    if (fit->kind == LQ_FIT_STEP_TIME) {
        struct lq_step_observation o;
        return lq_step_observe(catalog, point, &o) ? o.queries / lq_fit_step_s(fit, &o.parts) : 0.0;
    }
    const struct lq_observation o = lq_observation_of(point);
    const struct lq_model *model = lq_catalog_any_model(catalog, point->identity.model);
    return model != NULL ? lq_fit_predict(fit, &o, (double)lq_model_experts(model)) : 0.0;
}

/* What a fit is of, in words: its scope's part of the identity. */
static void describe_fit(const struct lq_fit *fit, char *text, size_t size)
{
    const struct lq_identity *id = &fit->identity;
    switch (fit->scope) {
    case LQ_SCOPE_ALL:
        snprintf(text, size, "%s-all", LQ_FIT_NAMES[fit->kind]);
        return;
    case LQ_SCOPE_STACK:
        snprintf(text, size, "%s-%.24s", LQ_FIT_NAMES[fit->kind], id->stack);
        return;
    case LQ_SCOPE_MODEL:
    case LQ_SCOPE_IDENTITY:
        break;
    }
    snprintf(text, size, "%s-%.32s-%s-%.24s-%.24s%s%s", LQ_FIT_NAMES[fit->kind], id->model,
             LQ_METHOD_NAMES[id->method.kind], id->gpu[0] != '\0' ? id->gpu : "any-gpu", id->stack,
             fit->lengths[0] != '\0' ? "-" : "", fit->lengths);
}

/* Names a fit after what it is of, and after its points: other points make another id. */
static void name_fit(struct lq_fit *fit, uint64_t hash)
{
    char text[LQ_FIT_ID_MAX];
    describe_fit(fit, text, sizeof text);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == ':' ? '-' : (char)tolower((unsigned char)*c);
    }
    snprintf(fit->id, sizeof fit->id, "%.140s-%08llx", text,
             (unsigned long long)((hash ^ (hash >> 32)) & 0xffffffffULL));
}

bool lq_point_is_calibration(const struct lq_catalog *catalog, const struct lq_point *point)
{
    return point >= catalog->points && point < catalog->points + catalog->point_count;
}

uint64_t lq_sign_identity(const struct lq_identity *id)
{
    char text[512];
    const struct lq_layout *layout = &id->layout;
    int size = snprintf(text, sizeof text, "%s|%s|%s|%lld|%d|%lld|%u|%d|%d|%d|%d|%d", id->model,
                        id->gpu, id->stack, (long long)id->gpu_count, (int)id->method.kind,
                        (long long)id->method.rank, id->method.targets,
                        (int)id->method.quantization, (int)id->method.train_embeddings,
                        (int)id->precision, (int)id->optimizer, (int)id->checkpointing);
    const uint64_t hash = lq_hash_bytes(LQ_HASH_START, text, (size_t)size);
    size = snprintf(text, sizeof text, "|%d|%d|%u|%lld|%lld|%lld|%lld|%lld|%d|%lld|%lld",
                    (int)id->attention, (int)id->master_weights, id->options,
                    (long long)layout->data, (long long)layout->tensor, (long long)layout->pipeline,
                    (long long)layout->expert, (long long)layout->context, layout->zero_stage,
                    (long long)lq_layout_shards(layout), (long long)layout->nodes);
    return lq_hash_bytes(hash, text, (size_t)size);
}

uint64_t lq_sign_point(uint64_t hash, const struct lq_point *point, struct lq_fit *fit)
{
    char data[LQ_ID_MAX];
    lq_conditions_data(&point->conditions, data);
    lq_names_add(fit->sources, sizeof fit->sources, point->source);
    lq_names_add(fit->data, sizeof fit->data, data);
    if (strcmp(point->measured_at, fit->newest_at) > 0) {
        snprintf(fit->newest_at, sizeof fit->newest_at, "%s", point->measured_at);
    }
    hash = lq_hash_bytes(hash, point->id, strlen(point->id));
    return lq_hash_bytes(hash, &point->queries_per_s, sizeof point->queries_per_s);
}

/* Points of one identity and distribution. */
struct group {
    const struct lq_point *const *points;
    size_t count;
};

/* One paper form on the points of one named distribution. */
static void fit_form(const struct lq_catalog *catalog, const struct group *group,
                     enum lq_fit_kind kind, struct fits *fits)
{
    const struct lq_point *first = group->points[0];
    const struct lq_model_entry *model = lq_catalog_model(catalog, first->identity.model);
    struct lq_observation *observations = calloc(group->count, sizeof *observations);
    struct lq_fit *fit = next_fit(fits);
    if (model == NULL || observations == NULL || fit == NULL) {
        fits->failed = fits->failed || observations == NULL;
        fits->count -= fit != NULL ? 1 : 0;
        free(observations);
        return;
    }
    for (size_t i = 0; i < group->count; i++) {
        observations[i] = lq_observation_of(group->points[i]);
    }
    struct lq_error err = {0};
    fit->scope = LQ_SCOPE_IDENTITY;
    fit->identity = first->identity;
    snprintf(fit->lengths, sizeof fit->lengths, "%s", first->conditions.lengths);
    const double experts = (double)lq_model_experts(&model->model);
    if (lq_fit_xia2024(kind, observations, group->count, experts,
                       lq_xia2024_c3(first->identity.model), fit, &err) == LQ_OK) {
        uint64_t hash = lq_sign_identity(&fit->identity);
        for (size_t i = 0; i < group->count; i++) {
            hash = lq_sign_point(hash, group->points[i], fit);
        }
        name_fit(fit, lq_hash_bytes(hash, fit->prior, sizeof fit->prior));
    } else {
        fits->count--;
    }
    free(observations);
}

/* By identity, distribution and id: groups are runs, in an order that arrival does not change. */
static int by_group(const void *a, const void *b)
{
    const struct lq_point *left = *(const struct lq_point *const *)a;
    const struct lq_point *right = *(const struct lq_point *const *)b;
    int order = lq_identity_compare(&left->identity, &right->identity);
    order = order != 0 ? order : strcmp(left->conditions.lengths, right->conditions.lengths);
    return order != 0 ? order : strcmp(left->id, right->id);
}

/* Length of the run from `start` whose points share an identity and a distribution. */
static size_t run_length(const struct lq_point *const *points, size_t start, size_t n)
{
    const struct lq_point *first = points[start];
    size_t end = start + 1;
    while (end < n && lq_identity_equal(&points[end]->identity, &first->identity) &&
           strcmp(points[end]->conditions.lengths, first->conditions.lengths) == 0) {
        end++;
    }
    return end - start;
}

static void fit_forms(const struct lq_catalog *catalog, const struct lq_point *const *points,
                      size_t n, struct fits *fits)
{
    size_t run = 0;
    for (size_t i = 0; i < n; i += run) {
        run = run_length(points, i, n);
        const struct group group = {&points[i], run};
        if (points[i]->conditions.lengths[0] != '\0') {
            fit_form(catalog, &group, LQ_FIT_XIA2024, fits);
            fit_form(catalog, &group, LQ_FIT_XIA2024_PRINTED, fits);
        }
    }
}

static bool add_fit(void *context, const struct lq_fit *fit, uint64_t hash)
{
    struct fits *fits = context;
    struct lq_fit *out = next_fit(fits);
    if (out != NULL) {
        *out = *fit;
        name_fit(out, hash);
    }
    return out != NULL;
}

static int by_id(const void *a, const void *b)
{
    const struct lq_fit *left = a;
    const struct lq_fit *right = b;
    return strcmp(left->id, right->id);
}

static enum lq_code add_memory(const struct lq_catalog *catalog, const struct lq_fit_sink *sink,
                               struct lq_error *err)
{
    struct lq_memory_sights sights;
    LQ_TRY(lq_memory_sights_gather(catalog, &sights, err));
    const enum lq_code code = lq_refit_memory(&sights, NULL, sink, err);
    lq_memory_sights_release(&sights);
    return code;
}

/* All fits of the points that count now; new in `fits`. */
static enum lq_code make_fits(const struct lq_catalog *catalog, struct fits *fits,
                              struct lq_error *err)
{
    *fits = (struct fits){.count = 0};
    const struct lq_point **points = calloc(catalog->point_count + 1, sizeof *points);
    size_t n = 0;
    for (size_t i = 0; points != NULL && i < catalog->point_count; i++) {
        if (lq_point_is_fitted(&catalog->points[i])) {
            points[n++] = &catalog->points[i];
        }
    }
    if (points != NULL) {
        qsort(points, n, sizeof *points, by_group);
        fit_forms(catalog, points, n, fits);
    }
    const struct lq_fit_sink sink = {.add = add_fit, .context = fits};
    const bool complete = points != NULL && lq_refit_steps(catalog, NULL, &sink, err) == LQ_OK &&
                          add_memory(catalog, &sink, err) == LQ_OK;
    free(points);
    if (!complete || fits->failed) {
        free(fits->item);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory while fitting");
    }
    return LQ_OK;
}

/* In place of fits that outliers are part of: those without them. `*fits` is freed on failure. */
static enum lq_code leave_out_outliers(const struct lq_catalog *catalog, struct fits *fits,
                                       struct lq_error *err)
{
    const size_t suspects = lq_outliers_suspect(catalog, fits->item, fits->count);
    if (suspects == 0) {
        return LQ_OK;
    }
    struct fits without;
    if (make_fits(catalog, &without, err) != LQ_OK) {
        free(fits->item);
        return LQ_EINTERNAL;
    }
    const size_t cleared = lq_outliers_clear(catalog, without.item, without.count);
    free(cleared == suspects ? without.item : fits->item);
    if (cleared == 0) {
        *fits = without;
    } else if (cleared < suspects) {
        free(without.item);
        return make_fits(catalog, fits, err);
    }
    return LQ_OK;
}

enum lq_code lq_refit(const struct lq_catalog *catalog, struct lq_fit **out, size_t *count,
                      struct lq_error *err)
{
    struct fits fits;
    LQ_TRY(make_fits(catalog, &fits, err));
    LQ_TRY(leave_out_outliers(catalog, &fits, err));
    if (fits.count > 0) {
        qsort(fits.item, fits.count, sizeof *fits.item, by_id);
    }
    *out = fits.item;
    *count = fits.count;
    return LQ_OK;
}
