/* Out-of-sample validation: fits are made again without what they are then asked to predict. */
#include "server/jobs/validate_grades.h"

#include "core/finetune/interval.h"
#include "server/jobs/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const LQ_HELD_OUT_NAMES[] = {"point", "identity", "source", "source-but-three-points",
                                         NULL};
const char *const LQ_QUANTITY_NAMES[] = {"throughput", "memory", NULL};

static const double LEVELS[LQ_LEVELS] = {0.5, 0.8, 0.9};

enum { SOURCES_MAX = 64 };

void lq_study_add(struct lq_study *study, const struct lq_prediction *prediction)
{
    if (study->count == study->room) {
        const size_t room = study->room > 0 ? 2 * study->room : 256;
        struct lq_prediction *list = realloc(study->predictions, room * sizeof *list);
        if (list == NULL) {
            study->failed = true;
            return;
        }
        study->predictions = list;
        study->room = room;
    }
    study->predictions[study->count++] = *prediction;
}

static bool keep_fit(void *context, const struct lq_fit *fit, uint64_t hash)
{
    struct lq_study *study = context;
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

struct lq_fit_sink lq_study_refit(struct lq_study *study)
{
    study->fit_count = 0;
    return (struct lq_fit_sink){.add = keep_fit, .context = study};
}

/* What a row of the answer is about. */
struct selection {
    enum lq_quantity quantity;
    enum lq_held_out held_out;
    int grade;          /* -1 = any */
    const char *source; /* NULL = any published */
    bool single_gpu;
};

static bool is_selected(const struct selection *s, const struct lq_prediction *p)
{
    return p->quantity == s->quantity && p->held_out == s->held_out &&
           (s->grade < 0 || s->grade == (int)p->grade) &&
           (s->source != NULL ? strcmp(s->source, p->source) == 0 : p->is_published) &&
           (!s->single_gpu || p->single_gpu);
}

/* Whether a batch that ran out of memory is answered no, or at 90 % not surely yes. */
static bool is_doubted(const struct lq_prediction *p)
{
    return log(p->predicted / p->measured) + lq_interval_z(0.9) * p->log_sd > 0.0;
}

/* The predictions selected, side by side. */
struct columns {
    double *predicted;
    double *measured;
    double *miss;
    double *log_sd;
    size_t n;
};

static void select_predictions(const struct lq_study *study, const struct selection *s,
                               struct columns *to, struct lq_grade_validation *row)
{
    for (size_t i = 0; i < study->count; i++) {
        const struct lq_prediction *p = &study->predictions[i];
        if (!is_selected(s, p)) {
            continue;
        }
        if (p->too_large) {
            row->too_large++;
            row->too_large_doubted += is_doubted(p) ? 1 : 0;
            continue;
        }
        to->predicted[to->n] = p->predicted;
        to->measured[to->n] = p->measured;
        to->miss[to->n] = log(p->predicted / p->measured);
        to->log_sd[to->n++] = p->log_sd;
    }
}

/* Errors and coverage of the predictions selected; nothing where there are none. */
static void summarise(const struct lq_study *study, const struct selection *s, double *room,
                      struct lq_grade_validations *out)
{
    struct columns c = {.predicted = room,
                        .measured = room + study->count,
                        .miss = room + 2 * study->count,
                        .log_sd = room + 3 * study->count};
    struct lq_grade_validation row = {.quantity = s->quantity,
                                      .held_out = s->held_out,
                                      .any_grade = s->grade < 0,
                                      .grade = s->grade < 0 ? LQ_BASIS_PRIOR
                                                            : (enum lq_basis_kind)s->grade,
                                      .source = s->source,
                                      .single_gpu = s->single_gpu};
    select_predictions(study, s, &c, &row);
    if (c.n == 0) {
        return;
    }
    for (int l = 0; l < LQ_LEVELS; l++) {
        row.coverage[l] = lq_coverage_of(c.miss, c.log_sd, c.n, LEVELS[l]);
    }
    row.errors = lq_errors_of(c.predicted, c.measured, c.n, c.miss);
    out->row[out->count++] = row;
}

/* Distinct sources of a quantity, in the order in which they were left out. */
static size_t list_sources(const struct lq_study *study, enum lq_quantity quantity,
                           const char *sources[SOURCES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < study->count; i++) {
        const struct lq_prediction *p = &study->predictions[i];
        size_t known = 0;
        while (known < n && strcmp(sources[known], p->source) != 0) {
            known++;
        }
        if (known == n && n < SOURCES_MAX && p->quantity == quantity) {
            sources[n++] = p->source;
        }
    }
    return n;
}

static void summarise_quantity(const struct lq_study *study, enum lq_quantity quantity,
                               double *room, struct lq_grade_validations *out)
{
    const char *sources[SOURCES_MAX];
    const size_t source_count = list_sources(study, quantity, sources);
    for (int held = LQ_HELD_OUT_POINT; held <= LQ_HELD_OUT_SOURCE_BUT_THREE; held++) {
        struct selection s = {
            .quantity = quantity, .held_out = (enum lq_held_out)held, .grade = -1};
        const bool by_source = held >= LQ_HELD_OUT_SOURCE;
        for (size_t i = 0; by_source && i < source_count; i++) {
            s.source = sources[i];
            summarise(study, &s, room, out);
        }
        s.source = NULL;
        for (s.grade = -1; s.grade <= (int)LQ_BASIS_PRIOR; s.grade++) {
            s.single_gpu = false;
            summarise(study, &s, room, out);
            s.single_gpu = true;
            summarise(study, &s, room, out);
        }
        if (!by_source) {
            s = (struct selection){
                .quantity = quantity, .held_out = s.held_out, .grade = -1, .source = "xia2024"};
            summarise(study, &s, room, out);
        }
    }
}

enum lq_code lq_validate_grades(const struct lq_catalog *catalog, struct lq_grade_validations *out,
                                struct lq_error *err)
{
    struct lq_study study = {.catalog = catalog};
    lq_study_steps(&study);
    lq_study_memory(&study);
    double *room = calloc(4 * (study.count + 1), sizeof *room);
    /* per quantity and way of holding out: a row per source, and two per grade and for any */
    *out = (struct lq_grade_validations){.row = calloc(8 * (SOURCES_MAX + 10), sizeof *out->row)};
    study.failed = study.failed || room == NULL || out->row == NULL;
    if (!study.failed) {
        summarise_quantity(&study, LQ_QUANTITY_THROUGHPUT, room, out);
        summarise_quantity(&study, LQ_QUANTITY_MEMORY, room, out);
    }
    free(study.predictions);
    free(study.fits);
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
