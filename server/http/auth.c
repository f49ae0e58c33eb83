/* Reads the Authorization field and asks the store about its token. */
#include "server/http/auth.h"

#include <string.h>
#include <strings.h>

enum lq_code lq_auth_check(struct lq_store *store, const char *authorization, const char *scope,
                           struct lq_token *token, struct lq_error *err)
{
    static const char SCHEME[] = "Bearer ";
    enum { SCHEME_SIZE = sizeof SCHEME - 1 };
    if (authorization == NULL) {
        return lq_fail(err, LQ_ETOKEN, NULL, "this call needs a token with the scope %s", scope);
    }
    if (strncasecmp(authorization, SCHEME, SCHEME_SIZE) != 0) {
        return lq_fail(err, LQ_ETOKEN, NULL, "Authorization must be \"Bearer TOKEN\"");
    }
    const char *secret = authorization + SCHEME_SIZE;
    secret += strspn(secret, " ");
    if (*secret == '\0') {
        return lq_fail(err, LQ_ETOKEN, NULL, "Authorization holds no token");
    }
    return lq_store_check_token(store, secret, scope, token, err);
}
