/* Text that grows: what documents are written into. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Begin with {0}, or with {.lasting = true} for one that outlives marks of the arena. Once out of
 * memory it stays as it was, and says so. `bytes` is not terminated before lq_text_end. */
struct lq_text {
    char *bytes;
    size_t size;
    size_t capacity;
    bool lasting; /* libc's memory; else that of jansson's values */
    bool failed;
};

/* Moves to larger memory; false when there is none. */
bool lq_text_grow(struct lq_text *text, size_t size);

/* Room for so many bytes more; false when out of memory. */
static inline bool lq_text_reserve(struct lq_text *text, size_t size)
{
    if (text->failed || text->capacity - text->size > size) { /* and a byte for the end */
        return !text->failed;
    }
    return lq_text_grow(text, size);
}

static inline void lq_text_add(struct lq_text *text, const char *bytes, size_t size)
{
    if (lq_text_reserve(text, size)) {
        memcpy(text->bytes + text->size, bytes, size);
        text->size += size;
    }
}

/* Writes a value as lq_dump does. False when out of memory, also where that happened while the
 * value was made. */
bool lq_text_dump(struct lq_text *text, const json_t *value, int digits);

/* Terminates the text and returns it (free with lq_text_free); NULL when memory did not suffice,
 * and the text is released. */
char *lq_text_end(struct lq_text *text);
void lq_text_release(struct lq_text *text);
