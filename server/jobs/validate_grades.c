/* Out-of-sample validation: fits are made again without what they are then asked to predict. */
#include "server/jobs/validate_grades.h"

#include "server/jobs/refit.h"
#include "server/jobs/refit_step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const LQ_HELD_OUT_NAMES[] = {"point", "identity", "source", "source-but-three-points",
                                         NULL};
const char *const LQ_QUANTITY_NAMES[] = {"throughput", "memory", NULL};

static const double LEVELS[LQ_LEVELS] = {0.5, 0.8, 0.9};

enum { SOURCES_MAX = 64, THREE = 3 };

/* One prediction of one measured point. */
struct prediction {
    const struct lq_point *point;
    enum lq_held_out held_out;
    enum lq_basis_kind grade;
    double predicted;
    double measured;
    double log_sd;
};

struct study {
    const struct lq_catalog *catalog;
    const struct lq_point **points; /* all that carry a rate, in catalog order */
    size_t point_count;
    struct prediction *predictions;
    size_t count;
    struct lq_fit *fits; /* of the refit at hand */
    size_t fit_count;
    size_t fit_room;
    bool failed;
};

/* A source whose points are left out, but for those in `kept`. */
struct omission {
    const char *source;
    const struct lq_point *kept[THREE];
};

static bool is_kept(const void *context, const struct lq_point *point)
{
    const struct omission *omission = context;
    for (int i = 0; i < THREE; i++) {
        if (omission->kept[i] == point) {
            return true;
        }
    }
    return strcmp(point->source, omission->source) != 0;
}

static bool keep_fit(void *context, const struct lq_fit *fit, uint64_t hash)
{
    struct study *study = context;
    (void)hash;
    if (study->fit_count == study->fit_room) {
        const size_t room = study->fit_room > 0 ? 2 * study->fit_room : 64;
        struct lq_fit *fits = realloc(study->fits, room * sizeof *fits);
        if (fits == NULL) {
            return false;
        }
        study->fits = fits;
        study->fit_room = room;
    }
    study->fits[study->fit_count++] = *fit;
    return true;
}

static void add_prediction(struct study *study, const struct lq_point *point,
                           enum lq_held_out held_out, const struct lq_basis *basis)
{
    struct lq_step_observation o;
    if (!lq_step_observe(study->catalog, point, &o)) {
        return;
    }
    double factor[LQ_FACTOR_COUNT];
    struct lq_step_time step;
    lq_belief_factors(&basis->belief, factor);
    lq_step_evaluate(&o.parts, factor, &step);
    study->predictions[study->count++] =
        (struct prediction){.point = point,
                            .held_out = held_out,
                            .grade = basis->kind,
                            .predicted = o.queries / step.total_s,
                            .measured = point->queries_per_s,
                            .log_sd = lq_basis_log_sd(basis, &step)};
}

/* Predicts a point as an estimate would from the fits at hand. */
static void predict(struct study *study, const struct lq_point *point, enum lq_held_out held_out)
{
    struct lq_step_observation o;
    if (!lq_step_observe(study->catalog, point, &o)) {
        return;
    }
    char data[LQ_ID_MAX];
    lq_conditions_data(&point->conditions, data);
    const struct lq_model *model = lq_catalog_any_model(study->catalog, point->identity.model);
    const struct lq_applicant applicant = {.identity = &point->identity,
                                           .model_class = lq_model_class(model),
                                           .parts = &o.parts,
                                           .data = data};
    const struct lq_evidence evidence = {.fits = study->fits, .fit_count = study->fit_count};
    const struct lq_basis basis = lq_evidence_step(&evidence, &applicant);
    add_prediction(study, point, held_out, &basis);
}

/* Leaves one source out, then all of it but three points, evenly spread; predicts the rest. */
static void leave_source_out(struct study *study, const char *source, bool but_three,
                             const struct lq_point **own)
{
    struct omission omission = {.source = source};
    size_t n = 0;
    for (size_t i = 0; i < study->point_count; i++) {
        if (strcmp(study->points[i]->source, source) == 0) {
            own[n++] = study->points[i];
        }
    }
    if (but_three && n <= THREE) {
        return;
    }
    for (size_t i = 0; but_three && i < THREE; i++) {
        omission.kept[i] = own[i * (n - 1) / (THREE - 1)];
    }
    const struct lq_filter filter = {.keep = is_kept, .context = &omission};
    const struct lq_fit_sink sink = {.add = keep_fit, .context = study};
    struct lq_error err = {.code = LQ_OK};
    study->fit_count = 0;
    if (lq_refit_steps(study->catalog, &filter, &sink, &err) != LQ_OK) {
        study->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_kept(&omission, own[i])) {
            predict(study, own[i], but_three ? LQ_HELD_OUT_SOURCE_BUT_THREE : LQ_HELD_OUT_SOURCE);
        }
    }
}

/* The points of one identity, first of them `first`. */
static size_t gather_identity(const struct study *study, size_t first, const struct lq_point **out)
{
    size_t n = 0;
    for (size_t i = first; i < study->point_count; i++) {
        if (lq_identity_equal(&study->points[i]->identity, &study->points[first]->identity)) {
            out[n++] = study->points[i];
        }
    }
    return n;
}

static bool is_first_of_identity(const struct study *study, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (lq_identity_equal(&study->points[j]->identity, &study->points[i]->identity)) {
            return false;
        }
    }
    return true;
}

/* Whether another identity of the same stack, model and kind of method was measured: else nothing
 * is transferred. */
static bool has_relatives(const struct study *study, const struct lq_identity *of)
{
    for (size_t i = 0; i < study->point_count; i++) {
        const struct lq_identity *id = &study->points[i]->identity;
        if (strcmp(id->stack, of->stack) == 0 && strcmp(id->model, of->model) == 0 &&
            id->method.kind == of->method.kind && !lq_identity_equal(id, of)) {
            return true;
        }
    }
    return false;
}

static void leave_identity_out(struct study *study, size_t first, const struct lq_point **own)
{
    const size_t n = gather_identity(study, first, own);
    const struct lq_identity *identity = &study->points[first]->identity;
    struct lq_belief prior;
    struct lq_error err = {.code = LQ_OK};
    if (lq_refit_prior(study->catalog, identity, &prior, &err) != LQ_OK) {
        study->failed = true;
        return;
    }
    for (size_t i = 0; i < n && has_relatives(study, identity); i++) {
        const struct lq_basis basis = {.kind = LQ_BASIS_TRANSFERRED, .belief = prior};
        add_prediction(study, own[i], LQ_HELD_OUT_IDENTITY, &basis);
    }
    for (size_t i = 0; i < n && n > 1; i++) {
        struct lq_fit fit;
        if (lq_refit_identity(study->catalog, own, n, own[i], &prior, &fit, &err) == LQ_OK) {
            const struct lq_basis basis = {.kind = LQ_BASIS_CALIBRATED,
                                           .log_sd = lq_evidence_scatter(&fit),
                                           .belief = fit.belief};
            add_prediction(study, own[i], LQ_HELD_OUT_POINT, &basis);
        }
    }
}

/* What a row of the answer is about. */
struct selection {
    enum lq_held_out held_out;
    int grade;          /* -1 = any */
    const char *source; /* NULL = any published */
    bool single_gpu;
};

static bool is_published_run(const struct lq_catalog *catalog, const struct lq_point *point)
{
    return point >= catalog->runs && point < catalog->runs + catalog->run_count;
}

static bool is_selected(const struct study *study, const struct selection *s,
                        const struct prediction *p)
{
    return p->held_out == s->held_out && (s->grade < 0 || s->grade == (int)p->grade) &&
           (s->source != NULL ? strcmp(s->source, p->point->source) == 0
                              : is_published_run(study->catalog, p->point)) &&
           (!s->single_gpu || p->point->identity.gpu_count == 1);
}

/* Errors and coverage of the predictions selected; nothing where there are none. */
static void summarise(struct study *study, const struct selection *s,
                      struct lq_grade_validations *out, double *room)
{
    double *predicted = room;
    double *measured = room + study->count;
    double *miss = room + 2 * study->count;
    double *log_sd = room + 3 * study->count;
    size_t n = 0;
    for (size_t i = 0; i < study->count; i++) {
        const struct prediction *p = &study->predictions[i];
        if (is_selected(study, s, p)) {
            predicted[n] = p->predicted;
            measured[n] = p->measured;
            miss[n] = log(p->predicted / p->measured);
            log_sd[n++] = p->log_sd;
        }
    }
    if (n == 0) {
        return;
    }
    struct lq_grade_validation *row = &out->row[out->count++];
    *row = (struct lq_grade_validation){.quantity = LQ_QUANTITY_THROUGHPUT,
                                        .held_out = s->held_out,
                                        .any_grade = s->grade < 0,
                                        .grade = s->grade < 0 ? LQ_BASIS_PRIOR
                                                              : (enum lq_basis_kind)s->grade,
                                        .source = s->source,
                                        .single_gpu = s->single_gpu};
    for (int l = 0; l < LQ_LEVELS; l++) {
        row->coverage[l] = lq_coverage_of(miss, log_sd, n, LEVELS[l]);
    }
    row->errors = lq_errors_of(predicted, measured, n, miss);
}

/* Distinct sources, in the order in which they first occur. */
static size_t list_sources(const struct study *study, const char *sources[SOURCES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < study->point_count; i++) {
        size_t known = 0;
        while (known < n && strcmp(sources[known], study->points[i]->source) != 0) {
            known++;
        }
        if (known == n && n < SOURCES_MAX) {
            sources[n++] = study->points[i]->source;
        }
    }
    return n;
}

static void summarise_all(struct study *study, const char *const *sources, size_t source_count,
                          struct lq_grade_validations *out, double *room)
{
    for (int held = LQ_HELD_OUT_POINT; held <= LQ_HELD_OUT_SOURCE_BUT_THREE; held++) {
        const enum lq_held_out held_out = (enum lq_held_out)held;
        const bool by_source = held >= LQ_HELD_OUT_SOURCE;
        for (size_t s = 0; by_source && s < source_count; s++) {
            summarise(study, &(struct selection){held_out, -1, sources[s], false}, out, room);
        }
        for (int grade = -1; grade <= (int)LQ_BASIS_PRIOR; grade++) {
            summarise(study, &(struct selection){held_out, grade, NULL, false}, out, room);
            summarise(study, &(struct selection){held_out, grade, NULL, true}, out, room);
        }
        if (!by_source) {
            summarise(study, &(struct selection){held_out, -1, "xia2024", false}, out, room);
        }
    }
}

static size_t gather_points(const struct lq_catalog *catalog, const struct lq_point **out)
{
    const struct {
        const struct lq_point *points;
        size_t count;
    } lists[] = {{catalog->points, catalog->point_count}, {catalog->runs, catalog->run_count}};
    size_t n = 0;
    for (size_t list = 0; list < 2; list++) {
        for (size_t i = 0; i < lists[list].count; i++) {
            const struct lq_point *point = &lists[list].points[i];
            if (point->shipped && lq_point_is_fitted(point) && point->queries_per_s > 0.0) {
                out[n++] = point;
            }
        }
    }
    return n;
}

/* Everything that is held out, in turn. `own` has room for all points. */
static void hold_out(struct study *study, const char *const *sources, size_t source_count,
                     const struct lq_point **own)
{
    for (size_t s = 0; s < source_count && !study->failed; s++) {
        leave_source_out(study, sources[s], false, own);
        leave_source_out(study, sources[s], true, own);
    }
    for (size_t i = 0; i < study->point_count && !study->failed; i++) {
        if (is_first_of_identity(study, i)) {
            leave_identity_out(study, i, own);
        }
    }
}

enum lq_code lq_validate_grades(const struct lq_catalog *catalog, struct lq_grade_validations *out,
                                struct lq_error *err)
{
    const size_t most = catalog->point_count + catalog->run_count + 1;
    const char *sources[SOURCES_MAX];
    struct study study = {.catalog = catalog};
    study.points = calloc(most, sizeof *study.points);
    study.predictions = calloc(4 * most, sizeof *study.predictions);
    const struct lq_point **own = calloc(most, sizeof *own);
    double *room = calloc(16 * most, sizeof *room);
    /* per way of holding out: a row per source, and two per grade and for any */
    *out = (struct lq_grade_validations){.row = calloc(4 * (SOURCES_MAX + 10), sizeof *out->row)};
    study.failed = study.points == NULL || study.predictions == NULL || own == NULL ||
                   room == NULL || out->row == NULL;
    if (!study.failed) {
        study.point_count = gather_points(catalog, study.points);
        const size_t source_count = list_sources(&study, sources);
        hold_out(&study, sources, source_count, own);
        summarise_all(&study, sources, source_count, out, room);
    }
    free(study.points);
    free(study.predictions);
    free(study.fits);
    free(own);
    free(room);
    if (study.failed) {
        lq_grade_validations_release(out);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory while validating");
    }
    return LQ_OK;
}

void lq_grade_validations_release(struct lq_grade_validations *validations)
{
    free(validations->row);
    *validations = (struct lq_grade_validations){.count = 0};
}
