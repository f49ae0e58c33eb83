/* POST /v1/plans as the API spells it: a budget to plan with, and what one or several laws make of
 * it. */
#pragma once

#include "core/planning/plan.h"
#include "server/json/subject.h"
#include "server/json/traffic.h"

#include <jansson.h>
#include <stdbool.h>

enum { LQ_PLAN_LAWS_MAX = 16 };

/* A decoded request. Pointers lead into this struct and into the catalog: do not copy it; release
 * it. */
struct lq_plan_document {
    struct lq_plan_question question; /* law, family and experts are set by lq_plan_document_ask */
    struct lq_traffic_document traffic;
    struct lq_terms terms;
    const struct lq_law *law; /* the one whose options are shown */
    const struct lq_law *laws[LQ_PLAN_LAWS_MAX];
    size_t law_count; /* to be set side by side; 0: not asked */
    bool all_applicable;
    double experts[LQ_PLAN_OPTIONS_MAX];
    size_t expert_count; /* 0: the default */
    double base_experts; /* 0: the default */
    struct lq_law_family family;
    struct lq_model inline_model; /* where `model` was a config.json */
    double active_experts;        /* 0: the law's */
    double mlp_share;             /* below 0: the law's */
    double moe_layer_share;       /* below 0: the law's */
    double budget_usd;            /* 0: budget_flop is given */
    double utilisation;
    bool utilisation_given;
    double deadline_s;          /* 0: none */
    int64_t training_gpu_count; /* 0: any */
    double usd_per_gpu_h;       /* what is paid; 0: unpriced. Set by lq_plan_document_price */
    bool deadline_binds;        /* the budget is what the deadline leaves of it */
    bool series;
    bool shape;
};

/* Decodes a request. Errors: LQ_EFIELD for bad values, LQ_EREFERENCE for ids that nobody knows. */
LQ_MUST_USE enum lq_code lq_plan_decode(const json_t *value, const struct lq_lookup *lookup,
                                        struct lq_plan_document *out, struct lq_faults *faults);
/* Safe after a failed decode. */
void lq_plan_release(struct lq_plan_document *document);

/* Takes over from a mixture of experts what its experts repeat of its dense equivalent, in which
 * share of the layers, and how many are active. */
void lq_plan_document_take(struct lq_plan_document *document, const struct lq_model *model);
/* Turns dollars into FLOPs at the price of a GPU hour (0: nobody prices the GPU), and lets the
 * deadline limit the budget. Errors: LQ_EUNPRICED, LQ_EFIELD at "/budget_usd". */
LQ_MUST_USE enum lq_code lq_plan_document_price(struct lq_plan_document *document,
                                                double usd_per_gpu_h, struct lq_faults *faults);
/* Fits the question to a law: its family where the request has none of its own, the expert counts
 * that the law knows where none were asked. */
void lq_plan_document_ask(struct lq_plan_document *document, const struct lq_law *law);

/* Every setting the answer rests on, defaults included, as a new object. */
json_t *lq_plan_document_encode(const struct lq_plan_document *document);
