/* The chain of fits from everything measured to one identity. Measurements come in the order of
 * lq_scope_compare, so that every group is a run of them. */
#include "server/jobs/scopes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Measurements of one identity that a wider scope looks at; an identity's own fit looks at more. */
enum { WIDE_POINTS_MAX = 16, OWN_POINTS_MAX = 512 };

/* Everything a chain of fits needs. */
struct chain {
    const struct lq_scopes *scopes;
    const struct lq_fit_sink *sink;
    struct lq_measurement *few; /* room for all measurements */
    bool failed;
};

int lq_scope_compare(const struct lq_identity *a, const struct lq_identity *b)
{
    int order = strcmp(a->stack, b->stack);
    order = order != 0 ? order : strcmp(a->model, b->model);
    order = order != 0 ? order : (int)a->method.kind - (int)b->method.kind;
    return order != 0 ? order : lq_identity_compare(a, b);
}

bool lq_scope_together(const struct lq_identity *a, const struct lq_identity *b,
                       enum lq_scope scope)
{
    switch (scope) {
    case LQ_SCOPE_ALL:
        return true;
    case LQ_SCOPE_STACK:
        return strcmp(a->stack, b->stack) == 0;
    case LQ_SCOPE_MODEL:
        return strcmp(a->stack, b->stack) == 0 && strcmp(a->model, b->model) == 0 &&
               a->method.kind == b->method.kind;
    case LQ_SCOPE_IDENTITY:
        return lq_identity_equal(a, b);
    }
    return false;
}

struct lq_identity lq_scope_identity(const struct lq_identity *of, enum lq_scope scope)
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

/* How many measurements, from the first of n >= 1 on, are of one group of a scope. */
static size_t run_length(const struct lq_measurement *measurements, size_t n, enum lq_scope scope)
{
    size_t end = 1;
    while (end < n &&
           lq_scope_together(measurements[0].identity, measurements[end].identity, scope)) {
        end++;
    }
    return end;
}

/* Counts the measurements of each member of a group: of its groups of the next narrower scope. */
static void count_siblings(struct lq_measurement *group, size_t n, enum lq_scope scope)
{
    size_t run = 1;
    for (size_t i = 0; i < n; i += run) {
        if (scope != LQ_SCOPE_IDENTITY) {
            run = run_length(&group[i], n - i, (enum lq_scope)(scope + 1));
        }
        for (size_t j = i; j < i + run; j++) {
            group[j].siblings = (double)run;
        }
    }
}

/* Picks at most `most` of a run of one identity, evenly spread, both ends included. */
static size_t thin(const struct lq_measurement *run, size_t n, size_t most,
                   struct lq_measurement *out)
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

/* A few measurements of each identity but `without` (may be NULL). */
static size_t thin_group(const struct lq_measurement *group, size_t n,
                         const struct lq_identity *without, struct lq_measurement *out)
{
    size_t kept = 0;
    size_t run = 0;
    for (size_t i = 0; i < n; i += run) {
        run = run_length(&group[i], n - i, LQ_SCOPE_IDENTITY);
        if (without == NULL || !lq_identity_equal(group[i].identity, without)) {
            kept += thin(&group[i], run, WIDE_POINTS_MAX, &out[kept]);
        }
    }
    return kept;
}

/* Fits a group from n of `few`. Gives what is believed of it: the prior where nothing is known. */
static struct lq_belief fit_group(struct chain *c, struct lq_scope_group group,
                                  const struct lq_fit_sink *sink)
{
    struct lq_fit fit;
    struct lq_error err = {.code = LQ_OK};
    uint64_t hash = 0;
    count_siblings(c->few, group.n, group.scope);
    group.catalog = c->scopes->catalog;
    group.measurements = c->few;
    const enum lq_code code = group.n > 0 ? c->scopes->fit(&group, &fit, &hash, &err) : LQ_EFIT;
    if (code != LQ_OK) {
        c->failed = c->failed || code == LQ_EINTERNAL;
        return *group.prior;
    }
    c->failed = c->failed || (sink != NULL && !sink->add(sink->context, &fit, hash));
    return fit.belief;
}

/* Fits a run from a few of each identity but `without` (may be NULL). */
static struct lq_belief fit_wide(struct chain *c, const struct lq_measurement *run, size_t n,
                                 const struct lq_identity *without,
                                 const struct lq_scope_group *group, const struct lq_fit_sink *sink)
{
    struct lq_scope_group few = *group;
    few.n = thin_group(run, n, without, c->few);
    few.named = c->few;
    few.named_n = few.n;
    return fit_group(c, few, sink);
}

/* What an identity's fit starts from: its model's other identities, fitted from `of_model`, the
 * belief about any model of its stack. */
static struct lq_belief belief_of_others(struct chain *c, const struct lq_measurement *model,
                                         size_t n, const struct lq_identity *own,
                                         const struct lq_belief *of_model)
{
    const struct lq_scope_group group = {.scope = LQ_SCOPE_MODEL, .prior = of_model};
    struct lq_belief belief = fit_wide(c, model, n, own, &group, NULL);
    lq_belief_widen(&belief, c->scopes->member_log_sd(LQ_SCOPE_MODEL));
    return belief;
}

/* One model's fit and those of its identities. */
static void fit_model(struct chain *c, const struct lq_measurement *run, size_t n,
                      const struct lq_belief *of_model)
{
    const struct lq_scope_group model = {.scope = LQ_SCOPE_MODEL, .prior = of_model};
    (void)fit_wide(c, run, n, NULL, &model, c->sink);
    size_t length = 0;
    for (size_t i = 0; i < n && !c->failed; i += length) {
        length = run_length(&run[i], n - i, LQ_SCOPE_IDENTITY);
        const struct lq_belief prior = belief_of_others(c, run, n, run[i].identity, of_model);
        const struct lq_scope_group own = {.n = thin(&run[i], length, OWN_POINTS_MAX, c->few),
                                           .named = &run[i],
                                           .named_n = length,
                                           .scope = LQ_SCOPE_IDENTITY,
                                           .prior = &prior};
        (void)fit_group(c, own, c->sink);
    }
}

/* The fit of a group from `prior`, and from it the belief about any member of the group. */
static struct lq_belief fit_members(struct chain *c, const struct lq_measurement *run, size_t n,
                                    enum lq_scope scope, const struct lq_belief *prior)
{
    const struct lq_scope_group group = {.scope = scope, .prior = prior};
    struct lq_belief belief = fit_wide(c, run, n, NULL, &group, c->sink);
    lq_belief_widen(&belief, c->scopes->member_log_sd(scope));
    return belief;
}

static void fit_chain(struct chain *c, const struct lq_measurement *all, size_t n)
{
    const struct lq_belief doubt = c->scopes->doubt();
    const struct lq_belief of_stack = fit_members(c, all, n, LQ_SCOPE_ALL, &doubt);
    size_t stack = 0;
    for (size_t i = 0; i < n && !c->failed; i += stack) {
        stack = run_length(&all[i], n - i, LQ_SCOPE_STACK);
        const struct lq_belief of_model = fit_members(c, &all[i], stack, LQ_SCOPE_STACK, &of_stack);
        size_t model = 0;
        for (size_t j = i; j < i + stack && !c->failed; j += model) {
            model = run_length(&all[j], i + stack - j, LQ_SCOPE_MODEL);
            fit_model(c, &all[j], model, &of_model);
        }
    }
}

enum lq_code lq_scopes_fit(const struct lq_scopes *scopes,
                           const struct lq_measurement *measurements, size_t n,
                           const struct lq_fit_sink *sink, struct lq_error *err)
{
    struct chain c = {.scopes = scopes, .sink = sink, .few = calloc(n + 1, sizeof *c.few)};
    c.failed = c.few == NULL;
    if (!c.failed && n > 0) {
        fit_chain(&c, measurements, n);
    }
    free(c.few);
    return c.failed ? lq_fail(err, LQ_EINTERNAL, NULL, "out of memory while fitting") : LQ_OK;
}

/* The run that shares a scope with `identity`; `*n` becomes 0 where there is none. */
static const struct lq_measurement *find_run(const struct lq_measurement *all, size_t *n,
                                             const struct lq_identity *identity,
                                             enum lq_scope scope)
{
    size_t i = 0;
    while (i < *n && !lq_scope_together(all[i].identity, identity, scope)) {
        i++;
    }
    *n = i < *n ? run_length(&all[i], *n - i, scope) : 0;
    return &all[i];
}

enum lq_code lq_scopes_prior(const struct lq_scopes *scopes,
                             const struct lq_measurement *measurements, size_t n,
                             const struct lq_identity *identity, struct lq_belief *out,
                             struct lq_error *err)
{
    struct chain c = {.scopes = scopes, .few = calloc(n + 1, sizeof *c.few)};
    c.failed = c.few == NULL;
    *out = scopes->doubt();
    for (int s = LQ_SCOPE_ALL; s < LQ_SCOPE_IDENTITY && !c.failed; s++) {
        const enum lq_scope scope = (enum lq_scope)s;
        size_t count = n;
        const struct lq_measurement *run = find_run(measurements, &count, identity, scope);
        *out = fit_members(&c, run, count, scope, out);
    }
    free(c.few);
    return c.failed ? lq_fail(err, LQ_EINTERNAL, NULL, "out of memory while fitting") : LQ_OK;
}
