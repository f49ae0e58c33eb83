/* Joins JSON Pointers and measures how near a misspelt name is to a known one. */
#include "server/json/suggest.h"

#include <stdbool.h>
#include <string.h>

enum { NAME_MAX_BYTES = 48, FAR = LQ_SUGGEST_DISTANCE_MAX + 1 };

void lq_pointer_join(char out[LQ_POINTER_MAX], const char *pointer, const char *key)
{
    size_t used = strlen(pointer);
    if (used > LQ_POINTER_MAX - 1) {
        used = LQ_POINTER_MAX - 1;
    }
    if (out != pointer) {
        memcpy(out, pointer, used);
    }
    if (used < LQ_POINTER_MAX - 1) {
        out[used++] = '/';
    }
    for (; *key != '\0' && used < LQ_POINTER_MAX - 2; key++) {
        if (*key == '~' || *key == '/') {
            out[used++] = '~';
            out[used++] = *key == '~' ? '0' : '1';
        } else {
            out[used++] = *key;
        }
    }
    out[used] = '\0';
}

static size_t least_of(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

size_t lq_edit_distance(const char *a, const char *b)
{
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    size_t gap = a_size > b_size ? a_size - b_size : b_size - a_size;
    if (gap >= FAR || a_size >= NAME_MAX_BYTES || b_size >= NAME_MAX_BYTES) {
        return FAR;
    }
    size_t row[NAME_MAX_BYTES + 1];
    for (size_t j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t above = row[j];
            row[j] = least_of(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    bool near = row[b_size] < FAR && row[b_size] * 2 < a_size;
    return near ? row[b_size] : (size_t)FAR;
}
