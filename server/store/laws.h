/* Scaling laws that users add: stored once, never changed. The built-in ones are core's. */
#pragma once

#include "core/base/error.h"
#include "core/planning/law.h"

struct lq_store;

struct lq_new_law {
    const struct lq_law *law; /* id, form, source, range and coefficients are kept */
    const char *fit;          /* how it was fitted, one line of JSON; "" where it was given */
    const char *token_name;   /* who posted */
};

/* Stores a law, durable and in the catalog on return. That the id is none of a built-in law's is
 * the caller's to check. Errors: LQ_ECONFLICT (a stored law has the id), LQ_EFIELD (the id is empty
 * or too long), LQ_ESTORE. */
LQ_MUST_USE enum lq_code lq_store_add_law(struct lq_store *store, const struct lq_new_law *law,
                                          struct lq_error *err);
