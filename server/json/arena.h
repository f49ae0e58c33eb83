/* Memory for the JSON of one request: a thread-local bump arena behind jansson's allocator. Outside
 * a request, and for everything that is not jansson's, memory comes from libc as ever. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Puts the arena behind jansson; call once, before any jansson value exists. */
void lq_arena_install(void);

/* Bracket one request on the calling thread; they do not nest. Values made inside must not be
 * touched after the end, whether or not they were released. Between requests a thread keeps at
 * most LQ_ARENA_KEPT_BYTES; what a large request took beyond that goes back to libc. */
void lq_arena_begin(void);
void lq_arena_end(void);

enum { LQ_ARENA_KEPT_BYTES = 256 * 1024 };

/* Gives back what the calling thread keeps between requests; threads that end do so themselves. */
void lq_arena_release(void);

/* Whether the calling thread is between begin and end. */
bool lq_arena_is_active(void);

/* Within a request: takes room for the values of a document of that many bytes at once, so that
 * memory is missed before it is parsed: jansson's lexer does not bear to miss any. False where
 * there is none. */
bool lq_arena_reserve(size_t document_bytes);

/* What jansson allocates with. Freeing arena memory does nothing, other memory goes to libc. */
void *lq_arena_malloc(size_t size);
void lq_arena_free(void *memory);

/* Whether an allocation of the calling thread failed since it last asked, or since its request
 * began: jansson leaves out in silence what it has no memory for. */
bool lq_arena_failed(void);

/* A place in the arena: rewinding to it gives back all that was taken since, at once. Marks nest;
 * one is used within the request that it was made in, and outside of requests does nothing. */
struct lq_arena_mark {
    void *chunk;
    size_t used;
};
struct lq_arena_mark lq_arena_mark(void);
void lq_arena_rewind(struct lq_arena_mark mark);

/* Bytes in chunks the calling thread holds now. */
size_t lq_arena_held(void);
