/* Stands before malloc (LD_PRELOAD) and lets allocations fail: the N-th from when it is told to, or
 * each with a chance. What is allocated is no concern of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a test sets and reads in the file that FAIL_MALLOC names, which both map. */
struct control {
    _Atomic int64_t countdown; /* the allocation that brings it from 1 to 0 fails; 0: none */
    _Atomic int64_t one_in;    /* each allocation fails with a chance of 1 in so many; 0: none */
    _Atomic uint64_t random;   /* state of the choice, the seed at first */
    _Atomic int64_t counted;   /* allocations */
    _Atomic int64_t failed;    /* of these */
};

/* glibc's own, behind the names that are taken here. */
void *__libc_malloc(size_t size);                 /* NOLINT(bugprone-reserved-identifier) */
void *__libc_calloc(size_t count, size_t size);   /* NOLINT(bugprone-reserved-identifier) */
void *__libc_realloc(void *memory, size_t size);  /* NOLINT(bugprone-reserved-identifier) */
void *__libc_memalign(size_t align, size_t size); /* NOLINT(bugprone-reserved-identifier) */

static struct control *control;

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("FAIL_MALLOC");
    const int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        control = shared != MAP_FAILED ? shared : NULL;
        close(fd);
    }
}

/* splitmix64: S. Vigna, https://prng.di.unimi.it/splitmix64.c, public domain. */
static uint64_t draw(void)
{
    uint64_t z = atomic_fetch_add(&control->random, UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30U)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27U)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31U);
}

static bool must_fail(void)
{
    if (control == NULL) {
        return false;
    }
    atomic_fetch_add(&control->counted, 1);
    const int64_t one_in = atomic_load(&control->one_in);
    bool fails = one_in > 0 && draw() % (uint64_t)one_in == 0;
    if (atomic_load(&control->countdown) > 0) {
        fails = atomic_fetch_sub(&control->countdown, 1) == 1 || fails;
    }
    if (fails) {
        atomic_fetch_add(&control->failed, 1);
        errno = ENOMEM;
    }
    return fails;
}

void *malloc(size_t size)
{
    return must_fail() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return must_fail() ? NULL : __libc_realloc(memory, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    return must_fail() ? NULL : __libc_memalign(align, size);
}

int posix_memalign(void **memory, size_t align, size_t size)
{
    void *got = must_fail() ? NULL : __libc_memalign(align, size);
    if (got == NULL) {
        return ENOMEM;
    }
    *memory = got;
    return 0;
}
