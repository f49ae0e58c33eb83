/* Decodes sweeps and encodes their series. */
#include "server/json/sweep.h"

#include "server/json/field.h"
#include "server/json/member.h"
#include "server/json/sample.h"
#include "server/json/sweep_axes.h"

#include <stdio.h>
#include <string.h>

/* Bins of lengths that a request may have estimated in all: at some 50 ns a bin a tenth of a
 * second of each thread's time. */
static const double BINS_MAX = 2e6;

struct members {
    const json_t *job;
    const json_t *axes;
};

static const struct lq_field FIELDS[] = {
    {.name = "job",
     .kind = LQ_FIELD_JSON,
     .required = true,
     .offset = offsetof(struct members, job)},
    {.name = "axes",
     .kind = LQ_FIELD_JSON,
     .required = true,
     .offset = offsetof(struct members, axes)},
};

size_t lq_sweep_size(const struct lq_sweep *sweep, size_t axis)
{
    return axis < sweep->axis_count ? json_array_size(sweep->axis[axis].values) : 1;
}

static enum lq_code decode_axes(const json_t *axes, struct lq_sweep *out, struct lq_faults *faults)
{
    const size_t count = json_array_size(axes);
    if (count < 1 || count > LQ_SWEEP_AXES_MAX) {
        return lq_faults_add(faults, LQ_EFIELD, "/axes", "must be a list of one or two axes");
    }
    enum lq_code code = LQ_OK;
    for (size_t i = 0; i < count; i++) {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/axes/%zu", i);
        out->axis[i].values = json_array();
        out->axis_count++;
        const enum lq_code own =
            lq_sweep_axis_decode(json_array_get(axes, i), pointer, &out->axis[i], faults);
        code = code == LQ_OK ? own : code;
    }
    if (code == LQ_OK && count == 2 && out->axis[0].kind == out->axis[1].kind) {
        return lq_faults_add(faults, LQ_EFIELD, "/axes/1/name", "is the first axis's too");
    }
    return code;
}

/* Every point is estimated, with every bin of the lengths. */
static enum lq_code check_size(const struct lq_sweep *sweep, struct lq_faults *faults)
{
    const size_t points = lq_sweep_size(sweep, 0) * lq_sweep_size(sweep, 1);
    if (points > LQ_SWEEP_POINTS_MAX) {
        return lq_faults_add(faults, LQ_ETOOLARGE, "/axes", "must make at most %d points, got %zu",
                             LQ_SWEEP_POINTS_MAX, points);
    }
    const json_t *lengths = json_object_get(json_object_get(sweep->job, "dataset"), "lengths");
    const size_t bins = json_array_size(json_object_get(lengths, "histogram"));
    if ((double)bins * (double)points > BINS_MAX) {
        return lq_faults_add(faults, LQ_ETOOLARGE, "/job/dataset/lengths",
                             "%zu lengths at each of %zu points: at most %.0f in all", bins, points,
                             BINS_MAX);
    }
    return LQ_OK;
}

enum lq_code lq_sweep_decode(const json_t *root, struct lq_sweep *out, struct lq_faults *faults)
{
    *out = (struct lq_sweep){.axis_count = 0};
    struct members m = {NULL, NULL};
    const enum lq_code table =
        lq_decode(root, "", FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults);
    if (m.job != NULL && !json_is_object(m.job)) {
        lq_faults_add(faults, LQ_EFIELD, "/job", "must be an object");
    }
    if (m.axes != NULL) {
        (void)decode_axes(m.axes, out, faults); /* what is wrong stands in the faults */
    }
    if (table != LQ_OK || faults->count > 0) {
        return faults->items[0].code;
    }
    out->job = lq_sample_condense(m.job);
    return check_size(out, faults);
}

void lq_sweep_release(struct lq_sweep *sweep)
{
    json_decref(sweep->job);
    for (size_t i = 0; i < sweep->axis_count; i++) {
        json_decref(sweep->axis[i].values);
    }
    *sweep = (struct lq_sweep){.axis_count = 0};
}

json_t *lq_sweep_job(const struct lq_sweep *sweep, size_t x, size_t by, double *memory_bytes)
{
    const size_t at[LQ_SWEEP_AXES_MAX] = {x, by};
    json_t *job = json_copy(sweep->job);
    *memory_bytes = 0.0;
    for (size_t i = 0; i < sweep->axis_count; i++) {
        lq_sweep_axis_set(&sweep->axis[i], at[i], job);
        if (lq_sweep_axis_is_memory(&sweep->axis[i])) {
            *memory_bytes = json_number_value(json_array_get(sweep->axis[i].values, at[i]));
        }
    }
    return job;
}

/* The estimate's bounds, and those of the step, which goes against the rate. */
static json_t *bounds_encode(const struct lq_quote *quote)
{
    const struct lq_estimate *e = quote->estimate;
    const double *rate = e->interval.queries_per_s;
    json_t *o = lq_quote_interval_encode(quote);
    json_object_set_new(o, "step_s",
                        json_pack("[f, f]", e->step_s * e->queries_per_s / rate[1],
                                  e->step_s * e->queries_per_s / rate[0]));
    return o;
}

json_t *lq_sweep_point_encode(const struct lq_quote *quote)
{
    const struct lq_estimate *e = quote->estimate;
    const bool priced = quote->cost_count > 0;
    json_t *o = json_object();
    json_object_set_new(o, "batch_size", json_integer(e->batch_size));
    json_object_set_new(o, "max_batch_size", json_integer(e->max_batch_size));
    lq_set_real(o, "queries_per_s", e->queries_per_s);
    lq_set_real(o, "tokens_per_s", e->tokens_per_s);
    lq_set_real(o, "step_s", e->step_s);
    lq_set_real(o, "duration_s", e->duration_s);
    json_object_set_new(o, "cost_usd", priced ? json_real(quote->costs[0].cost_usd) : json_null());
    json_object_set_new(o, "provider",
                        priced ? json_string(quote->costs[0].provider) : json_null());
    lq_set_whole(o, "memory_bytes", e->total_bytes);
    json_object_set_new(o, "interval", bounds_encode(quote));
    json_object_set_new(o, "basis", json_string(LQ_BASIS_NAMES[e->basis.kind]));
    json_object_set_new(o, "warnings", lq_warning_codes_encode(e->warnings));
    return o;
}

json_t *lq_sweep_problem_encode(const struct lq_faults *faults)
{
    const struct lq_error *first = &faults->items[0];
    return json_pack("{s:{s:s, s:s}}", "problem", "code", lq_code_slug(first->code), "detail",
                     first->detail);
}

json_t *lq_sweep_series_new(const struct lq_sweep *sweep)
{
    json_t *series = json_array();
    for (size_t by = 0; by < lq_sweep_size(sweep, 1); by++) {
        json_t *one = json_object();
        json_object_set_new(one, "by",
                            sweep->axis_count > 1
                                ? json_incref(json_array_get(sweep->axis[1].values, by))
                                : json_null());
        json_object_set_new(one, "points", json_array());
        json_array_append_new(series, one);
    }
    return series;
}

void lq_sweep_append(const struct lq_sweep *sweep, json_t *series, size_t x, size_t by,
                     json_t *point)
{
    json_t *points = json_object_get(json_array_get(series, by), "points");
    json_t *whole = json_object();
    json_object_set(whole, "x", json_array_get(sweep->axis[0].values, x));
    json_object_update(whole, point);
    json_decref(point);
    json_array_append_new(points, whole);
}

static json_t *axis_encode(const struct lq_sweep_axis *axis)
{
    const struct lq_sweep_kind *kind = axis->kind;
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(kind->name));
    json_object_set_new(o, "unit", kind->unit != NULL ? json_string(kind->unit) : json_null());
    json_object_set(o, "values", axis->values);
    return o;
}

/* What can stand on the other axis of a plot. */
static json_t *quantities_encode(void)
{
    static const struct {
        const char *name;
        const char *unit;
    } QUANTITIES[] = {
        {"batch_size", "rows"},
        {"max_batch_size", "rows"},
        {"queries_per_s", "queries/s"},
        {"tokens_per_s", "tokens/s"},
        {"step_s", "s"},
        {"duration_s", "s"},
        {"cost_usd", "USD"},
        {"memory_bytes", "bytes"},
    };
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof QUANTITIES / sizeof QUANTITIES[0]; i++) {
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "name", QUANTITIES[i].name, "unit", QUANTITIES[i].unit));
    }
    return list;
}

json_t *lq_sweep_encode(const struct lq_sweep *sweep, json_t *series)
{
    json_t *o = json_object();
    json_object_set_new(o, "x", axis_encode(&sweep->axis[0]));
    json_object_set_new(o, "by",
                        sweep->axis_count > 1 ? axis_encode(&sweep->axis[1]) : json_null());
    json_object_set_new(o, "quantities", quantities_encode());
    json_object_set_new(o, "series", series);
    return o;
}
