/* Decodes what a law is fitted to: runs, starts, fixed coefficients, bounds. */
#include "server/json/law_fit.h"

#include "server/json/field.h"
#include "server/json/law_point.h"
#include "server/json/suggest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned bit_of(int j)
{
    return 1U << (unsigned)j;
}

/* Fields that are the form's coefficients, at their places in an array of values. */
static size_t coefficient_fields(const struct lq_law_form *form, enum lq_field_kind kind,
                                 size_t size, struct lq_field fields[LQ_LAW_COEFFICIENTS_MAX])
{
    for (int j = 0; j < form->coefficients; j++) {
        fields[j] = (struct lq_field){
            .name = form->coefficient[j].name, .kind = kind, .offset = (size_t)j * size};
    }
    return (size_t)form->coefficients;
}

/* ---- runs ---- */

static enum lq_code check_runs(const json_t *runs, struct lq_faults *faults)
{
    const size_t count = json_array_size(runs);
    if (count == 0) {
        return lq_faults_add(faults, LQ_EFIELD, "/runs", "must be a list of 1..%d runs",
                             LQ_FIT_RUNS_MAX);
    }
    if (count > LQ_FIT_RUNS_MAX) {
        return lq_faults_add(faults, LQ_ETOOLARGE, "/runs", "must have at most %d runs, got %zu",
                             LQ_FIT_RUNS_MAX, count);
    }
    return LQ_OK;
}

static void decode_runs(const json_t *runs, const struct lq_lookup *lookup,
                        struct lq_law_fit_document *out, struct lq_faults *faults)
{
    if (check_runs(runs, faults) != LQ_OK) {
        return;
    }
    out->run_count = json_array_size(runs);
    out->runs = calloc(out->run_count, sizeof *out->runs);
    if (out->runs == NULL) {
        lq_faults_add(faults, LQ_EINTERNAL, NULL, "out of memory for the runs");
        return;
    }
    const struct lq_law_reader reader = {&out->law, lookup, true, faults};
    size_t i;
    json_t *value;
    json_array_foreach(runs, i, value)
    {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/runs/%zu", i);
        struct lq_law_point_document run;
        if (lq_law_point_decode(&reader, value, pointer, &run) == LQ_OK) {
            out->runs[i] = (struct lq_law_run){run.point, run.measured, run.weight};
        }
    }
}

/* ---- fixed coefficients and bounds ---- */

/* A coefficient that is searched as the excess over the one before it. */
static bool is_excess(const struct lq_law_form *form, int j)
{
    return j > 0 && form->coefficient[j].scale == LQ_SCALE_ABOVE;
}

static const char *fixed_fault(const struct lq_law_fit_document *out, int j)
{
    const double *c = out->law.coefficient;
    const struct lq_law_form *form = out->law.form;
    if (!(fabs(c[j]) <= 1e100)) {
        return "must be between -1e100 and 1e100";
    }
    if (form->coefficient[j].scale == LQ_SCALE_LOG && c[j] < 0.0) {
        return "must not be negative";
    }
    if (is_excess(form, j) && (out->held & bit_of(j - 1)) == 0) {
        return "can be fixed only together with the coefficient before it";
    }
    return is_excess(form, j) && !(c[j] > c[j - 1]) ? "must be above the coefficient before it"
                                                    : NULL;
}

static void decode_fixed(const json_t *value, struct lq_law_fit_document *out,
                         struct lq_faults *faults)
{
    const struct lq_law_form *form = out->law.form;
    struct lq_field fields[LQ_LAW_COEFFICIENTS_MAX] = {{.name = NULL}};
    const size_t n = coefficient_fields(form, LQ_FIELD_NUMBER, sizeof(double), fields);
    if (lq_decode(value, "/fixed", fields, n, out->law.coefficient, faults) != LQ_OK) {
        return;
    }
    int free_coefficients = 0;
    for (int j = 0; j < form->coefficients; j++) {
        char at[LQ_POINTER_MAX];
        const json_t *member = json_object_get(value, form->coefficient[j].name);
        if (member == NULL || json_is_null(member)) {
            free_coefficients++;
            continue;
        }
        out->held |= bit_of(j);
        const char *fault = fixed_fault(out, j);
        if (fault != NULL) {
            lq_pointer_join(at, "/fixed", form->coefficient[j].name);
            lq_faults_add(faults, LQ_EFIELD, at, "%s, got %.9g", fault, out->law.coefficient[j]);
        }
    }
    if (free_coefficients == 0) {
        lq_faults_add(faults, LQ_EFIELD, "/fixed", "leaves nothing to fit: give coefficients");
    }
}

/* One side of a bound as a searched number; null leaves the form's own. */
static void decode_side(const json_t *value, const char *pointer, bool logarithm, double *side,
                        struct lq_faults *faults)
{
    double number = 0.0;
    if (json_is_null(value)) {
        return;
    }
    const double least = logarithm ? 1e-100 : -1e100;
    if (lq_decode_number(value, pointer, least, 1e100, &number, faults)) {
        *side = logarithm ? log(number) : number;
    }
}

static void decode_bound(const json_t *value, int j, struct lq_law_fit_document *out,
                         struct lq_faults *faults)
{
    const struct lq_law_coefficient *c = &out->law.form->coefficient[j];
    char at[LQ_POINTER_MAX];
    lq_pointer_join(at, "/bounds", c->name);
    if (is_excess(out->law.form, j)) {
        lq_faults_add(faults, LQ_EFIELD, at,
                      "is searched as what it is above the coefficient before it and takes no "
                      "bounds; it can be fixed");
    } else if ((out->held & bit_of(j)) != 0) {
        lq_faults_add(faults, LQ_EFIELD, at, "is fixed already");
    } else if (json_array_size(value) != 2) {
        lq_faults_add(faults, LQ_EFIELD, at, "must be a list of least and most, or null for none");
    } else {
        char side[LQ_POINTER_MAX];
        const bool logarithm = c->scale == LQ_SCALE_LOG;
        lq_pointer_join(side, at, "0");
        decode_side(json_array_get(value, 0), side, logarithm, &out->lower[j], faults);
        lq_pointer_join(side, at, "1");
        decode_side(json_array_get(value, 1), side, logarithm, &out->upper[j], faults);
        out->bounded |= bit_of(j);
        if (!(out->lower[j] < out->upper[j])) {
            lq_faults_add(faults, LQ_EFIELD, at,
                          "must ascend; the form's own bounds hold for null");
        }
    }
}

static void decode_bounds(const json_t *value, struct lq_law_fit_document *out,
                          struct lq_faults *faults)
{
    const json_t *bounds[LQ_LAW_COEFFICIENTS_MAX] = {NULL};
    struct lq_field fields[LQ_LAW_COEFFICIENTS_MAX] = {{.name = NULL}};
    const size_t n =
        coefficient_fields(out->law.form, LQ_FIELD_JSON, sizeof(const json_t *), fields);
    if (lq_decode(value, "/bounds", fields, n, bounds, faults) != LQ_OK) {
        return;
    }
    for (int j = 0; j < (int)n; j++) {
        if (bounds[j] != NULL) {
            decode_bound(bounds[j], j, out, faults);
        }
    }
}

/* ---- starts ---- */

static void decode_start(const json_t *value, size_t i, struct lq_law_fit_document *out,
                         struct lq_faults *faults)
{
    struct lq_law at_start = out->law;
    struct lq_field fields[LQ_LAW_COEFFICIENTS_MAX] = {{.name = NULL}};
    const size_t n = coefficient_fields(at_start.form, LQ_FIELD_NUMBER, sizeof(double), fields);
    for (size_t j = 0; j < n; j++) {
        fields[j].required = (out->held & bit_of((int)j)) == 0;
    }
    char pointer[32];
    snprintf(pointer, sizeof pointer, "/starts/%zu", i);
    if (lq_decode(value, pointer, fields, n, at_start.coefficient, faults) != LQ_OK) {
        return;
    }
    struct lq_error err = {0};
    if (lq_law_check(&at_start, &err) != LQ_OK) {
        char at[LQ_POINTER_MAX];
        lq_pointer_join(at, pointer, strrchr(err.pointer, '/') + 1);
        lq_faults_add(faults, LQ_EFIELD, at, "%s", err.detail);
        return;
    }
    lq_law_fit_start_at(at_start.form, at_start.coefficient,
                        &out->starts[i * LQ_LAW_COEFFICIENTS_MAX]);
}

static void decode_start_list(const json_t *list, struct lq_law_fit_document *out,
                              struct lq_faults *faults)
{
    const size_t count = json_array_size(list);
    if (count == 0 || count > LQ_FIT_STARTS_MAX) {
        lq_faults_add(faults, LQ_EFIELD, "/starts", "must have 1..%d starts, got %zu",
                      LQ_FIT_STARTS_MAX, count);
        return;
    }
    out->starts = calloc(count * LQ_LAW_COEFFICIENTS_MAX, sizeof *out->starts);
    if (out->starts == NULL) {
        lq_faults_add(faults, LQ_EINTERNAL, NULL, "out of memory for the starts");
        return;
    }
    out->start_count = count;
    for (size_t i = 0; i < count; i++) {
        decode_start(json_array_get(list, i), i, out, faults);
    }
}

static size_t at_most(size_t count, size_t most)
{
    return count < most ? count : most;
}

static void decode_starts(const json_t *value, struct lq_law_fit_document *out,
                          struct lq_faults *faults)
{
    const size_t grid = lq_law_fit_start_count(out->law.form);
    int64_t count = 0;
    if (value == NULL) {
        out->start_count =
            at_most(grid, out->law.form->dense ? LQ_FIT_GRID_MAX : LQ_FIT_STARTS_DEFAULT);
        out->grid = grid;
    } else if (json_is_string(value) && strcmp(json_string_value(value), "grid") == 0) {
        out->start_count = at_most(grid, LQ_FIT_GRID_MAX);
        out->grid = grid;
    } else if (json_is_array(value)) {
        decode_start_list(value, out, faults);
    } else if (json_is_number(value)) {
        if (lq_decode_count(value, "/starts", 1, LQ_FIT_STARTS_MAX, &count, faults)) {
            out->start_count = at_most(grid, (size_t)count);
        }
    } else {
        lq_faults_add(faults, LQ_EFIELD, "/starts",
                      "must be \"grid\", a count, or a list of objects of coefficients");
    }
}

enum lq_code lq_law_fit_decode(const struct lq_law_document *posted, const struct lq_lookup *lookup,
                               struct lq_law_fit_document *out, struct lq_faults *faults)
{
    const size_t before = faults->count;
    *out = (struct lq_law_fit_document){.law = posted->law,
                                        .bootstrap = (size_t)posted->bootstrap,
                                        .confidence = posted->confidence};
    for (int j = 0; j < out->law.form->coefficients; j++) {
        out->lower[j] = out->law.form->coefficient[j].lower;
        out->upper[j] = out->law.form->coefficient[j].upper;
    }
    decode_runs(posted->runs, lookup, out, faults);
    if (posted->fixed != NULL) {
        decode_fixed(posted->fixed, out, faults);
    }
    if (posted->bounds != NULL) {
        decode_bounds(posted->bounds, out, faults);
    }
    decode_starts(posted->starts, out, faults);
    return faults->count > before ? faults->items[before < LQ_FAULTS_MAX ? before : 0].code : LQ_OK;
}

void lq_law_fit_release(struct lq_law_fit_document *document)
{
    free(document->runs);
    free(document->starts);
    document->runs = NULL;
    document->starts = NULL;
}
