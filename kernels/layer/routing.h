/* How tokens spread over experts: a skew put on the router's logits, and the load that came of it.
 */
#pragma once

#include "core/arch/expert_load.h"
#include "kernels/layer/part.h"

/* The logits of a layer at rest are about normal with deviation 1. With a skew s > 0 expert e of E
 * is preferred by s * (1 - 2 e / (E - 1)): 0 is even, 1 gives the first of 8 experts about three
 * times the last one's tokens. Takes and fills part->bias; nothing for a skew of 0. */
LQ_MUST_USE enum lq_code lq_routing_skew(struct lq_space *space, const struct lq_part_job *job,
                                         struct lq_moe_part *part, struct lq_error *err);

/* The load of the last forward pass: tokens per expert.
 * Errors: LQ_EDEVICE; LQ_EFIELD where there are too many experts. */
LQ_MUST_USE enum lq_code lq_routing_load(struct lq_space *space, const struct lq_moe_part *part,
                                         struct lq_expert_load *out, struct lq_error *err);
