/* Scaling laws as the API spells them. */
#pragma once

#include "core/planning/law.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>

enum { LQ_LAW_VERSION_SIZE = 17, LQ_LAW_SOURCE_SIZE = 256 };

/* 16 hex digits over everything in a law that decides its answers; equal laws have equal ones. */
void lq_law_version(const struct lq_law *law, char version[LQ_LAW_VERSION_SIZE]);

/* What is kept of a user's law beside it; NULL or "" where there is nothing. */
struct lq_law_record {
    const char *fit; /* lq_law_fit_encode's, one line of JSON */
    const char *posted_by;
    const char *created_at;
};

/* The law as a new object. `record` may be NULL (a shipped law). `whole`: with the members of its
 * fit. */
json_t *lq_law_encode(const struct lq_law *law, const struct lq_law_record *record, bool whole);

/* A posted law: its coefficients, or what its fit is made from. `law` points into this struct: do
 * not copy it. */
struct lq_law_document {
    char id[LQ_ID_MAX]; /* in lower case */
    char source[LQ_LAW_SOURCE_SIZE];
    struct lq_law law;
    const json_t *runs;   /* NULL where coefficients were given; borrowed from the document */
    const json_t *starts; /* settings of the fit as they stand, NULL where they do not */
    const json_t *fixed;
    const json_t *bounds;
    int64_t bootstrap;
    double confidence;
};

/* Decodes {name, form, coefficients | runs, ...}; runs and their settings are only found, see
 * json/law_fit.h. Errors: LQ_EFIELD, LQ_EREFERENCE (no such form). */
LQ_MUST_USE enum lq_code lq_law_decode(const json_t *root, struct lq_law_document *out,
                                       struct lq_faults *faults);
