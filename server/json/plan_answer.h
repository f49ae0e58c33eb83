/* The answer to POST /v1/plans. */
#pragma once

#include "core/planning/plan_claims.h"
#include "core/planning/plan_consensus.h"
#include "server/json/plan.h"

/* Where the price of a GPU hour comes from; strings are borrowed, "" where there is none. */
struct lq_plan_price_line {
    const char *provider;
    const char *instance_type;
    const char *date;
    bool stale;
};

/* Everything the answer is made of. Borrowed. */
struct lq_plan_quote {
    const struct lq_plan_document *document; /* asked of the law that is shown */
    const struct lq_plan *plan;
    const struct lq_plan_claims *claims; /* NULL where the law does not know experts */
    const struct lq_plan_verdict *verdicts;
    size_t verdict_count;    /* 0: only one law was asked */
    struct lq_plan *scratch; /* for the plans of series */
    struct lq_plan_price_line price;
    const char *catalog_version;
    const char *prices_version;
    const char *laws_version;
};

/* One model of a plan as a new object. */
json_t *lq_allocation_encode(const struct lq_plan_document *document,
                             const struct lq_allocation *at);
/* Members of the answer: what the paper's claims come to, what several laws say, and series. */
json_t *lq_plan_claims_encode(const struct lq_plan_quote *quote);
json_t *lq_plan_verdicts_encode(const struct lq_plan_quote *quote);
json_t *lq_plan_consensus_encode(const struct lq_plan_quote *quote);
json_t *lq_plan_series_encode(const struct lq_plan_quote *quote);
/* The recommendation as a new object, or null. */
json_t *lq_plan_choice_encode(const struct lq_plan_document *document,
                              const struct lq_plan_choice *choice);

/* The answer as a new object, members in the order of the contract. */
json_t *lq_plan_encode(const struct lq_plan_quote *quote);
