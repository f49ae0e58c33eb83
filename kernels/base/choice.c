/* Splits texts at commas and reads each piece; looks at ids. */
#include "kernels/base/choice.h"

#include "core/arch/gpu.h"
#include "core/arch/method.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_MAX = 48, ALL_MAX = 240 };

/* Copies the next piece; false at the end. One that is too long ends in dots: it is no value. */
static bool next_piece(const char **at, char piece[PIECE_MAX])
{
    if (*at == NULL) {
        return false;
    }
    const size_t size = strcspn(*at, ",");
    const bool fits = size < PIECE_MAX;
    snprintf(piece, PIECE_MAX, "%.*s%s", (int)(fits ? size : PIECE_MAX - 4), *at,
             fits ? "" : "...");
    *at = (*at)[size] == ',' ? *at + size + 1 : NULL;
    return true;
}

int lq_choice_index(const char *name, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static enum lq_code append(const char *option, int64_t value, struct lq_counts *out,
                           struct lq_error *err)
{
    if (out->count == LQ_LIST_MAX) {
        return lq_fail(err, LQ_EFIELD, NULL, "--%s takes up to %d values", option, LQ_LIST_MAX);
    }
    out->value[out->count++] = value;
    return LQ_OK;
}

enum lq_code lq_counts_read(const char *option, const char *text, int64_t least, int64_t most,
                            struct lq_counts *out, struct lq_error *err)
{
    char piece[PIECE_MAX];
    out->count = 0;
    while (next_piece(&text, piece)) {
        char *end = NULL;
        errno = 0;
        const long long value = strtoll(piece, &end, 10);
        if (end == piece || *end != '\0' || errno != 0 || value < least || value > most) {
            return lq_fail(err, LQ_EFIELD, NULL,
                           "--%s takes whole numbers of %lld to %lld, got \"%s\"", option,
                           (long long)least, (long long)most, piece);
        }
        LQ_TRY(append(option, value, out, err));
    }
    return LQ_OK;
}

enum lq_code lq_choices_read(const char *option, const char *text, const char *const *names,
                             struct lq_counts *out, struct lq_error *err)
{
    char piece[PIECE_MAX];
    out->count = 0;
    while (next_piece(&text, piece)) {
        const int index = lq_choice_index(piece, names);
        if (index < 0) {
            char all[ALL_MAX] = "";
            for (size_t i = 0, at = 0; names[i] != NULL && at < sizeof all; i++) {
                at += (size_t)snprintf(all + at, sizeof all - at, " %s", names[i]);
            }
            return lq_fail(err, LQ_EFIELD, NULL, "--%s takes of%s, got \"%s\"", option, all, piece);
        }
        LQ_TRY(append(option, index, out, err));
    }
    return LQ_OK;
}

enum lq_code lq_id_check(const char *option, const char *id, struct lq_error *err)
{
    size_t length = 0;
    while (id[length] != '\0' &&
           (isalnum((unsigned char)id[length]) || strchr("._-", id[length]))) {
        length++;
    }
    if (length == 0 || length >= LQ_ID_MAX || id[length] != '\0') {
        return lq_fail(err, LQ_EFIELD, NULL, "--%s takes an id, got \"%.80s\"", option, id);
    }
    return LQ_OK;
}

enum lq_code lq_targets_read(const char *option, const char *text, uint32_t *out,
                             struct lq_error *err)
{
    char piece[PIECE_MAX];
    *out = 0;
    while (next_piece(&text, piece)) {
        const uint32_t bits = lq_targets_named(piece);
        if (bits == 0) {
            return lq_fail(err, LQ_EFIELD, NULL,
                           "--%s takes of q k v o gate up down router embedding head attention mlp "
                           "experts all-linear, got \"%s\"",
                           option, piece);
        }
        *out |= bits;
    }
    return LQ_OK;
}

void lq_text_clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
        if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) { /* U+0080..U+009F */
            c[0] = c[1] = '?';
        } else if (*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
}
