/* Single keys of a config.json with their faults. What the keys mean is known to the families. */
#include "server/json/model_config_reader.h"

#include "server/json/field.h"
#include "server/json/suggest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void point(const struct lq_reader *reader, const char *key, char out[LQ_POINTER_MAX])
{
    if (*key != '\0') {
        lq_pointer_join(out, reader->pointer, key);
    } else {
        snprintf(out, LQ_POINTER_MAX, "%s", reader->pointer);
    }
}

/* The value at `key`; NULL where it is absent or null. */
static const json_t *get(const struct lq_reader *reader, const char *key)
{
    const json_t *value = json_object_get(reader->object, key);
    return json_is_null(value) ? NULL : value;
}

/* Some keys are read for several purposes; their first fault says it all. */
static bool has_fault(const struct lq_faults *faults, const char *pointer)
{
    for (size_t i = 0; i < faults->count && i < LQ_FAULTS_MAX; i++) {
        if (strcmp(faults->items[i].pointer, pointer) == 0) {
            return true;
        }
    }
    return false;
}

void lq_read_fault(const struct lq_reader *reader, const char *key, const char *format, ...)
{
    char pointer[LQ_POINTER_MAX];
    char detail[LQ_DETAIL_MAX];
    point(reader, key, pointer);
    if (has_fault(reader->faults, pointer)) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    lq_faults_add(reader->faults, LQ_EFIELD, pointer, "%s", detail);
}

int64_t lq_read_count(const struct lq_reader *reader, const char *key, int64_t min, int64_t max,
                      int64_t fallback)
{
    int64_t count = fallback == LQ_REQUIRED ? min : fallback;
    const json_t *value = get(reader, key);
    if (value == NULL) {
        if (fallback == LQ_REQUIRED) {
            lq_read_fault(reader, key, "is required");
        }
        return count;
    }
    char pointer[LQ_POINTER_MAX];
    point(reader, key, pointer);
    int64_t read = 0;
    if (lq_decode_count(value, pointer, (double)min, (double)max, &read, reader->faults)) {
        return read;
    }
    return count;
}

bool lq_read_bool(const struct lq_reader *reader, const char *key, bool fallback)
{
    const json_t *value = get(reader, key);
    if (value == NULL) {
        return fallback;
    }
    if (!json_is_boolean(value)) {
        lq_read_fault(reader, key, "must be true or false");
        return fallback;
    }
    return json_is_true(value);
}

bool lq_read_has(const struct lq_reader *reader, const char *key)
{
    return json_object_get(reader->object, key) != NULL;
}

const json_t *lq_read_array(const struct lq_reader *reader, const char *key)
{
    const json_t *value = get(reader, key);
    if (value != NULL && !json_is_array(value)) {
        lq_read_fault(reader, key, "must be an array");
        return NULL;
    }
    return value;
}

struct lq_reader lq_read_object(const struct lq_reader *reader, const char *key, bool required)
{
    struct lq_reader inner = {.faults = reader->faults};
    point(reader, key, inner.pointer);
    const json_t *value = get(reader, key);
    if (value == NULL) {
        if (required) {
            lq_read_fault(reader, key, "is required");
        }
        return inner;
    }
    if (!json_is_object(value)) {
        lq_read_fault(reader, key, "must be an object");
        return inner;
    }
    inner.object = value;
    return inner;
}
