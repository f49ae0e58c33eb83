/* Delivers what waits in a spool to an llmquote-server: every point once, whatever is killed when.
 */
#pragma once

#include "core/base/error.h"
#include "kernels/base/settings.h"
#include "kernels/delivery/spool.h"

#include <stdbool.h>
#include <stdio.h>

/* What became of the points of one delivery. */
struct lq_delivery {
    size_t delivered;   /* the server has them */
    size_t duplicates;  /* of these: it had them before */
    size_t implausible; /* of these: stored, but left out of fits */
    size_t rejected;    /* in the spool's rejected.jsonl with the server's words */
    size_t kept;        /* still in the spool */
    bool is_interrupted;
};

/* Adds what one more delivery did; `kept` and `is_interrupted` are the last one's. */
void lq_delivery_add(struct lq_delivery *sum, const struct lq_delivery *more);

/* Sends batch after batch until nothing waits. A failed attempt is repeated after a wait, until
 * settings->give_up_s have passed without a batch being accepted. With an empty spool nothing is
 * opened and no token needed. Ends early, without a failure, when the program is asked to stop.
 * `tell` gets a line for everything that is worth one; never the token.
 * Fills `told` also on failure: then the points are kept. Errors: LQ_EPEER (unreachable, or no
 * llmquote-server), LQ_EBUSY (try again later), LQ_ETOKEN, LQ_ESCOPE, LQ_EFIELD (the server's URL),
 * LQ_EFILE. */
LQ_MUST_USE enum lq_code lq_deliver(const struct lq_settings *settings, struct lq_spool *spool,
                                    FILE *tell, struct lq_delivery *told, struct lq_error *err);
