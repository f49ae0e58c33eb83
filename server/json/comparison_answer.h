/* The answer to a comparison. */
#pragma once

#include "core/finetune/compare.h"
#include "server/json/comparison.h"
#include "server/json/estimate.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What was estimated on one GPU and number of them, or why nothing was. */
struct lq_trial {
    const struct lq_gpu *gpu;
    int64_t gpu_count;
    size_t device;
    enum lq_code code; /* LQ_OK: the estimate holds */
    char detail[LQ_DETAIL_MAX];
    struct lq_layout layout;
    int64_t batch_size;
    double queries_per_s;
    double duration_s;
    double duration_interval_s[2];
    double log_sd;
    double own_log_sd;
    enum lq_basis_kind basis;
    uint32_t warnings;
    bool allowed; /* one of its offers keeps the bounds */
    size_t offers;
    double least_usd; /* of its offers; where there is one */
};

/* An offer as it is billed. */
struct lq_compared_line {
    struct lq_cost_line line;
    bool spot;
};

struct lq_infeasible {
    const struct lq_trial *trial; /* gpu_count 0: whatever the number */
    const char *reason;           /* a code's slug, "over-budget" or "past-deadline" */
    enum lq_change change;
    double to; /* the count, tokens, USD or seconds that it takes */
};

/* How the first option's cost moves with an input, and who is first then. */
struct lq_sensitivity {
    bool known;
    double elasticity;
    double cost_usd[2];  /* of today's first option; at 0.75 and 1.25; 0: it is not possible then */
    size_t first[2];     /* index of the first option then; option_count: none keeps the bounds */
    double first_usd[2]; /* and what it costs then */
};
enum lq_input { LQ_INPUT_PRICE, LQ_INPUT_LENGTH, LQ_INPUT_EPOCHS, LQ_INPUT_COUNT };

/* Everything the answer is made of. Borrowed. */
struct lq_comparison_answer {
    const struct lq_comparison_document *document;
    const struct lq_trial *trials;   /* that options name */
    const struct lq_choice *options; /* those that keep the bounds first, ranked; then the others */
    const struct lq_compared_line *lines; /* by an option's `tie` */
    size_t option_count;
    size_t allowed_count;
    size_t page;             /* rank of the first one shown, from 0 */
    const char *next_cursor; /* "" = none */
    const struct lq_infeasible *infeasible;
    size_t infeasible_count;
    size_t runner_up; /* index of the cheapest on another GPU than the cheapest's; n = none */
    size_t cheapest;
    const struct lq_ownership_answer *ownership; /* NULL: not asked for, or nothing to tune on */
    struct lq_sensitivity sensitivity[LQ_INPUT_COUNT];
    const char *catalog_version;
    const char *prices_version;
};

/* The answer as a new object. */
json_t *lq_comparison_encode(const struct lq_comparison_answer *answer);
