/* Price lists of one's own: each that was put is kept as a version, the newest one in force. */
#pragma once

#include "core/base/error.h"
#include "server/store/catalog.h"
#include "server/store/pool.h"
#include "server/store/sha256.h"
#include "server/store/utc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lq_store;

/* One version of a provider's list, without its rows. */
struct lq_price_list {
    int64_t number;  /* in the database */
    int64_t version; /* 1, 2, ... within the provider */
    int64_t prices;
    char provider[LQ_ID_MAX];
    char date[LQ_UTC_MAX]; /* the latest of its rows' dates */
    char layout[16];
    char digest[LQ_SHA256_HEX]; /* of its rows */
    char posted_by[LQ_ID_MAX];
    char stored_at[LQ_UTC_MAX];
    char ended_at[LQ_UTC_MAX]; /* "" while in force */
};

struct lq_new_price_list {
    const char *provider;
    const char *layout;
    const char *token_name;
    const struct lq_price *prices; /* borrowed; provider and stale are not read. One at least */
    size_t count;
};

/* How a list that was put stands to what was there. */
struct lq_put_prices {
    bool created;   /* the provider had no list in force */
    bool unchanged; /* the list in force has these very rows: nothing was written */
    struct lq_price_list list;
};

/* Puts a list in force, durable and in the catalog on return; the one before ends.
 * Errors: LQ_ECONFLICT (the provider is shipped), LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_store_put_prices(struct lq_store *store,
                                             const struct lq_new_price_list *list,
                                             struct lq_put_prices *put, struct lq_error *err);

/* Ends the list in force; its versions can still be read.
 * Errors: LQ_ECONFLICT (the provider is shipped), LQ_ENOTFOUND (no list is in force). */
LQ_MUST_USE enum lq_code lq_store_delete_prices(struct lq_store *store, const char *provider,
                                                struct lq_error *err);

/* Every version of a provider's list, newest first; `*lists` is new (free()), NULL for none. */
LQ_MUST_USE enum lq_code lq_store_price_lists(struct lq_store *store, const char *provider,
                                              struct lq_price_list **lists, size_t *count,
                                              struct lq_error *err);

/* The rows of a version, by GPU and then price as in the catalog; `*prices` and its texts lie in
 * the pool. What is stale is not set. */
LQ_MUST_USE enum lq_code lq_store_prices_of(struct lq_store *store,
                                            const struct lq_price_list *list, struct lq_pool *pool,
                                            struct lq_price **prices, struct lq_error *err);
