/* What was seen of memory, and what it is to core's fit. How it is grouped is in scopes.c. */
#include "server/jobs/refit_memory.h"

#include "core/base/hash.h"
#include "core/base/names.h"
#include "core/finetune/estimate.h"
#include "core/finetune/evidence.h"
#include "server/jobs/refit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lq_identity without_gpu(const struct lq_identity *identity)
{
    struct lq_identity any = *identity;
    memset(any.gpu, 0, sizeof any.gpu);
    return any;
}

static struct lq_memory_sight of_capacity(const struct lq_capacity *c)
{
    return (struct lq_memory_sight){.identity = without_gpu(&c->identity),
                                    .gpu = c->identity.gpu,
                                    .source = c->source,
                                    .is_calibration = true,
                                    .active_experts = c->active_experts,
                                    .accumulation_steps = 1,
                                    .seen = {.kind = LQ_MEMORY_LARGEST,
                                             .batch_size = (double)c->max_batch_size,
                                             .row_tokens = (double)c->longest_tokens,
                                             .held_bytes = c->capacity_bytes}};
}

static struct lq_memory_sight of_longest_row(const struct lq_capacity *c)
{
    struct lq_memory_sight sight = of_capacity(c);
    sight.is_calibration = false;
    sight.seen.kind = c->max_batch_size > 0 ? LQ_MEMORY_PEAK : LQ_MEMORY_TOO_LARGE;
    sight.seen.batch_size = 1.0;
    return sight;
}

static struct lq_memory_sight of_point(const struct lq_catalog *catalog, const struct lq_point *p)
{
    const struct lq_conditions *c = &p->conditions;
    return (struct lq_memory_sight){
        .identity = without_gpu(&p->identity),
        .gpu = p->identity.gpu,
        .source = p->source,
        .point = p,
        .is_calibration = lq_point_is_calibration(catalog, p),
        .active_experts = c->active_experts,
        .accumulation_steps = c->accumulation_steps > 0 ? c->accumulation_steps : 1,
        .seen = {.kind = p->out_of_memory ? LQ_MEMORY_TOO_LARGE : LQ_MEMORY_PEAK,
                 .batch_size = (double)c->batch_size,
                 .row_tokens = p->longest_tokens > 0.0 ? p->longest_tokens : c->row_tokens,
                 .held_bytes = p->peak_memory_bytes}};
}

/* Counts a sight's memory and adds it, unless its model or its device's size is not known any more
 * or nothing follows from it. */
static void add(struct lq_memory_sights *sights, struct lq_memory_sight sight)
{
    struct lq_job job;
    lq_job_of_memory(sights->catalog, &sight.identity, &job);
    const struct lq_gpu *gpu = lq_catalog_any_gpu(sights->catalog, sight.gpu);
    if (job.model == NULL) {
        return;
    }
    job.active_experts = sight.active_experts;
    job.training.accumulation_steps = sight.accumulation_steps;
    sight.seen.memory = lq_job_memory(&job);
    sight.seen.siblings = 1.0;
    if (sight.point == NULL) { /* the longest row that fits takes the whole device */
        sight.seen.memory.scope = LQ_MEMORY_DEVICE;
    }
    if (!(sight.seen.held_bytes > 0.0) && gpu != NULL) {
        sight.seen.held_bytes = gpu->memory_bytes;
    }
    if (lq_memory_is_usable(&sight.seen)) {
        sights->item[sights->count++] = sight;
    }
}

static void add_points(struct lq_memory_sights *sights, const struct lq_point *points, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct lq_point *p = &points[i];
        if ((p->peak_memory_bytes > 0.0 || p->out_of_memory) && lq_point_counts(p)) {
            add(sights, of_point(sights->catalog, p));
        }
    }
}

enum lq_code lq_memory_sights_gather(const struct lq_catalog *catalog, struct lq_memory_sights *out,
                                     struct lq_error *err)
{
    const size_t most = catalog->capacity_count + catalog->run_capacity_count +
                        catalog->point_count + catalog->run_count + 1;
    *out = (struct lq_memory_sights){.catalog = catalog, .item = calloc(most, sizeof *out->item)};
    if (out->item == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    for (size_t i = 0; i < catalog->capacity_count; i++) {
        if (catalog->capacities[i].measured) {
            add(out, of_capacity(&catalog->capacities[i]));
        }
    }
    for (size_t i = 0; i < catalog->run_capacity_count; i++) {
        add(out, of_longest_row(&catalog->run_capacities[i]));
    }
    add_points(out, catalog->points, catalog->point_count);
    add_points(out, catalog->runs, catalog->run_count);
    return LQ_OK;
}

void lq_memory_sights_release(struct lq_memory_sights *sights)
{
    free(sights->item);
    *sights = (struct lq_memory_sights){.count = 0};
}

static const struct lq_memory_sight *sight_of(const struct lq_measurement *measurement)
{
    return measurement->seen;
}

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

/* By scope; within an identity in an order that arrival does not change. */
static int by_scope(const void *a, const void *b)
{
    const struct lq_memory_sight *left = sight_of(a);
    const struct lq_memory_sight *right = sight_of(b);
    const struct lq_memory_observation *x = &left->seen;
    const struct lq_memory_observation *y = &right->seen;
    const int orders[] = {lq_scope_compare(&left->identity, &right->identity),
                          strcmp(left->gpu, right->gpu),
                          compare((double)left->active_experts, (double)right->active_experts),
                          compare((double)x->kind, (double)y->kind),
                          compare(x->row_tokens, y->row_tokens),
                          compare(x->batch_size, y->batch_size),
                          compare(x->held_bytes, y->held_bytes),
                          strcmp(left->source, right->source)};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (orders[i] != 0) {
            return orders[i];
        }
    }
    return 0;
}

/* Those that a filter keeps, in the order of scopes. New; NULL when out of memory. */
static struct lq_measurement *select_sights(const struct lq_memory_sights *sights,
                                            const struct lq_memory_filter *filter, size_t *count)
{
    struct lq_measurement *kept = calloc(sights->count + 1, sizeof *kept);
    *count = 0;
    for (size_t i = 0; kept != NULL && i < sights->count; i++) {
        const struct lq_memory_sight *sight = &sights->item[i];
        if (filter == NULL || filter->keep(filter->context, sight)) {
            kept[(*count)++] = (struct lq_measurement){
                .identity = &sight->identity, .seen = sight, .siblings = 1.0};
        }
    }
    if (kept != NULL) {
        qsort(kept, *count, sizeof *kept, by_scope);
    }
    return kept;
}

/* Everything of a fit that its sights tell beside the factors, and a hash over them. */
static uint64_t describe(const struct lq_scope_group *group, struct lq_fit *fit)
{
    uint64_t hash = lq_sign_identity(&fit->identity);
    for (size_t i = 0; i < group->named_n; i++) {
        const struct lq_memory_sight *s = sight_of(&group->named[i]);
        if (s->is_calibration) {
            const struct lq_model *model = lq_catalog_any_model(group->catalog, s->identity.model);
            fit->calibrated |= lq_fit_class(s->identity.method.kind, lq_model_class(model));
        }
        if (s->point != NULL) {
            hash = lq_sign_point(hash, s->point, fit);
        }
        lq_names_add(fit->sources, sizeof fit->sources, s->source);
        const double seen[] = {(double)s->seen.kind, (double)s->active_experts, s->seen.batch_size,
                               s->seen.row_tokens, s->seen.held_bytes};
        hash = lq_hash_bytes(hash, s->gpu, strlen(s->gpu));
        hash = lq_hash_bytes(hash, seen, sizeof seen);
    }
    return lq_hash_bytes(hash, fit->prior, sizeof fit->prior);
}

static enum lq_code fit_group(const struct lq_scope_group *group, struct lq_fit *out,
                              uint64_t *hash, struct lq_error *err)
{
    struct lq_memory_observation *observations = calloc(group->n, sizeof *observations);
    double *scratch = calloc(group->n, sizeof *scratch);
    enum lq_code code = LQ_EINTERNAL;
    *out = (struct lq_fit){.scope = group->scope};
    if (observations == NULL || scratch == NULL) {
        code = lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    } else {
        for (size_t i = 0; i < group->n; i++) {
            observations[i] = sight_of(&group->measurements[i])->seen;
            observations[i].siblings = group->measurements[i].siblings;
        }
        code = lq_fit_memory(observations, group->n, group->prior,
                             lq_evidence_memory_member_log_sd(group->scope), scratch, out, err);
    }
    if (code == LQ_OK) {
        out->points = group->named_n > group->n ? group->named_n : out->points;
        out->identity = lq_scope_identity(group->measurements[0].identity, group->scope);
        *hash = describe(group, out);
    }
    free(observations);
    free(scratch);
    return code;
}

static struct lq_scopes scopes_of(const struct lq_catalog *catalog)
{
    return (struct lq_scopes){.catalog = catalog,
                              .doubt = lq_evidence_memory_doubt,
                              .member_log_sd = lq_evidence_memory_member_log_sd,
                              .fit = fit_group};
}

enum lq_code lq_refit_memory(const struct lq_memory_sights *sights,
                             const struct lq_memory_filter *filter, const struct lq_fit_sink *sink,
                             struct lq_error *err)
{
    const struct lq_scopes scopes = scopes_of(sights->catalog);
    size_t count = 0;
    struct lq_measurement *kept = select_sights(sights, filter, &count);
    const enum lq_code code = kept != NULL ? lq_scopes_fit(&scopes, kept, count, sink, err)
                                           : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    free(kept);
    return code;
}

/* One identity but for one of its sights. */
struct own {
    const struct lq_identity *identity;
    const struct lq_memory_sight *skip;
};

static bool is_own(const void *context, const struct lq_memory_sight *sight)
{
    const struct own *own = context;
    return sight != own->skip && lq_identity_equal(own->identity, &sight->identity);
}

enum lq_code lq_refit_memory_identity(const struct lq_memory_sights *sights,
                                      const struct lq_identity *identity,
                                      const struct lq_memory_sight *skip,
                                      const struct lq_belief *prior, struct lq_fit *out,
                                      struct lq_error *err)
{
    const struct own own = {.identity = identity, .skip = skip};
    const struct lq_memory_filter filter = {.keep = is_own, .context = &own};
    size_t count = 0;
    struct lq_measurement *kept = select_sights(sights, &filter, &count);
    const struct lq_scope_group group = {.catalog = sights->catalog,
                                         .measurements = kept,
                                         .n = count,
                                         .named = kept,
                                         .named_n = count,
                                         .scope = LQ_SCOPE_IDENTITY,
                                         .prior = prior};
    uint64_t hash = 0;
    enum lq_code code = LQ_OK;
    if (kept == NULL) {
        code = lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    } else if (count == 0) {
        code = lq_fail(err, LQ_EFIT, NULL, "no measurement says anything about memory");
    } else {
        code = fit_group(&group, out, &hash, err);
    }
    free(kept);
    return code;
}

static bool is_another(const void *context, const struct lq_memory_sight *sight)
{
    return !lq_identity_equal(context, &sight->identity);
}

enum lq_code lq_refit_memory_prior(const struct lq_memory_sights *sights,
                                   const struct lq_identity *identity, struct lq_belief *out,
                                   struct lq_error *err)
{
    const struct lq_scopes scopes = scopes_of(sights->catalog);
    const struct lq_memory_filter others = {.keep = is_another, .context = identity};
    size_t count = 0;
    struct lq_measurement *kept = select_sights(sights, &others, &count);
    const enum lq_code code = kept != NULL
                                  ? lq_scopes_prior(&scopes, kept, count, identity, out, err)
                                  : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    free(kept);
    return code;
}
