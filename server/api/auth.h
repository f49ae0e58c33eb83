/* Who may call: bearer tokens against the store, remembered for a while. */
#pragma once

#include "core/base/error.h"
#include "server/store/store.h"

/* In place of a scope: any that lets a token store something. */
#define LQ_SCOPE_STORING "storing"
/* What every token may. */
#define LQ_SCOPE_READ "read"

struct lq_auth;

/* Remembers tokens of `store` (borrowed). `*auth` is new. Errors: LQ_EINTERNAL. */
LQ_MUST_USE enum lq_code lq_auth_new(struct lq_store *store, struct lq_auth **auth,
                                     struct lq_error *err);
void lq_auth_free(struct lq_auth *auth);

/* Checks an Authorization field (NULL where there is none) for a token with `scope`. A revocation
 * counts at once where this process did it, and within a second where another did.
 * Errors: LQ_ETOKEN (none, not a bearer token, unknown, expired, revoked), LQ_ESCOPE, LQ_ESTORE.
 * From any thread. */
LQ_MUST_USE enum lq_code lq_auth_check(struct lq_auth *auth, const char *authorization,
                                       const char *scope, struct lq_token *token,
                                       struct lq_error *err);
