/* Serialises JSON in one pass into a buffer that grows, allocated where jansson's values are. */
#include "server/json/arena.h"
#include "server/json/field.h"

#include <stdbool.h>
#include <string.h>

enum { FIRST_CAPACITY = 4096 };

struct sink {
    char *text;
    size_t size;
    size_t capacity;
    bool failed; /* jansson 2.14 goes on behind a member's name that could not be written */
};

static int sink_write(const char *buffer, size_t size, void *context)
{
    struct sink *sink = context;
    if (sink->capacity - sink->size <= size) {
        size_t capacity = sink->capacity * 2 + size;
        char *text = lq_arena_malloc(capacity);
        if (text == NULL) {
            sink->failed = true;
            return -1;
        }
        memcpy(text, sink->text, sink->size);
        lq_arena_free(sink->text);
        sink->text = text;
        sink->capacity = capacity;
    }
    memcpy(sink->text + sink->size, buffer, size);
    sink->size += size;
    return 0;
}

static char *dump(const json_t *value, size_t flags, size_t *size)
{
    struct sink sink = {.text = lq_arena_malloc(FIRST_CAPACITY), .capacity = FIRST_CAPACITY};
    if (sink.text == NULL || lq_arena_failed()) { /* then the value may lack members */
        lq_arena_free(sink.text);
        return NULL;
    }
    const int status =
        json_dump_callback(value, sink_write, &sink, flags | JSON_COMPACT | JSON_ENCODE_ANY);
    if (status != 0 || sink.failed) {
        lq_arena_free(sink.text);
        return NULL;
    }
    sink.text[sink.size] = '\0';
    *size = sink.size;
    return sink.text;
}

char *lq_dump(const json_t *value, int digits, size_t *size)
{
    return dump(value, JSON_REAL_PRECISION((size_t)digits), size);
}

char *lq_dump_canonical(const json_t *value, size_t *size)
{
    return dump(value, JSON_SORT_KEYS | JSON_REAL_PRECISION(15), size);
}

void lq_text_free(void *text)
{
    lq_arena_free(text);
}
