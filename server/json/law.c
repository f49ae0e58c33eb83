/* Encodes laws, shipped and users' alike, and decodes the ones that users post. */
#include "server/json/law.h"

#include "core/base/hash.h"
#include "server/json/field.h"
#include "server/json/member.h"
#include "server/json/suggest.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- encode ---- */

static uint64_t mix(uint64_t hash, const char *text)
{
    return lq_hash_bytes(lq_hash_bytes(hash, text, strlen(text)), ";", 1);
}

static uint64_t mix_number(uint64_t hash, double number)
{
    char text[32];
    snprintf(text, sizeof text, "%.17g", number);
    return mix(hash, text);
}

void lq_law_version(const struct lq_law *law, char version[LQ_LAW_VERSION_SIZE])
{
    uint64_t hash = mix(LQ_HASH_START, law->form->name);
    hash = mix(hash, LQ_LAW_MEANING_NAMES[law->meaning]);
    hash = mix(hash, LQ_LAW_EMBEDDINGS_NAMES[law->embeddings]);
    hash = mix(hash, LQ_LAW_FLOP_NAMES[law->flop]);
    hash = mix_number(hash, law->experts_fixed);
    for (int i = 0; i < law->form->coefficients; i++) {
        hash = mix_number(hash, law->coefficient[i]);
    }
    snprintf(version, LQ_LAW_VERSION_SIZE, "%016" PRIx64, hash);
}

static json_t *pair_encode(const double pair[2])
{
    if (!(pair[0] > 0.0) && !(pair[1] > 0.0)) {
        return json_null();
    }
    json_t *list = json_array();
    json_array_append_new(list, lq_number_or_null(pair[0]));
    json_array_append_new(list, lq_number_or_null(pair[1]));
    return list;
}

static json_t *range_encode(const struct lq_law_range *range)
{
    json_t *object = json_object();
    json_object_set_new(object, "parameters", pair_encode(range->parameters));
    json_object_set_new(object, "tokens", pair_encode(range->tokens));
    json_object_set_new(object, "experts", pair_encode(range->experts));
    json_object_set_new(object, "tokens_per_parameter", pair_encode(range->tokens_per_parameter));
    json_object_set_new(object, "source", lq_text_or_null(range->source));
    return object;
}

static json_t *family_encode(const struct lq_law_family *family)
{
    json_t *object = json_object();
    json_object_set_new(object, "expert_share", json_real(family->expert_share));
    json_object_set_new(object, "active_experts", json_real(family->active_experts));
    json_object_set_new(object, "granularity", lq_number_or_null(family->granularity));
    json_object_set_new(object, "shared_ratio", json_real(family->shared_ratio));
    return object;
}

static json_t *variables_encode(unsigned variables)
{
    json_t *list = json_array();
    for (int v = 0; v < LQ_LAW_VARIABLE_COUNT; v++) {
        if ((variables & LQ_LAW_BIT(v)) != 0) {
            json_array_append_new(list, json_string(LQ_LAW_VARIABLE_NAMES[v]));
        }
    }
    return list;
}

static json_t *coefficients_encode(const struct lq_law *law)
{
    json_t *object = json_object();
    for (int i = 0; i < law->form->coefficients; i++) {
        json_object_set_new(object, law->form->coefficient[i].name, json_real(law->coefficient[i]));
    }
    return object;
}

static void set_reading(json_t *object, const struct lq_law *law)
{
    json_object_set_new(object, "variables", variables_encode(law->form->needs | law->form->moves));
    json_object_set_new(object, "required_variables", variables_encode(law->form->needs));
    json_object_set_new(object, "parameters_meaning",
                        json_string(LQ_LAW_MEANING_NAMES[law->meaning]));
    json_object_set_new(object, "embeddings",
                        json_string(LQ_LAW_EMBEDDINGS_NAMES[law->embeddings]));
    json_object_set_new(object, "training_flop", json_string(LQ_LAW_FLOP_NAMES[law->flop]));
    json_object_set_new(object, "knows_tokens", json_boolean(lq_law_knows_tokens(law)));
    json_object_set_new(object, "knows_experts", json_boolean(lq_law_knows_experts(law)));
    json_object_set_new(object, "fixed_experts", lq_number_or_null(law->experts_fixed));
    json_object_set_new(object, "fixed_tokens", lq_number_or_null(law->tokens_fixed));
    json_object_set_new(object, "range", range_encode(&law->range));
    json_object_set_new(object, "family", family_encode(&law->family));
}

/* The members of the fit beside those of the law. The text is this program's own. */
static void set_fit(json_t *object, const char *fit)
{
    struct lq_faults faults = {.count = 0};
    json_t *members = fit != NULL && fit[0] != '\0' ? lq_parse(fit, strlen(fit), &faults) : NULL;
    if (members != NULL) {
        json_object_update(object, members);
        json_decref(members);
    }
}

json_t *lq_law_encode(const struct lq_law *law, const struct lq_law_record *record, bool whole)
{
    char version[LQ_LAW_VERSION_SIZE];
    lq_law_version(law, version);
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(law->id));
    json_object_set_new(object, "form", json_string(law->form->name));
    json_object_set_new(object, "formula", json_string(law->form->formula));
    json_object_set_new(object, "quantity",
                        json_string(LQ_LAW_QUANTITY_NAMES[law->form->quantity]));
    json_object_set_new(object, "status", json_string(LQ_LAW_STATUS_NAMES[law->status]));
    json_object_set_new(object, "version", json_string(version));
    json_object_set_new(object, "source", lq_text_or_null(law->source));
    json_object_set_new(object, "note", lq_text_or_null(law->note));
    json_object_set_new(object, "coefficients", coefficients_encode(law));
    set_reading(object, law);
    json_object_set_new(object, "posted_by",
                        lq_text_or_null(record != NULL ? record->posted_by : NULL));
    json_object_set_new(object, "created_at",
                        lq_text_or_null(record != NULL ? record->created_at : NULL));
    if (whole) {
        set_fit(object, record != NULL ? record->fit : NULL);
    }
    return object;
}

/* ---- decode ---- */

struct members {
    char name[LQ_ID_MAX];
    char form[LQ_ID_MAX];
    char source[LQ_LAW_SOURCE_SIZE];
    const json_t *coefficients;
    const json_t *range;
    const json_t *runs;
    const json_t *starts;
    const json_t *fixed;
    const json_t *bounds;
    int64_t bootstrap;
    double confidence;
};

enum { BOOTSTRAP_MAX = 1000 };

#define AT(member) .offset = offsetof(struct members, member)
static const struct lq_field FIELDS[] = {
    {.name = "name", .kind = LQ_FIELD_ID, .required = true, AT(name), .size = LQ_ID_MAX},
    {.name = "form", .kind = LQ_FIELD_ID, .required = true, AT(form), .size = LQ_ID_MAX},
    {.name = "source", .kind = LQ_FIELD_STRING, AT(source), .size = LQ_LAW_SOURCE_SIZE},
    {.name = "coefficients", .kind = LQ_FIELD_JSON, AT(coefficients)},
    {.name = "range", .kind = LQ_FIELD_JSON, AT(range)},
    {.name = "runs", .kind = LQ_FIELD_JSON, AT(runs)},
    {.name = "starts", .kind = LQ_FIELD_JSON, AT(starts)},
    {.name = "fixed", .kind = LQ_FIELD_JSON, AT(fixed)},
    {.name = "bounds", .kind = LQ_FIELD_JSON, AT(bounds)},
    {.name = "bootstrap", .kind = LQ_FIELD_COUNT, AT(bootstrap), .min = 0, .max = BOOTSTRAP_MAX},
    {.name = "confidence", .kind = LQ_FIELD_NUMBER, AT(confidence), .min = 0.01, .max = 0.999},
};
#undef AT

/* Names are ids in a path: kept in lower case, beginning with a letter or digit. */
static void decode_name(const struct members *m, struct lq_law_document *out,
                        struct lq_faults *faults)
{
    if (m->name[0] != '\0' && !isalnum((unsigned char)m->name[0])) {
        lq_faults_add(faults, LQ_EFIELD, "/name", "must begin with a letter or digit, got \"%s\"",
                      m->name);
    }
    for (size_t i = 0; i < sizeof out->id; i++) {
        out->id[i] = (char)tolower((unsigned char)m->name[i]);
    }
}

static bool decode_form(const struct members *m, struct lq_law_document *out,
                        struct lq_faults *faults)
{
    struct lq_error err = {0};
    if (m->form[0] == '\0') {
        return false;
    }
    if (lq_law_user(m->form, out->id, &out->law, &err) != LQ_OK) {
        lq_faults_take(faults, "", &err);
        return false;
    }
    return true;
}

static void decode_coefficients(const json_t *value, struct lq_law *law, struct lq_faults *faults)
{
    struct lq_field fields[LQ_LAW_COEFFICIENTS_MAX] = {{.name = NULL}};
    const int n = law->form->coefficients;
    for (int i = 0; i < n; i++) {
        fields[i] = (struct lq_field){.name = law->form->coefficient[i].name,
                                      .kind = LQ_FIELD_NUMBER,
                                      .required = true,
                                      .offset = (size_t)i * sizeof law->coefficient[0]};
    }
    struct lq_error err = {0};
    if (lq_decode(value, "/coefficients", fields, (size_t)n, law->coefficient, faults) == LQ_OK &&
        lq_law_check(law, &err) != LQ_OK) {
        lq_faults_take(faults, "", &err);
    }
}

/* [least, most], both above 0 and in this order. */
static void decode_pair(const json_t *value, const char *pointer, double pair[2],
                        struct lq_faults *faults)
{
    if (value == NULL) {
        return;
    }
    if (json_array_size(value) != 2) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be a list of two numbers: least, most");
        return;
    }
    char at[LQ_POINTER_MAX];
    bool read = true;
    for (size_t i = 0; i < 2; i++) {
        lq_pointer_join(at, pointer, i == 0 ? "0" : "1");
        read = lq_decode_number(json_array_get(value, i), at, 1e-9, 1e21, &pair[i], faults) && read;
    }
    if (read && pair[0] > pair[1]) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must ascend, got %.9g and %.9g", pair[0],
                      pair[1]);
    }
}

static void decode_range(const json_t *value, struct lq_law_range *range, struct lq_faults *faults)
{
    static const char *const NAMES[] = {"parameters", "tokens", "experts", "tokens_per_parameter"};
    double *const pairs[] = {range->parameters, range->tokens, range->experts,
                             range->tokens_per_parameter};
    enum { PAIRS = sizeof NAMES / sizeof NAMES[0] };
    const json_t *found[PAIRS] = {NULL};
    struct lq_field fields[PAIRS];
    for (size_t i = 0; i < PAIRS; i++) {
        fields[i] = (struct lq_field){
            .name = NAMES[i], .kind = LQ_FIELD_JSON, .offset = i * sizeof(const json_t *)};
    }
    if (lq_decode(value, "/range", fields, PAIRS, found, faults) != LQ_OK) {
        return;
    }
    for (size_t i = 0; i < PAIRS; i++) {
        char at[LQ_POINTER_MAX];
        lq_pointer_join(at, "/range", NAMES[i]);
        decode_pair(found[i], at, pairs[i], faults);
    }
    range->source = "its poster";
}

/* What belongs to the one way of giving a law and not to the other. */
static void refuse_mixture(const json_t *root, const struct members *m, struct lq_faults *faults)
{
    static const char *const OF_RUNS[] = {"starts", "fixed", "bounds", "bootstrap", "confidence"};
    if ((m->coefficients == NULL) == (m->runs == NULL)) {
        lq_faults_add(faults, LQ_EFIELD, "",
                      "must have either coefficients or runs to fit them to, %s",
                      m->runs == NULL ? "got neither" : "got both");
    }
    for (size_t i = 0; i < sizeof OF_RUNS / sizeof OF_RUNS[0]; i++) {
        const json_t *value = json_object_get(root, OF_RUNS[i]);
        if (m->runs == NULL && value != NULL && !json_is_null(value)) {
            char at[LQ_POINTER_MAX];
            lq_pointer_join(at, "", OF_RUNS[i]);
            lq_faults_add(faults, LQ_EFIELD, at, "goes with runs");
        }
    }
    if (m->runs != NULL && m->range != NULL) {
        lq_faults_add(faults, LQ_EFIELD, "/range",
                      "goes with coefficients: runs say it themselves");
    }
}

enum lq_code lq_law_decode(const json_t *root, struct lq_law_document *out,
                           struct lq_faults *faults)
{
    const size_t before = faults->count;
    memset(out, 0, sizeof *out);
    struct members m = {.bootstrap = 200, .confidence = 0.9};
    /* what is wrong so far stands in `faults`; what could be read is looked at further */
    const enum lq_code table =
        lq_decode(root, "", FIELDS, sizeof FIELDS / sizeof FIELDS[0], &m, faults);
    decode_name(&m, out, faults);
    refuse_mixture(root, &m, faults);
    memcpy(out->source, m.source, sizeof out->source);
    out->runs = m.runs;
    out->starts = m.starts;
    out->fixed = m.fixed;
    out->bounds = m.bounds;
    out->bootstrap = m.bootstrap;
    out->confidence = m.confidence;
    if (decode_form(&m, out, faults)) {
        if (m.coefficients != NULL) {
            decode_coefficients(m.coefficients, &out->law, faults);
        }
        if (m.range != NULL) {
            decode_range(m.range, &out->law.range, faults);
        }
        if (out->source[0] != '\0') {
            out->law.source = out->source;
        }
    }
    return table != LQ_OK || faults->count > before
               ? faults->items[before < LQ_FAULTS_MAX ? before : 0].code
               : LQ_OK;
}
