/* The flat part of YAML, as trainers write their settings: "key: value" at the left margin or one
 * level below a key. Whatever else YAML has is passed over. */
#include "kernels/import/file.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line: where its text begins, and how far it is indented. */
struct line {
    const char *begin;
    const char *end; /* behind the last character that is no blank, comment left out */
    size_t indent;
};

/* Leaves out a comment: a # at the start or behind a blank, outside quotes. */
static const char *cut_comment(const char *begin, const char *end)
{
    char quote = '\0';
    if (begin >= end || memchr(begin, '#', (size_t)(end - begin)) == NULL) {
        return end; /* most lines; settings are looked for line by line, each from the start */
    }
    for (const char *c = begin; c < end; c++) {
        if (quote != '\0') {
            quote = *c == quote ? '\0' : quote;
        } else if (*c == '"' || *c == '\'') {
            quote = *c;
        } else if (*c == '#' && (c == begin || c[-1] == ' ' || c[-1] == '\t')) {
            return c;
        }
    }
    return end;
}

static bool next_line(const char **at, const char *end, struct line *line)
{
    if (*at >= end) {
        return false;
    }
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    stop = stop != NULL ? stop : end;
    const char *begin = *at;
    while (begin < stop && (*begin == ' ' || *begin == '\t')) {
        begin++;
    }
    line->indent = (size_t)(begin - *at);
    line->begin = begin;
    line->end = cut_comment(begin, stop);
    while (line->end > begin && isspace((unsigned char)line->end[-1])) {
        line->end--;
    }
    *at = stop < end ? stop + 1 : end;
    return true;
}

static bool is_item(const struct line *line)
{
    return line->end > line->begin && line->begin[0] == '-' &&
           (line->end == line->begin + 1 || line->begin[1] == ' ');
}

/* Where the value of `key` begins on this line, or NULL. A "- " in front is a list's, as model
 * cards write their settings. */
static const char *value_of(const struct line *line, const char *key, size_t key_size)
{
    const char *c = line->begin + (is_item(line) ? 2 : 0);
    if (line->end - c < (ptrdiff_t)key_size + 1 || memcmp(c, key, key_size) != 0 ||
        c[key_size] != ':') {
        return NULL;
    }
    c += key_size + 1;
    if (c < line->end && *c != ' ' && *c != '\t') {
        return NULL;
    }
    while (c < line->end && (*c == ' ' || *c == '\t')) {
        c++;
    }
    return c;
}

/* Copies a scalar without its quotes. */
static bool copy(const char *begin, const char *end, char *out, size_t size)
{
    if (end - begin >= 2 && (*begin == '"' || *begin == '\'') && end[-1] == *begin) {
        begin++;
        end--;
    }
    const size_t length = (size_t)(end - begin);
    if (length == 0 || length >= size) {
        return false;
    }
    memcpy(out, begin, length);
    out[length] = '\0';
    return true;
}

/* Gathers "- item" lines, none of which stands left of the key's `indent`. */
static bool copy_items(const char *at, const char *end, size_t indent, char *out, size_t size)
{
    size_t length = 0;
    struct line line;
    while (next_line(&at, end, &line) &&
           (line.begin == line.end || (is_item(&line) && line.indent >= indent))) {
        if (line.begin == line.end) {
            continue;
        }
        char item[64];
        if (!copy(line.begin + 2, line.end, item, sizeof item)) {
            return false;
        }
        const int more =
            snprintf(out + length, size - length, "%s%s", length == 0 ? "[" : ", ", item);
        if (more < 0 || (size_t)more >= size - length) {
            return false;
        }
        length += (size_t)more;
    }
    if (length == 0 || length + 2 > size) {
        return false;
    }
    out[length] = ']';
    out[length + 1] = '\0';
    return true;
}

/* A list in brackets may go on over lines. */
static bool copy_value(const char *begin, const struct line *line, const char *at, const char *end,
                       char *out, size_t size)
{
    if (begin == line->end) {
        return copy_items(at, end, line->indent, out, size);
    }
    if (*begin == '[') {
        const char *close = memchr(begin, ']', (size_t)(end - begin));
        return close != NULL && copy(begin, close + 1, out, size);
    }
    return copy(begin, line->end, out, size);
}

bool lq_import_setting(const struct lq_import_text *text, const char *path, char *out, size_t size)
{
    if (text->data == NULL) {
        return false;
    }
    const char *dot = strchr(path, '.');
    const size_t parent_size = dot != NULL ? (size_t)(dot - path) : 0;
    const char *key = dot != NULL ? dot + 1 : path;
    const char *at = text->data;
    const char *end = text->data + text->size;
    bool inside = dot == NULL;
    size_t indent = 0; /* of the members below the parent; 0: none seen yet */
    for (struct line line; next_line(&at, end, &line);) {
        if (line.begin == line.end) {
            continue;
        }
        if (dot != NULL && line.indent == 0) {
            inside = value_of(&line, path, parent_size) != NULL;
            indent = 0;
            continue;
        }
        indent = inside && dot != NULL && indent == 0 ? line.indent : indent;
        const char *value =
            inside && line.indent == indent ? value_of(&line, key, strlen(key)) : NULL;
        if (value != NULL) {
            return copy_value(value, &line, at, end, out, size);
        }
    }
    return false;
}

bool lq_import_setting_number(const struct lq_import_text *text, const char *path, double *out)
{
    char value[64];
    if (!lq_import_setting(text, path, value, sizeof value)) {
        return false;
    }
    char *end = NULL;
    const double number = strtod(value, &end);
    if (end == value || *end != '\0' || !isfinite(number)) {
        return false;
    }
    *out = number;
    return true;
}

bool lq_import_setting_flag(const struct lq_import_text *text, const char *path, bool *out)
{
    char value[16];
    if (!lq_import_setting(text, path, value, sizeof value)) {
        return false;
    }
    const bool yes = strcasecmp(value, "true") == 0 || strcasecmp(value, "yes") == 0;
    const bool no = strcasecmp(value, "false") == 0 || strcasecmp(value, "no") == 0;
    *out = yes;
    return yes || no;
}
