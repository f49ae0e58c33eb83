/* A buffer that doubles, of the arena's memory or libc's. */
#include "server/json/text.h"

#include "server/json/arena.h"
#include "server/json/field.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 1024 };

bool lq_text_grow(struct lq_text *text, size_t size)
{
    const size_t capacity = text->capacity * 2 + size + FIRST_CAPACITY;
    char *bytes = text->lasting ? malloc(capacity) : lq_arena_malloc(capacity);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    if (text->size > 0) {
        memcpy(bytes, text->bytes, text->size);
    }
    lq_text_free(text->bytes);
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

char *lq_text_end(struct lq_text *text)
{
    if (!lq_text_reserve(text, 0)) {
        lq_text_release(text);
        return NULL;
    }
    text->bytes[text->size] = '\0';
    return text->bytes;
}

void lq_text_release(struct lq_text *text)
{
    lq_text_free(text->bytes);
    *text = (struct lq_text){.failed = true};
}

void lq_text_free(void *text)
{
    lq_arena_free(text); /* which knows its own memory from libc's */
}
