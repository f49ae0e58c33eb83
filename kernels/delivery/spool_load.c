/* Reading a spool's file back: the meaning of its records, and what to do about damage. */
#include "kernels/delivery/record.h"
#include "kernels/delivery/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct lq_spool_entry *find(const struct lq_spool *spool, uint64_t number)
{
    size_t low = 0;
    size_t high = spool->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (spool->entries[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < spool->count && spool->entries[low].number == number ? &spool->entries[low] : NULL;
}

/* Points are numbered from 1 on; so many no spool will ever have had. */
#define NUMBER_MAX (UINT64_MAX / 2)

/* All that is sent waits again. */
static void release(struct lq_spool *spool)
{
    for (size_t i = 0; i < spool->count; i++) {
        if (spool->entries[i].state == LQ_SPOOL_SENT) {
            spool->entries[i].state = LQ_SPOOL_WAITING;
        }
    }
    spool->key[0] = '\0';
}

/* Gives the points of a range their state; false where one cannot have it: unknown, as lost in
 * damage, or gone. */
static bool mark_range(struct lq_spool *spool, uint64_t first, uint64_t last,
                       enum lq_spool_state state)
{
    if (last < first || last - first >= LQ_SPOOL_BATCH_POINTS_MAX || last == UINT64_MAX) {
        return false;
    }
    bool all = true;
    for (uint64_t number = first; number <= last; number++) {
        struct lq_spool_entry *entry = find(spool, number);
        if (entry != NULL && entry->state != LQ_SPOOL_GONE) {
            entry->state = state;
        }
        all = all && entry != NULL && entry->state == state;
    }
    return all;
}

/* The same of all ranges; false also where there is none: nothing cannot be sent. */
static bool mark(struct lq_spool *spool, const char *ranges, enum lq_spool_state state)
{
    bool all = *ranges >= '0' && *ranges <= '9';
    for (const char *c = ranges; *c >= '0' && *c <= '9';) {
        char *end = NULL;
        const uint64_t first = strtoull(c, &end, 10);
        const uint64_t last = *end == '-' ? strtoull(end + 1, &end, 10) : first;
        all = mark_range(spool, first, last, state) && all;
        c = *end == ',' ? end + 1 : end;
    }
    return all;
}

/* A record about a batch. Where one before it was lost, points at worst are sent once more under a
 * new key, and the server knows them by their content. */
static void apply(struct lq_spool *spool, const struct lq_record *record)
{
    const size_t key_size = LQ_SPOOL_KEY_MAX - 1;
    char *text = strndup(record->payload, record->size);
    if (text == NULL || strspn(text, "0123456789abcdef") != key_size || text[key_size] != ' ') {
        free(text);
        return;
    }
    const char *ranges = text + key_size + 1;
    switch (record->kind) {
    case LQ_SPOOL_BATCH:
        release(spool);
        if (mark(spool, ranges, LQ_SPOOL_SENT)) {
            memcpy(spool->key, text, key_size);
        } else {
            release(spool); /* the same bytes cannot be sent again */
        }
        break;
    case LQ_SPOOL_DONE:
    case LQ_SPOOL_DISSOLVED:
        (void)mark(spool, ranges, LQ_SPOOL_GONE);
        release(spool);
        break;
    default: /* a kind of a later version */
        break;
    }
    free(text);
}

/* The start of the next whole record behind `at`, or `size`. */
static size_t find_whole(const char *data, size_t size, size_t at)
{
    struct lq_record record;
    const char *line_end = memchr(data + at, '\n', size - at);
    while (line_end != NULL) {
        const size_t next = (size_t)(line_end - data) + 1;
        if (lq_record_read(data + next, size - next, &record) == LQ_RECORD_WHOLE) {
            return next;
        }
        line_end = memchr(data + next, '\n', size - next);
    }
    return size;
}

static enum lq_code scan_records(struct lq_spool *spool, const char *data, size_t size,
                                 struct lq_spool_scan *scan, struct lq_error *err)
{
    size_t at = LQ_SPOOL_HEADER_SIZE;
    if (size < at || memcmp(data, LQ_SPOOL_HEADER, at) != 0) {
        scan->is_damaged = true;
        at = find_whole(data, size, 0);
    }
    while (at < size) {
        struct lq_record record;
        const enum lq_record_state state = lq_record_read(data + at, size - at, &record);
        if (state == LQ_RECORD_TORN) {
            scan->torn_bytes = size - at;
            break;
        }
        if (state == LQ_RECORD_DAMAGED) {
            scan->is_damaged = true;
            at = find_whole(data, size, at);
            continue;
        }
        if (record.kind == LQ_SPOOL_POINT &&
            (record.number < spool->next || record.number > NUMBER_MAX)) {
            scan->is_damaged = true;
        } else if (record.kind == LQ_SPOOL_POINT) {
            LQ_TRY(lq_spool_remember(spool, record.number, (off_t)(at + LQ_RECORD_HEAD),
                                     record.size, err));
        } else {
            apply(spool, &record);
        }
        at += record.whole;
    }
    scan->end = (off_t)at;
    return LQ_OK;
}

enum lq_code lq_spool_load(struct lq_spool *spool, struct lq_spool_scan *scan, struct lq_error *err)
{
    *scan = (struct lq_spool_scan){.end = 0};
    struct stat status;
    if (fstat(spool->fd, &status) != 0) {
        return lq_spool_file_fail("read", spool->path, err);
    }
    if (status.st_size == 0) {
        return LQ_OK;
    }
    const size_t size = (size_t)status.st_size;
    char *data = malloc(size);
    if (data == NULL) {
        return lq_fail(err, LQ_EFILE, NULL, "%.200s needs %zu bytes of memory", spool->path, size);
    }
    size_t got = 0;
    while (got < size) {
        const ssize_t n = pread(spool->fd, data + got, size - got, (off_t)got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            free(data);
            return lq_spool_file_fail("read", spool->path, err);
        }
        got += (size_t)n;
    }
    const enum lq_code code = scan_records(spool, data, size, scan, err);
    free(data);
    return code;
}

/* A name that no file has: PATH.damaged-1, -2, ... becomes a second one of the file. */
static enum lq_code link_aside(const struct lq_spool *spool, char *aside, size_t aside_size,
                               struct lq_error *err)
{
    for (int i = 1; i <= 1000; i++) {
        snprintf(aside, aside_size, "%s.damaged-%d", spool->path, i);
        if (link(spool->path, aside) == 0) {
            return LQ_OK;
        }
        if (errno != EEXIST) {
            return lq_spool_file_fail("keep aside the damaged", spool->path, err);
        }
    }
    return lq_fail(err, LQ_EFILE, NULL, "%.200s was damaged a thousand times: take those away",
                   spool->path);
}

/* Copies the texts that wait, and the batch that was begun, into the new file. */
static enum lq_code copy_waiting(const struct lq_spool *old, struct lq_spool *new,
                                 struct lq_error *err)
{
    enum lq_code code = LQ_OK;
    for (size_t i = 0; code == LQ_OK && i < old->count; i++) {
        const struct lq_spool_entry *entry = &old->entries[i];
        if (entry->state == LQ_SPOOL_GONE) {
            continue;
        }
        char *text = calloc(1, entry->size + 1);
        if (text == NULL || pread(old->fd, text, entry->size, entry->at) != (ssize_t)entry->size) {
            code = lq_spool_file_fail("read", old->path, err);
        } else {
            const off_t at = new->end + LQ_RECORD_HEAD;
            code = lq_spool_write(new, LQ_SPOOL_POINT, entry->number, text, entry->size, err);
            if (code == LQ_OK) {
                code = lq_spool_remember(new, entry->number, at, entry->size, err);
            }
        }
        if (code == LQ_OK) {
            new->entries[new->count - 1].state = entry->state;
        }
        free(text);
    }
    if (code == LQ_OK && old->key[0] != '\0') {
        code = lq_spool_write_batch(new, LQ_SPOOL_BATCH, old->key, LQ_SPOOL_SENT, err);
        memcpy(new->key, old->key, sizeof new->key);
    }
    return code;
}

/* Makes the new file complete and gives it the old one's name. */
static enum lq_code build(const struct lq_spool *old, struct lq_spool *new, char *aside,
                          size_t aside_size, struct lq_error *err)
{
    LQ_TRY(lq_spool_create(new, err));
    LQ_TRY(copy_waiting(old, new, err));
    if (fdatasync(new->fd) != 0) {
        return lq_spool_file_fail("write", new->path, err);
    }
    LQ_TRY(link_aside(old, aside, aside_size, err));
    return lq_spool_adopt(new, err);
}

enum lq_code lq_spool_renew(struct lq_spool *spool, char *aside, size_t aside_size,
                            struct lq_error *err)
{
    struct lq_spool new = *spool; /* the same folder and names, another file */
    new.fd = -1;
    new.entries = NULL;
    new.count = 0;
    new.capacity = 0;
    new.key[0] = '\0';
    new.is_lazy = true;
    const enum lq_code code = build(spool, &new, aside, aside_size, err);
    new.is_lazy = false;
    struct lq_spool *dropped = code == LQ_OK ? spool : &new;
    if (dropped->fd >= 0) {
        close(dropped->fd);
    }
    free(dropped->entries);
    if (code == LQ_OK) {
        *spool = new;
    }
    return code;
}
