/* The spool's file: opening, writing records durably, and the room that is kept to deliver. */
#include "kernels/delivery/record.h"
#include "kernels/delivery/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* Kept free behind the points for the records about batches, some 100 bytes each: what a full
     * disk holds can still be delivered. */
    RESERVE_BYTES = 64 * 1024,
    RESERVE_STEP_BYTES = 64 * 1024 /* so that not every append has to ask for blocks */
};

enum lq_code lq_spool_file_fail(const char *what, const char *path, struct lq_error *err)
{
    return lq_fail(err, LQ_EFILE, NULL, "cannot %s %.250s: %s", what, path, strerror(errno));
}

/* Writes all bytes or none: what was written of them is cut off again. */
static enum lq_code write_at_end(struct lq_spool *spool, const char *bytes, size_t size,
                                 struct lq_error *err)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t n = pwrite(spool->fd, bytes + done, size - done, spool->end + (off_t)done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    if (done == size && (spool->is_lazy || fdatasync(spool->fd) == 0)) {
        spool->end += (off_t)size;
        return LQ_OK;
    }
    const enum lq_code code = lq_spool_file_fail("write", spool->path, err);
    spool->reserved = 0; /* cutting gives blocks back */
    if (ftruncate(spool->fd, spool->end) != 0) {
        return code; /* the next record is written over it */
    }
    return code;
}

enum lq_code lq_spool_write(struct lq_spool *spool, char kind, uint64_t number, const char *payload,
                            size_t size, struct lq_error *err)
{
    char *bytes = malloc(LQ_RECORD_HEAD + size + 2);
    if (bytes == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    lq_record_write_head(bytes, kind, number, payload, size);
    memcpy(bytes + LQ_RECORD_HEAD, payload, size);
    bytes[LQ_RECORD_HEAD + size] = '\n';
    const enum lq_code code = write_at_end(spool, bytes, LQ_RECORD_HEAD + size + 1, err);
    free(bytes);
    return code;
}

/* Makes sure that `size` more bytes leave the room that delivering takes. File systems that cannot
 * reserve are taken as they are. */
static enum lq_code reserve(struct lq_spool *spool, size_t size, struct lq_error *err)
{
    const off_t needed = spool->end + (off_t)size + RESERVE_BYTES;
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        (rlim_t)needed > limit.rlim_cur) {
        errno = EFBIG;
        return lq_spool_file_fail("write", spool->path, err);
    }
    if (needed <= spool->reserved) {
        return LQ_OK;
    }
    int result = fallocate(spool->fd, FALLOC_FL_KEEP_SIZE, spool->end,
                           needed - spool->end + RESERVE_STEP_BYTES);
    spool->reserved = needed + RESERVE_STEP_BYTES;
    if (result != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
        spool->reserved = needed; /* the last that fit */
        result = fallocate(spool->fd, FALLOC_FL_KEEP_SIZE, spool->end, needed - spool->end);
    }
    if (result != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
        spool->reserved = 0;
        return lq_spool_file_fail("write", spool->path, err);
    }
    return LQ_OK;
}

enum lq_code lq_spool_remember(struct lq_spool *spool, uint64_t number, off_t at, size_t size,
                               struct lq_error *err)
{
    if (spool->count == spool->capacity) {
        const size_t capacity = spool->capacity == 0 ? 64 : 2 * spool->capacity;
        struct lq_spool_entry *entries = realloc(spool->entries, capacity * sizeof *entries);
        if (entries == NULL) {
            return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
        }
        spool->entries = entries;
        spool->capacity = capacity;
    }
    spool->entries[spool->count++] =
        (struct lq_spool_entry){.number = number, .at = at, .size = size};
    spool->next = number + 1;
    return LQ_OK;
}

enum lq_code lq_spool_append(struct lq_spool *spool, const char *point, struct lq_error *err)
{
    const size_t size = strlen(point);
    if (size < 2 || point[0] != '{' || point[size - 1] != '}' || strchr(point, '\n') != NULL) {
        return lq_fail(err, LQ_ESYNTAX, NULL, "a point must be one JSON object on one line");
    }
    if (size > LQ_RECORD_PAYLOAD_MAX) { /* more would leave no room in a body */
        return lq_fail(err, LQ_ETOOLARGE, NULL, "a point has at most %d bytes, got %zu",
                       LQ_RECORD_PAYLOAD_MAX, size);
    }
    LQ_TRY(reserve(spool, LQ_RECORD_HEAD + size + 1, err));
    const off_t at = spool->end + LQ_RECORD_HEAD;
    const uint64_t number = spool->next;
    LQ_TRY(lq_spool_write(spool, LQ_SPOOL_POINT, number, point, size, err));
    return lq_spool_remember(spool, number, at, size, err);
}

size_t lq_spool_waiting(const struct lq_spool *spool)
{
    size_t waiting = 0;
    for (size_t i = 0; i < spool->count; i++) {
        waiting += spool->entries[i].state != LQ_SPOOL_GONE ? 1 : 0;
    }
    return waiting;
}

/* Folders up to `dir`, then one file that only one process at a time holds. */
static enum lq_code lock(struct lq_spool *spool, struct lq_error *err)
{
    spool->dir_fd = open(spool->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->dir_fd < 0) {
        return lq_spool_file_fail("open the spool's folder", spool->dir, err);
    }
    spool->lock_fd = openat(spool->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (spool->lock_fd < 0) {
        return lq_spool_file_fail("write into the spool's folder", spool->dir, err);
    }
    if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        return LQ_OK;
    }
    if (errno == EWOULDBLOCK) {
        return lq_fail(err, LQ_EFILE, NULL,
                       "another llmquote-worker uses the spool in %.250s; wait for it, or give "
                       "this one a folder of its own with --spool",
                       spool->dir);
    }
    return lq_spool_file_fail("lock the spool's folder", spool->dir, err);
}

static enum lq_code make_folders(const char *dir, struct lq_error *err)
{
    char *path = strdup(dir);
    if (path == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    bool is_made = true;
    for (char *slash = strchr(path + 1, '/'); is_made && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        is_made = mkdir(path, 0777) == 0 || errno == EEXIST || errno == EROFS;
        *slash = '/';
    }
    is_made = is_made && (mkdir(path, 0700) == 0 || errno == EEXIST);
    free(path);
    return is_made ? LQ_OK : lq_spool_file_fail("make the spool's folder", dir, err);
}

enum lq_code lq_spool_create(struct lq_spool *spool, struct lq_error *err)
{
    spool->fd = openat(spool->dir_fd, "spool.new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    spool->end = 0;
    spool->reserved = 0;
    if (spool->fd < 0) {
        return lq_spool_file_fail("make a file in", spool->dir, err);
    }
    return write_at_end(spool, LQ_SPOOL_HEADER, LQ_SPOOL_HEADER_SIZE, err);
}

enum lq_code lq_spool_adopt(struct lq_spool *spool, struct lq_error *err)
{
    if (renameat(spool->dir_fd, "spool.new", spool->dir_fd, "spool") != 0 ||
        fsync(spool->dir_fd) != 0) {
        return lq_spool_file_fail("make", spool->path, err);
    }
    const int parent = openat(spool->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent >= 0) { /* the folder may be as new as the file */
        (void)fsync(parent);
        close(parent);
    }
    return LQ_OK;
}

/* Opens the file; a missing or empty one becomes one with a header. */
static enum lq_code open_file(struct lq_spool *spool, struct lq_error *err)
{
    spool->fd = openat(spool->dir_fd, "spool", O_RDWR | O_CLOEXEC);
    struct stat status = {0};
    if (spool->fd >= 0 && fstat(spool->fd, &status) == 0 && status.st_size > 0) {
        return LQ_OK;
    }
    if (spool->fd < 0 && errno != ENOENT) {
        return lq_spool_file_fail("open the spool", spool->path, err);
    }
    if (spool->fd >= 0) {
        close(spool->fd);
    }
    LQ_TRY(lq_spool_create(spool, err));
    return lq_spool_adopt(spool, err);
}

/* Reads the file and brings it into order. */
static enum lq_code load(struct lq_spool *spool, char *aside, size_t aside_size,
                         struct lq_error *err)
{
    struct lq_spool_scan scan;
    LQ_TRY(lq_spool_load(spool, &scan, err));
    spool->end = scan.end;
    if (scan.is_damaged) {
        LQ_TRY(lq_spool_renew(spool, aside, aside_size, err));
    } else if (scan.torn_bytes > 0 && ftruncate(spool->fd, spool->end) != 0) {
        return lq_spool_file_fail("cut", spool->path, err);
    }
    return lq_spool_empty(spool, err);
}

enum lq_code lq_spool_open(const char *dir, struct lq_spool **out, char *aside, size_t aside_size,
                           struct lq_error *err)
{
    aside[0] = '\0';
    LQ_TRY(make_folders(dir, err));
    struct lq_spool *spool = calloc(1, sizeof *spool);
    if (spool == NULL) {
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    spool->dir_fd = spool->lock_fd = spool->fd = -1;
    spool->next = 1;
    spool->dir = strdup(dir);
    if (spool->dir == NULL || asprintf(&spool->path, "%s/spool", dir) < 0) {
        spool->path = NULL;
        lq_spool_close(spool);
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    enum lq_code code = lock(spool, err);
    code = code == LQ_OK ? open_file(spool, err) : code;
    code = code == LQ_OK ? load(spool, aside, aside_size, err) : code;
    if (code != LQ_OK) {
        lq_spool_close(spool);
        return code;
    }
    *out = spool;
    return LQ_OK;
}

void lq_spool_close(struct lq_spool *spool)
{
    if (spool == NULL) {
        return;
    }
    const int fds[] = {spool->fd, spool->lock_fd, spool->dir_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(spool->entries);
    free(spool->path);
    free(spool->dir);
    free(spool);
}

enum lq_code lq_spool_set_aside(struct lq_spool *spool, const char *line, struct lq_error *err)
{
    const int fd =
        openat(spool->dir_fd, "rejected.jsonl", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return lq_spool_file_fail("open rejected.jsonl in", spool->dir, err);
    }
    enum lq_code code = LQ_OK;
    const off_t before = lseek(fd, 0, SEEK_END);
    if (dprintf(fd, "%s\n", line) != (int)strlen(line) + 1 || fsync(fd) != 0 ||
        fsync(spool->dir_fd) != 0) {
        code = lq_spool_file_fail("write rejected.jsonl in", spool->dir, err);
        if (ftruncate(fd, before) != 0) {
            code = LQ_EFILE; /* a partial line stays; the point does too, in the spool */
        }
    }
    close(fd);
    return code;
}
