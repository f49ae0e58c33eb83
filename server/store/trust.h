/* What an operator says about posted calibrations: whose no fit may rest on, and which are right
 * although they look wrong. Fits follow with the same write. */
#pragma once

#include "server/store/store.h"

#include <stdbool.h>
#include <stdint.h>

/* Everything that came with a token, or that names a source, is left out of fits. */
struct lq_exclusion {
    char id[LQ_ID_MAX];          /* the token's id, or the source */
    char excluded_by[LQ_ID_MAX]; /* name of the token that said so */
    char excluded_at[32];        /* RFC 3339 */
    int64_t points;              /* posted ones that this concerns now */
};

/* Excludes a token's or a source's points, those still to come too; `*created` is false where they
 * were excluded already. Errors: LQ_ENOTFOUND where neither a token nor a posted point has it. */
LQ_MUST_USE enum lq_code lq_store_exclude(struct lq_store *store, const char *id, const char *by,
                                          struct lq_exclusion *out, bool *created,
                                          struct lq_error *err);
/* Takes that back. Errors: LQ_ENOTFOUND. */
LQ_MUST_USE enum lq_code lq_store_readmit(struct lq_store *store, const char *id,
                                          struct lq_error *err);
/* All exclusions, ascending by id; `*list` is new (free()). */
LQ_MUST_USE enum lq_code lq_store_list_exclusions(struct lq_store *store,
                                                  struct lq_exclusion **list, size_t *count,
                                                  struct lq_error *err);

/* Says that a posted point is right, so that fits rest on it however it looks, or takes that back;
 * the first time stays. Errors: LQ_ENOTFOUND; LQ_ECONFLICT for a shipped point. */
LQ_MUST_USE enum lq_code lq_store_confirm_point(struct lq_store *store, const char *id,
                                                bool confirmed, struct lq_error *err);
