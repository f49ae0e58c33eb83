/* What measured steps are to fits of the step time. How they are grouped is in scopes.c. */
#include "server/jobs/refit_step.h"

#include "core/base/hash.h"
#include "core/finetune/evidence.h"
#include "server/jobs/refit.h"
#include "server/jobs/step_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool lq_step_time_seen(const struct lq_point *point, double *step_s, double *queries)
{
    const struct lq_conditions *run = &point->conditions;
    *queries = (double)run->batch_size * (double)point->identity.layout.data *
               fmax(run->queries_per_row, 1.0);
    *step_s = *queries / point->queries_per_s;
    return point->queries_per_s > 0.0;
}

bool lq_step_observe(const struct lq_catalog *catalog, const struct lq_point *point,
                     struct lq_step_observation *out)
{
    struct lq_job job;
    if (!lq_step_time_seen(point, &out->step_s, &out->queries) ||
        !lq_job_of_point(catalog, point, &job)) {
        return false;
    }
    out->parts =
        lq_job_step(&job, (double)point->conditions.batch_size, point->conditions.row_tokens);
    return true;
}

static const struct lq_point *point_of(const struct lq_measurement *measurement)
{
    return measurement->seen;
}

static int by_scope(const void *a, const void *b)
{
    const struct lq_measurement *left = a;
    const struct lq_measurement *right = b;
    const int order = lq_scope_compare(left->identity, right->identity);
    return order != 0 ? order : strcmp(point_of(left)->id, point_of(right)->id);
}

static void extend(double range[2], double value, bool first)
{
    range[0] = first ? value : fmin(range[0], value);
    range[1] = first ? value : fmax(range[1], value);
}

/* Everything of a fit that its points tell beside the coefficients, and a hash over them. */
static uint64_t describe(const struct lq_scope_group *group, struct lq_fit *fit)
{
    const struct lq_catalog *catalog = group->catalog;
    uint64_t hash = lq_sign_identity(&fit->identity);
    for (size_t i = 0; i < group->named_n; i++) {
        const struct lq_point *p = point_of(&group->named[i]);
        const double row = p->conditions.row_tokens;
        extend(fit->row_range, row, i == 0);
        extend(fit->step_tokens, (double)p->conditions.batch_size * row, i == 0);
        if (lq_point_is_calibration(catalog, p)) {
            const struct lq_model *model = lq_catalog_any_model(catalog, p->identity.model);
            fit->calibrated |= lq_fit_class(p->identity.method.kind, lq_model_class(model));
        }
        hash = lq_sign_point(hash, p, fit);
    }
    return lq_hash_bytes(hash, fit->prior, sizeof fit->prior);
}

static enum lq_code fit_sample(const struct lq_scope_group *group,
                               const struct lq_sampling *sampling, struct lq_fit *out,
                               struct lq_error *err)
{
    const struct lq_step_sample sample = lq_sampling_sample(sampling);
    double *scratch = calloc(lq_step_sample_scratch(&sample) + 1, sizeof *scratch);
    if (scratch == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    const enum lq_code code = lq_fit_step_time(
        &sample, group->prior, lq_evidence_member_log_sd(group->scope), scratch, out, err);
    free(scratch);
    return code;
}

static enum lq_code fit_group(const struct lq_scope_group *group, struct lq_fit *out,
                              uint64_t *hash, struct lq_error *err)
{
    struct lq_sampling sampling;
    *out = (struct lq_fit){.scope = group->scope};
    enum lq_code code = lq_sampling_begin(&sampling, group->catalog, group->n, err);
    for (size_t i = 0; code == LQ_OK && i < group->n; i++) {
        const struct lq_measurement *m = &group->measurements[i];
        code = lq_sampling_add(&sampling, point_of(m), m->siblings, err);
    }
    if (code == LQ_OK) {
        code = fit_sample(group, &sampling, out, err);
    }
    lq_sampling_end(&sampling);
    if (code == LQ_OK) {
        out->points = group->named_n > group->n ? group->named_n : out->points;
        out->identity = lq_scope_identity(group->measurements[0].identity, group->scope);
        *hash = describe(group, out);
    }
    return code;
}

static struct lq_scopes scopes_of(const struct lq_catalog *catalog)
{
    return (struct lq_scopes){.catalog = catalog,
                              .doubt = lq_evidence_doubt,
                              .member_log_sd = lq_evidence_member_log_sd,
                              .fit = fit_group};
}

static bool is_kept(const struct lq_catalog *catalog, const struct lq_filter *filter,
                    const struct lq_point *point)
{
    struct lq_job job;
    return lq_point_is_fitted(point) && (filter == NULL || filter->keep(filter->context, point)) &&
           lq_job_of(catalog, &point->identity, &job);
}

static size_t gather(const struct lq_catalog *catalog, const struct lq_filter *filter,
                     const struct lq_point *points, size_t n, struct lq_measurement *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_kept(catalog, filter, &points[i])) {
            out[kept++] =
                (struct lq_measurement){.identity = &points[i].identity, .seen = &points[i]};
        }
    }
    return kept;
}

/* Everything that may be fitted, in the order of scopes. New; NULL when out of memory. */
static struct lq_measurement *gather_all(const struct lq_catalog *catalog,
                                         const struct lq_filter *filter, size_t *count)
{
    const size_t most = catalog->point_count + catalog->run_count;
    struct lq_measurement *all = calloc(most + 1, sizeof *all);
    if (all != NULL) {
        *count = gather(catalog, filter, catalog->points, catalog->point_count, all);
        *count += gather(catalog, filter, catalog->runs, catalog->run_count, all + *count);
        qsort(all, *count, sizeof *all, by_scope);
    }
    return all;
}

enum lq_code lq_refit_steps(const struct lq_catalog *catalog, const struct lq_filter *filter,
                            const struct lq_fit_sink *sink, struct lq_error *err)
{
    const struct lq_scopes scopes = scopes_of(catalog);
    size_t count = 0;
    struct lq_measurement *all = gather_all(catalog, filter, &count);
    const enum lq_code code = all != NULL ? lq_scopes_fit(&scopes, all, count, sink, err)
                                          : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    free(all);
    return code;
}

enum lq_code lq_refit_identity(const struct lq_catalog *catalog,
                               const struct lq_point *const *points, size_t count,
                               const struct lq_point *skip, const struct lq_belief *prior,
                               struct lq_fit *out, struct lq_error *err)
{
    struct lq_measurement *kept = calloc(count + 1, sizeof *kept);
    struct lq_scope_group group = {.catalog = catalog,
                                   .measurements = kept,
                                   .named = kept,
                                   .scope = LQ_SCOPE_IDENTITY,
                                   .prior = prior};
    uint64_t hash = 0;
    if (kept == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        if (points[i] != skip) {
            kept[group.n++] = (struct lq_measurement){
                .identity = &points[i]->identity, .seen = points[i], .siblings = 1.0};
        }
    }
    group.named_n = group.n;
    const enum lq_code code = group.n > 0
                                  ? fit_group(&group, out, &hash, err)
                                  : lq_fail(err, LQ_EFIT, NULL, "no points determine the step");
    free(kept);
    return code;
}

static bool is_another(const void *context, const struct lq_point *point)
{
    return !lq_identity_equal(context, &point->identity);
}

enum lq_code lq_refit_prior(const struct lq_catalog *catalog, const struct lq_identity *identity,
                            struct lq_belief *out, struct lq_error *err)
{
    const struct lq_scopes scopes = scopes_of(catalog);
    const struct lq_filter others = {.keep = is_another, .context = identity};
    size_t count = 0;
    struct lq_measurement *all = gather_all(catalog, &others, &count);
    const enum lq_code code = all != NULL ? lq_scopes_prior(&scopes, all, count, identity, out, err)
                                          : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    free(all);
    return code;
}
