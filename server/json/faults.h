/* The faults of one request: decoding reports every bad field, up to a bound, and counts the rest.
 */
#pragma once

#include "core/base/error.h"

#include <stddef.h>

enum { LQ_FAULTS_MAX = 16 };

/* items[0] decides the problem's code and title; count may exceed LQ_FAULTS_MAX. Zero-initialise.
 */
struct lq_faults {
    struct lq_error items[LQ_FAULTS_MAX];
    size_t count;
};

/* Adds one fault (silently only counted beyond the bound) and returns its code. */
enum lq_code lq_faults_add(struct lq_faults *faults, enum lq_code code, const char *pointer,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Adds a core failure with its pointer prefixed by `prefix` ("" for none). Returns its code. */
enum lq_code lq_faults_take(struct lq_faults *faults, const char *prefix,
                            const struct lq_error *err);
