/* What a law makes of a budget: the loss-optimal split into parameters and tokens, and the inverse
 * questions that plans ask. N is always the corresponding dense model's. */
#pragma once

#include "core/base/error.h"
#include "core/planning/law.h"

/* A law asked about one family of models at one expert count. Pointers are borrowed. */
struct lq_law_setting {
    const struct lq_law *law;
    struct lq_law_family family;
    double experts; /* E, 1..65536 */
};

/* What a choice of N and D may not exceed; 0 = no limit. */
struct lq_law_limits {
    double total_parameters; /* memory: of the family's model, all experts */
    double tokens;
};

struct lq_law_choice {
    double parameters; /* N of the corresponding dense model */
    double tokens;     /* D */
    double loss;
    double flop; /* of its training, by the law's reading; for inference questions both */
};

/* N within which a budget is split; no law says anything beyond. */
#define LQ_LAW_PARAMETERS_MIN 1e4
#define LQ_LAW_PARAMETERS_MAX 1e16

/* Checks that the law answers plans: its quantity is a loss, it knows D, it holds for these
 * experts, the family's numbers are in range. Every function below assumes it. Errors:
 * LQ_EIMPOSSIBLE at "/law" or "/experts"; LQ_EFIELD at "/experts" or "/active_experts". */
LQ_MUST_USE enum lq_code lq_law_setting_check(const struct lq_law_setting *setting,
                                              struct lq_error *err);

/* Loss of N and D; not finite where the law has none. */
double lq_law_loss_at(const struct lq_law_setting *setting, double parameters, double tokens);
/* Training FLOPs per token and N by the law's reading: 6, or 6 activated / N. */
double lq_law_flop_per_parameter(const struct lq_law_setting *setting);
/* The choice of N that spends the budget: D = budget / (flop_per_parameter N). */
struct lq_law_choice lq_law_spend(const struct lq_law_setting *setting, double budget_flop,
                                  double parameters);

/* The N and D of least loss that spend a budget, closed where the law is additive, else by search
 * from a scan of all sizes. limits may be NULL; a limit that binds leaves the budget spent on the
 * other, or unspent where both bind.
 * Errors: LQ_EFIELD at "/budget_flop" for one that is not 1e6..1e36; LQ_ENUMBER where the law has
 * no finite loss anywhere. */
LQ_MUST_USE enum lq_code lq_law_optimum(const struct lq_law_setting *setting, double budget_flop,
                                        const struct lq_law_limits *limits,
                                        struct lq_law_choice *out, struct lq_error *err);

/* Algorithm 1's question: the smallest N below the optimum that reaches `loss` with the budget.
 * Errors: as lq_law_optimum; LQ_EIMPOSSIBLE where even the optimum does not reach it: the detail
 * says how near it gets, and *out is the optimum. */
LQ_MUST_USE enum lq_code lq_law_smallest(const struct lq_law_setting *setting, double budget_flop,
                                         double loss, struct lq_law_choice *out,
                                         struct lq_error *err);

/* The least budget whose optimum reaches `loss`; out->flop is the budget.
 * Errors: LQ_EIMPOSSIBLE where no budget up to 1e36 does; the detail says how near one gets, *out
 * is that choice. */
LQ_MUST_USE enum lq_code lq_law_cheapest(const struct lq_law_setting *setting, double loss,
                                         struct lq_law_choice *out, struct lq_error *err);

/* Tokens with which a model of N reaches `loss`, between 1 and 1e21.
 * Errors: LQ_EIMPOSSIBLE with how near it gets. */
LQ_MUST_USE enum lq_code lq_law_tokens_for(const struct lq_law_setting *setting, double parameters,
                                           double loss, double *tokens, struct lq_error *err);

/* The N and D of least training plus inference FLOPs at a loss: f N D + f/3 N Dinf, with f the
 * FLOPs per parameter; out->flop is the sum. Source: Sardana et al. 2024, arXiv 2401.00448, Eq. 3.
 * Errors: LQ_EIMPOSSIBLE where no model reaches the loss. */
LQ_MUST_USE enum lq_code lq_law_inference_optimum(const struct lq_law_setting *setting, double loss,
                                                  double inference_tokens,
                                                  struct lq_law_choice *out, struct lq_error *err);
