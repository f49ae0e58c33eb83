/* Options side by side: their order, the front of those that nothing beats in both cost and time,
 * how likely each is the cheapest, and what would change the order. Estimates and bills are made
 * before; nothing is estimated here. The arrays are the caller's. */
#pragma once

#include "core/arch/lengths.h"
#include "core/finetune/estimate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lq_least { LQ_LEAST_COST, LQ_LEAST_TIME };
extern const char *const LQ_LEAST_NAMES[];

/* What the budget and the deadline allow; 0 = no bound. */
struct lq_bounds {
    double budget_usd;
    double deadline_s;
};

/* One way to buy the job: an estimate at a price. Options of one trial (one estimate) miss by the
 * same factor; those of one device miss together; those of two devices share `shared_log_sd` and
 * miss independently by the rest. */
struct lq_choice {
    size_t trial;  /* number of the estimate it rests on */
    size_t device; /* number of the GPU; trials of one device are neighbours */
    double duration_s;
    double cost_usd;
    double log_sd;        /* of ln(duration), and so of ln(cost); > 0 */
    double own_log_sd;    /* the part of it that is the device's own; see lq_estimate_own_log_sd */
    double shared_log_sd; /* the part that options with one share; lq_compare_share sets it */
    size_t tie;           /* decides between equals: the smaller stands first */
    double p_cheapest;
    double p_in_budget; /* 1 without a budget */
    double p_in_time;   /* 1 without a deadline */
    bool on_front;
};

/* Negative where `a` stands before `b`: by the objective, then by the other quantity, then by
 * `tie`. */
int lq_choice_order(const struct lq_choice *a, const struct lq_choice *b, enum lq_least objective);

/* Whether cost and duration themselves keep the bounds. */
bool lq_choice_allowed(const struct lq_choice *option, const struct lq_bounds *bounds);

/* Probability that a quantity estimated at `value`, log-normal with `log_sd`, stays at or below
 * `bound`; 1 where the bound is 0. */
double lq_chance_below(double value, double log_sd, double bound);

/* Sets p_in_budget and p_in_time. */
void lq_choice_chances(struct lq_choice *option, const struct lq_bounds *bounds);

/* Sets on_front of `n` options that stand in the order of the objective: no other is at most as
 * dear and at most as slow, and better in one of them. */
void lq_compare_front(struct lq_choice *options, size_t n, enum lq_least objective);

/* The part of an estimate's log_sd that is its device's own: what identities of one model on one
 * stack are known to differ by, weighted with the step's shares, and the scatter of runs. All of it
 * where the estimate rests on measurements of its own identity. */
double lq_estimate_own_log_sd(const struct lq_estimate *estimate);

/* Splits the errors: sets shared_log_sd of every option. Options whose error is all their own share
 * nothing; the others share one part, the smallest that any of them has beyond its own, so that a
 * comparison among them alone does not depend on it. */
void lq_compare_share(struct lq_choice *options, size_t n);

/* The cheapest option of one trial; workspace of lq_compare_cheapest. */
struct lq_contender {
    size_t trial;
    size_t option; /* the first of its cheapest */
    size_t ties;   /* how many cost as much */
    size_t device;
    double log_cost;
    double shared_log_sd;
    double own_log_sd;
    double mass;       /* probability */
    size_t start, end; /* of the k-th device in this list, by cost */
};

/* Sets p_cheapest of `n` options in any order; they sum to 1. `work` has room for as many as there
 * are trials, trials numbered from 0.
 * ln(cost) of an option = its estimate + shared Z + own X, with Z one standard normal for all and X
 * one for each device. Integrated by fixed quadratures, 12 nodes for Z (1 where all share alike)
 * and 24 for X; good to about 0.01. */
void lq_compare_cheapest(struct lq_choice *options, size_t n, struct lq_contender *work,
                         size_t trials);

/* What the runner-up's price per GPU and hour would have to be for it to cost the same, and the
 * winner's likewise. Bills are proportional to prices. */
struct lq_break_even {
    double runner_up_usd_per_gpu_h;
    double winner_usd_per_gpu_h;
};
struct lq_break_even lq_compare_break_even(const struct lq_choice *winner,
                                           double winner_usd_per_gpu_h,
                                           const struct lq_choice *runner_up,
                                           double runner_up_usd_per_gpu_h);

/* d ln(cost) / d ln(input), from the costs at two multiples of the input. */
double lq_elasticity(double cost_below, double cost_above, double factor_below,
                     double factor_above);

/* The same data with every row `factor` times as long: rounded up to the padding multiple again;
 * packed rows keep their length and hold fewer queries. `scratch` has room for `from->count` bins.
 */
void lq_lengths_scaled(const struct lq_lengths *from, double factor, struct lq_length_bin *scratch,
                       struct lq_lengths *out);

/* A question of what if: other durations, another price of one option. Bills go with both. */
struct lq_scenario {
    double time_factor;         /* of every option */
    const double *trial_factor; /* of each trial, on top; 0: leave its options out. NULL: 1 */
    size_t repriced;            /* index of the option whose price changes, ... */
    double price_factor;        /* ... by this */
};

/* An option's cost and duration under a scenario; `i` is its index. */
struct lq_choice lq_choice_under(const struct lq_choice *options, size_t i,
                                 const struct lq_scenario *scenario);

/* Index of the option that comes first under the scenario among those that keep the bounds; n where
 * none does. Options in any order. */
size_t lq_compare_best(const struct lq_choice *options, size_t n, enum lq_least objective,
                       const struct lq_bounds *bounds, const struct lq_scenario *scenario);

/* What would make an infeasible trial feasible. */
enum lq_change {
    LQ_CHANGE_NONE,
    LQ_CHANGE_CHECKPOINTING,
    LQ_CHANGE_BATCH,
    LQ_CHANGE_COUNT,
    LQ_CHANGE_LORA,
    LQ_CHANGE_QLORA,
    LQ_CHANGE_ROWS,
    LQ_CHANGE_BUDGET,
    LQ_CHANGE_DEADLINE
};

/* The least change of a job that does not fit after which one query per device (or the batch asked
 * for) does: full checkpointing, then a batch of `*to` rows, then LoRA, then QLoRA of rank 16, then
 * rows cut to `*to` tokens; LQ_CHANGE_NONE where none of them is enough. Several devices are tried
 * with states and weights sharded as far as the stack can, and with tensor parallelism if it has
 * that. */
enum lq_change lq_nearest_change(const struct lq_job *job, const struct lq_evidence *evidence,
                                 double *to);
