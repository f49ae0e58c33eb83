/* The claims of Yun et al. 2024 (arXiv 2404.02852), held against one law, budget and concurrency.
 */
#pragma once

#include "core/planning/plan.h"

enum lq_plan_claim_kind {
    LQ_CLAIM_FEW_SERVE_CHEAPEST, /* 4 or 8 experts serve cheapest at equal loss (abstract) */
    LQ_CLAIM_FEW_COST_TO_TRAIN,  /* but need 2.5-3.5 times the training (abstract) */
    LQ_CLAIM_SMALL_OVERTRAINED,  /* 16 or 32 experts, 70-85 % smaller than optimal (abstract) */
    LQ_CLAIM_COUNT
};
extern const char *const LQ_PLAN_CLAIM_NAMES[];

enum { LQ_CLAIM_ROWS = 7, LQ_CLAIM_SETTINGS = 2 };

/* One expert count, with and without the cap on concurrent requests (index 0 and 1). */
struct lq_claim_row {
    double experts;
    bool reaches;            /* the loss of the 16-expert optimum, at some budget */
    struct lq_allocation at; /* trained to it most cheaply */
    double budget_ratio;     /* over the 16-expert's budget */
    double gpu_s_per_token[LQ_CLAIM_SETTINGS];   /* 0: no allowed number of GPUs holds it */
    bool shrinks;                                /* Algorithm 1 against 4 experts has an answer */
    double shrink_ratio;                         /* its N over the own loss-optimal N */
    double shrunk_cost_ratio[LQ_CLAIM_SETTINGS]; /* over the 4-expert optimum; 0: not served */
};

struct lq_plan_claim {
    bool holds[LQ_CLAIM_SETTINGS];
    char detail[LQ_PLAN_WHY_MAX];
};

struct lq_plan_claims {
    double loss;                             /* of the 16-expert optimum: what "equal loss" means */
    struct lq_claim_row rows[LQ_CLAIM_ROWS]; /* E = 1, 2, 4, ... 64 */
    struct lq_plan_claim claims[LQ_CLAIM_COUNT];
};

/* Weighs the claims with the question's law, budget, constraints and serving; its own expert counts
 * and base are not read. False where the law does not know experts or has no optimum: then nothing
 * can be said. A claim about training does not depend on the cap: both its entries are alike. */
bool lq_plan_claims(const struct lq_plan_question *question, struct lq_plan_claims *out);
