/* Answers questions for losses: each point is decoded, evaluated and doubted on its own; doubts of
 * one kind are told once, with the points they are about. */
#include "server/json/loss.h"

#include "server/json/field.h"
#include "server/json/law.h"
#include "server/json/law_point.h"
#include "server/json/lookup.h"

#include <stdio.h>
#include <string.h>

enum { DOUBT_KINDS = 5, KINDS = DOUBT_KINDS + LQ_LAW_VARIABLE_COUNT, LISTED_MAX = 16 };

struct members {
    char law[LQ_ID_MAX];
    const json_t *points;
};

static const struct lq_field FIELDS[] = {
    {.name = "law",
     .kind = LQ_FIELD_ID,
     .required = true,
     .offset = offsetof(struct members, law),
     .size = LQ_ID_MAX},
    {.name = "points",
     .kind = LQ_FIELD_JSON,
     .required = true,
     .offset = offsetof(struct members, points)},
};

/* Points that share one kind of warning. */
struct warning {
    char code[64];
    char detail[LQ_DETAIL_MAX]; /* about the first of them */
    size_t listed[LISTED_MAX];
    size_t count;
};

struct answer {
    const struct lq_law *law;
    json_t *losses;
    struct warning warnings[KINDS]; /* doubts, then variables that were ignored */
    struct lq_faults *faults;
};

/* True where this is the first point, whose text the warning then tells. */
static bool note(struct warning *warning, size_t i)
{
    if (warning->count < LISTED_MAX) {
        warning->listed[warning->count] = i;
    }
    return warning->count++ == 0;
}

static void note_doubts(struct answer *answer, const struct lq_law_point *point, size_t i)
{
    const unsigned doubts = lq_law_doubts(answer->law, point);
    for (unsigned kind = 0; kind < DOUBT_KINDS; kind++) {
        struct warning *warning = &answer->warnings[kind];
        if ((doubts & 1U << kind) != 0 && note(warning, i)) {
            const enum lq_law_doubt doubt = (enum lq_law_doubt)(1U << kind);
            snprintf(warning->code, sizeof warning->code, "%s", lq_law_doubt_code(doubt));
            lq_law_doubt_detail(answer->law, point, doubt, warning->detail, sizeof warning->detail);
        }
    }
}

/* Variables that were given but that the law does not contain. Experts are looked at by the law's
 * own check, and a law at a fixed number of tokens has a doubt of its own. */
static void note_ignored(struct answer *answer, const struct lq_law_point *point, size_t i)
{
    const struct lq_law *law = answer->law;
    for (int v = 0; v < LQ_LAW_VARIABLE_COUNT; v++) {
        const enum lq_law_variable variable = (enum lq_law_variable)v;
        const bool told =
            variable == LQ_LAW_EXPERTS || (variable == LQ_LAW_TOKENS && law->tokens_fixed > 0.0);
        const bool known = ((law->form->moves | law->form->needs) & LQ_LAW_BIT(v)) != 0;
        struct warning *warning = &answer->warnings[DOUBT_KINDS + v];
        if (told || known || !(lq_law_variable(point, variable) > 0.0) || !note(warning, i)) {
            continue;
        }
        snprintf(warning->code, sizeof warning->code, "%s-ignored", LQ_LAW_VARIABLE_NAMES[v]);
        for (char *c = warning->code; *c != '\0'; c++) {
            *c = (char)(*c == '_' ? '-' : *c);
        }
        snprintf(warning->detail, sizeof warning->detail, "%s does not depend on %s", law->id,
                 LQ_LAW_VARIABLE_NAMES[v]);
    }
}

static void answer_point(struct answer *answer, const struct lq_law_reader *reader,
                         const json_t *value, size_t i)
{
    char pointer[32];
    snprintf(pointer, sizeof pointer, "/points/%zu", i);
    struct lq_law_point_document document;
    if (lq_law_point_decode(reader, value, pointer, &document) != LQ_OK) {
        return;
    }
    struct lq_error err = {0};
    double loss = 0.0;
    const enum lq_code code = lq_law_loss(answer->law, &document.point, &loss, &err);
    if (code == LQ_ENUMBER) { /* the coefficients' doing, not ours */
        lq_faults_add(answer->faults, LQ_EIMPOSSIBLE, pointer, "%s", err.detail);
    } else if (code != LQ_OK) {
        lq_faults_take(answer->faults, pointer, &err);
    } else {
        json_array_append_new(answer->losses, json_real(loss));
        note_doubts(answer, &document.point, i);
        if (json_object_get(value, "model") == NULL) {
            note_ignored(answer, &document.point, i);
        }
    }
}

static json_t *warnings_encode(const struct answer *answer)
{
    json_t *list = json_array();
    for (int kind = 0; kind < KINDS; kind++) {
        const struct warning *warning = &answer->warnings[kind];
        if (warning->count == 0) {
            continue;
        }
        json_t *points = json_array();
        for (size_t i = 0; i < warning->count && i < LISTED_MAX; i++) {
            json_array_append_new(points, json_integer((json_int_t)warning->listed[i]));
        }
        json_t *object = json_object();
        json_object_set_new(object, "code", json_string(warning->code));
        json_object_set_new(object, "detail", json_string(warning->detail));
        json_object_set_new(object, "points", points);
        json_object_set_new(object, "point_count", json_integer((json_int_t)warning->count));
        json_array_append_new(list, object);
    }
    return list;
}

static const struct lq_law *find_law(const char *id, const struct lq_lookup *lookup,
                                     struct lq_faults *faults)
{
    const struct lq_law *law = lookup->law(lookup->context, id);
    if (law == NULL) {
        lq_faults_add(faults, LQ_EREFERENCE, "/law",
                      "no law \"%.60s\"; GET /v1/scaling-laws lists them", id);
    } else if (law->form->quantity != LQ_LAW_LOSS) {
        lq_faults_add(faults, LQ_EIMPOSSIBLE, "/law", "the law %s gives a %s, not a loss", law->id,
                      LQ_LAW_QUANTITY_NAMES[law->form->quantity]);
        law = NULL;
    }
    return law;
}

static bool is_points(const json_t *points, struct lq_faults *faults)
{
    const size_t count = json_array_size(points);
    if (count == 0) {
        lq_faults_add(faults, LQ_EFIELD, "/points", "must be a list of 1..%d points",
                      LQ_LOSS_POINTS_MAX);
    } else if (count > LQ_LOSS_POINTS_MAX) {
        lq_faults_add(faults, LQ_ETOOLARGE, "/points", "must have at most %d points, got %zu",
                      LQ_LOSS_POINTS_MAX, count);
    }
    return count > 0 && count <= LQ_LOSS_POINTS_MAX;
}

static json_t *answer_encode(const struct answer *answer)
{
    char version[LQ_LAW_VERSION_SIZE];
    lq_law_version(answer->law, version);
    json_t *object = json_object();
    json_object_set_new(object, "law", json_string(answer->law->id));
    json_object_set_new(object, "status", json_string(LQ_LAW_STATUS_NAMES[answer->law->status]));
    json_object_set_new(object, "version", json_string(version));
    json_object_set(object, "losses", answer->losses);
    json_object_set_new(object, "warnings", warnings_encode(answer));
    return object;
}

json_t *lq_losses_answer(const json_t *root, const struct lq_lookup *lookup,
                         struct lq_faults *faults)
{
    struct members m = {.points = NULL};
    const enum lq_code table =
        lq_decode(root, "", FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults);
    const struct lq_law *law = m.law[0] != '\0' ? find_law(m.law, lookup, faults) : NULL;
    const bool listed = m.points != NULL && is_points(m.points, faults);
    if (table != LQ_OK || law == NULL || !listed) {
        return NULL;
    }
    struct answer answer = {.law = law, .losses = json_array(), .faults = faults};
    const struct lq_law_reader reader = {.law = law, .lookup = lookup, .faults = faults};
    size_t i;
    json_t *value;
    json_array_foreach(m.points, i, value)
    {
        answer_point(&answer, &reader, value, i);
    }
    json_t *object = faults->count == 0 ? answer_encode(&answer) : NULL;
    json_decref(answer.losses);
    return object;
}
