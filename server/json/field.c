/* Decodes an object by a table. Faults come in this order: the object's members as the document has
 * them, each bad or unknown one once; then the required fields that are not there, as the table has
 * them. The whole pass is deterministic. */
#include "server/json/field.h"

#include "server/json/suggest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX = 64 };

/* What a value looks like in a fault: the number, the start of the string, or its type. */
static const char *show(const json_t *value, char text[SHOWN_MAX])
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        snprintf(text, SHOWN_MAX, "\"%.40s\"%s", json_string_value(value),
                 json_string_length(value) > 40 ? "..." : "");
        return text;
    case JSON_INTEGER:
        snprintf(text, SHOWN_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return text;
    case JSON_REAL:
        snprintf(text, SHOWN_MAX, "%.15g", json_real_value(value));
        return text;
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    }
    return "?";
}

/* min and max both 0 mean any value; a min alone means no upper bound. */
static bool in_range(double number, double min, double max)
{
    bool bounded_below = min != 0.0 || max != 0.0;
    bool bounded_above = max > 0.0 || (max == 0.0 && min < 0.0);
    return (!bounded_below || number >= min) && (!bounded_above || number <= max);
}

static bool refuse_range(const json_t *value, const char *pointer, const char *what, double min,
                         double max, struct lq_faults *faults)
{
    char shown[SHOWN_MAX];
    const char *got = show(value, shown);
    if (min == 0.0 && max == 0.0) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be a %s, got %s", what, got);
    } else if (max == 0.0 && min > 0.0) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be a %s of at least %.15g, got %s", what,
                      min, got);
    } else {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be a %s from %.15g to %.15g, got %s", what,
                      min, max, got);
    }
    return false;
}

/* A JSON number that is whole and fits, however it is written. */
static bool whole(const json_t *value, int64_t *out)
{
    if (json_is_integer(value)) {
        *out = (int64_t)json_integer_value(value);
        return true;
    }
    if (!json_is_real(value)) {
        return false;
    }
    double number = json_real_value(value);
    if (!(number >= -0x1p63 && number < 0x1p63) || number != floor(number)) {
        return false;
    }
    *out = (int64_t)number;
    return true;
}

bool lq_decode_count(const json_t *value, const char *pointer, double min, double max, int64_t *out,
                     struct lq_faults *faults)
{
    int64_t number = 0;
    if (!whole(value, &number) || !in_range((double)number, min, max)) {
        return refuse_range(value, pointer, "whole number", min, max, faults);
    }
    *out = number;
    return true;
}

bool lq_decode_number(const json_t *value, const char *pointer, double min, double max, double *out,
                      struct lq_faults *faults)
{
    double number = json_is_number(value) ? json_number_value(value) : (double)NAN;
    if (!isfinite(number) || !in_range(number, min, max)) {
        return refuse_range(value, pointer, "number", min, max, faults);
    }
    *out = number;
    return true;
}

int lq_name_index(const char *text, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(text, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static bool is_id(const char *text)
{
    static const char ALLOWED[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return text[strspn(text, ALLOWED)] == '\0';
}

static void decode_string(const json_t *value, const char *pointer, const struct lq_field *field,
                          char *out, struct lq_faults *faults)
{
    char shown[SHOWN_MAX];
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length == 0 || length >= field->size) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be a string of 1 to %zu bytes, got %s",
                      field->size - 1, show(value, shown));
    } else if (field->kind == LQ_FIELD_ID && !is_id(json_string_value(value))) {
        lq_faults_add(faults, LQ_EFIELD, pointer,
                      "must consist of letters, digits, '.', '_' and '-', got %s",
                      show(value, shown));
    } else {
        memcpy(out, json_string_value(value), length + 1);
    }
}

static void decode_name(const json_t *value, const char *pointer, const char *const *names,
                        int *out, struct lq_faults *faults)
{
    int index = json_is_string(value) ? lq_name_index(json_string_value(value), names) : -1;
    if (index >= 0) {
        *out = index;
        return;
    }
    char list[LQ_DETAIL_MAX / 2] = "";
    size_t used = 0;
    for (size_t i = 0; names[i] != NULL && used < sizeof list; i++) {
        int written =
            snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
        used += (size_t)written;
    }
    char shown[SHOWN_MAX];
    lq_faults_add(faults, LQ_EFIELD, pointer, "must be one of %s; got %s", list,
                  show(value, shown));
}

static void decode_bool(const json_t *value, const char *pointer, bool *out,
                        struct lq_faults *faults)
{
    char shown[SHOWN_MAX];
    if (!json_is_boolean(value)) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "must be true or false, got %s",
                      show(value, shown));
        return;
    }
    *out = json_is_true(value);
}

static void decode_value(const json_t *value, const char *pointer, const struct lq_field *field,
                         void *out, struct lq_faults *faults)
{
    switch (field->kind) {
    case LQ_FIELD_COUNT:
        lq_decode_count(value, pointer, field->min, field->max, out, faults);
        break;
    case LQ_FIELD_NUMBER:
        lq_decode_number(value, pointer, field->min, field->max, out, faults);
        break;
    case LQ_FIELD_STRING:
    case LQ_FIELD_ID:
        decode_string(value, pointer, field, out, faults);
        break;
    case LQ_FIELD_BOOL:
        decode_bool(value, pointer, out, faults);
        break;
    case LQ_FIELD_NAME:
        decode_name(value, pointer, field->names, out, faults);
        break;
    case LQ_FIELD_JSON:
        *(const json_t **)out = value;
        break;
    }
}

static const struct lq_field *find_field(const struct lq_field *fields, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

static void refuse_unknown(const char *pointer, const char *key, const struct lq_field *fields,
                           size_t n, struct lq_faults *faults)
{
    const char *nearest = NULL;
    size_t least = LQ_SUGGEST_DISTANCE_MAX + 1;
    for (size_t i = 0; i < n; i++) {
        size_t distance = lq_edit_distance(key, fields[i].name);
        if (distance < least) {
            least = distance;
            nearest = fields[i].name;
        }
    }
    if (nearest != NULL) {
        lq_faults_add(faults, LQ_EFIELD, pointer, "unknown field; did you mean \"%s\"?", nearest);
    } else {
        lq_faults_add(faults, LQ_EFIELD, pointer, "unknown field");
    }
}

enum lq_code lq_decode(const json_t *object, const char *pointer, const struct lq_field *fields,
                       size_t n, void *out, struct lq_faults *faults)
{
    size_t before = faults->count;
    char shown[SHOWN_MAX];
    if (!json_is_object(object)) {
        return lq_faults_add(faults, LQ_EFIELD, pointer, "must be an object, got %s",
                             show(object, shown));
    }
    union { /* jansson's iterators take a writable object but change nothing */
        const json_t *object;
        json_t *members;
    } iterated = {.object = object};
    const char *key = NULL;
    json_t *value = NULL;
    char at[LQ_POINTER_MAX];
    json_object_foreach(iterated.members, key, value)
    {
        const struct lq_field *field = find_field(fields, n, key);
        if (field != NULL && json_is_null(value) && !field->required) {
            continue;
        }
        lq_pointer_join(at, pointer, key);
        if (field == NULL) {
            refuse_unknown(at, key, fields, n, faults);
        } else {
            decode_value(value, at, field, (char *)out + field->offset, faults);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (fields[i].required && json_object_get(object, fields[i].name) == NULL) {
            lq_pointer_join(at, pointer, fields[i].name);
            lq_faults_add(faults, LQ_EFIELD, at, "is required");
        }
    }
    return faults->count > before ? faults->items[0].code : LQ_OK;
}
