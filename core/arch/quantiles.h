/* A length distribution from a few of its quantiles. */
#pragma once

#include "core/arch/lengths.h"

enum { LQ_QUANTILES_MAX = 32, LQ_QUANTILE_BINS = 256 };

struct lq_quantile {
    double share;  /* of the queries, 0 < share < 1 */
    double tokens; /* that many are at most this long */
};

/* Spreads `queries` over bins so that the quantiles and the longest length come out.
 * quantiles, n: 1..LQ_QUANTILES_MAX, share and tokens ascending (tokens may repeat) · max_tokens:
 * the longest · min_tokens: the shortest, 0 = not known · out: room for LQ_QUANTILE_BINS. Between
 * two quantiles ln(tokens) is linear in the normal quantile of the share; below the first it goes
 * on with the same slope (or to the minimum); above the last the share that is longer falls as a
 * power of the length, down to one query at the maximum. Against MATH's histogram (arXiv
 * 2408.04693, Fig. 2) from its p50, p90 and maximum this keeps the mean longest of 1 to 32 draws
 * within 10 %. Returns the number of bins, or fails with LQ_EFIELD at /quantiles. */
LQ_MUST_USE enum lq_code lq_lengths_from_quantiles(const struct lq_quantile *quantiles, size_t n,
                                                   double min_tokens, double max_tokens,
                                                   double queries, struct lq_length_bin *out,
                                                   size_t *count, struct lq_error *err);
