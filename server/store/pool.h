/* Memory of one catalog snapshot: many small pieces that are given back all at once. */
#pragma once

#include <stddef.h>

struct lq_pool_block;

/* Zero-initialise; not thread-safe. */
struct lq_pool {
    struct lq_pool_block *blocks;
    size_t used; /* of the newest block */
};

/* Room for `count` things of `size` bytes, zeroed and aligned for any type; never NULL for a count
 * of 0. NULL when out of memory. */
void *lq_pool_take(struct lq_pool *pool, size_t count, size_t size);
/* A copy of a text, or NULL when out of memory. */
const char *lq_pool_text(struct lq_pool *pool, const char *text);
/* Gives everything back. */
void lq_pool_clear(struct lq_pool *pool);
