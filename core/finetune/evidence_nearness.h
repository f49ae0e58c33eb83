/* How far a fit is from a job: what the choice of evidence has in common for all quantities. */
#pragma once

#include "core/finetune/evidence.h"

/* In the order of preference, which is the same for every job: were it by the variance of the
 * job's own estimate, two jobs that differ by a token or by a GPU's clock might rest on different
 * measurements, and more bandwidth might cost time. */
enum lq_nearness {
    LQ_NEAR_OWN,         /* the job's identity */
    LQ_NEAR_SAME_MODEL,  /* its model and kind of method on its stack */
    LQ_NEAR_SAME_STACK,  /* anything on its stack */
    LQ_NEAR_ANYTHING,    /* everything measured */
    LQ_NEAR_OTHER_STACK, /* its model and kind of method on another stack, where that is all */
    LQ_NEAR_NOTHING      /* nothing in common */
};

/* The nearest fit of a kind; of several equally near ones that with the most points. */
struct lq_nearest {
    enum lq_nearness nearness;
    const struct lq_fit *fit;
    enum lq_basis_kind kind; /* the grade of an answer from it */
};
struct lq_nearest lq_nearest_find(const struct lq_evidence *evidence, enum lq_fit_kind kind,
                                  const struct lq_identity *identity, unsigned model_class);

/* What the fit's belief says of the job: its own, and what members of its group may differ by on
 * the way down to the job. */
struct lq_belief lq_nearest_carry(const struct lq_nearest *nearest,
                                  const double *(*member_log_sd)(enum lq_scope scope));
