/* Predictions of measured steps, from fits made without them. */
#include "core/finetune/evidence.h"
#include "server/jobs/refit.h"
#include "server/jobs/refit_step.h"
#include "server/jobs/study.h"

#include <stdlib.h>
#include <string.h>

/* The study, and what is held out of it. */
struct step_study {
    struct lq_study *study;
    const struct lq_point **points; /* all shipped ones that carry a rate, in catalog order */
    size_t point_count;
    const struct lq_point **own; /* room for all points */
};

/* A source whose points are left out, but for those in `kept`. */
struct omission {
    const char *source;
    const struct lq_point *kept[LQ_KEPT_POINTS];
};

static bool is_kept(const void *context, const struct lq_point *point)
{
    const struct omission *omission = context;
    for (int i = 0; i < LQ_KEPT_POINTS; i++) {
        if (omission->kept[i] == point) {
            return true;
        }
    }
    return strcmp(point->source, omission->source) != 0;
}

static void add_prediction(struct lq_study *study, const struct lq_point *point,
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
    const struct lq_prediction prediction = {.quantity = LQ_QUANTITY_THROUGHPUT,
                                             .held_out = held_out,
                                             .grade = basis->kind,
                                             .source = point->source,
                                             .is_published =
                                                 !lq_point_is_calibration(study->catalog, point),
                                             .single_gpu = point->identity.gpu_count == 1,
                                             .predicted = o.queries / step.total_s,
                                             .measured = point->queries_per_s,
                                             .log_sd = lq_basis_log_sd(basis, &step)};
    lq_study_add(study, &prediction);
}

/* Predicts a point as an estimate would from the fits at hand. */
static void predict(struct lq_study *study, const struct lq_point *point, enum lq_held_out held_out)
{
    struct lq_step_observation o;
    if (!lq_step_observe(study->catalog, point, &o)) {
        return;
    }
    char data[LQ_ID_MAX];
    lq_conditions_data(&point->conditions, data);
    const struct lq_model *model = lq_catalog_any_model(study->catalog, point->identity.model);
    const struct lq_applicant applicant = {
        .identity = &point->identity, .model_class = lq_model_class(model), .data = data};
    const struct lq_evidence evidence = {.fits = study->fits, .fit_count = study->fit_count};
    const struct lq_basis basis = lq_evidence_step(&evidence, &applicant);
    add_prediction(study, point, held_out, &basis);
}

/* Leaves one source out, then all of it but three points, evenly spread; predicts the rest. */
static void leave_source_out(struct step_study *s, const char *source, bool but_three)
{
    struct omission omission = {.source = source};
    size_t n = 0;
    for (size_t i = 0; i < s->point_count; i++) {
        if (strcmp(s->points[i]->source, source) == 0) {
            s->own[n++] = s->points[i];
        }
    }
    if (but_three && n <= LQ_KEPT_POINTS) {
        return;
    }
    for (size_t i = 0; but_three && i < LQ_KEPT_POINTS; i++) {
        omission.kept[i] = s->own[i * (n - 1) / (LQ_KEPT_POINTS - 1)];
    }
    const struct lq_filter filter = {.keep = is_kept, .context = &omission};
    const struct lq_fit_sink sink = lq_study_refit(s->study);
    struct lq_error err = {.code = LQ_OK};
    if (lq_refit_steps(s->study->catalog, &filter, &sink, &err) != LQ_OK) {
        s->study->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_kept(&omission, s->own[i])) {
            predict(s->study, s->own[i],
                    but_three ? LQ_HELD_OUT_SOURCE_BUT_THREE : LQ_HELD_OUT_SOURCE);
        }
    }
}

/* Gathers the points of the identity that point `first` opens; 0 where an earlier one did. */
static size_t gather_identity(const struct step_study *s, size_t first)
{
    size_t n = 0;
    for (size_t i = 0; i < s->point_count; i++) {
        if (lq_identity_equal(&s->points[i]->identity, &s->points[first]->identity)) {
            if (i < first) {
                return 0;
            }
            s->own[n++] = s->points[i];
        }
    }
    return n;
}

/* Whether another identity of the same stack, model and kind of method was measured: else nothing
 * is transferred. */
static bool has_relatives(const struct step_study *s, const struct lq_identity *of)
{
    for (size_t i = 0; i < s->point_count; i++) {
        const struct lq_identity *id = &s->points[i]->identity;
        if (lq_scope_together(id, of, LQ_SCOPE_MODEL) && !lq_identity_equal(id, of)) {
            return true;
        }
    }
    return false;
}

/* Leaves out one identity of n points, then each of them alone. */
static void leave_identity_out(struct step_study *s, size_t n)
{
    const struct lq_identity *identity = &s->own[0]->identity;
    struct lq_belief prior;
    struct lq_error err = {.code = LQ_OK};
    if (lq_refit_prior(s->study->catalog, identity, &prior, &err) != LQ_OK) {
        s->study->failed = true;
        return;
    }
    for (size_t i = 0; i < n && has_relatives(s, identity); i++) {
        const struct lq_basis basis = {.kind = LQ_BASIS_TRANSFERRED, .belief = prior};
        add_prediction(s->study, s->own[i], LQ_HELD_OUT_IDENTITY, &basis);
    }
    for (size_t i = 0; i < n && n > 1; i++) {
        struct lq_fit fit;
        if (lq_refit_identity(s->study->catalog, s->own, n, s->own[i], &prior, &fit, &err) ==
            LQ_OK) {
            const struct lq_basis basis = {.kind = LQ_BASIS_CALIBRATED,
                                           .log_sd = lq_evidence_scatter(&fit),
                                           .belief = fit.belief};
            add_prediction(s->study, s->own[i], LQ_HELD_OUT_POINT, &basis);
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

/* Whether no earlier point is of the same source. */
static bool opens_source(const struct step_study *s, size_t first)
{
    size_t i = 0;
    while (strcmp(s->points[i]->source, s->points[first]->source) != 0) {
        i++;
    }
    return i == first;
}

static void hold_out(struct step_study *s)
{
    for (size_t i = 0; i < s->point_count && !s->study->failed; i++) {
        if (opens_source(s, i)) {
            leave_source_out(s, s->points[i]->source, false);
            leave_source_out(s, s->points[i]->source, true);
        }
        const size_t n = gather_identity(s, i);
        if (n > 0 && !s->study->failed) {
            leave_identity_out(s, n);
        }
    }
}

void lq_study_steps(struct lq_study *study)
{
    const size_t most = study->catalog->point_count + study->catalog->run_count + 1;
    struct step_study s = {.study = study};
    s.points = calloc(most, sizeof(const struct lq_point *));
    s.own = calloc(most, sizeof(const struct lq_point *));
    study->failed = study->failed || s.points == NULL || s.own == NULL;
    if (!study->failed) {
        s.point_count = gather_points(study->catalog, s.points);
        hold_out(&s);
    }
    free(s.points);
    free(s.own);
}
