/* Reads single keys of a config.json: ranges and types are checked, faults carry their pointer, and
 * every call returns a value that is safe to compute with, so that decoding can go on. */
#pragma once

#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* An object of the document and where it stands. */
struct lq_reader {
    const json_t *object;
    char pointer[LQ_POINTER_MAX];
    struct lq_faults *faults;
};

/* In place of a fallback: the key must be there. */
#define LQ_REQUIRED INT64_MIN

/* A whole number in [min, max]. An absent or null key yields `fallback`, unchecked.
 * After a fault: the fallback, or `min` where the key is required. */
int64_t lq_read_count(const struct lq_reader *reader, const char *key, int64_t min, int64_t max,
                      int64_t fallback);

/* true or false; an absent or null key yields `fallback`. */
bool lq_read_bool(const struct lq_reader *reader, const char *key, bool fallback);

/* Whether the key is there, null included. */
bool lq_read_has(const struct lq_reader *reader, const char *key);

/* The array at `key`, or NULL where it is absent or null; a fault where it is anything else. */
const json_t *lq_read_array(const struct lq_reader *reader, const char *key);

/* A reader of the object at `key`; its object is NULL (every key reads as absent) where there is
 * none, with a fault where `required` or where the value is not an object. */
struct lq_reader lq_read_object(const struct lq_reader *reader, const char *key, bool required);

/* Adds a field fault about `key` ("" for the object itself) unless it has one. */
void lq_read_fault(const struct lq_reader *reader, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
