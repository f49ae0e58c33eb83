/* The length distribution of a data set: bins of (tokens, queries), and what padding makes of it.
 */
#pragma once

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* How the sequences of a batch are brought to one length. */
enum lq_padding {
    LQ_PADDING_LONGEST, /* to the longest of the batch, rounded up to the multiple */
    LQ_PADDING_FIXED,   /* to the cut-off (or the longest there is) */
    LQ_PADDING_PACKED   /* rows of exactly the cut-off, filled with whole data */
};
extern const char *const LQ_PADDING_NAMES[];

struct lq_length_bin {
    int64_t tokens;
    double queries;
};

/* A distribution made ready for one cut-off and padding rule. Fill with lq_lengths_prepare;
 * `bins` stays the caller's and must outlive this. */
struct lq_lengths {
    enum lq_padding padding;
    const struct lq_length_bin *bins; /* padded, ascending; queries is the CUMULATIVE share */
    size_t count;
    double mean_tokens;     /* after the cut-off, before padding */
    int64_t longest_tokens; /* the longest padded row that can occur; sizes the batch */
    double queries_per_row; /* 1, or cut-off / mean where packed */
    int64_t padding_multiple;
    int64_t cutoff_tokens; /* 0 = none */
};

struct lq_padding_rule {
    enum lq_padding padding;
    int64_t cutoff_tokens;    /* 0 = none; longer sequences are cut to it */
    int64_t padding_multiple; /* >= 1 */
};

/* Cuts, pads and accumulates a histogram.
 * raw, n: ascending distinct tokens >= 1, queries >= 0 · rule as above (packed needs a cut-off)
 * scratch: room for n bins, becomes the distribution's storage · out: filled.
 * Errors: LQ_EFIELD (empty, unsorted, negative, packed without cut-off), pointer "/lengths...". */
LQ_MUST_USE enum lq_code lq_lengths_prepare(const struct lq_length_bin *raw, size_t n,
                                            const struct lq_padding_rule *rule,
                                            struct lq_length_bin *scratch, struct lq_lengths *out,
                                            struct lq_error *err);

/* Mean padded length of a row in a batch of `batch_size` (>= 1): the expectation of the longest of
 * that many independent draws, sum over L of L * (F(L)^b - F(L-)^b). Tokens. */
double lq_lengths_mean_row(const struct lq_lengths *lengths, int64_t batch_size);
