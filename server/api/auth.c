/* Reads the Authorization field and looks its token up, in memory where it was seen lately. */
#include "server/api/auth.h"

#include "server/clock.h"
#include "server/store/sha256.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    REMEMBERED = 256, /* tokens, each at one place; those that share it take turns */
    RECHECK_MS = 250  /* how long another process's revocation may go unnoticed */
};

struct lq_auth {
    struct lq_store *store;
    pthread_mutex_t lock; /* over all below; held for a copy, never while the database is asked */
    int64_t checked_ms;
    int64_t version;
    unsigned revocations;
    unsigned forgotten; /* how often: what was read before the last time is not remembered */
    struct memory {
        char hash[LQ_SHA256_HEX]; /* of the secret; "" = none */
        struct lq_token token;
    } memories[REMEMBERED];
};

enum lq_code lq_auth_new(struct lq_store *store, struct lq_auth **auth, struct lq_error *err)
{
    struct lq_auth *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    made->store = store;
    made->version = -1;
    pthread_mutex_init(&made->lock, NULL);
    *auth = made;
    return LQ_OK;
}

void lq_auth_free(struct lq_auth *auth)
{
    if (auth != NULL) {
        pthread_mutex_destroy(&auth->lock);
        free(auth);
    }
}

static void forget(struct lq_auth *auth)
{
    auth->forgotten++;
    for (size_t i = 0; i < REMEMBERED; i++) {
        auth->memories[i].hash[0] = '\0';
    }
}

/* Forgets everything when a token may have changed. One thread asks the database for all. */
static enum lq_code refresh(struct lq_auth *auth, struct lq_error *err)
{
    int64_t now = lq_clock_ms();
    pthread_mutex_lock(&auth->lock);
    unsigned revocations = lq_store_revocations(auth->store);
    if (revocations != auth->revocations) {
        auth->revocations = revocations;
        forget(auth);
    }
    bool due = now - auth->checked_ms >= RECHECK_MS;
    if (due) {
        auth->checked_ms = now;
    }
    pthread_mutex_unlock(&auth->lock);
    if (!due) {
        return LQ_OK;
    }
    int64_t version = 0;
    enum lq_code code = lq_store_tokens_version(auth->store, &version, err);
    pthread_mutex_lock(&auth->lock);
    if (code != LQ_OK || version != auth->version) {
        auth->version = version;
        forget(auth);
    }
    pthread_mutex_unlock(&auth->lock);
    return code;
}

/* The token with this secret, from memory or the store. */
static enum lq_code find(struct lq_auth *auth, const char *secret, struct lq_token *token,
                         struct lq_error *err)
{
    LQ_TRY(refresh(auth, err));
    char hash[LQ_SHA256_HEX];
    lq_sha256_hex(secret, strlen(secret), hash);
    unsigned place = 0;
    for (size_t i = 0; i < 4; i++) {
        place = place * 31 + (unsigned char)hash[i];
    }
    struct memory *memory = &auth->memories[place % REMEMBERED];
    pthread_mutex_lock(&auth->lock);
    bool known =
        memory->hash[0] != '\0' && lq_equal_in_constant_time(memory->hash, hash, sizeof hash - 1);
    if (known) {
        *token = memory->token;
    }
    unsigned forgotten = auth->forgotten;
    pthread_mutex_unlock(&auth->lock);
    if (known) {
        return LQ_OK;
    }
    LQ_TRY(lq_store_find_token(auth->store, secret, token, err));
    pthread_mutex_lock(&auth->lock);
    if (forgotten == auth->forgotten) {
        memcpy(memory->hash, hash, sizeof hash);
        memory->token = *token;
    }
    pthread_mutex_unlock(&auth->lock);
    return LQ_OK;
}

/* Either of the scopes that store. */
static enum lq_code check_storing(const struct lq_token *token, struct lq_error *err)
{
    struct lq_error first = {0};
    enum lq_code code = lq_token_check(token, "calibrations:write", &first);
    if (code == LQ_ESCOPE) {
        code = lq_token_check(token, "catalog:write", NULL);
    }
    if (code == LQ_ESCOPE) {
        return lq_fail(err, LQ_ESCOPE, NULL,
                       "the token lacks a scope that stores: calibrations:write or catalog:write");
    }
    return code != LQ_OK ? lq_fail(err, code, NULL, "%s", first.detail) : LQ_OK;
}

enum lq_code lq_auth_check(struct lq_auth *auth, const char *authorization, const char *scope,
                           struct lq_token *token, struct lq_error *err)
{
    static const char SCHEME[] = "Bearer ";
    enum { SCHEME_SIZE = sizeof SCHEME - 1 };
    const bool storing = strcmp(scope, LQ_SCOPE_STORING) == 0;
    if (authorization == NULL) {
        return lq_fail(err, LQ_ETOKEN, NULL, "this call needs a token with the scope %s",
                       storing ? "calibrations:write or catalog:write" : scope);
    }
    if (strncasecmp(authorization, SCHEME, SCHEME_SIZE) != 0) {
        return lq_fail(err, LQ_ETOKEN, NULL, "Authorization must be \"Bearer TOKEN\"");
    }
    const char *secret = authorization + SCHEME_SIZE;
    secret += strspn(secret, " ");
    if (*secret == '\0') {
        return lq_fail(err, LQ_ETOKEN, NULL, "Authorization holds no token");
    }
    struct lq_token found = {0};
    LQ_TRY(find(auth, secret, &found, err));
    LQ_TRY(storing ? check_storing(&found, err) : lq_token_check(&found, scope, err));
    *token = found;
    return LQ_OK;
}
