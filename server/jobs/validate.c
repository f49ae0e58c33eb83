/* Validation: predictions of each estimator for each labelled set of points, and of the memory
 * model for each largest batch. Nothing is stored; the same catalog gives the same figures. */
#include "server/jobs/validate.h"

#include "core/finetune/estimate.h"
#include "core/finetune/xia2024.h"
#include "server/jobs/refit.h"
#include "server/jobs/refit_step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Leaving each point out in turn refits as often; beyond this many it is not done. */
enum { LEAVE_ONE_OUT_MAX = 64 };

/* Buffers for one set. */
struct work {
    const struct lq_catalog *catalog;
    const struct lq_point **joint; /* all fitted points of the set's identity */
    size_t joint_count;
    const struct lq_point **set;
    size_t set_count;
    double *predicted;
    double *measured;
    double *scratch;
    struct lq_observation *observations;
    struct lq_belief prior; /* what the set's identity starts from */
};

static bool same_set(const struct lq_point *a, const struct lq_point *b)
{
    return a->shipped == b->shipped && strcmp(a->dataset, b->dataset) == 0 &&
           lq_identity_equal(&a->identity, &b->identity);
}

static double experts_of(const struct lq_catalog *catalog, const struct lq_identity *identity)
{
    const struct lq_model_entry *entry = lq_catalog_model(catalog, identity->model);
    return entry != NULL ? (double)lq_model_experts(&entry->model) : 0.0;
}

static const struct lq_fit *find_fit(const struct lq_catalog *catalog, enum lq_fit_kind kind,
                                     const struct lq_point *point)
{
    const char *lengths = kind == LQ_FIT_STEP_TIME ? "" : point->conditions.lengths;
    for (size_t i = 0; i < catalog->fit_count; i++) {
        const struct lq_fit *fit = &catalog->fits[i];
        if (fit->kind == kind && strcmp(fit->lengths, lengths) == 0 &&
            lq_identity_equal(&fit->identity, &point->identity)) {
            return fit;
        }
    }
    return NULL;
}

/* A paper form refitted on the set's distribution without one point. */
static bool refit_form(const struct work *w, enum lq_fit_kind kind, const struct lq_point *skip,
                       struct lq_fit *out)
{
    size_t n = 0;
    for (size_t i = 0; i < w->joint_count; i++) {
        if (w->joint[i] != skip &&
            strcmp(w->joint[i]->conditions.lengths, skip->conditions.lengths) == 0) {
            w->observations[n++] = lq_observation_of(w->joint[i]);
        }
    }
    struct lq_error err = {0};
    const struct lq_identity *id = &skip->identity;
    return lq_fit_xia2024(kind, w->observations, n, experts_of(w->catalog, id),
                          lq_xia2024_c3(id->model), out, &err) == LQ_OK;
}

static bool refit_without(const struct work *w, enum lq_fit_kind kind, const struct lq_point *skip,
                          struct lq_fit *out)
{
    memset(out, 0, sizeof *out);
    if (kind != LQ_FIT_STEP_TIME) {
        return refit_form(w, kind, skip, out);
    }
    if (w->joint_count < 2) {
        return false;
    }
    struct lq_error err = {0};
    return lq_refit_identity(w->catalog, w->joint, w->joint_count, skip, &w->prior, out, &err) ==
           LQ_OK;
}

static void leave_one_out(struct work *w, struct lq_validation *row)
{
    struct lq_error err = {0};
    size_t n = 0;
    if (row->estimator == LQ_FIT_STEP_TIME &&
        lq_refit_prior(w->catalog, row->identity, &w->prior, &err) != LQ_OK) {
        return;
    }
    for (size_t i = 0; i < w->set_count; i++) {
        struct lq_fit fit;
        if (refit_without(w, row->estimator, w->set[i], &fit)) {
            w->predicted[n] = lq_fit_predict_point(w->catalog, &fit, w->set[i]);
            w->measured[n] = w->set[i]->queries_per_s;
            n++;
        }
    }
    row->has_leave_one_out = n == w->set_count;
    if (row->has_leave_one_out) {
        row->leave_one_out = lq_errors_of(w->predicted, w->measured, n, w->scratch);
    }
}

/* One row: an estimator that has a fit for the set. */
static bool validate_set(struct work *w, enum lq_fit_kind kind, struct lq_validation *row)
{
    const struct lq_point *first = w->set[0];
    const struct lq_fit *fit = find_fit(w->catalog, kind, first);
    if (fit == NULL) {
        return false;
    }
    *row = (struct lq_validation){.dataset = first->dataset,
                                  .identity = &first->identity,
                                  .source = first->source,
                                  .estimator = kind,
                                  .shipped = first->shipped,
                                  .held_out = !lq_point_is_fitted(first)};
    for (size_t i = 0; i < w->set_count; i++) {
        w->predicted[i] = lq_fit_predict_point(w->catalog, fit, w->set[i]);
        w->measured[i] = w->set[i]->queries_per_s;
    }
    row->errors = lq_errors_of(w->predicted, w->measured, w->set_count, w->scratch);
    if (!row->held_out && w->joint_count <= LEAVE_ONE_OUT_MAX) {
        leave_one_out(w, row);
    }
    return true;
}

/* The set that `point` opens (no earlier point is of it), and its identity's fitted points. */
static bool open_set(struct work *w, const struct lq_point *point)
{
    if (point->dataset[0] == '\0' || !(point->queries_per_s > 0.0)) {
        return false;
    }
    w->set_count = 0;
    w->joint_count = 0;
    for (size_t i = 0; i < w->catalog->point_count; i++) {
        const struct lq_point *p = &w->catalog->points[i];
        if (p->queries_per_s > 0.0 && same_set(p, point)) {
            if (p < point) {
                return false;
            }
            w->set[w->set_count++] = p;
        }
        if (lq_point_is_fitted(p) && lq_identity_equal(&p->identity, &point->identity)) {
            w->joint[w->joint_count++] = p;
        }
    }
    return true;
}

static size_t validate_sets(struct work *w, struct lq_validation *out)
{
    static const enum lq_fit_kind KINDS[] = {LQ_FIT_STEP_TIME, LQ_FIT_XIA2024,
                                             LQ_FIT_XIA2024_PRINTED};
    size_t rows = 0;
    for (size_t i = 0; i < w->catalog->point_count; i++) {
        if (!open_set(w, &w->catalog->points[i])) {
            continue;
        }
        for (size_t k = 0; k < sizeof KINDS / sizeof KINDS[0]; k++) {
            rows += validate_set(w, KINDS[k], &out[rows]) ? 1 : 0;
        }
    }
    return rows;
}

bool lq_batch_is_good(int64_t predicted, int64_t measured)
{
    const int64_t off = predicted - measured;
    return predicted > 0 &&
           ((off >= -1 && off <= 1) || fabs((double)off) <= 0.15 * (double)measured);
}

/* The memory model's and Eq. 1's largest batch under one capacity's conditions. */
static bool validate_capacity(const struct lq_catalog *catalog, const struct lq_capacity *capacity,
                              struct lq_batch_validation *out)
{
    struct lq_job job;
    if (!lq_job_of(catalog, &capacity->identity, &job)) {
        return false; /* projections for devices that do not exist */
    }
    const struct lq_evidence evidence = {.fits = catalog->fits, .fit_count = catalog->fit_count};
    const struct lq_applicant applicant = {.identity = &capacity->identity,
                                           .model_class = lq_model_class(job.model)};
    const struct lq_basis basis = lq_evidence_memory(&evidence, &applicant);
    job.active_experts = capacity->active_experts;
    const struct lq_memory memory = lq_job_memory(&job);
    const struct lq_memory_factors factors = lq_memory_factors_of(&basis.belief);
    const struct lq_xia2024_batch *pair = lq_xia2024_batch_find(job.model->id, false);
    const double experts = (double)lq_model_experts(job.model);
    *out = (struct lq_batch_validation){
        .capacity = capacity,
        .predicted =
            lq_memory_max_batch(&memory, &factors, job.gpu->memory_bytes, capacity->longest_tokens),
        .predicted_paper = -1};
    if (pair != NULL && experts > 0.0) {
        out->predicted_paper = lq_xia2024_max_batch(
            pair, job.gpu->memory_nominal_bytes / (1024.0 * 1024.0 * 1024.0),
            (double)capacity->longest_tokens, (double)capacity->active_experts / experts);
    }
    return true;
}

static bool allocate(struct work *w, struct lq_validations *out)
{
    const size_t n = w->catalog->point_count + 1;
    w->joint = calloc(n, sizeof *w->joint);
    w->set = calloc(n, sizeof *w->set);
    w->predicted = calloc(3 * n, sizeof *w->predicted);
    w->observations = calloc(n, sizeof *w->observations);
    out->set = calloc(3 * n, sizeof *out->set);
    out->batch = calloc(w->catalog->capacity_count + 1, sizeof *out->batch);
    return w->joint != NULL && w->set != NULL && w->predicted != NULL && w->observations != NULL &&
           out->set != NULL && out->batch != NULL;
}

enum lq_code lq_validate(const struct lq_catalog *catalog, struct lq_validations *out,
                         struct lq_error *err)
{
    struct work w = {.catalog = catalog};
    memset(out, 0, sizeof *out);
    const bool ready = allocate(&w, out);
    if (ready) {
        w.measured = w.predicted + catalog->point_count + 1;
        w.scratch = w.measured + catalog->point_count + 1;
        out->set_count = validate_sets(&w, out->set);
        for (size_t i = 0; i < catalog->capacity_count; i++) {
            out->batch_count +=
                validate_capacity(catalog, &catalog->capacities[i], &out->batch[out->batch_count])
                    ? 1
                    : 0;
        }
    } else {
        lq_validations_release(out);
    }
    free(w.joint);
    free(w.set);
    free(w.predicted);
    free(w.observations);
    return ready ? LQ_OK : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory while validating");
}

void lq_validations_release(struct lq_validations *validations)
{
    free(validations->set);
    free(validations->batch);
    memset(validations, 0, sizeof *validations);
}
