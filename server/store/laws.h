/* Scaling laws that users add: stored once, never changed. The built-in ones are core's. */
#pragma once

#include "core/base/error.h"
#include "server/store/catalog.h"

#include <stddef.h>

struct lq_store;

struct lq_new_law {
    const char *id;
    const char *form;
    const struct lq_law_coefficient *coefficients;
    size_t coefficient_count;
    const char *source;     /* "" for none */
    const char *fit;        /* how it was fitted, one line of JSON; "" where it was given */
    const char *token_name; /* who posted */
};

/* Stores a law, durable and in the catalog on return. That the id is none of a built-in law's is
 * the caller's to check. Errors: LQ_ECONFLICT (a stored law has the id), LQ_EFIELD (the id is empty
 * or too long), LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_store_add_law(struct lq_store *store, const struct lq_new_law *law,
                                          struct lq_error *err);
