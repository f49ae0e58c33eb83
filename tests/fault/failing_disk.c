/* Loaded before the C library, makes writes and flushes of files fail: those of a database under
 * test, from the N-th on, for as many as are asked for. Nothing else of the process is touched. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* LQ_FAIL_FROM (the first call that fails, from 1) · LQ_FAIL_COUNT (how many fail) · LQ_FAIL_CALL
 * ("write" or "flush") · LQ_FAIL_ERRNO ("ENOSPC" or "EIO"). */
static atomic_long calls;

static long setting(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? atol(text) : 0;
}

static bool is_database(int fd)
{
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) {
        return false;
    }
    path[size] = '\0';
    return strstr(path, ".db") != NULL && strstr(path, "-shm") == NULL;
}

/* Whether this call is one of those that fail; then errno is set. */
static bool fails(const char *call, int fd)
{
    const char *chosen = getenv("LQ_FAIL_CALL");
    if (chosen == NULL || strcmp(chosen, call) != 0 || !is_database(fd)) {
        return false;
    }
    const long number = atomic_fetch_add(&calls, 1) + 1;
    const long from = setting("LQ_FAIL_FROM");
    if (from <= 0 || number < from || number >= from + setting("LQ_FAIL_COUNT")) {
        return false;
    }
    const char *code = getenv("LQ_FAIL_ERRNO");
    errno = code != NULL && strcmp(code, "EIO") == 0 ? EIO : ENOSPC;
    return true;
}

/* The C library's own function; ISO C has no cast from an object's address to a function's. */
static void next_function(const char *name, void *function)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset);
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    static ssize_t (*next)(int, const void *, size_t, off64_t);
    if (next == NULL) {
        next_function("pwrite64", &next);
    }
    return fails("write", fd) ? -1 : next(fd, data, size, offset);
}

int fdatasync(int fd)
{
    static int (*next)(int);
    if (next == NULL) {
        next_function("fdatasync", &next);
    }
    return fails("flush", fd) ? -1 : next(fd);
}

int fsync(int fd)
{
    static int (*next)(int);
    if (next == NULL) {
        next_function("fsync", &next);
    }
    return fails("flush", fd) ? -1 : next(fd);
}
