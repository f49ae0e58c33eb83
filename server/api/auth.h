/* Who may call: bearer tokens against the store. */
#pragma once

#include "core/base/error.h"
#include "server/store/store.h"

/* In place of a scope: any that lets a token store something. */
#define LQ_SCOPE_STORING "storing"

/* Checks an Authorization field (NULL where there is none) for a token with `scope`.
 * Errors: LQ_ETOKEN (none, not a bearer token, unknown, expired, revoked), LQ_ESCOPE, LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_auth_check(struct lq_store *store, const char *authorization,
                                       const char *scope, struct lq_token *token,
                                       struct lq_error *err);
