/* Reads receipts and problems from JSON. */
#include "kernels/document/delivery.h"

#include "kernels/base/choice.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies UTF-8, cut to size between characters; what could steer a terminal becomes '?'. */
static void copy(char *out, size_t size, const char *text)
{
    text = text != NULL ? text : "";
    const int length = snprintf(out, size, "%s", text);
    if (length >= (int)size) {
        size_t end = size - 1;
        while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80) {
            end--;
        }
        out[end] = '\0';
    }
    lq_text_clean(out);
}

static bool are_texts(const json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item)) {
            return false;
        }
    }
    return json_is_array(list);
}

/* The list's texts, separated by blanks. */
static char *join(const json_t *list)
{
    size_t size = 1;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        size += json_string_length(item) + 1;
    }
    char *text = calloc(1, size);
    if (text == NULL) {
        return NULL;
    }
    size_t used = 0;
    json_array_foreach(list, i, item)
    {
        if (i > 0) {
            text[used++] = ' ';
        }
        copy(text + used, size - used, json_string_value(item));
        used += strlen(text + used);
    }
    return text;
}

bool lq_receipt_read(const char *text, size_t size, size_t points, struct lq_receipt *out)
{
    *out = (struct lq_receipt){.duplicates = 0};
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *ids = json_object_get(root, "ids");
    const json_t *duplicates = json_object_get(root, "duplicates");
    const json_t *implausible = json_object_get(root, "implausible"); /* may be missing */
    const bool is_receipt = are_texts(ids) && json_array_size(ids) == points &&
                            json_is_integer(duplicates) && json_integer_value(duplicates) >= 0 &&
                            (implausible == NULL || are_texts(implausible));
    if (is_receipt) {
        out->duplicates = (size_t)json_integer_value(duplicates);
        out->implausible = json_array_size(implausible);
        out->implausible_ids = join(implausible);
    }
    json_decref(root);
    return is_receipt;
}

/* The point that "/points/N" or "/points/N/..." names, and what follows it. */
static bool read_pointer(const char *pointer, size_t points, size_t *point, const char **rest)
{
    static const char PREFIX[] = "/points/";
    if (pointer == NULL || strncmp(pointer, PREFIX, sizeof PREFIX - 1) != 0) {
        return false;
    }
    const char *digits = pointer + sizeof PREFIX - 1;
    const size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 9 || (digits[count] != '\0' && digits[count] != '/')) {
        return false;
    }
    *point = (size_t)strtoul(digits, NULL, 10);
    *rest = digits + count;
    return *point < points;
}

void lq_problem_read(const char *text, size_t size, size_t points, struct lq_problem *out)
{
    memset(out, 0, sizeof *out);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const char *type = json_string_value(json_object_get(root, "type"));
    if (type == NULL || strncmp(type, "urn:llmquote:problem:", 21) != 0) {
        json_decref(root);
        return;
    }
    copy(out->detail, sizeof out->detail, json_string_value(json_object_get(root, "detail")));
    if (out->detail[0] == '\0') {
        copy(out->detail, sizeof out->detail, type);
    }
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(root, "errors"), i, item)
    {
        const char *pointer = json_string_value(json_object_get(item, "pointer"));
        const char *rest = NULL;
        struct lq_point_fault *fault = &out->faults[out->fault_count];
        if (out->fault_count < LQ_PROBLEM_FAULTS_MAX &&
            read_pointer(pointer, points, &fault->point, &rest)) {
            copy(fault->pointer, sizeof fault->pointer, rest);
            copy(fault->detail, sizeof fault->detail,
                 json_string_value(json_object_get(item, "detail")));
            out->fault_count++;
        }
    }
    json_decref(root);
}

char *lq_rejection_print(const char *pointer, const char *detail, const char *point, size_t size)
{
    json_t *words = json_pack("{s:s, s:s}", "pointer", pointer, "detail", detail);
    char *head = words != NULL ? json_dumps(words, JSON_COMPACT) : NULL;
    char *line = NULL;
    if (head != NULL) { /* the closing brace makes room for the point */
        const int length = (int)strlen(head) - 1;
        if (asprintf(&line, "%.*s,\"point\":%.*s}", length, head, (int)size, point) < 0) {
            line = NULL;
        }
    }
    free(head);
    json_decref(words);
    return line;
}
