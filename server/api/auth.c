/* Reads the Authorization field and asks the store about its token. */
#include "server/api/auth.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Either of the scopes that store; what the first one says of the token counts, but for its name.
 */
static enum lq_code check_storing(struct lq_store *store, const char *secret,
                                  struct lq_token *token, struct lq_error *err)
{
    struct lq_error first = {0};
    enum lq_code code = lq_store_check_token(store, secret, "calibrations:write", token, &first);
    if (code == LQ_ESCOPE) {
        first = (struct lq_error){0};
        code = lq_store_check_token(store, secret, "catalog:write", token, &first);
    }
    if (code == LQ_ESCOPE) {
        return lq_fail(err, LQ_ESCOPE, NULL,
                       "the token lacks a scope that stores: calibrations:write or catalog:write");
    }
    return code != LQ_OK ? lq_fail(err, code, NULL, "%s", first.detail) : LQ_OK;
}

enum lq_code lq_auth_check(struct lq_store *store, const char *authorization, const char *scope,
                           struct lq_token *token, struct lq_error *err)
{
    static const char SCHEME[] = "Bearer ";
    enum { SCHEME_SIZE = sizeof SCHEME - 1 };
    if (authorization == NULL) {
        const bool any = strcmp(scope, LQ_SCOPE_STORING) == 0;
        return lq_fail(err, LQ_ETOKEN, NULL, "this call needs a token with the scope %s",
                       any ? "calibrations:write or catalog:write" : scope);
    }
    if (strncasecmp(authorization, SCHEME, SCHEME_SIZE) != 0) {
        return lq_fail(err, LQ_ETOKEN, NULL, "Authorization must be \"Bearer TOKEN\"");
    }
    const char *secret = authorization + SCHEME_SIZE;
    secret += strspn(secret, " ");
    if (*secret == '\0') {
        return lq_fail(err, LQ_ETOKEN, NULL, "Authorization holds no token");
    }
    return strcmp(scope, LQ_SCOPE_STORING) == 0
               ? check_storing(store, secret, token, err)
               : lq_store_check_token(store, secret, scope, token, err);
}
