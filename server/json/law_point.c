/* Decodes points and runs of scaling laws. What a variable may be stands in core; here it is only
 * seen that a 0 that was given is not taken for one that was not. */
#include "server/json/law_point.h"

#include "server/json/field.h"
#include "server/json/lookup.h"
#include "server/json/model_config.h"

#include <stdio.h>
#include <string.h>

struct members {
    double parameters;
    double tokens;
    int64_t experts;
    double active_parameters;
    int64_t active_experts;
    double granularity;
    double shared_ratio;
    double repeats;
    const json_t *model;
    double measured;
    double weight;
};

#define AT(member) .offset = offsetof(struct members, member)
static const struct lq_field FIELDS[] = {
    {.name = "parameters", .kind = LQ_FIELD_NUMBER, AT(parameters), .min = 1, .max = 1e18},
    {.name = "tokens", .kind = LQ_FIELD_NUMBER, AT(tokens), .min = 1, .max = 1e21},
    {.name = "experts", .kind = LQ_FIELD_COUNT, AT(experts), .min = 1, .max = 65536},
    {.name = "active_parameters",
     .kind = LQ_FIELD_NUMBER,
     AT(active_parameters),
     .min = 1,
     .max = 1e18},
    {.name = "active_experts", .kind = LQ_FIELD_COUNT, AT(active_experts), .min = 1, .max = 65536},
    {.name = "granularity", .kind = LQ_FIELD_NUMBER, AT(granularity), .min = 1e-3, .max = 1e6},
    {.name = "shared_ratio", .kind = LQ_FIELD_NUMBER, AT(shared_ratio), .min = 0, .max = 1},
    {.name = "repeats", .kind = LQ_FIELD_NUMBER, AT(repeats), .min = 0, .max = 1e6},
    {.name = "model", .kind = LQ_FIELD_JSON, AT(model)},
    {.name = "loss",
     .kind = LQ_FIELD_NUMBER,
     .required = true,
     AT(measured),
     .min = 1e-9,
     .max = 1e9},
    {.name = "weight", .kind = LQ_FIELD_NUMBER, AT(weight), .min = 1e-9, .max = 1e9},
};
#undef AT
enum {
    RUN_FIELDS = sizeof FIELDS / sizeof FIELDS[0],
    POINT_FIELDS = RUN_FIELDS - 2,
    MEASURED = POINT_FIELDS
};

/* The named model, or the one whose configuration stands there; NULL with a fault. */
static const struct lq_model *decode_model(const struct lq_law_reader *reader, const json_t *value,
                                           const char *pointer, struct lq_model *inline_model)
{
    struct lq_faults *faults = reader->faults;
    char at[LQ_POINTER_MAX];
    snprintf(at, sizeof at, "%s/model", pointer);
    if (json_is_object(value)) {
        return lq_model_decode_json("inline", value, at, inline_model, faults) == LQ_OK
                   ? inline_model
                   : NULL;
    }
    const char *id = json_string_value(value);
    if (id == NULL) {
        lq_faults_add(faults, LQ_EFIELD, at, "must be a catalog id or a config.json object");
        return NULL;
    }
    const struct lq_model *model = reader->lookup->model(reader->lookup->context, id);
    if (model == NULL) {
        lq_faults_add(faults, LQ_EREFERENCE, at,
                      "no model \"%.60s\"; GET /v1/models lists them, or give its config.json", id);
    }
    return model;
}

/* Everything that a model says itself; false with a fault where the point says it as well. */
static bool is_left_to_model(const json_t *value, const char *pointer, struct lq_faults *faults)
{
    static const char *const SAID[] = {"parameters",     "experts",     "active_parameters",
                                       "active_experts", "granularity", "shared_ratio"};
    bool left = true;
    for (size_t i = 0; i < sizeof SAID / sizeof SAID[0]; i++) {
        const json_t *member = json_object_get(value, SAID[i]);
        if (member != NULL && !json_is_null(member)) {
            char at[LQ_POINTER_MAX];
            snprintf(at, sizeof at, "%s/%s", pointer, SAID[i]);
            lq_faults_add(faults, LQ_EFIELD, at, "goes without model, which says it");
            left = false;
        }
    }
    return left;
}

static enum lq_code first_fault(const struct lq_faults *faults, size_t before)
{
    return faults->items[before < LQ_FAULTS_MAX ? before : 0].code;
}

static enum lq_code take_model(const struct lq_law_reader *reader, const struct members *m,
                               const json_t *value, const char *pointer, struct lq_law_point *point)
{
    const size_t before = reader->faults->count;
    struct lq_model inline_model;
    const struct lq_model *model = decode_model(reader, m->model, pointer, &inline_model);
    if (!is_left_to_model(value, pointer, reader->faults) || model == NULL) {
        return first_fault(reader->faults, before);
    }
    *point = lq_law_point_of_model(reader->law, model, m->tokens);
    point->repeats = m->repeats;
    return LQ_OK;
}

static struct lq_law_point take_variables(const struct members *m)
{
    return (struct lq_law_point){.parameters = m->parameters,
                                 .tokens = m->tokens,
                                 .experts = (double)m->experts,
                                 .active_parameters = m->active_parameters,
                                 .active_experts = (double)m->active_experts,
                                 .granularity = m->granularity,
                                 .shared_ratio = m->shared_ratio,
                                 .repeats = m->repeats};
}

enum lq_code lq_law_point_decode(const struct lq_law_reader *reader, const json_t *value,
                                 const char *pointer, struct lq_law_point_document *out)
{
    struct members m = {.weight = 1.0};
    struct lq_field fields[RUN_FIELDS];
    memcpy(fields, FIELDS, sizeof fields);
    fields[MEASURED].name = LQ_LAW_QUANTITY_NAMES[reader->law->form->quantity];
    LQ_TRY(lq_decode(value, pointer, fields, reader->runs ? RUN_FIELDS : POINT_FIELDS, &m,
                     reader->faults));
    out->measured = m.measured;
    out->weight = m.weight;
    out->point = take_variables(&m);
    if (m.model != NULL) {
        LQ_TRY(take_model(reader, &m, value, pointer, &out->point));
    }
    struct lq_error err = {0};
    if (lq_law_point_check(reader->law, &out->point, pointer, &err) != LQ_OK) {
        return lq_faults_take(reader->faults, "", &err);
    }
    return LQ_OK;
}
