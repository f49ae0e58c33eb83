/* Text that grows: what documents are written into. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Begin with {0}, or with {.lasting = true} for one that outlives marks of the arena. Once out of
 * memory it stays as it was, and says so. `bytes` is not terminated before lq_text_end. */
struct lq_text {
    char *bytes;
    size_t size;
    size_t capacity;
    bool lasting; /* libc's memory; else that of jansson's values */
    bool failed;
};

/* Room for so many bytes more; false when out of memory. */
bool lq_text_reserve(struct lq_text *text, size_t size);
void lq_text_add(struct lq_text *text, const char *bytes, size_t size);

/* Writes a value as lq_dump does. False when out of memory, also where that happened while the
 * value was made. */
bool lq_text_dump(struct lq_text *text, const json_t *value, int digits);

/* Terminates the text and returns it (free with lq_text_free); NULL when memory did not suffice,
 * and the text is released. */
char *lq_text_end(struct lq_text *text);
void lq_text_release(struct lq_text *text);
