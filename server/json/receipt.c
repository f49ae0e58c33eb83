/* Decodes outcomes and turns estimated jobs into calibrations. */
#include "server/json/receipt.h"

#include "server/json/field.h"

#include <stddef.h>

static const double HOUR_S = 3600.0;

struct members {
    double queries_per_s;
    double duration_s;
    double hours;
    double cost_usd;
    char note[512];
    bool calibrate;
};

#define AT(member) .offset = offsetof(struct members, member)
static const struct lq_field FIELDS[] = {
    {.name = "queries_per_s", .kind = LQ_FIELD_NUMBER, AT(queries_per_s), .min = 1e-9, .max = 1e9},
    {.name = "duration_s", .kind = LQ_FIELD_NUMBER, AT(duration_s), .min = 1e-3, .max = 1e12},
    {.name = "hours", .kind = LQ_FIELD_NUMBER, AT(hours), .min = 1e-6, .max = 1e9},
    {.name = "cost_usd", .kind = LQ_FIELD_NUMBER, AT(cost_usd), .min = 1e-9, .max = 1e12},
    {.name = "note", .kind = LQ_FIELD_STRING, AT(note), .size = sizeof((struct members *)0)->note},
    {.name = "calibrate", .kind = LQ_FIELD_BOOL, AT(calibrate)},
};
#undef AT

enum lq_code lq_outcome_decode(const json_t *root, struct lq_outcome_document *out,
                               struct lq_faults *faults)
{
    struct members m = {.calibrate = false};
    LQ_TRY(lq_decode(root, "", FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults));
    if (m.duration_s > 0.0 && m.hours > 0.0) {
        return lq_faults_add(faults, LQ_EFIELD, "/hours", "excludes duration_s: both are the time");
    }
    *out =
        (struct lq_outcome_document){.queries_per_s = m.queries_per_s,
                                     .duration_s = m.hours > 0.0 ? m.hours * HOUR_S : m.duration_s,
                                     .cost_usd = m.cost_usd,
                                     .calibrate = m.calibrate};
    for (size_t i = 0; i + 1 < sizeof out->note && m.note[i] != '\0'; i++) {
        out->note[i] = m.note[i];
    }
    if (!(out->queries_per_s > 0.0) && !(out->duration_s > 0.0) && !(out->cost_usd > 0.0)) {
        return lq_faults_add(faults, LQ_EFIELD, "",
                             "must have at least one of queries_per_s, duration_s (or hours) and "
                             "cost_usd");
    }
    if (out->calibrate && !(out->queries_per_s > 0.0) && !(out->duration_s > 0.0)) {
        return lq_faults_add(faults, LQ_EFIELD, "/calibrate",
                             "needs queries_per_s, or duration_s to work it out from");
    }
    return LQ_OK;
}

/* The job's rate: as told, or its queries over the time that they took. */
static double rate_of(const json_t *assumptions, const struct lq_outcome_document *outcome)
{
    const double queries = json_number_value(json_object_get(assumptions, "queries")) *
                           json_number_value(json_object_get(assumptions, "epochs"));
    return outcome->queries_per_s > 0.0 ? outcome->queries_per_s : queries / outcome->duration_s;
}

enum lq_code lq_outcome_point(const json_t *request, const json_t *answer,
                              const struct lq_outcome_document *outcome, const char *measured_at,
                              json_t **point, struct lq_faults *faults)
{
    static const char *const ASSUMED[] = {"gpu_count",
                                          "method",
                                          "active_experts",
                                          "precision",
                                          "optimizer",
                                          "master_weights",
                                          "attention",
                                          "optimizations",
                                          "gradient_checkpointing",
                                          "gradient_accumulation_steps",
                                          "padding",
                                          "padding_multiple",
                                          "cutoff_tokens",
                                          "stack"};
    static const char *const ANSWERED[] = {"model", "gpu", "layout", "batch_size"};
    if (!json_is_string(json_object_get(request, "model"))) {
        return lq_faults_add(faults, LQ_EFIELD, "/calibrate",
                             "needs a model of the catalog; this job's came with the request");
    }
    const json_t *assumptions = json_object_get(answer, "assumptions");
    json_t *o = json_object();
    for (size_t i = 0; i < sizeof ASSUMED / sizeof ASSUMED[0]; i++) {
        json_object_set(o, ASSUMED[i], json_object_get(assumptions, ASSUMED[i]));
    }
    for (size_t i = 0; i < sizeof ANSWERED / sizeof ANSWERED[0]; i++) {
        json_object_set(o, ANSWERED[i], json_object_get(answer, ANSWERED[i]));
    }
    const json_t *dataset = json_object_get(request, "dataset");
    json_object_set(o, "lengths", json_object_get(dataset, "lengths"));
    json_object_set_new(o, "queries_per_s", json_real(rate_of(assumptions, outcome)));
    json_object_set_new(o, "measured_at", json_string(measured_at));
    json_object_set_new(o, "source", json_string("outcome"));
    *point = o;
    return LQ_OK;
}

void lq_outcome_point_close(json_t *point)
{
    const json_t *lengths = json_object_get(point, "lengths");
    if (json_object_get(lengths, "name") == NULL &&
        json_object_get(lengths, "fixed_tokens") == NULL) {
        json_object_del(point, "lengths");
    }
}
