/* Which points are sent together: choosing them, their body, and what became of them. */
#include "kernels/delivery/spool_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { BODY_MAX = 1024 * 1024 - 1 };
static const char BODY_HEAD[] = "{\"points\":[";
static const char BODY_TAIL[] = "]}";

/* Writes "first-last,..." of the points with this state. */
static void print_ranges(const struct lq_spool *spool, enum lq_spool_state state, FILE *out)
{
    const char *comma = "";
    for (size_t i = 0; i < spool->count; i++) {
        if (spool->entries[i].state != state) {
            continue;
        }
        const uint64_t first = spool->entries[i].number;
        uint64_t last = first;
        while (i + 1 < spool->count && spool->entries[i + 1].state == state &&
               spool->entries[i + 1].number == last + 1) {
            i++;
            last++;
        }
        fprintf(out, "%s%" PRIu64, comma, first);
        if (last > first) {
            fprintf(out, "-%" PRIu64, last);
        }
        comma = ",";
    }
}

enum lq_code lq_spool_write_batch(struct lq_spool *spool, char kind, const char *key,
                                  enum lq_spool_state state, struct lq_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    fprintf(out, "%s ", key);
    print_ranges(spool, state, out);
    const bool is_whole = fclose(out) == 0 && text != NULL;
    const enum lq_code code = is_whole ? lq_spool_write(spool, kind, 0, text, size, err)
                                       : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    free(text);
    return code;
}

static enum lq_code make_key(char key[LQ_SPOOL_KEY_MAX], struct lq_error *err)
{
    unsigned char bits[16];
    if (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "no random numbers: %s", strerror(errno));
    }
    for (size_t i = 0; i < sizeof bits; i++) {
        snprintf(key + 2 * i, 3, "%02x", bits[i]);
    }
    return LQ_OK;
}

static void change_state(struct lq_spool *spool, enum lq_spool_state from, enum lq_spool_state to)
{
    for (size_t i = 0; i < spool->count; i++) {
        if (spool->entries[i].state == from) {
            spool->entries[i].state = to;
        }
    }
}

/* Chooses the oldest points for a new batch and writes it down. */
static enum lq_code begin(struct lq_spool *spool, size_t points_max, struct lq_error *err)
{
    size_t chosen = 0;
    size_t bytes = sizeof BODY_HEAD - 1 + sizeof BODY_TAIL - 1;
    for (size_t i = 0; i < spool->count && chosen < points_max; i++) {
        struct lq_spool_entry *entry = &spool->entries[i];
        if (entry->state != LQ_SPOOL_WAITING) {
            continue;
        }
        bytes += entry->size + (chosen > 0 ? 1 : 0);
        if (bytes > BODY_MAX) {
            break;
        }
        entry->state = LQ_SPOOL_SENT;
        chosen++;
    }
    if (chosen == 0) {
        return LQ_OK;
    }
    char key[LQ_SPOOL_KEY_MAX];
    enum lq_code code = make_key(key, err);
    if (code == LQ_OK) {
        code = lq_spool_write_batch(spool, LQ_SPOOL_BATCH, key, LQ_SPOOL_SENT, err);
    }
    if (code != LQ_OK) {
        change_state(spool, LQ_SPOOL_SENT, LQ_SPOOL_WAITING);
        return code;
    }
    memcpy(spool->key, key, sizeof key);
    return LQ_OK;
}

/* The body, from the texts in the file. */
static enum lq_code compose(const struct lq_spool *spool, struct lq_batch *batch,
                            struct lq_error *err)
{
    size_t size = sizeof BODY_HEAD - 1;
    memcpy(batch->body, BODY_HEAD, size);
    for (size_t i = 0; i < spool->count; i++) {
        const struct lq_spool_entry *entry = &spool->entries[i];
        if (entry->state != LQ_SPOOL_SENT || batch->count == LQ_SPOOL_BATCH_POINTS_MAX) {
            continue;
        }
        if (batch->count > 0) {
            batch->body[size++] = ',';
        }
        if (pread(spool->fd, batch->body + size, entry->size, entry->at) != (ssize_t)entry->size) {
            return lq_spool_file_fail("read", spool->path, err);
        }
        batch->at[batch->count] = size;
        batch->size[batch->count++] = entry->size;
        size += entry->size;
    }
    memcpy(batch->body + size, BODY_TAIL, sizeof BODY_TAIL);
    batch->body_size = size + sizeof BODY_TAIL - 1;
    return LQ_OK;
}

enum lq_code lq_spool_batch(struct lq_spool *spool, size_t points_max, struct lq_batch *batch,
                            struct lq_error *err)
{
    memset(batch, 0, sizeof *batch);
    if (spool->key[0] == '\0') {
        LQ_TRY(begin(spool, points_max, err));
    }
    if (spool->key[0] == '\0') {
        return LQ_OK;
    }
    size_t size = sizeof BODY_HEAD + sizeof BODY_TAIL;
    for (size_t i = 0; i < spool->count; i++) {
        size += spool->entries[i].state == LQ_SPOOL_SENT ? spool->entries[i].size + 1 : 0;
    }
    memcpy(batch->key, spool->key, sizeof batch->key);
    batch->body = malloc(size);
    return batch->body != NULL ? compose(spool, batch, err)
                               : lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
}

void lq_batch_free(struct lq_batch *batch)
{
    free(batch->body);
    batch->body = NULL;
}

/* Once nothing waits, nothing that was written matters any more. */
enum lq_code lq_spool_empty(struct lq_spool *spool, struct lq_error *err)
{
    if (lq_spool_waiting(spool) > 0 || spool->end == LQ_SPOOL_HEADER_SIZE) {
        return LQ_OK;
    }
    if (ftruncate(spool->fd, LQ_SPOOL_HEADER_SIZE) != 0 || fdatasync(spool->fd) != 0) {
        return lq_spool_file_fail("empty", spool->path, err);
    }
    spool->end = LQ_SPOOL_HEADER_SIZE;
    spool->reserved = 0;
    spool->count = 0;
    return LQ_OK;
}

enum lq_code lq_spool_done(struct lq_spool *spool, struct lq_error *err)
{
    LQ_TRY(lq_spool_write_batch(spool, LQ_SPOOL_DONE, spool->key, LQ_SPOOL_SENT, err));
    change_state(spool, LQ_SPOOL_SENT, LQ_SPOOL_GONE);
    spool->key[0] = '\0';
    return lq_spool_empty(spool, err);
}

enum lq_code lq_spool_dissolve(struct lq_spool *spool, const bool *rejected, struct lq_error *err)
{
    size_t i = 0;
    for (size_t k = 0; k < spool->count; k++) {
        struct lq_spool_entry *entry = &spool->entries[k];
        if (entry->state == LQ_SPOOL_SENT && rejected[i++]) {
            entry->state = LQ_SPOOL_REJECTED;
        }
    }
    const enum lq_code code =
        lq_spool_write_batch(spool, LQ_SPOOL_DISSOLVED, spool->key, LQ_SPOOL_REJECTED, err);
    if (code != LQ_OK) {
        change_state(spool, LQ_SPOOL_REJECTED, LQ_SPOOL_SENT);
        return code;
    }
    change_state(spool, LQ_SPOOL_REJECTED, LQ_SPOOL_GONE);
    change_state(spool, LQ_SPOOL_SENT, LQ_SPOOL_WAITING);
    spool->key[0] = '\0';
    return lq_spool_empty(spool, err);
}
