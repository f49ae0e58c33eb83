/* Length distributions as jobs and calibrations spell them: by name, fixed, as histogram, quantiles
 * or sample, with cut-off and padding. */
#pragma once

#include "core/arch/gpu.h"
#include "core/arch/lengths.h"
#include "server/json/faults.h"

#include <jansson.h>
#include <stdbool.h>

struct lq_lookup;

/* A decoded distribution; release it with lq_lengths_release. */
struct lq_lengths_document {
    char name[LQ_ID_MAX]; /* catalog spelling; "" unless given by name */
    int64_t fixed_tokens; /* as given; 0 unless given as fixed length */
    double queries;       /* how many the distribution has; 0 for fixed lengths and quantiles */
    struct lq_lengths lengths;
    struct lq_length_bin *bins; /* storage of `lengths` */
};

/* What a distribution of the catalog's was last prepared as, for lists of jobs on the same data.
 * Begin with {0}, end with lq_lengths_forget; of use as long as the catalog it was filled from. */
struct lq_lengths_memo {
    const struct lq_length_bin *raw; /* the catalog's bins */
    struct lq_lengths lengths;
    struct lq_length_bin *bins; /* storage of `lengths` */
};

/* Decodes exactly one of {"name"}, {"fixed_tokens"}, {"histogram": [[tokens, queries], ...]},
 * {"quantiles": {"p50", ..., "max", optional "min"}}, {"sample": [tokens, ...]} and prepares it
 * under `rule`, or takes it from the lookup's memo. `queries` sizes the tail of quantiles (0:
 * 10,000). Faults stand below `pointer`. Errors: LQ_EFIELD, LQ_EREFERENCE (unknown name). */
bool lq_lengths_decode(const json_t *value, const char *pointer, const struct lq_lookup *lookup,
                       const struct lq_padding_rule *rule, double queries,
                       struct lq_lengths_document *out, struct lq_faults *faults);

void lq_lengths_release(struct lq_lengths_document *document);
void lq_lengths_forget(struct lq_lengths_memo *memo);
