/* Serialises JSON in one pass into a buffer that grows, allocated where jansson's values are. The
 * text is what jansson's own writer makes of the value, without a table of parents a container. */
#include "server/json/arena.h"
#include "server/json/field.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 1024,
    NUMBER_MAX = 40,  /* "-1.2345678901234567e-308" and any 64-bit integer are shorter */
    NESTING_MAX = 64, /* ours nest less, and what is read is refused beyond 32 */
};

/* A document on its way; once it has failed nothing more is written. */
struct sink {
    char *text;
    size_t size;
    size_t capacity;
    bool failed;
    bool sorted; /* members by name */
    int digits;  /* of reals */
};

/* A container that is being written, and where in it. */
struct level {
    const json_t *container;
    const char **names; /* of an object with sorted members; NULL: in their own order */
    void *iterator;     /* of an object in its own order */
    size_t next;
    size_t count;
};

static bool reserve(struct sink *sink, size_t size)
{
    if (sink->failed) {
        return false;
    }
    if (sink->capacity - sink->size > size) {
        return true;
    }
    const size_t capacity = sink->capacity * 2 + size;
    char *text = lq_arena_malloc(capacity);
    if (text == NULL) {
        sink->failed = true;
        return false;
    }
    memcpy(text, sink->text, sink->size);
    lq_arena_free(sink->text);
    sink->text = text;
    sink->capacity = capacity;
    return true;
}

static void add(struct sink *sink, const char *bytes, size_t size)
{
    if (reserve(sink, size)) {
        memcpy(sink->text + sink->size, bytes, size);
        sink->size += size;
    }
}

/* What RFC 8259, section 7, wants escaped. */
static void add_escaped(struct sink *sink, unsigned char byte)
{
    static const char NAMED[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *pair = NAMED; *pair != '\0'; pair += 2) {
        if ((unsigned char)pair[0] == byte) {
            add(sink, (const char[]){'\\', pair[1]}, 2);
            return;
        }
    }
    char text[8];
    add(sink, text, (size_t)snprintf(text, sizeof text, "\\u%04X", byte));
}

static void add_string(struct sink *sink, const char *string, size_t size)
{
    add(sink, "\"", 1);
    size_t begin = 0;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)string[i];
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            add(sink, string + begin, i - begin);
            add_escaped(sink, byte);
            begin = i + 1;
        }
    }
    add(sink, string + begin, size - begin);
    add(sink, "\"", 1);
}

/* As jansson writes it: a real shows that it is one, an exponent has neither '+' nor zeros ahead.
 */
static void add_real(struct sink *sink, double value)
{
    char text[NUMBER_MAX];
    const int length = snprintf(text, sizeof text, "%.*g", sink->digits, value);
    const char *exponent = strchr(text, 'e');
    if (exponent == NULL) {
        add(sink, text, (size_t)length);
        if (strchr(text, '.') == NULL) {
            add(sink, ".0", 2);
        }
        return;
    }
    const char *digits = exponent + 1;
    add(sink, text, (size_t)(digits - text));
    if (*digits == '-') {
        add(sink, "-", 1);
    }
    digits += strspn(digits, "+-");
    digits += strspn(digits, "0");
    add(sink, digits, strlen(digits));
}

static void add_integer(struct sink *sink, json_int_t value)
{
    char text[NUMBER_MAX];
    add(sink, text, (size_t)snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, value));
}

/* Writes a value that is no container; true for one that is, of which it writes the beginning. */
static bool add_value(struct sink *sink, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        add_string(sink, json_string_value(value), json_string_length(value));
        return false;
    case JSON_INTEGER:
        add_integer(sink, json_integer_value(value));
        return false;
    case JSON_REAL:
        add_real(sink, json_real_value(value));
        return false;
    case JSON_TRUE:
        add(sink, "true", 4);
        return false;
    case JSON_FALSE:
        add(sink, "false", 5);
        return false;
    case JSON_NULL:
        add(sink, "null", 4);
        return false;
    case JSON_ARRAY:
        add(sink, "[", 1);
        return true;
    case JSON_OBJECT:
        add(sink, "{", 1);
        return true;
    }
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_names(struct sink *sink, struct level *level)
{
    level->names = lq_arena_malloc((level->count > 0 ? level->count : 1) * sizeof *level->names);
    if (level->names == NULL) {
        sink->failed = true;
        return;
    }
    size_t i = 0;
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)level->container, name, member)
    {
        level->names[i++] = name;
    }
    qsort(level->names, level->count, sizeof *level->names, by_name);
}

static struct level enter(struct sink *sink, const json_t *container)
{
    struct level level = {.container = container};
    if (json_is_array(container)) {
        level.count = json_array_size(container);
        return level;
    }
    level.count = json_object_size(container);
    if (sink->sorted) {
        sort_names(sink, &level);
    } else {
        level.iterator = json_object_iter((json_t *)(uintptr_t)container);
    }
    return level;
}

/* The next element; of an object it writes the name. */
static const json_t *next_value(struct sink *sink, struct level *level)
{
    if (json_is_array(level->container)) {
        return json_array_get(level->container, level->next);
    }
    const char *name = NULL;
    const json_t *value = NULL;
    if (level->names != NULL) {
        name = level->names[level->next];
        value = json_object_get(level->container, name);
    } else {
        name = json_object_iter_key(level->iterator);
        value = json_object_iter_value(level->iterator);
        level->iterator =
            json_object_iter_next((json_t *)(uintptr_t)level->container, level->iterator);
    }
    add_string(sink, name, strlen(name));
    add(sink, ":", 1);
    return value;
}

static void leave(struct sink *sink, const struct level *level)
{
    lq_arena_free((void *)(uintptr_t)level->names);
    add(sink, json_is_array(level->container) ? "]" : "}", 1);
}

static void write_all(struct sink *sink, const json_t *value)
{
    struct level levels[NESTING_MAX];
    int depth = 0;
    if (add_value(sink, value)) {
        levels[depth++] = enter(sink, value);
    }
    while (depth > 0) {
        struct level *level = &levels[depth - 1];
        if (level->next == level->count || sink->failed) {
            leave(sink, level);
            depth--;
            continue;
        }
        if (level->next > 0) {
            add(sink, ",", 1);
        }
        const json_t *element = next_value(sink, level);
        level->next++;
        if (add_value(sink, element)) {
            if (depth == NESTING_MAX) {
                sink->failed = true;
                continue;
            }
            levels[depth++] = enter(sink, element);
        }
    }
}

static char *dump(const json_t *value, int digits, bool sorted, size_t *size)
{
    struct sink sink = {.text = lq_arena_malloc(FIRST_CAPACITY),
                        .capacity = FIRST_CAPACITY,
                        .sorted = sorted,
                        .digits = digits};
    if (sink.text == NULL || lq_arena_failed()) { /* then the value may lack members */
        lq_arena_free(sink.text);
        return NULL;
    }
    write_all(&sink, value);
    if (sink.failed) {
        lq_arena_free(sink.text);
        return NULL;
    }
    sink.text[sink.size] = '\0';
    *size = sink.size;
    return sink.text;
}

char *lq_dump(const json_t *value, int digits, size_t *size)
{
    return dump(value, digits, false, size);
}

char *lq_dump_canonical(const json_t *value, size_t *size)
{
    enum { DIGITS = 15 }; /* what a double holds of any decimal number */
    return dump(value, DIGITS, true, size);
}

void lq_text_free(void *text)
{
    lq_arena_free(text);
}
