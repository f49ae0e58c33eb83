/* Answers that depend on a request and the data alone, kept until either differs or room runs out.
 * Any thread may call any of these. */
#pragma once

#include "server/api/call.h"

#include <stdbool.h>
#include <stddef.h>

struct lq_cache;

/* What an answer depends on. Borrowed pointers. */
struct lq_cache_key {
    size_t route; /* its place in the route table */
    const char *body;
    size_t body_size;
    const struct lq_catalog *catalog; /* its versions are what counts */
};

/* Holds answers of up to `bytes_max` bytes with all that belongs to them; NULL where that is 0 or
 * memory runs out: then nothing is ever found. Free takes NULL; no answer may be in use. */
struct lq_cache *lq_cache_new(size_t bytes_max);
void lq_cache_free(struct lq_cache *cache);

/* Fills `reply` with the answer kept for the key; it stays whole until its free_body is called. */
bool lq_cache_get(struct lq_cache *cache, const struct lq_cache_key *key, struct lq_reply *reply);

/* Keeps a copy of an answer with status 200; the least recently used ones make room. Answers above
 * a 64th of the cache are not kept. */
void lq_cache_put(struct lq_cache *cache, const struct lq_cache_key *key,
                  const struct lq_reply *reply);
