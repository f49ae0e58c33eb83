/* Serialises JSON in one pass. The text is what jansson's own writer makes of the value, without
 * its table of parents for each container. */
#include "server/json/arena.h"
#include "server/json/field.h"
#include "server/json/real.h"
#include "server/json/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_MAX = 24,  /* any 64-bit integer is shorter */
    NESTING_MAX = 64, /* ours nest less, and what is read is refused beyond 32 */
};

/* A document on its way; once its text has failed nothing more is written. */
struct sink {
    struct lq_text *text;
    bool sorted; /* members by name */
    int digits;  /* of reals */
};

struct member {
    const char *name;
    size_t size;
    const json_t *value;
};

/* A container that is being written, and where in it. */
struct level {
    const json_t *container;
    struct member *members; /* of an object, by name; NULL: in their own order */
    void *iterator;         /* of an object in its own order */
    size_t next;
    size_t count;
};

static void add(struct sink *sink, const char *bytes, size_t size)
{
    lq_text_add(sink->text, bytes, size);
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

/* Whether one of a word's bytes is below 0x20, a quote or a backslash: subtracting n sets the high
 * bit of a byte that is below n and had it clear. A borrow can set that of the byte above, too, but
 * only where one is found already. */
static bool has_odd_byte(uint64_t word)
{
    static const uint64_t ONES = UINT64_MAX / UINT8_MAX;
    const uint64_t quotes = word ^ (ONES * '"');
    const uint64_t slashes = word ^ (ONES * '\\');
    return ((((word - ONES * 0x20) & ~word) | ((quotes - ONES) & ~quotes) |
             ((slashes - ONES) & ~slashes)) &
            (ONES * 0x80)) != 0;
}

/* How many bytes from here on stand for themselves. */
static size_t plain_bytes(const char *string, size_t size)
{
    size_t i = 0;
    uint64_t word = 0;
    for (; i + sizeof word <= size; i += sizeof word) {
        memcpy(&word, string + i, sizeof word);
        if (has_odd_byte(word)) {
            break;
        }
    }
    while (i < size && (unsigned char)string[i] >= 0x20 && string[i] != '"' && string[i] != '\\') {
        i++;
    }
    return i;
}

/* In quotes: most strings need no more than one copy. */
static void add_string(struct sink *sink, const char *string, size_t size)
{
    enum { QUOTES = 2 };
    struct lq_text *text = sink->text;
    const size_t plain = plain_bytes(string, size);
    if (!lq_text_reserve(text, size + QUOTES)) {
        return;
    }
    text->bytes[text->size++] = '"';
    memcpy(text->bytes + text->size, string, plain);
    text->size += plain;
    for (size_t i = plain; i < size;) {
        add_escaped(sink, (unsigned char)string[i++]);
        const size_t next = plain_bytes(string + i, size - i);
        add(sink, string + i, next);
        i += next;
    }
    add(sink, "\"", 1);
}

static void add_real(struct sink *sink, double value)
{
    struct lq_text *text = sink->text;
    if (lq_text_reserve(text, LQ_REAL_MAX)) {
        text->size += lq_real_text(value, sink->digits, text->bytes + text->size);
    }
}

static void add_integer(struct sink *sink, json_int_t value)
{
    char text[NUMBER_MAX];
    char *first = text + sizeof text;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--first = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *--first = '-';
    }
    add(sink, first, (size_t)(text + sizeof text - first));
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
    return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static struct member member_at(void *iterator)
{
    return (struct member){json_object_iter_key(iterator), json_object_iter_key_len(iterator),
                           json_object_iter_value(iterator)};
}

static void sort_members(struct sink *sink, struct level *level)
{
    const size_t count = level->count;
    level->members = lq_arena_malloc((count > 0 ? count : 1) * sizeof *level->members);
    if (level->members == NULL) {
        sink->text->failed = true;
        return;
    }
    json_t *object = (json_t *)(uintptr_t)level->container;
    void *iterator = json_object_iter(object);
    for (size_t i = 0; i < count; i++) {
        level->members[i] = member_at(iterator);
        iterator = json_object_iter_next(object, iterator);
    }
    qsort(level->members, count, sizeof *level->members, by_name);
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
        sort_members(sink, &level);
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
    struct member member;
    if (level->members != NULL) {
        member = level->members[level->next];
    } else {
        member = member_at(level->iterator);
        level->iterator =
            json_object_iter_next((json_t *)(uintptr_t)level->container, level->iterator);
    }
    add_string(sink, member.name, member.size);
    add(sink, ":", 1);
    return member.value;
}

static void leave(struct sink *sink, const struct level *level)
{
    lq_arena_free(level->members);
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
        if (level->next == level->count || sink->text->failed) {
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
                sink->text->failed = true;
                continue;
            }
            levels[depth++] = enter(sink, element);
        }
    }
}

static bool dump(struct lq_text *text, const json_t *value, int digits, bool sorted)
{
    if (lq_arena_failed()) { /* then the value may lack members */
        text->failed = true;
    }
    struct sink sink = {.text = text, .sorted = sorted, .digits = digits};
    write_all(&sink, value);
    return !text->failed;
}

bool lq_text_dump(struct lq_text *text, const json_t *value, int digits)
{
    return dump(text, value, digits, false);
}

char *lq_dump(const json_t *value, int digits, size_t *size)
{
    struct lq_text text = {0};
    dump(&text, value, digits, false);
    *size = text.size;
    return lq_text_end(&text);
}

char *lq_dump_canonical(const json_t *value, size_t *size)
{
    enum { DIGITS = 15 }; /* what a double holds of any decimal number */
    struct lq_text text = {0};
    dump(&text, value, DIGITS, true);
    *size = text.size;
    return lq_text_end(&text);
}
