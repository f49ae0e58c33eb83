/* What several laws recommend, side by side: where they agree and how far they spread. */
#pragma once

#include "core/planning/plan.h"

/* One law's plan in short. */
struct lq_plan_verdict {
    const struct lq_law *law;
    struct lq_plan_choice choice; /* not found: `why` says why the law has no answer */
    double optimal_parameters;    /* loss-optimal N of the base */
    double shrink_ratio;          /* N recommended over that E's own loss-optimal N; 0: none */
};

struct lq_plan_verdict lq_plan_verdict_of(const struct lq_law *law, const struct lq_plan *plan);

struct lq_plan_consensus {
    size_t laws;             /* with an answer */
    size_t voters;           /* of these, the laws that know experts: only they have a say on E */
    double experts;          /* most often recommended by voters; 0: a tie, or no voter */
    size_t agreeing;         /* voters that recommend it, or each of those that tie */
    double experts_range[2]; /* least and most over the voters; 0: none */
    /* least and most over the laws with an answer */
    double parameters_range[2];
    double tokens_range[2];
    double optimal_range[2]; /* loss-optimal N of the base */
    char robust[LQ_PLAN_WHY_MAX];
};

void lq_plan_agree(const struct lq_plan_verdict *verdicts, size_t count,
                   struct lq_plan_consensus *out);
