/* What every quote is about and paid at, as requests spell it: a model, a GPU, providers or a
 * price.
 */
#pragma once

#include "server/json/faults.h"
#include "server/json/lookup.h"

#include <jansson.h>
#include <stddef.h>

enum { LQ_PROVIDERS_MAX = 64 };

/* Whose prices count. Strings are in the catalog's spelling, borrowed from it. */
struct lq_terms {
    const char *providers[LQ_PROVIDERS_MAX];
    size_t provider_count;   /* 0 = all */
    double usd_per_gpu_hour; /* 0 = catalog prices */
};

/* The model that `value`, standing at `pointer`, names, or whose config.json it is: then decoded
 * into `*inline_model`, which must outlive the result. NULL with faults: LQ_EFIELD, LQ_EREFERENCE.
 */
const struct lq_model *lq_subject_model(const json_t *value, const char *pointer,
                                        const struct lq_lookup *lookup,
                                        struct lq_model *inline_model, struct lq_faults *faults);

/* The GPU with that id, or NULL with an LQ_EREFERENCE fault. */
const struct lq_gpu *lq_subject_gpu(const char *id, const char *pointer,
                                    const struct lq_lookup *lookup, struct lq_faults *faults);

/* Decodes `providers` (NULL: not given) and `usd_per_gpu_hour` (0: not given) of the object at
 * `pointer`; one excludes the other. */
void lq_subject_terms(const json_t *providers, double usd_per_gpu_hour, const char *pointer,
                      const struct lq_lookup *lookup, struct lq_terms *out,
                      struct lq_faults *faults);

/* Sets `providers` and `usd_per_gpu_hour` of an object; null where they were not given. */
void lq_terms_encode(const struct lq_terms *terms, json_t *object);
