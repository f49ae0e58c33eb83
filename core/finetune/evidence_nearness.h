/* How far a fit is from a job: what the choice of evidence has in common for all quantities. */
#pragma once

#include "core/finetune/evidence.h"

/* The order is that of preference where variance does not decide. */
enum lq_nearness {
    LQ_NEAR_OWN,         /* the job's identity */
    LQ_NEAR_SAME_MODEL,  /* its model and kind of method on its stack */
    LQ_NEAR_SAME_STACK,  /* anything on its stack */
    LQ_NEAR_OTHER_STACK, /* its model and kind of method on another stack */
    LQ_NEAR_ANYTHING,    /* everything measured */
    LQ_NEAR_NOTHING      /* nothing in common */
};

/* How near a fit's group is to an identity. */
enum lq_nearness lq_nearness_of(const struct lq_fit *fit, const struct lq_identity *identity);

/* What a fit's belief says of the job: its own, and what members of its group may differ by on the
 * way down to the job. */
struct lq_belief lq_nearness_carry(const struct lq_fit *fit, enum lq_nearness nearness,
                                   const double *(*member_log_sd)(enum lq_scope scope));

/* The grade of an answer from that fit. */
enum lq_basis_kind lq_nearness_kind(const struct lq_fit *fit, enum lq_nearness nearness,
                                    const struct lq_applicant *applicant);
