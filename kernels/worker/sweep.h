/* The points of a sweep over batch sizes, lengths, methods and active experts, smallest first, and
 * which of them are out of reach once one did not fit. */
#pragma once

#include "core/arch/method.h"
#include "kernels/base/choice.h"

#include <stdbool.h>
#include <stddef.h>

/* One point to be measured. */
struct lq_sweep_item {
    enum lq_method_kind method;
    int64_t active_experts; /* 0: the model's own */
    int64_t tokens;
    int64_t batch_size;
    bool skipped;
};

/* What is swept over: every combination. */
struct lq_sweep_axes {
    struct lq_counts methods; /* indices of LQ_METHOD_NAMES */
    struct lq_counts active_experts;
    struct lq_counts tokens;
    struct lq_counts batch_sizes;
};

enum { LQ_SWEEP_MAX = 1024 };

/* Writes the combinations in rising order of rows times tokens; doubles come once.
 * Errors: LQ_EFIELD for more than LQ_SWEEP_MAX. */
LQ_MUST_USE enum lq_code lq_sweep_make(const struct lq_sweep_axes *axes,
                                       struct lq_sweep_item items[LQ_SWEEP_MAX], size_t *count,
                                       struct lq_error *err);

/* Marks what cannot fit either, now that items[failed] did not: as many rows of as many tokens and
 * active experts of the same method. Returns how many were marked beside it. */
size_t lq_sweep_skip(struct lq_sweep_item *items, size_t count, size_t failed);

/* How long an item takes, in units of no meaning. */
double lq_sweep_work(const struct lq_sweep_item *item);
