/* The JSON of training logs, read tolerantly. Which members matter is not known here. */
#include "kernels/document/log.h"

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run of a million steps logged every tenth has 100,000 entries of some ten values. jansson takes
 * up to 300 bytes for a container and 100 for a value: 600 MB at the most. */
enum { CONTAINERS_MAX = 500 * 1000, VALUES_MAX = 4 * 1000 * 1000, NESTING_MAX = 64 };
enum { KEY_MAX = 96 };

struct shape {
    int containers;
    int commas;
    int depth;
    int deepest;
};

static void count(struct shape *shape, char byte)
{
    const bool opens = byte == '{' || byte == '[';
    shape->containers += opens;
    shape->commas += byte == ',';
    shape->depth += opens ? 1 : (byte == '}' || byte == ']') ? -1 : 0;
    shape->deepest = shape->depth > shape->deepest ? shape->depth : shape->deepest;
}

/* Whether a number that JSON does not have stands at `at`: makes it something that is no number. */
static size_t blank_number(char *at, size_t left)
{
    static const char *const WORDS[] = {"NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        const size_t size = strlen(WORDS[i]);
        if (left >= size && memcmp(at, WORDS[i], size) == 0) {
            memset(at, ' ', size);
            /* three characters have no room for null; an empty text is no number either */
            memcpy(at, size >= 4 ? "null" : "\"\"", size >= 4 ? 4 : 2);
            return size;
        }
    }
    return 1;
}

/* One pass over the text outside strings. */
static struct shape prepare(char *data, size_t size)
{
    struct shape shape = {0};
    bool in_string = false;
    for (size_t i = 0; i < size;) {
        size_t step = 1;
        if (in_string) {
            step = data[i] == '\\' ? 2 : 1;
            in_string = data[i] != '"';
        } else if (data[i] == '"') {
            in_string = true;
        } else if (data[i] == 'N' || data[i] == 'I' || data[i] == '-') {
            step = blank_number(data + i, size - i);
        } else {
            count(&shape, data[i]);
        }
        i += step;
    }
    return shape;
}

enum lq_code lq_log_document_parse(const char *name, char *data, size_t size,
                                   struct lq_log_document **out, struct lq_error *err)
{
    if (size >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) {
        data += 3;
        size -= 3;
    }
    const struct shape shape = prepare(data, size);
    if (shape.containers > CONTAINERS_MAX || shape.commas > VALUES_MAX ||
        shape.deepest > NESTING_MAX) {
        return lq_fail(err, LQ_ESYNTAX, NULL,
                       "%.200s: more values than a training log has, or nested deeper", name);
    }
    json_error_t fault;
    json_t *root = json_loadb(data, size, JSON_DECODE_INT_AS_REAL, &fault);
    if (root == NULL) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "%.200s: line %d: no JSON, or cut off: %.100s", name,
                       fault.line, fault.text);
    }
    *out = (struct lq_log_document *)root;
    return LQ_OK;
}

void lq_log_document_free(struct lq_log_document *document)
{
    json_decref((json_t *)document);
}

/* Steps into an object by name or into a list by index. */
static const json_t *step_into(const json_t *value, const char *key)
{
    if (json_is_array(value)) {
        return json_array_get(value, (size_t)strtoul(key, NULL, 10));
    }
    return json_object_get(value, key);
}

static const json_t *find(const struct lq_log_document *document, const char *pointer)
{
    const json_t *value = (const json_t *)document;
    while (value != NULL && *pointer == '/') {
        char key[KEY_MAX];
        const size_t size = strcspn(pointer + 1, "/");
        if (size >= sizeof key) {
            return NULL;
        }
        memcpy(key, pointer + 1, size);
        key[size] = '\0';
        value = step_into(value, key);
        pointer += size + 1;
    }
    return value;
}

bool lq_log_number(const struct lq_log_document *document, const char *pointer, double *out)
{
    const json_t *value = find(document, pointer);
    double number = 0.0;
    if (json_is_number(value)) {
        number = json_number_value(value);
    } else if (json_is_string(value)) {
        char *end = NULL;
        const char *text = json_string_value(value);
        number = strtod(text, &end);
        if (end == text || *end != '\0') {
            return false;
        }
    } else {
        return false;
    }
    if (!isfinite(number)) {
        return false;
    }
    *out = number;
    return true;
}

bool lq_log_text(const struct lq_log_document *document, const char *pointer, char *out,
                 size_t size)
{
    const char *text = json_string_value(find(document, pointer));
    if (text == NULL || text[0] == '\0' || strlen(text) >= size) {
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

bool lq_log_flag(const struct lq_log_document *document, const char *pointer, bool *out)
{
    const json_t *value = find(document, pointer);
    const char *text = json_string_value(value);
    if (!json_is_boolean(value) &&
        (text == NULL || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))) {
        return false;
    }
    *out = json_is_true(value) || (text != NULL && text[0] == 't');
    return true;
}

bool lq_log_has(const struct lq_log_document *document, const char *pointer)
{
    const json_t *value = find(document, pointer);
    return value != NULL && !json_is_null(value);
}

size_t lq_log_count(const struct lq_log_document *document, const char *pointer)
{
    return json_array_size(find(document, pointer));
}
