/* Groups measured steps by scope and hands each group to core's fit. */
#include "server/jobs/refit_step.h"

#include "core/base/names.h"
#include "core/finetune/evidence.h"
#include "server/jobs/refit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Points of one identity that a wider scope looks at; an identity's own fit looks at more. */
enum { WIDE_POINTS_MAX = 16, OWN_POINTS_MAX = 512 };

/* Everything a chain of fits needs. */
struct chain {
    const struct lq_catalog *catalog;
    const struct lq_fit_sink *sink;
    const struct lq_point **points; /* ordered by stack, model, kind of method, identity, id */
    size_t count;
    bool failed;
};

bool lq_step_observe(const struct lq_catalog *catalog, const struct lq_point *point,
                     struct lq_step_observation *out)
{
    struct lq_job job;
    if (!(point->queries_per_s > 0.0) || !lq_job_of_point(catalog, point, &job)) {
        return false;
    }
    const double rows = (double)point->conditions.batch_size;
    out->parts = lq_job_step(&job, rows, point->conditions.row_tokens);
    out->queries = rows * (double)job.layout.data * fmax(point->conditions.queries_per_row, 1.0);
    out->step_s = out->queries / point->queries_per_s;
    out->siblings = 1.0;
    return true;
}

static int by_scope(const void *a, const void *b)
{
    const struct lq_point *left = *(const struct lq_point *const *)a;
    const struct lq_point *right = *(const struct lq_point *const *)b;
    const struct lq_identity *x = &left->identity;
    const struct lq_identity *y = &right->identity;
    int order = strcmp(x->stack, y->stack);
    order = order != 0 ? order : strcmp(x->model, y->model);
    order = order != 0 ? order : (int)x->method.kind - (int)y->method.kind;
    order = order != 0 ? order : lq_identity_compare(x, y);
    return order != 0 ? order : strcmp(left->id, right->id);
}

/* Whether two points are of one group in a scope. */
static bool is_together(const struct lq_point *a, const struct lq_point *b, enum lq_scope scope)
{
    const struct lq_identity *x = &a->identity;
    const struct lq_identity *y = &b->identity;
    switch (scope) {
    case LQ_SCOPE_ALL:
        return true;
    case LQ_SCOPE_STACK:
        return strcmp(x->stack, y->stack) == 0;
    case LQ_SCOPE_MODEL:
        return strcmp(x->stack, y->stack) == 0 && strcmp(x->model, y->model) == 0 &&
               x->method.kind == y->method.kind;
    case LQ_SCOPE_IDENTITY:
        return lq_identity_equal(x, y);
    }
    return false;
}

static size_t run_length(const struct lq_point *const *points, size_t n, enum lq_scope scope)
{
    size_t end = 1;
    while (end < n && is_together(points[0], points[end], scope)) {
        end++;
    }
    return end;
}

/* Picks at most `most` of a run of one identity, evenly spread, both ends included. */
static size_t thin(const struct lq_point *const *run, size_t n, size_t most,
                   const struct lq_point **out)
{
    if (n <= most) {
        memcpy(out, run, n * sizeof *run);
        return n;
    }
    for (size_t i = 0; i < most; i++) {
        out[i] = run[i * (n - 1) / (most - 1)];
    }
    return most;
}

/* A few of each identity's points; those of the identity of `without` (may be NULL) are left out.
 */
static size_t thin_group(const struct lq_point *const *points, size_t n,
                         const struct lq_point *without, const struct lq_point **out)
{
    size_t kept = 0;
    size_t run = 0;
    for (size_t i = 0; i < n; i += run) {
        run = run_length(&points[i], n - i, LQ_SCOPE_IDENTITY);
        if (without == NULL || !is_together(points[i], without, LQ_SCOPE_IDENTITY)) {
            kept += thin(&points[i], run, WIDE_POINTS_MAX, &out[kept]);
        }
    }
    return kept;
}

static void set_siblings(const struct lq_point *const *points, size_t n, enum lq_scope scope,
                         struct lq_step_observation *observations)
{
    size_t run = 0;
    for (size_t i = 0; i < n; i += run) {
        run = run_length(&points[i], n - i, scope);
        for (size_t j = i; j < i + run; j++) {
            observations[j].siblings = (double)run;
        }
    }
}

/* What of the first point's identity a scope has in common; the rest is left open. */
static struct lq_identity common_identity(const struct lq_identity *of, enum lq_scope scope)
{
    struct lq_identity identity = {.gpu_count = 0};
    switch (scope) {
    case LQ_SCOPE_IDENTITY:
        identity = *of;
        break;
    case LQ_SCOPE_MODEL:
        identity.method.kind = of->method.kind;
        snprintf(identity.model, sizeof identity.model, "%s", of->model);
        snprintf(identity.stack, sizeof identity.stack, "%s", of->stack);
        break;
    case LQ_SCOPE_STACK:
        snprintf(identity.stack, sizeof identity.stack, "%s", of->stack);
        break;
    case LQ_SCOPE_ALL:
        break;
    }
    return identity;
}

static void extend(double range[2], double value, bool first)
{
    range[0] = first ? value : fmin(range[0], value);
    range[1] = first ? value : fmax(range[1], value);
}

static bool is_calibration(const struct lq_catalog *catalog, const struct lq_point *point)
{
    return point >= catalog->points && point < catalog->points + catalog->point_count;
}

/* Everything of a fit that its points tell beside the coefficients. */
static void describe(const struct lq_catalog *catalog, const struct lq_point *const *points,
                     size_t n, struct lq_fit *fit)
{
    for (size_t i = 0; i < n; i++) {
        const struct lq_point *p = points[i];
        const double row = p->conditions.row_tokens;
        extend(fit->row_range, row, i == 0);
        extend(fit->step_tokens, (double)p->conditions.batch_size * row, i == 0);
        const struct lq_model *model = lq_catalog_any_model(catalog, p->identity.model);
        if (is_calibration(catalog, p) && model != NULL) {
            fit->calibrated |= lq_fit_class(p->identity.method.kind, lq_model_class(model));
        }
    }
}

/* Fits one group; what it is made of are groups of the next narrower scope. */
static enum lq_code fit_group(const struct lq_catalog *catalog,
                              const struct lq_point *const *points, size_t n, enum lq_scope scope,
                              const struct lq_belief *prior, struct lq_fit *out,
                              struct lq_error *err)
{
    struct lq_step_observation *observations = calloc(n + 1, sizeof *observations);
    const struct lq_point **seen = calloc(n + 1, sizeof *seen);
    double *scratch = calloc(n + 1, sizeof *scratch);
    enum lq_code code = LQ_EINTERNAL;
    size_t used = 0;
    *out = (struct lq_fit){.scope = scope};
    if (observations != NULL && seen != NULL && scratch != NULL) {
        for (size_t i = 0; i < n; i++) {
            if (lq_step_observe(catalog, points[i], &observations[used])) {
                seen[used++] = points[i];
            }
        }
        if (scope != LQ_SCOPE_IDENTITY) {
            set_siblings(seen, used, (enum lq_scope)(scope + 1), observations);
        }
        code = lq_fit_step_time(observations, used, prior, lq_evidence_member_log_sd(scope),
                                scratch, out, err);
    } else {
        code = lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    if (code == LQ_OK) {
        out->identity = common_identity(&seen[0]->identity, scope);
        describe(catalog, seen, used, out);
    }
    free(observations);
    free(seen);
    free(scratch);
    return code;
}

/* Fits a group and hands it on: an identity with all but a few of its points, a wider scope with a
 * few of each identity. The fit is named after, and counts, all of an identity's points. `few` has
 * room for all. `*belief` gets what is believed of the group: the prior where it cannot be fitted.
 */
static void fit_and_add(struct chain *c, const struct lq_point *const *run, size_t n,
                        enum lq_scope scope, const struct lq_belief *prior,
                        const struct lq_point **few, struct lq_belief *belief)
{
    const bool own = scope == LQ_SCOPE_IDENTITY;
    const size_t used = own ? thin(run, n, OWN_POINTS_MAX, few) : thin_group(run, n, NULL, few);
    struct lq_fit fit;
    struct lq_error err = {.code = LQ_OK};
    *belief = *prior;
    const enum lq_code code = fit_group(c->catalog, few, used, scope, prior, &fit, &err);
    if (code != LQ_OK) {
        c->failed = c->failed || code == LQ_EINTERNAL;
        return;
    }
    fit.points = own && used < n ? n : fit.points;
    const uint64_t hash = own ? lq_sign_fit(&fit, run, n) : lq_sign_fit(&fit, few, used);
    c->failed = c->failed || (c->sink != NULL && !c->sink->add(c->sink->context, &fit, hash));
    *belief = fit.belief;
}

/* What an identity's fit starts from: its model's other identities, fitted from `of_model`, the
 * belief about any model of its stack. */
static struct lq_belief belief_of_others(struct chain *c, const struct lq_point *const *model,
                                         size_t n, const struct lq_point *own,
                                         const struct lq_belief *of_model)
{
    struct lq_belief belief = *of_model;
    const struct lq_point **others = calloc(n + 1, sizeof *others);
    if (others == NULL) {
        c->failed = true;
        return belief;
    }
    const size_t count = thin_group(model, n, own, others);
    struct lq_fit fit;
    struct lq_error err = {.code = LQ_OK};
    if (count > 0 &&
        fit_group(c->catalog, others, count, LQ_SCOPE_MODEL, of_model, &fit, &err) == LQ_OK) {
        belief = fit.belief;
    }
    free(others);
    lq_belief_widen(&belief, lq_evidence_member_log_sd(LQ_SCOPE_MODEL));
    return belief;
}

/* One model's fit and those of its identities. `few` has room for all points. */
static void fit_model(struct chain *c, const struct lq_point *const *run, size_t n,
                      const struct lq_belief *of_model, const struct lq_point **few)
{
    struct lq_belief belief;
    fit_and_add(c, run, n, LQ_SCOPE_MODEL, of_model, few, &belief);
    size_t length = 0;
    for (size_t i = 0; i < n; i += length) {
        length = run_length(&run[i], n - i, LQ_SCOPE_IDENTITY);
        const struct lq_belief prior = belief_of_others(c, run, n, run[i], of_model);
        fit_and_add(c, &run[i], length, LQ_SCOPE_IDENTITY, &prior, few, &belief);
    }
}

/* The fit of a group from `prior`, and from it the belief about any member of the group. */
static struct lq_belief fit_members(struct chain *c, const struct lq_point *const *run, size_t n,
                                    enum lq_scope scope, const struct lq_belief *prior,
                                    const struct lq_point **few)
{
    struct lq_belief belief;
    fit_and_add(c, run, n, scope, prior, few, &belief);
    lq_belief_widen(&belief, lq_evidence_member_log_sd(scope));
    return belief;
}

static void fit_chain(struct chain *c, const struct lq_point **few)
{
    const struct lq_belief doubt = lq_evidence_doubt();
    const struct lq_belief of_stack =
        fit_members(c, c->points, c->count, LQ_SCOPE_ALL, &doubt, few);
    size_t stack = 0;
    for (size_t i = 0; i < c->count && !c->failed; i += stack) {
        stack = run_length(&c->points[i], c->count - i, LQ_SCOPE_STACK);
        const struct lq_belief of_model =
            fit_members(c, &c->points[i], stack, LQ_SCOPE_STACK, &of_stack, few);
        size_t model = 0;
        for (size_t j = i; j < i + stack; j += model) {
            model = run_length(&c->points[j], i + stack - j, LQ_SCOPE_MODEL);
            fit_model(c, &c->points[j], model, &of_model, few);
        }
    }
}

static bool is_kept(const struct lq_filter *filter, const struct lq_point *point)
{
    return lq_point_is_fitted(point) && point->queries_per_s > 0.0 &&
           (filter == NULL || filter->keep(filter->context, point));
}

static size_t gather(const struct lq_point *points, size_t n, const struct lq_filter *filter,
                     const struct lq_point **out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_kept(filter, &points[i])) {
            out[kept++] = &points[i];
        }
    }
    return kept;
}

/* Everything that may be fitted, in the order of scopes. New; NULL when out of memory. */
static const struct lq_point **gather_all(const struct lq_catalog *catalog,
                                          const struct lq_filter *filter, size_t *count)
{
    const size_t most = catalog->point_count + catalog->run_count;
    const struct lq_point **points = calloc(most + 1, sizeof *points);
    if (points != NULL) {
        *count = gather(catalog->points, catalog->point_count, filter, points);
        *count += gather(catalog->runs, catalog->run_count, filter, points + *count);
        qsort(points, *count, sizeof *points, by_scope);
    }
    return points;
}

enum lq_code lq_refit_steps(const struct lq_catalog *catalog, const struct lq_filter *filter,
                            const struct lq_fit_sink *sink, struct lq_error *err)
{
    struct chain c = {.catalog = catalog, .sink = sink};
    c.points = gather_all(catalog, filter, &c.count);
    const struct lq_point **few = calloc(c.count + 1, sizeof *few);
    c.failed = c.points == NULL || few == NULL;
    if (!c.failed && c.count > 0) {
        fit_chain(&c, few);
    }
    free(c.points);
    free(few);
    return c.failed ? lq_fail(err, LQ_EINTERNAL, NULL, "out of memory while fitting") : LQ_OK;
}

enum lq_code lq_refit_identity(const struct lq_catalog *catalog,
                               const struct lq_point *const *points, size_t count,
                               const struct lq_point *skip, const struct lq_belief *prior,
                               struct lq_fit *out, struct lq_error *err)
{
    const struct lq_point **kept = calloc(count + 1, sizeof *kept);
    if (kept == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (points[i] != skip) {
            kept[n++] = points[i];
        }
    }
    const enum lq_code code = fit_group(catalog, kept, n, LQ_SCOPE_IDENTITY, prior, out, err);
    free(kept);
    return code;
}

static bool is_another(const void *context, const struct lq_point *point)
{
    return !lq_identity_equal(context, &point->identity);
}

/* The run of `c->points` that shares a scope with `identity`; `*n` is 0 where there is none. */
static const struct lq_point **find_run(const struct chain *c, const struct lq_identity *identity,
                                        enum lq_scope scope, size_t *n)
{
    const struct lq_point like = {.identity = *identity};
    size_t i = 0;
    while (i < c->count && !is_together(c->points[i], &like, scope)) {
        i++;
    }
    *n = i < c->count ? run_length(&c->points[i], c->count - i, scope) : 0;
    return &c->points[i];
}

enum lq_code lq_refit_prior(const struct lq_catalog *catalog, const struct lq_identity *identity,
                            struct lq_belief *out, struct lq_error *err)
{
    const struct lq_filter others = {.keep = is_another, .context = identity};
    struct chain c = {.catalog = catalog};
    c.points = gather_all(catalog, &others, &c.count);
    const struct lq_point **few = calloc(c.count + 1, sizeof *few);
    c.failed = c.points == NULL || few == NULL;
    *out = lq_evidence_doubt();
    for (int s = LQ_SCOPE_ALL; s < LQ_SCOPE_IDENTITY && !c.failed; s++) {
        const enum lq_scope scope = (enum lq_scope)s;
        size_t n = 0;
        const struct lq_point **run = find_run(&c, identity, scope, &n);
        if (n > 0) {
            *out = fit_members(&c, run, n, scope, out, few);
        } else {
            lq_belief_widen(out, lq_evidence_member_log_sd(scope));
        }
    }
    free(c.points);
    free(few);
    return c.failed ? lq_fail(err, LQ_EINTERNAL, NULL, "out of memory while fitting") : LQ_OK;
}
