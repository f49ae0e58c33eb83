/* How unevenly a router spreads tokens over its experts, and what follows for the busiest. */
#pragma once

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { LQ_EXPERTS_MAX = 1024 };

/* Either the share of every expert or the variance of the shares. */
struct lq_expert_load {
    size_t experts;               /* entries of share; 0: only the variance is known */
    double share[LQ_EXPERTS_MAX]; /* of the routed tokens; sums to 1 */
    double variance; /* population variance of the experts' tokens in percent of all routed tokens:
                        of 100 * share */
};

/* Normalises counts or shares >= 0 (not all zero) to shares and sets the variance.
 * Errors: LQ_EFIELD, pointer "/expert_load" (wrong length against `experts`, negative, all zero).
 */
LQ_MUST_USE enum lq_code lq_expert_load_set(const double *tokens, size_t n, int64_t experts,
                                            struct lq_expert_load *out, struct lq_error *err);

/* Checks a variance: that of all tokens at one expert is the largest there can be.
 * Errors: LQ_EFIELD, pointer "/expert_load/variance". */
LQ_MUST_USE enum lq_code lq_expert_load_vary(double variance, int64_t experts,
                                             struct lq_expert_load *out, struct lq_error *err);

/* Tokens of the busiest of `ranks` devices over those of the mean one, when `experts` are spread
 * over them in order; 1 for an even load (NULL) or one rank. Where only the variance is known the
 * expectation of the largest of `ranks` normal draws. At most `ranks`. */
double lq_expert_load_peak(const struct lq_expert_load *load, int64_t experts, int64_t ranks);

/* Distinct experts that `tokens` tokens hit on average when each chooses `active` different ones:
 * the sum over experts of 1 - (1 - active * share)^tokens, tokens independent of each other. Exact
 * for an even load; a share above 1 / active, which no router can give, counts as hit by each
 * token. */
double lq_expert_load_hit(const struct lq_expert_load *load, int64_t experts, double tokens,
                          double active);
