/* The database behind one header that speaks in core types: catalogs, calibrations, tokens.
 * Every function may be called from any thread. Nothing is acknowledged before it is durable. What
 * writes may fail with LQ_EBUSY (too many wait to write). */
#pragma once

#include "core/base/error.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lq_store;

/* What the store needs from rooms above it, wired by main: how a config.json becomes a model, and
 * how stored points become fits. They are called while a catalog is built, from any thread. */
struct lq_hooks {
    enum lq_code (*decode_model)(const char *id, const char *config, struct lq_model *out,
                                 struct lq_error *err);
    /* Whether fits may rest on a posted point; NULL: on all. */
    bool (*plausible)(const struct lq_catalog *catalog, const struct lq_point *point);
    /* Fills the new catalog's fits from its points and capacities; the array is new (free()). */
    enum lq_code (*refit)(const struct lq_catalog *catalog, struct lq_fit **fits, size_t *count,
                          struct lq_error *err);
};

/* Opens or creates the database at `path`, migrates it, brings the seed up to date and loads the
 * catalog. Errors: LQ_ESTORE (cannot open, newer than this program, corrupt), detail says which.
 * `*store` is new on success. */
LQ_MUST_USE enum lq_code lq_store_open(const char *path, const struct lq_hooks *hooks,
                                       struct lq_store **store, struct lq_error *err);
/* The same for a file that is there: none is made. */
LQ_MUST_USE enum lq_code lq_store_open_existing(const char *path, const struct lq_hooks *hooks,
                                                struct lq_store **store, struct lq_error *err);
/* Opens as lq_store_open for a server, one at a time on a database until it closes or dies: what it
 * keeps in memory follows its own writes. Commands may open it beside. LQ_ESTORE also where another
 * server has it. */
LQ_MUST_USE enum lq_code lq_store_open_alone(const char *path, const struct lq_hooks *hooks,
                                             struct lq_store **store, struct lq_error *err);
/* Writes what waits first. No call may begin any more. */
void lq_store_close(struct lq_store *store);

/* The current snapshot; release it when the call is answered. Never NULL. */
const struct lq_catalog *lq_store_acquire(struct lq_store *store);
void lq_store_release(struct lq_store *store, const struct lq_catalog *catalog);

/* Points that were stored or deleted since `catalog` was read: fits and lists from it lack them. */
int64_t lq_store_pending_points(struct lq_store *store, const struct lq_catalog *catalog);

/* Changes that wait for the writer now. */
size_t lq_store_waiting_changes(struct lq_store *store);

/* LQ_OK when the database can be written, read and is whole enough to serve, and the catalog
 * follows it. */
LQ_MUST_USE enum lq_code lq_store_ready(struct lq_store *store, struct lq_error *err);

/* Own catalog entries, in the current snapshot on return. LQ_ECONFLICT where a shipped entry has
 * the id; LQ_ENOTFOUND on delete. `config` is the document as it came; `created` tells new from
 * replaced. */
LQ_MUST_USE enum lq_code lq_store_put_model(struct lq_store *store, const char *id,
                                            const char *config, bool *created,
                                            struct lq_error *err);
LQ_MUST_USE enum lq_code lq_store_delete_model(struct lq_store *store, const char *id,
                                               struct lq_error *err);
LQ_MUST_USE enum lq_code lq_store_put_gpu(struct lq_store *store, const struct lq_gpu *gpu,
                                          const char *source, bool *created, struct lq_error *err);

/* Calibrations: what the decoder made of each point plus the point as it came. */
struct lq_new_point {
    struct lq_point point;   /* id is assigned by the store; source, dataset may be "" */
    const char *document;    /* the point as posted, one line of JSON, borrowed */
    const char *measured_at; /* RFC 3339 or "" */
    bool implausible;        /* what the answer says of it */
};

struct lq_batch {
    const struct lq_new_point *points;
    size_t count;
    const char *idempotency_key; /* or NULL */
    const char *body_digest;     /* hex SHA-256-like digest of the body, compared under the key */
    const char *token_id;        /* whose keys they are; needed with idempotency_key */
    const char *token_name;      /* who posted */
};

/* Stores a batch, all or nothing, durable on return; fits and lists follow soon after. `ids` has
 * room for `count` ids of LQ_ID_MAX. A point equal in every respect to a stored one gets that one's
 * id and counts in `duplicates`; `inserted` (or NULL): points that this call has added, none for a
 * key seen before. A key seen before with the same digest answers the first answer
 * again; with another digest LQ_ECONFLICT. */
LQ_MUST_USE enum lq_code lq_store_add_points(struct lq_store *store, const struct lq_batch *batch,
                                             char (*ids)[LQ_ID_MAX], size_t *duplicates,
                                             size_t *inserted, struct lq_error *err);
/* The answer to a batch that came under a key: one id a line, in the order of its points. */
struct lq_batch_answer {
    char *ids; /* new (free()); NULL: nothing came under the key */
    char *implausible;
    size_t duplicates;
};
/* The first answer to a batch with this key and digest, whatever the catalog holds by now. Errors:
 * LQ_ECONFLICT (the key came with another digest), LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_store_find_answer(struct lq_store *store, const struct lq_batch *batch,
                                              struct lq_batch_answer *answer, struct lq_error *err);
void lq_batch_answer_free(struct lq_batch_answer *answer);

/* A point as the database holds it. */
struct lq_stored_point {
    struct lq_point point; /* completed from a catalog */
    char *document;        /* as it came; new (free()) */
};
/* Reads one at once, whether or not a catalog has it yet. LQ_ENOTFOUND. */
LQ_MUST_USE enum lq_code lq_store_get_point(struct lq_store *store,
                                            const struct lq_catalog *catalog, const char *id,
                                            struct lq_stored_point *out, struct lq_error *err);
/* LQ_ENOTFOUND; LQ_ECONFLICT for a shipped point. */
LQ_MUST_USE enum lq_code lq_store_delete_point(struct lq_store *store, const char *id,
                                               struct lq_error *err);

/* Tokens: only hashes are kept. */
struct lq_token {
    char id[LQ_ID_MAX];
    char name[LQ_ID_MAX];
    char scopes[128]; /* space-separated */
    char created[32]; /* RFC 3339 */
    char expires[32]; /* "" = never */
    bool revoked;
};
/* `expires`: RFC 3339, to come; NULL = never. `*secret` gets the token's text, shown once. Errors:
 * LQ_EFIELD (unknown scope, bad date). */
LQ_MUST_USE enum lq_code lq_store_create_token(struct lq_store *store, const char *name,
                                               const char *scopes, const char *expires,
                                               char secret[LQ_ID_MAX], struct lq_error *err);
LQ_MUST_USE enum lq_code lq_store_revoke_token(struct lq_store *store, const char *id,
                                               struct lq_error *err);
/* Calls `visit` for each token, oldest first. */
LQ_MUST_USE enum lq_code lq_store_list_tokens(struct lq_store *store,
                                              void (*visit)(const struct lq_token *, void *),
                                              void *context, struct lq_error *err);
/* The token with this secret, whatever has become of it. LQ_ETOKEN: there is none. */
LQ_MUST_USE enum lq_code lq_store_find_token(struct lq_store *store, const char *secret,
                                             struct lq_token *token, struct lq_error *err);
/* Whether its time is over now. */
bool lq_token_has_expired(const struct lq_token *token);
/* Whether a token may be used for `scope` now: LQ_ETOKEN (expired or revoked), LQ_ESCOPE. Every
 * token may "read", and "admin" has every scope. */
LQ_MUST_USE enum lq_code lq_token_check(const struct lq_token *token, const char *scope,
                                        struct lq_error *err);
/* Numbers that change when tokens may have: the first by anybody's write to the database, the
 * second by a revocation of this process, at once and without asking the database. */
LQ_MUST_USE enum lq_code lq_store_tokens_version(struct lq_store *store, int64_t *version,
                                                 struct lq_error *err);
unsigned lq_store_revocations(const struct lq_store *store);
/* Both steps at once: LQ_OK with the token; LQ_ETOKEN where it is unknown, expired or revoked;
 * LQ_ESCOPE where it lacks `scope` ("admin" has every scope). */
LQ_MUST_USE enum lq_code lq_store_check_token(struct lq_store *store, const char *secret,
                                              const char *scope, struct lq_token *token,
                                              struct lq_error *err);
