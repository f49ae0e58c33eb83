/* POST /v1/servings as the API spells it: a model to serve, and what serving it takes. */
#pragma once

#include "core/planning/serving_evidence.h"
#include "server/json/estimate.h"
#include "server/json/subject.h"
#include "server/json/traffic.h"

#include <jansson.h>
#include <stdbool.h>

/* A decoded request. `model` and the traffic point into this struct: do not copy it; release it. */
struct lq_serving_document {
    struct lq_model model;
    struct lq_serving_setup setup;
    struct lq_serving_format format;
    struct lq_traffic_document traffic;
    struct lq_terms terms;
    int64_t gpu_count; /* 0: whichever of 1, 2, 4, ... is cheapest */
    int64_t max_gpu_count;
    double confidence;
};

/* Decodes a request. Errors: LQ_EFIELD for bad values, LQ_EREFERENCE for ids that nobody knows. */
LQ_MUST_USE enum lq_code lq_serving_decode(const json_t *value, const struct lq_lookup *lookup,
                                           struct lq_serving_document *out,
                                           struct lq_faults *faults);

/* Safe after a failed decode. */
void lq_serving_release(struct lq_serving_document *document);

/* Every setting the answer rests on, defaults included, as a new object. */
json_t *lq_serving_document_encode(const struct lq_serving_document *document);

/* The constants of a serving stack; NULL with a fault at "/stack": LQ_EFIELD for a stack that is
 * known but not how it serves, LQ_EREFERENCE for one that is not known at all. */
const struct lq_serving_stack *lq_serving_stack_decode(const char *label,
                                                       const struct lq_lookup *lookup,
                                                       struct lq_faults *faults);

/* The cache follows the precision, but fp8 weights keep a 16-bit cache, as vLLM does by default. */
enum lq_kv_precision lq_kv_precision_default(enum lq_precision precision);

/* One number of devices: what it serves, or why it does not. */
struct lq_serving_option {
    struct lq_serving serving;
    bool fits;
    double usd_per_million_tokens; /* at the cheapest offer; 0: unpriced */
    char detail[LQ_DETAIL_MAX];    /* where it does not fit */
};

enum { LQ_SERVING_OPTIONS_MAX = 16 };

/* Everything the answer is made of. Borrowed. */
struct lq_serving_quote {
    const struct lq_serving_document *document;
    const struct lq_serving_load *load;
    const struct lq_serving_option *options; /* by number of devices */
    size_t option_count;
    const struct lq_serving_option *chosen;
    const struct lq_cost_line *costs; /* of a million tokens on the chosen, cheapest first */
    size_t cost_count;
    struct lq_serving_basis basis;
    const char *catalog_version;
    const char *prices_version;
};

/* The answer as a new object. */
json_t *lq_serving_encode(const struct lq_serving_quote *quote);
