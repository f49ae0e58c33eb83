/* Bearer tokens: made, listed, revoked and checked; only the hash of a secret is ever stored. */
#include "server/random.h"
#include "server/store/identity.h"
#include "server/store/sha256.h"
#include "server/store/store_private.h"
#include "server/store/utc.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const SCOPES[] = {"read", "calibrations:write", "catalog:write", "admin", NULL};

enum { SECRET_BYTES = 32, SECRET_CHARS = 43, ID_BYTES = 6 };

/* A new token on its way in. */
struct new_token {
    struct lq_token token;
    char hash[LQ_SHA256_HEX];
};

/* "lq_" and 256 random bits in base64url (RFC 4648 section 5, without padding). */
static enum lq_code make_secret(char secret[LQ_ID_MAX], struct lq_error *err)
{
    static const char ALPHABET[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[SECRET_BYTES + 1] = {0}; /* one more: 43 characters hold 258 bits */
    LQ_TRY(lq_random_fill(bytes, SECRET_BYTES, err));
    char *out = stpcpy(secret, "lq_");
    for (size_t i = 0; i < SECRET_CHARS; i++) {
        size_t bit = 6 * i;
        unsigned pair =
            (unsigned)bytes[bit / 8] << 8 | (bit / 8 + 1 < sizeof bytes ? bytes[bit / 8 + 1] : 0u);
        *out++ = ALPHABET[pair >> (10 - bit % 8) & 63u];
    }
    *out = '\0';
    return LQ_OK;
}

/* True when `scopes`, a list with spaces, contains the word. */
static bool has_scope(const char *scopes, const char *scope)
{
    size_t size = strlen(scope);
    for (const char *word = scopes; *word != '\0';) {
        size_t length = strcspn(word, " ");
        if (length == size && memcmp(word, scope, size) == 0) {
            return true;
        }
        word += length + strspn(word + length, " ");
    }
    return false;
}

/* Checks every word and writes each scope once, in the order of SCOPES. */
static enum lq_code read_scopes(const char *text, char *scopes, size_t size, struct lq_error *err)
{
    for (const char *word = text + strspn(text, " "); *word != '\0';) {
        size_t length = strcspn(word, " ");
        size_t i = 0;
        while (SCOPES[i] != NULL &&
               (strlen(SCOPES[i]) != length || memcmp(SCOPES[i], word, length) != 0)) {
            i++;
        }
        if (SCOPES[i] == NULL) {
            return lq_fail(err, LQ_EFIELD, "/scopes",
                           "\"%.*s\" is not a scope; there are read, calibrations:write, "
                           "catalog:write and admin",
                           (int)(length < 64 ? length : 64), word);
        }
        word += length + strspn(word + length, " ");
    }
    scopes[0] = '\0';
    for (size_t i = 0; SCOPES[i] != NULL; i++) {
        if (has_scope(text, SCOPES[i])) {
            size_t used = strlen(scopes);
            snprintf(scopes + used, size - used, "%s%s", used > 0 ? " " : "", SCOPES[i]);
        }
    }
    return scopes[0] != '\0' ? LQ_OK
                             : lq_fail(err, LQ_EFIELD, "/scopes", "must name at least one scope");
}

static enum lq_code read_name(const char *name, char out[LQ_ID_MAX], struct lq_error *err)
{
    size_t size = strlen(name);
    if (size == 0 || size >= LQ_ID_MAX) {
        return lq_fail(err, LQ_EFIELD, "/name", "must have 1..%d characters, got %zu",
                       LQ_ID_MAX - 1, size);
    }
    for (size_t i = 0; i < size; i++) {
        if (name[i] < 0x20 || name[i] > 0x7e) {
            return lq_fail(err, LQ_EFIELD, "/name", "must be printable ASCII characters");
        }
    }
    memcpy(out, name, size + 1);
    return LQ_OK;
}

static enum lq_code read_expiry(const char *text, char expires[LQ_UTC_MAX], struct lq_error *err)
{
    expires[0] = '\0';
    if (text == NULL) {
        return LQ_OK;
    }
    time_t when;
    if (!lq_utc_parse(text, &when)) {
        return lq_fail(err, LQ_EFIELD, "/expires",
                       "must be a time in UTC such as 2027-01-31T12:00:00Z, got \"%.64s\"", text);
    }
    if (when <= time(NULL)) {
        return lq_fail(err, LQ_EFIELD, "/expires", "%.64s is in the past", text);
    }
    lq_utc_text(when, expires);
    return LQ_OK;
}

static enum lq_code insert_token(struct lq_database *database, void *context,
                                 struct lq_effect *effect, struct lq_error *err)
{
    static const char INSERT_TOKEN[] =
        "INSERT INTO tokens (id, name, secret_sha256_hex, scopes_list, created_at_utc,"
        " expires_at_utc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    (void)effect;
    const struct new_token *made = context;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, INSERT_TOKEN, &statement, err));
    lq_bind_text(statement, 1, made->token.id);
    lq_bind_text(statement, 2, made->token.name);
    lq_bind_text(statement, 3, made->hash);
    lq_bind_text(statement, 4, made->token.scopes);
    lq_bind_text(statement, 5, made->token.created);
    lq_bind_text(statement, 6, made->token.expires);
    return lq_statement_run(statement, err);
}

enum lq_code lq_store_create_token(struct lq_store *store, const char *name, const char *scopes,
                                   const char *expires, char secret[LQ_ID_MAX],
                                   struct lq_error *err)
{
    struct new_token made = {0};
    LQ_TRY(read_name(name, made.token.name, err));
    LQ_TRY(read_scopes(scopes, made.token.scopes, sizeof made.token.scopes, err));
    LQ_TRY(read_expiry(expires, made.token.expires, err));
    LQ_TRY(lq_random_hex(stpcpy(made.token.id, "tok-"), ID_BYTES, err));
    lq_utc_text(time(NULL), made.token.created);
    char text[LQ_ID_MAX];
    LQ_TRY(make_secret(text, err));
    lq_sha256_hex(text, strlen(text), made.hash);
    LQ_TRY(lq_store_write(store, insert_token, &made, err));
    memcpy(secret, text, sizeof text);
    return LQ_OK;
}

static enum lq_code revoke_token(struct lq_database *database, void *context,
                                 struct lq_effect *effect, struct lq_error *err)
{
    /* The first revocation's time stays. */
    static const char REVOKE_TOKEN[] =
        "UPDATE tokens SET revoked_at_utc = iif(revoked_at_utc = '', ?2, revoked_at_utc)"
        " WHERE id = ?1";
    (void)effect;
    const char *id = context;
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database, REVOKE_TOKEN, &statement, err));
    char now[LQ_UTC_MAX];
    lq_utc_text(time(NULL), now);
    lq_bind_text(statement, 1, id);
    lq_bind_text(statement, 2, now);
    LQ_TRY(lq_statement_run(statement, err));
    return lq_database_changes(database) > 0
               ? LQ_OK
               : lq_fail(err, LQ_ENOTFOUND, NULL, "no token has the id \"%s\"", id);
}

enum lq_code lq_store_revoke_token(struct lq_store *store, const char *id, struct lq_error *err)
{
    LQ_TRY(lq_store_write(store, revoke_token, (void *)(uintptr_t)id, err));
    atomic_fetch_add(&store->revocations, 1);
    return LQ_OK;
}

#define TOKEN_COLUMNS "id, name, scopes_list, created_at_utc, expires_at_utc, revoked_at_utc"

static void read_token(const struct lq_statement *statement, struct lq_token *token)
{
    *token = (struct lq_token){.revoked = lq_column_text(statement, 5)[0] != '\0'};
    lq_column_copy(statement, 0, token->id, sizeof token->id);
    lq_column_copy(statement, 1, token->name, sizeof token->name);
    lq_column_copy(statement, 2, token->scopes, sizeof token->scopes);
    lq_column_copy(statement, 3, token->created, sizeof token->created);
    lq_column_copy(statement, 4, token->expires, sizeof token->expires);
}

static enum lq_code list_tokens(struct lq_database *database,
                                void (*visit)(const struct lq_token *, void *), void *context,
                                struct lq_error *err)
{
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database,
                             "SELECT " TOKEN_COLUMNS " FROM tokens ORDER BY sequence_number",
                             &statement, err));
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    while (row) {
        struct lq_token token;
        read_token(statement, &token);
        visit(&token, context);
        LQ_TRY(lq_statement_step(statement, &row, err));
    }
    return LQ_OK;
}

enum lq_code lq_store_list_tokens(struct lq_store *store,
                                  void (*visit)(const struct lq_token *, void *), void *context,
                                  struct lq_error *err)
{
    struct lq_database *reader = lq_store_lock_reader(store);
    enum lq_code code = list_tokens(reader, visit, context, err);
    lq_store_unlock_reader(store);
    return code;
}

/* Looks the secret up by its hash, which tells nothing about it, and compares that once more in
 * constant time. */
static enum lq_code find_token(struct lq_database *database, const char *secret,
                               struct lq_token *token, struct lq_error *err)
{
    char hash[LQ_SHA256_HEX];
    lq_sha256_hex(secret, strlen(secret), hash);
    struct lq_statement *statement LQ_AUTO(lq_statement_close) = NULL;
    LQ_TRY(lq_statement_open(database,
                             "SELECT " TOKEN_COLUMNS
                             ", secret_sha256_hex FROM tokens WHERE secret_sha256_hex = ?1",
                             &statement, err));
    lq_bind_text(statement, 1, hash);
    bool row = false;
    LQ_TRY(lq_statement_step(statement, &row, err));
    const char *stored = row ? lq_column_text(statement, 6) : "";
    if (strlen(stored) != strlen(hash) || !lq_equal_in_constant_time(stored, hash, strlen(hash))) {
        return lq_fail(err, LQ_ETOKEN, NULL, "the token is not known");
    }
    read_token(statement, token);
    return LQ_OK;
}

bool lq_token_has_expired(const struct lq_token *token)
{
    time_t expires;
    return token->expires[0] != '\0' &&
           (!lq_utc_parse(token->expires, &expires) || expires <= time(NULL));
}

enum lq_code lq_store_find_token(struct lq_store *store, const char *secret, struct lq_token *token,
                                 struct lq_error *err)
{
    struct lq_database *reader = lq_store_lock_reader(store);
    enum lq_code code = find_token(reader, secret, token, err);
    lq_store_unlock_reader(store);
    return code;
}

enum lq_code lq_token_check(const struct lq_token *token, const char *scope, struct lq_error *err)
{
    if (token->revoked) {
        return lq_fail(err, LQ_ETOKEN, NULL, "the token has been revoked");
    }
    if (lq_token_has_expired(token)) {
        return lq_fail(err, LQ_ETOKEN, NULL, "the token expired at %s", token->expires);
    }
    const bool any = strcmp(scope, "read") == 0; /* whoever may write may read */
    if (!any && !has_scope(token->scopes, scope) && !has_scope(token->scopes, "admin")) {
        return lq_fail(err, LQ_ESCOPE, NULL, "the token lacks the scope %s", scope);
    }
    return LQ_OK;
}

enum lq_code lq_store_check_token(struct lq_store *store, const char *secret, const char *scope,
                                  struct lq_token *token, struct lq_error *err)
{
    struct lq_token found = {0};
    LQ_TRY(lq_store_find_token(store, secret, &found, err));
    LQ_TRY(lq_token_check(&found, scope, err));
    *token = found;
    return LQ_OK;
}

enum lq_code lq_store_tokens_version(struct lq_store *store, int64_t *version, struct lq_error *err)
{
    struct lq_database *reader = lq_store_lock_reader(store);
    enum lq_code code = lq_database_number(reader, "PRAGMA data_version", version, err);
    lq_store_unlock_reader(store);
    return code;
}

unsigned lq_store_revocations(const struct lq_store *store)
{
    return atomic_load(&store->revocations);
}
