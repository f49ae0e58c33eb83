/* Decodes comparisons: what is theirs by a field table here, the rest as a job. The answer is
 * encoded in comparison_answer.c. */
#include "server/json/comparison.h"

#include "server/json/field.h"
#include "server/json/lookup.h"
#include "server/json/member.h"

#include <stdio.h>
#include <string.h>

static const int64_t COUNTS[] = {1, 2, 4, 8};

/* Members as they stand in the document. */
struct members {
    const json_t *gpus;
    const json_t *gpu_counts;
    const json_t *gpu;
    const json_t *gpu_count;
    const json_t *spot;
    double budget_usd;
    double deadline_s;
    int objective;
    int64_t limit;
    char cursor[64];
    const json_t *part; /* of tune or buy, which is decoded from the object itself */
    double requests_per_month;
    double utilisation;
};

#define AT(member) .offset = offsetof(struct members, member)
static const struct lq_field FIELDS[] = {
    {.name = "gpus", .kind = LQ_FIELD_JSON, AT(gpus)},
    {.name = "gpu_counts", .kind = LQ_FIELD_JSON, AT(gpu_counts)},
    {.name = "gpu", .kind = LQ_FIELD_JSON, AT(gpu)},
    {.name = "gpu_count", .kind = LQ_FIELD_JSON, AT(gpu_count)},
    {.name = "spot", .kind = LQ_FIELD_JSON, AT(spot)},
    {.name = "budget_usd", .kind = LQ_FIELD_NUMBER, AT(budget_usd), .min = 1e-6, .max = 1e15},
    {.name = "deadline_s", .kind = LQ_FIELD_NUMBER, AT(deadline_s), .min = 1e-3, .max = 1e12},
    {.name = "objective", .kind = LQ_FIELD_NAME, AT(objective), .names = LQ_LEAST_NAMES},
    {.name = "limit", .kind = LQ_FIELD_COUNT, AT(limit), .min = 1, .max = LQ_COMPARISON_LIMIT_MAX},
    {.name = "api", .kind = LQ_FIELD_JSON, AT(part)},
    {.name = "traffic", .kind = LQ_FIELD_JSON, AT(part)},
    {.name = "serving", .kind = LQ_FIELD_JSON, AT(part)},
    {.name = "requests_per_month",
     .kind = LQ_FIELD_NUMBER,
     AT(requests_per_month),
     .min = 1e-3,
     .max = 1e15},
    {.name = "utilisation", .kind = LQ_FIELD_NUMBER, AT(utilisation), .min = 0.01, .max = 1.0},
    {.name = "cursor", .kind = LQ_FIELD_STRING, AT(cursor), .size = sizeof(char[64])},
};
#undef AT
enum { FIELD_COUNT = sizeof FIELDS / sizeof FIELDS[0] };

static void add_gpu(struct lq_comparison_document *out, const json_t *value, const char *pointer,
                    const struct lq_lookup *lookup, struct lq_faults *faults)
{
    const char *id = json_string_value(value);
    if (id == NULL) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be the id of a GPU");
        return;
    }
    const struct lq_gpu *gpu = lq_subject_gpu(id, pointer, lookup, faults);
    for (size_t i = 0; i < out->gpu_count && gpu != NULL; i++) {
        if (out->gpus[i] == gpu) {
            lq_faults_add(faults, LQ_EFIELD, pointer, "%s stands there a second time", gpu->id);
            return;
        }
    }
    if (gpu != NULL) {
        out->gpus[out->gpu_count++] = gpu;
    }
}

static void decode_gpus(const struct members *m, const struct lq_lookup *lookup,
                        struct lq_comparison_document *out, struct lq_faults *faults)
{
    if (m->gpu != NULL) {
        if (m->gpus != NULL) {
            lq_faults_add(faults, LQ_EFIELD, "/gpus", "goes without gpu: give one or the other");
        }
        add_gpu(out, m->gpu, "/gpu", lookup, faults);
        return;
    }
    if (m->gpus == NULL) {
        return;
    }
    if (!json_is_array(m->gpus) || json_array_size(m->gpus) == 0 ||
        json_array_size(m->gpus) > LQ_COMPARED_GPUS_MAX) {
        lq_faults_add(faults, LQ_EFIELD, "/gpus", "must be a list of 1..%d GPU ids",
                      LQ_COMPARED_GPUS_MAX);
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(m->gpus, i, item)
    {
        char pointer[LQ_POINTER_MAX];
        snprintf(pointer, sizeof pointer, "/gpus/%zu", i);
        add_gpu(out, item, pointer, lookup, faults);
    }
}

/* Kept ascending. */
static void add_count(struct lq_comparison_document *out, const json_t *value, const char *pointer,
                      struct lq_faults *faults)
{
    int64_t count = 0;
    if (!lq_decode_count(value, pointer, 1.0, 65536.0, &count, faults)) {
        return;
    }
    size_t at = out->count_count;
    while (at > 0 && out->counts[at - 1] >= count) {
        at--;
        if (out->counts[at] == count) {
            lq_faults_add(faults, LQ_EFIELD, pointer, "%lld stands there a second time",
                          (long long)count);
            return;
        }
    }
    memmove(&out->counts[at + 1], &out->counts[at],
            (out->count_count - at) * sizeof out->counts[0]);
    out->counts[at] = count;
    out->count_count++;
}

static void decode_counts(const struct members *m, struct lq_comparison_document *out,
                          struct lq_faults *faults)
{
    if (m->gpu_count != NULL) {
        if (m->gpu_counts != NULL) {
            lq_faults_add(faults, LQ_EFIELD, "/gpu_counts",
                          "goes without gpu_count: give one or the other");
        }
        add_count(out, m->gpu_count, "/gpu_count", faults);
        return;
    }
    if (m->gpu_counts == NULL) {
        memcpy(out->counts, COUNTS, sizeof COUNTS);
        out->count_count = sizeof COUNTS / sizeof COUNTS[0];
        return;
    }
    if (!json_is_array(m->gpu_counts) || json_array_size(m->gpu_counts) == 0 ||
        json_array_size(m->gpu_counts) > LQ_COMPARED_COUNTS_MAX) {
        lq_faults_add(faults, LQ_EFIELD, "/gpu_counts", "must be a list of 1..%d counts",
                      LQ_COMPARED_COUNTS_MAX);
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(m->gpu_counts, i, item)
    {
        char pointer[LQ_POINTER_MAX];
        snprintf(pointer, sizeof pointer, "/gpu_counts/%zu", i);
        add_count(out, item, pointer, faults);
    }
}

static void decode_spot(const json_t *value, struct lq_comparison_document *out,
                        struct lq_faults *faults)
{
    if (value == NULL || json_is_false(value)) {
        out->spot = LQ_SPOT_NO;
    } else if (json_is_true(value)) {
        out->spot = LQ_SPOT_ONLY;
    } else if (json_is_string(value) && strcmp(json_string_value(value), "both") == 0) {
        out->spot = LQ_SPOT_BOTH;
    } else {
        lq_faults_add(faults, LQ_EFIELD, "/spot", "must be false, true or \"both\"");
    }
}

/* Moves the members of the table from `job` to a new object; what remains is a job. */
static json_t *take_own(json_t *job)
{
    json_t *own = json_object();
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        json_t *value = json_object_get(job, FIELDS[i].name);
        if (value != NULL) {
            json_object_set(own, FIELDS[i].name, value);
            json_object_del(job, FIELDS[i].name);
        }
    }
    return own;
}

/* The job without its GPU; a layout, which divides the devices, needs their one number. */
static enum lq_code decode_job(json_t *job, const char *any_gpu, const struct lq_lookup *lookup,
                               struct lq_comparison_document *out, struct lq_faults *faults)
{
    json_object_set_new(job, "gpu", json_string(any_gpu));
    if (json_is_object(json_object_get(job, "layout")) && out->count_count > 1) {
        lq_faults_add(faults, LQ_EFIELD, "/layout",
                      "divides one number of GPUs: give one gpu_count, not %zu", out->count_count);
        json_object_del(job, "layout");
    }
    if (out->count_count == 1) {
        json_object_set_new(job, "gpu_count", json_integer(out->counts[0]));
    }
    const enum lq_code code = lq_job_decode(job, "", lookup, &out->job, faults);
    if (out->job.terms.usd_per_gpu_hour > 0.0 && out->spot != LQ_SPOT_NO) {
        lq_faults_add(faults, LQ_EFIELD, "/spot", "goes without usd_per_gpu_hour");
    }
    return code;
}

/* NULL where it is not there or null. */
static json_t *member(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

enum lq_code lq_comparison_decode(json_t *value, const char *any_gpu,
                                  const struct lq_lookup *lookup,
                                  struct lq_comparison_document *out, struct lq_faults *faults)
{
    memset(out, 0, sizeof *out);
    json_t *own = take_own(value);
    struct members m = {.limit = LQ_COMPARISON_LIMIT_DEFAULT};
    /* what is wrong so far stands in `faults`; what could be read is looked at */
    const enum lq_code table = lq_decode(own, "", FIELDS, FIELD_COUNT, &m, faults);
    out->bounds = (struct lq_bounds){m.budget_usd, m.deadline_s};
    out->objective = (enum lq_least)m.objective;
    out->limit = (size_t)m.limit;
    snprintf(out->cursor, sizeof out->cursor, "%s", m.cursor);
    decode_gpus(&m, lookup, out, faults);
    decode_counts(&m, out, faults);
    decode_spot(m.spot, out, faults);
    const enum lq_code code = decode_job(value, any_gpu, lookup, out, faults);
    const struct lq_ownership_members parts = {member(value, "model"), member(own, "api"),
                                               member(own, "traffic"), member(own, "serving"),
                                               m.requests_per_month,   m.utilisation};
    lq_ownership_decode(&parts, lookup, &out->ownership, faults);
    if (out->ownership.asked) {
        out->ownership.serving.confidence = out->job.job.confidence;
    }
    json_decref(own);
    return table != LQ_OK || code != LQ_OK || faults->count > 0 ? faults->items[0].code : LQ_OK;
}

void lq_comparison_release(struct lq_comparison_document *document)
{
    lq_job_release(&document->job);
    lq_ownership_release(&document->ownership);
}

static json_t *spot_encode(enum lq_spot spot)
{
    switch (spot) {
    case LQ_SPOT_NO:
        return json_false();
    case LQ_SPOT_ONLY:
        return json_true();
    case LQ_SPOT_BOTH:
        return json_string("both");
    }
    return json_null();
}

json_t *lq_comparison_document_encode(const struct lq_comparison_document *document)
{
    json_t *o = lq_job_encode(&document->job);
    json_object_del(o, "gpu_count");
    json_object_del(o, "internode_gb_s"); /* each GPU's own where it was not given */
    json_t *gpus = document->gpu_count > 0 ? json_array() : json_string("all");
    for (size_t i = 0; i < document->gpu_count; i++) {
        json_array_append_new(gpus, json_string(document->gpus[i]->id));
    }
    json_t *counts = json_array();
    for (size_t i = 0; i < document->count_count; i++) {
        json_array_append_new(counts, json_integer(document->counts[i]));
    }
    json_object_set_new(o, "gpus", gpus);
    json_object_set_new(o, "gpu_counts", counts);
    json_object_set_new(o, "spot", spot_encode(document->spot));
    json_object_set_new(o, "budget_usd", lq_number_or_null(document->bounds.budget_usd));
    json_object_set_new(o, "deadline_s", lq_number_or_null(document->bounds.deadline_s));
    json_object_set_new(o, "objective", json_string(LQ_LEAST_NAMES[document->objective]));
    return o;
}
