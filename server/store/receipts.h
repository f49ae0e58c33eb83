/* Estimates that are kept under ids that nobody can guess, and the outcomes of their jobs. */
#pragma once

#include "server/store/store.h"

#include <stdbool.h>
#include <stddef.h>

enum { LQ_RECEIPT_ID_MAX = 33, LQ_OUTCOME_NOTE_MAX = 512 }; /* 128 bits in hex, terminated */

/* What an outcome can be held against. */
enum lq_receipt_quantity {
    LQ_RECEIPT_QUERIES_PER_S,
    LQ_RECEIPT_DURATION_S,
    LQ_RECEIPT_COST_USD,
    LQ_RECEIPT_QUANTITIES
};
extern const char *const LQ_RECEIPT_QUANTITY_NAMES[];

/* An estimated quantity with its interval; value 0: there is none. */
struct lq_receipt_figure {
    double value;
    double low;
    double high;
};

/* An estimate to be kept. Texts are JSON, borrowed. */
struct lq_new_receipt {
    const char *model; /* ids, borrowed */
    const char *gpu;
    const char *request;
    const char *answer;
    double level; /* of the intervals */
    struct lq_receipt_figure figure[LQ_RECEIPT_QUANTITIES];
};

/* What really happened; 0: not told. */
struct lq_outcome {
    double value[LQ_RECEIPT_QUANTITIES];
    char note[LQ_OUTCOME_NOTE_MAX];
    char calibration[LQ_ID_MAX]; /* the point made of it, or "" */
    char recorded_at[32];        /* RFC 3339; "": there is no outcome yet */
};

/* A kept estimate. */
struct lq_receipt {
    char id[LQ_RECEIPT_ID_MAX];
    char token_id[LQ_ID_MAX];
    char model[LQ_ID_MAX];
    char gpu[LQ_ID_MAX];
    char stored_at[32]; /* RFC 3339 */
    double level;
    struct lq_receipt_figure figure[LQ_RECEIPT_QUANTITIES];
    struct lq_outcome outcome;
};

/* Keeps `count` estimates of one token, all or nothing, durable on return; `ids` has room for as
 * many. Errors: LQ_ESTORE, LQ_EINTERNAL (no random numbers). */
LQ_MUST_USE enum lq_code lq_store_keep_estimates(struct lq_store *store, const char *token_id,
                                                 const struct lq_new_receipt *receipts,
                                                 size_t count, char (*ids)[LQ_RECEIPT_ID_MAX],
                                                 struct lq_error *err);

/* The estimate with that id; `*request` and `*answer` are new (free()), NULL where not wanted.
 * Errors: LQ_ENOTFOUND. */
LQ_MUST_USE enum lq_code lq_store_get_receipt(struct lq_store *store, const char *id,
                                              struct lq_receipt *out, char **request, char **answer,
                                              struct lq_error *err);

/* The estimates of a token, newest first; `*list` is new (free()). With `token_id` NULL those of
 * all tokens that have an outcome, in the order in which these were recorded. */
LQ_MUST_USE enum lq_code lq_store_list_receipts(struct lq_store *store, const char *token_id,
                                                struct lq_receipt **list, size_t *count,
                                                struct lq_error *err);

/* Records the outcome of an estimate of this token, once; with `point` (its batch of one, or NULL)
 * stored as a calibration in the same transaction: its id is then `outcome->calibration`.
 * Sets `outcome->recorded_at`. Errors: LQ_ENOTFOUND, LQ_ESCOPE (somebody else's), LQ_ECONFLICT (it
 * has one). */
LQ_MUST_USE enum lq_code lq_store_record_outcome(struct lq_store *store, const char *id,
                                                 const char *token_id, struct lq_outcome *outcome,
                                                 const struct lq_batch *point,
                                                 struct lq_error *err);

enum { LQ_OUTCOMES_VERSION_MAX = 48 };
/* Names the outcomes that there are: differs as soon as one is recorded or gone. */
LQ_MUST_USE enum lq_code lq_store_outcomes_version(struct lq_store *store,
                                                   char version[LQ_OUTCOMES_VERSION_MAX],
                                                   struct lq_error *err);

/* Deletes the estimates that were kept before `now - days`, with their outcomes. */
LQ_MUST_USE enum lq_code lq_store_expire_estimates(struct lq_store *store, int days,
                                                   size_t *deleted, struct lq_error *err);
