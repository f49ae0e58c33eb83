/* Strict decoding of a JSON object by a table of its fields: every bad field is reported with its
 * JSON Pointer, unknown fields are bad fields, and nothing is converted silently. */
#pragma once

#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lq_field_kind {
    LQ_FIELD_COUNT,  /* int64_t; a number without a fraction, however written (2.9e6) */
    LQ_FIELD_NUMBER, /* double, finite */
    LQ_FIELD_STRING, /* char[size], 1..size-1 bytes */
    LQ_FIELD_ID,     /* char[size]; like STRING but only letters, digits, '.', '_', '-' */
    LQ_FIELD_BOOL,   /* bool */
    LQ_FIELD_NAME,   /* int: index into the NULL-terminated `names` */
    LQ_FIELD_JSON    /* const json_t *: borrowed, any value; the handler decodes it further */
};

/* One row of the table. `offset` is where the value goes in the output struct; a field that is not
 * there leaves the output untouched (so defaults are set before decoding). */
struct lq_field {
    const char *name;
    enum lq_field_kind kind;
    bool required;
    size_t offset;
    size_t size; /* STRING, ID: capacity with the terminator */
    double min;  /* COUNT, NUMBER: inclusive range; both 0 = any */
    double max;
    const char *const *names; /* NAME */
};

/* Decodes `object` by the table into `out`; `pointer` is where the object stands ("" at the root).
 * Returns LQ_OK, or the first fault's code with all faults in `faults`. JSON null counts as absent
 * for optional fields. */
LQ_MUST_USE enum lq_code lq_decode(const json_t *object, const char *pointer,
                                   const struct lq_field *fields, size_t n, void *out,
                                   struct lq_faults *faults);

/* One value as a count or a finite number in [min, max]; false and a fault otherwise. */
bool lq_decode_count(const json_t *value, const char *pointer, double min, double max, int64_t *out,
                     struct lq_faults *faults);
bool lq_decode_number(const json_t *value, const char *pointer, double min, double max, double *out,
                      struct lq_faults *faults);

/* Index of `text` in a NULL-terminated list, or -1. */
int lq_name_index(const char *text, const char *const *names);

/* Parses a body: UTF-8, no duplicate keys, depth at most 32, numbers in range; any value type at
 * the root must be an object. The result is new (json_decref), NULL with one LQ_ESYNTAX fault that
 * names line and column otherwise. */
json_t *lq_parse(const char *body, size_t size, struct lq_faults *faults);

/* Gives a value back; within a request its arena does that, and walking the value would be waste.
 */
void lq_json_release(json_t *value);

/* Serialises a value. `digits`: significant digits of reals (10 for what is computed, 15 for what
 * is stored and returned). Returns a new string (free with lq_text_free) and its size; NULL when
 * out of memory, also where that happened while the value was made. A real that is not finite
 * cannot be made with jansson, so none can be written. */
char *lq_dump(const json_t *value, int digits, size_t *size);
/* The same with sorted keys and fifteen digits: equal documents give equal texts. */
char *lq_dump_canonical(const json_t *value, size_t *size);
void lq_text_free(void *text);
