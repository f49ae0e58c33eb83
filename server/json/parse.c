/* Parses a request's body, and says where and why where it is not JSON. */
#include "server/json/field.h"

#include <stdbool.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

/* Where the scan stands, in characters as an editor counts them, from 1. */
struct position {
    int line;
    int column;
};

static void advance(struct position *at, char byte)
{
    if (byte == '\n') {
        at->line++;
        at->column = 0;
    } else if (((unsigned char)byte & 0xC0) != 0x80) { /* not a UTF-8 continuation */
        at->column++;
    }
}

/* True where brackets outside strings nest deeper than DEPTH_MAX; `at` is then the bracket. jansson
 * itself would take 2048 levels. */
static bool too_deep(const char *body, size_t size, struct position *at)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        advance(at, body[i]);
        switch (body[i]) {
        case '"':
            in_string = !in_string;
            break;
        case '\\':
            if (in_string && i + 1 < size) {
                advance(at, body[++i]);
            }
            break;
        case '[':
        case '{':
            depth += !in_string;
            break;
        case ']':
        case '}':
            depth -= !in_string;
            break;
        default:
            break;
        }
        if (depth > DEPTH_MAX) {
            return true;
        }
    }
    return false;
}

static bool is_blank(const char *body, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (strchr(" \t\r\n", body[i]) == NULL || body[i] == '\0') {
            return false;
        }
    }
    return true;
}

json_t *lq_parse(const char *body, size_t size, struct lq_faults *faults)
{
    if (is_blank(body, size)) {
        lq_faults_add(faults, LQ_ESYNTAX, "", "line 1, column 1: the body is empty");
        return NULL;
    }
    struct position at = {.line = 1, .column = 0};
    if (too_deep(body, size, &at)) {
        lq_faults_add(faults, LQ_ESYNTAX, "", "line %d, column %d: nested deeper than %d levels",
                      at.line, at.column, DEPTH_MAX);
        return NULL;
    }
    json_error_t error;
    json_t *root = json_loadb(body, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (root == NULL && json_error_code(&error) == json_error_out_of_memory) {
        lq_faults_add(faults, LQ_EINTERNAL, "", "out of memory for the body");
    } else if (root == NULL) {
        lq_faults_add(faults, LQ_ESYNTAX, "", "line %d, column %d: %s", error.line, error.column,
                      error.text);
    } else if (!json_is_object(root)) {
        lq_faults_add(faults, LQ_EFIELD, "", "the body must be a JSON object");
        json_decref(root);
        root = NULL;
    }
    return root;
}
