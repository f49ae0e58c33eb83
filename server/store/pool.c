/* Blocks of 16 KiB, or larger where one thing is larger, in a list. */
#include "server/store/pool.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16 * 1024 };

struct lq_pool_block {
    struct lq_pool_block *next;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

void *lq_pool_take(struct lq_pool *pool, size_t count, size_t size)
{
    const size_t unit = alignof(max_align_t);
    if (size != 0 && count > (SIZE_MAX / 2) / size) {
        return NULL;
    }
    size_t bytes = (count * size + unit - 1) / unit * unit;
    struct lq_pool_block *block = pool->blocks;
    if (block == NULL || block->size - pool->used < bytes) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = calloc(1, sizeof *block + room);
        if (block == NULL) {
            return NULL;
        }
        *block = (struct lq_pool_block){.next = pool->blocks, .size = room};
        pool->blocks = block;
        pool->used = 0;
    }
    void *taken = block->bytes + pool->used;
    pool->used += bytes;
    return taken;
}

const char *lq_pool_text(struct lq_pool *pool, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = lq_pool_take(pool, size, 1);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

void lq_pool_clear(struct lq_pool *pool)
{
    while (pool->blocks != NULL) {
        struct lq_pool_block *block = pool->blocks;
        pool->blocks = block->next;
        free(block);
    }
    pool->used = 0;
}
