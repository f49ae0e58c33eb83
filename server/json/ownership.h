/* The tune-or-buy part of a comparison: prices of bought tokens, traffic, and how the model would
 * be served. */
#pragma once

#include "core/planning/ownership.h"
#include "server/json/estimate.h"
#include "server/json/serving.h"

#include <jansson.h>
#include <stdbool.h>

/* A decoded part; release it. */
struct lq_ownership_document {
    bool asked; /* `api` was given */
    double usd_per_input_token;
    double usd_per_output_token;
    double requests_per_month; /* 0 = not said */
    double utilisation;        /* of a group's capacity */
    struct lq_serving_document serving;
};

/* The members of the request that it is made of; NULL or 0 where they were not given. Borrowed. */
struct lq_ownership_members {
    json_t *model;
    json_t *api;
    json_t *traffic;
    json_t *serving;
    double requests_per_month;
    double utilisation;
};

/* Decodes the part. Errors: LQ_EFIELD, LQ_EREFERENCE, each at its member. */
void lq_ownership_decode(const struct lq_ownership_members *members, const struct lq_lookup *lookup,
                         struct lq_ownership_document *out, struct lq_faults *faults);

/* Safe after a failed decode. */
void lq_ownership_release(struct lq_ownership_document *document);

/* The group that was chosen, and what it all comes to. Borrowed. */
struct lq_ownership_answer {
    const struct lq_ownership_document *document;
    struct lq_ownership ownership;
    double confidence;
    int64_t gpu_count;
    double tokens_per_s;
    double concurrent_requests;
    double prompt_tokens; /* means of a request */
    double output_tokens;
    struct lq_cost_line line; /* the group's cheapest offer, for a month */
};

/* The part's answer as a new object. */
json_t *lq_ownership_encode(const struct lq_ownership_answer *answer);
