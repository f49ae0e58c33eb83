/* Plans: how a training budget is best spent on experts, parameters and tokens once serving is paid
 * for too, under one scaling law. After Yun et al. 2024 (arXiv 2404.02852). */
#pragma once

#include "core/base/error.h"
#include "core/planning/law.h"
#include "core/planning/serving_moe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LQ_PLAN_OPTIONS_MAX = 32, LQ_PLAN_REASON_MAX = 240, LQ_PLAN_WHY_MAX = 512 };

/* Training budgets that are planned for, in FLOPs. */
#define LQ_PLAN_BUDGET_MIN 1e15
#define LQ_PLAN_BUDGET_MAX 1e30

/* What is asked. Pointers are borrowed. GPU time is the currency of core: both training and serving
 * are paid on the same GPU, so a price only scales it. */
struct lq_plan_question {
    const struct lq_law *law;
    const struct lq_law_family *family; /* what repeats, K, ... */
    double mlp_share;                   /* of the dense parameters, 0..1 */
    double moe_layer_share;             /* of the layers; times mlp_share is the family's share */
    double budget_flop;                 /* for training: LQ_PLAN_BUDGET_MIN..MAX */
    double base_experts;
    const double *experts; /* 1..LQ_PLAN_OPTIONS_MAX of them */
    size_t expert_count;
    struct lq_serving_setup serving;
    struct lq_serving_format format;
    struct lq_traffic traffic;
    int64_t max_serving_gpu_count;
    double train_flop_per_s;     /* of one GPU, utilisation included */
    double served_tokens;        /* generated over the model's life; 0 = serving is not paid for */
    double total_gpu_s;          /* for training and serving together; 0 = no such budget */
    double required_loss;        /* 0 = the base's */
    double max_total_parameters; /* 0 = any */
    double max_training_tokens;  /* 0 = any */
};

/* A model and its training. */
struct lq_allocation {
    double experts;
    double parameters; /* N: of the dense model with the same layers and hidden size */
    double total_parameters;
    double active_parameters;
    double tokens; /* D */
    double loss;
    double training_flop;
    double training_gpu_s;
    bool served; /* some allowed number of GPUs holds it; else what follows is 0 */
    struct lq_serving serving;
    double served_gpu_s; /* for served_tokens */
};

/* An allocation, or why there is none. */
struct lq_plan_answer {
    bool found;
    struct lq_allocation at;
    char reason[LQ_PLAN_REASON_MAX]; /* "" where found */
};

/* What one expert count can do with the budget. */
struct lq_plan_option {
    struct lq_allocation loss_optimal;
    struct lq_plan_answer bounded_loss; /* Algorithm 1 */
    struct lq_plan_answer bounded_cost; /* Algorithm 2 */
    bool cost_binds;                    /* false: the loss-optimal model already costs less */
    struct lq_plan_answer equal_loss;   /* least training FLOPs to the base's loss */
    struct lq_plan_answer required;     /* cheapest to serve at the required loss */
    struct lq_plan_answer least_total;  /* training and serving together, at that loss */
    struct lq_plan_answer within_total; /* lowest loss that total_gpu_s pays */
};

/* What a recommendation minimises. */
enum lq_plan_objective {
    LQ_OBJECTIVE_SERVING, /* serving cost, at a loss and the training budget */
    LQ_OBJECTIVE_TOTAL,   /* training and serving, at a loss */
    LQ_OBJECTIVE_LOSS     /* loss, at a total budget */
};
extern const char *const LQ_PLAN_OBJECTIVE_NAMES[];

struct lq_plan_choice {
    bool found;
    enum lq_plan_objective objective;
    struct lq_allocation at;
    double loss_bound; /* the loss that had to be reached; 0 where loss was the objective */
    char why[LQ_PLAN_WHY_MAX];
};

struct lq_plan {
    bool ratios_of_active; /* the law is read in activated parameters */
    struct lq_allocation base;
    struct lq_plan_option options[LQ_PLAN_OPTIONS_MAX]; /* in the order asked */
    size_t count;
    struct lq_plan_choice recommendation;
};

/* Plans under one law. For each E:
 *  - loss_optimal: argmin L(N, D, E) over 6 N D = B (6 D times the activated parameters where the
 *    law is read so), D at most max_training_tokens, N within max_total_parameters;
 *  - bounded_loss: the smallest N below the option's own optimum whose loss is the base's at the
 *    same budget (Algorithm 1);
 *  - bounded_cost: the largest N up to the own optimum that serves at no more than the base's cost
 *    (Algorithm 2). Where the cost jumps, because more GPUs are needed, it is bisected on the
 *    monotone envelope: the least cost of any model at least that large;
 *  - equal_loss: the least budget at which this E reaches the base's loss;
 *  - required, least_total: see the members; within the training budget;
 *  - within_total: see the member.
 * Errors: LQ_EIMPOSSIBLE at "/law" (gives no loss, does not know tokens, has no optimum), at
 * "/experts" or "/base_experts" (does not hold for it), at "/required_loss" (none reaches it);
 * LQ_ENOFIT at
 * "/max_serving_gpu_count" (none can be served, or none at the required loss); LQ_EFIELD at
 * "/max_total_parameters" or
 * "/max_training_tokens" (nothing is left). Allocates nothing. Half a millisecond for seven expert
 * counts, twice that with served tokens.
 */
LQ_MUST_USE enum lq_code lq_plan(const struct lq_plan_question *question, struct lq_plan *out,
                                 struct lq_error *err);

/* One model: N with the tokens that the budget leaves for it, and its serving. N is 1e4..1e16. */
struct lq_allocation lq_plan_at(const struct lq_plan_question *question, double experts,
                                double parameters);

/* Whether a law can be planned with at all, at these expert counts.
 * Errors: LQ_EIMPOSSIBLE at "/law" or "/experts". */
LQ_MUST_USE enum lq_code lq_plan_law_check(const struct lq_law *law, const double *experts,
                                           size_t count, struct lq_error *err);

/* N of one allocation over N of another, or their activated parameters where the plan says so. */
double lq_plan_parameters_ratio(const struct lq_plan *plan, const struct lq_allocation *a,
                                const struct lq_allocation *b);
