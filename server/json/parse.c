/* Parses a request's body, and says where and why where it is not JSON. */
#include "server/json/arena.h"
#include "server/json/field.h"

#include <stdbool.h>
#include <string.h>

/* A batch of 10,000 points has some 30 values and 5 containers each, with the load of its experts a
 * few hundred values. */
enum { DEPTH_MAX = 32, CONTAINERS_MAX = 500 * 1000, VALUES_MAX = 4 * 1000 * 1000 };

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

/* What brackets and commas outside strings tell of a body. */
struct shape {
    int depth;
    int containers;
    int commas;
};

static void take(struct shape *shape, char byte)
{
    switch (byte) {
    case '[':
    case '{':
        shape->containers++;
        shape->depth++;
        break;
    case ']':
    case '}':
        shape->depth--;
        break;
    case ',':
        shape->commas++;
        break;
    default:
        break;
    }
}

/* Refuses by the shape alone. Whatever else is wrong is left to jansson, but it would nest 2048
 * levels, and take 80 times a body's size for a body of empty objects. */
static enum lq_code check_shape(const char *body, size_t size, struct lq_faults *faults)
{
    struct position at = {.line = 1, .column = 0};
    struct shape shape = {0};
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        advance(&at, body[i]);
        if (body[i] == '"') {
            in_string = !in_string;
        } else if (!in_string) {
            take(&shape, body[i]);
        } else if (body[i] == '\\' && i + 1 < size) {
            advance(&at, body[++i]);
        }
        if (shape.depth > DEPTH_MAX) {
            return lq_faults_add(faults, LQ_ESYNTAX, "",
                                 "line %d, column %d: nested deeper than %d levels", at.line,
                                 at.column, DEPTH_MAX);
        }
    }
    if (shape.containers > CONTAINERS_MAX || shape.commas > VALUES_MAX) {
        return lq_faults_add(faults, LQ_ETOOLARGE, "",
                             "the body has more than %d objects and arrays or %d values",
                             CONTAINERS_MAX, VALUES_MAX);
    }
    return LQ_OK;
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
    if (check_shape(body, size, faults) != LQ_OK) {
        return NULL;
    }
    if (!lq_arena_reserve(size)) {
        lq_faults_add(faults, LQ_EINTERNAL, "", "out of memory for the body");
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

void lq_json_release(json_t *value)
{
    if (!lq_arena_is_active()) {
        json_decref(value);
    }
}
