/* Saving estimates on request: "save": true beside a job or a list of jobs. */
#pragma once

#include "server/api/call.h"
#include "server/json/estimate.h"
#include "server/store/receipts.h"

#include <stdbool.h>

enum { LQ_KEEP_MAX = 1000 };

/* Estimates of one request that are to be kept. */
struct lq_keep {
    bool asked;
    char token_id[LQ_ID_MAX];
    struct lq_new_receipt *receipts; /* room for LQ_KEEP_MAX; texts are dumps */
    json_t **answers;                /* borrowed: each gets its id */
    size_t count;
};

/* Takes "save" out of the request and, where it is true, checks that the caller may store.
 * Errors: LQ_EFIELD at /save, LQ_ETOKEN, LQ_ESCOPE. Release it in any case. */
LQ_MUST_USE enum lq_code lq_keep_begin(struct lq_call *call, json_t *root, struct lq_keep *keep);

/* Notes an answered job; nothing where saving was not asked for. False when out of memory. */
bool lq_keep_add(struct lq_keep *keep, const json_t *job, json_t *answer,
                 const struct lq_quote *quote);

/* Stores what was noted and sets `id` in each answer. */
LQ_MUST_USE enum lq_code lq_keep_end(struct lq_call *call, struct lq_keep *keep);

void lq_keep_release(struct lq_keep *keep);
