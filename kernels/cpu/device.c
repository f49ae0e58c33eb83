/* The open CPU device: its memory, what fills and moves it, and the tally. Operations of a layer
 * are in files of their own. */
#include "kernels/cpu/cpu.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGNMENT = 64,      /* bytes: a cache line; also what stands before each allocation */
    HUGE_PAGE = 2 << 20, /* bytes: x86-64, and AArch64 with pages of 4 KiB */
    PAGE = 4096,         /* bytes: the smallest in use */
    BYTES_GRAIN = 1 << 20,
    CHECKED_FROM = 1 << 20 /* bytes: what is smaller comes out of the reserve, unasked */
};
/* ASSUMED: the share of free memory left to others and to the libraries' own buffers; a run that
 * is killed while the worker says it fits would show that it is too small. */
static const double RESERVE = 1.0 / 32.0;

static size_t rounded(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static void touch(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    volatile char *memory = context;
    for (int64_t page = begin; page < end; page++) {
        memory[page * PAGE] = 0;
    }
}

/* Room for `asked` bytes behind a cache line of our own. Every page is really there: afterwards the
 * system counts it as used, and operations do not pay for finding it. */
static enum lq_code take(struct lq_device *device, size_t asked, void **memory,
                         struct lq_error *err)
{
    const double available =
        asked < CHECKED_FROM ? -1.0 : lq_cpu_available_bytes() * (1.0 - RESERVE);
    if (available >= 0.0 && (double)asked > available) {
        return lq_fail(err, LQ_ENOFIT, NULL, "%zu bytes asked for, %.0f available", asked,
                       available);
    }
    const size_t unit = asked >= 2 * (size_t)HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
    const size_t bytes = asked > SIZE_MAX / 2 ? SIZE_MAX : rounded(asked + ALIGNMENT, unit);
    void *taken = bytes == SIZE_MAX ? NULL : aligned_alloc(unit, bytes);
    if (taken == NULL) {
        return lq_fail(err, LQ_ENOFIT, NULL, "%zu bytes asked for, the system refuses", asked);
    }
    if (unit == HUGE_PAGE) {
        madvise(taken, bytes, MADV_HUGEPAGE); /* a wish: faster where granted */
    }
    lq_parallel(device, (int64_t)((bytes + PAGE - 1) / PAGE), BYTES_GRAIN / PAGE, touch, taken);
    memcpy(taken, &asked, sizeof asked);
    *memory = (char *)taken + ALIGNMENT;
    return LQ_OK;
}

static void give_back(void *memory)
{
    if (memory != NULL) {
        free((char *)memory - ALIGNMENT);
    }
}

enum lq_code lq_cpu_allocate(struct lq_device *device, size_t bytes, void **memory,
                             struct lq_error *err)
{
    LQ_TRY(take(device, bytes, memory, err));
    device->allocated_bytes += bytes;
    if (device->allocated_bytes > device->peak_bytes) {
        device->peak_bytes = device->allocated_bytes;
    }
    return LQ_OK;
}

void lq_cpu_release(struct lq_device *device, void *memory)
{
    if (memory == NULL) {
        return;
    }
    size_t bytes;
    memcpy(&bytes, (char *)memory - ALIGNMENT, sizeof bytes);
    assert(bytes <= device->allocated_bytes);
    device->allocated_bytes -= bytes;
    give_back(memory);
}

void lq_cpu_usage(struct lq_device *device, bool restart, size_t *now, size_t *peak)
{
    *now = device->allocated_bytes;
    *peak = device->peak_bytes;
    if (restart) {
        device->peak_bytes = device->allocated_bytes;
    }
}

enum lq_code lq_cpu_scratch(struct lq_device *device, size_t bytes, void **memory,
                            struct lq_error *err)
{
    if (bytes > device->scratch_bytes) {
        give_back(device->scratch);
        device->scratch = NULL;
        device->scratch_bytes = 0;
        LQ_TRY(take(device, bytes, &device->scratch, err));
        device->scratch_bytes = bytes;
    }
    *memory = device->scratch;
    return LQ_OK;
}

enum lq_code lq_cpu_open_threads(int threads, struct lq_device **out, struct lq_error *err)
{
    struct lq_device *device = calloc(1, sizeof *device);
    if (device == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "no memory for a device");
    }
    const enum lq_code code =
        lq_pool_open(threads > 0 ? threads : lq_cpu_cores(), &device->pool, err);
    if (code != LQ_OK) {
        free(device);
        return code;
    }
    lq_cpu_blas_open();
    device->throttle_count = -1.0;
    *out = device;
    return LQ_OK;
}

void lq_cpu_close(struct lq_device *device)
{
    if (device == NULL) {
        return;
    }
    lq_pool_close(device->pool);
    give_back(device->scratch);
    free(device);
}

void lq_cpu_count(struct lq_device *device, struct lq_tally work)
{
    device->tally.flop += work.flop;
    device->tally.weight_bytes += work.weight_bytes;
    device->tally.stream_bytes += work.stream_bytes;
    device->tally.traffic_bytes += work.traffic_bytes;
    device->tally.calls += 1.0;
}

struct lq_tally lq_cpu_tally(struct lq_device *device)
{
    const struct lq_tally tally = device->tally;
    device->tally = (struct lq_tally){0};
    return tally;
}

struct bytes {
    char *to;
    const char *from;
};

static void copy_range(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct bytes *bytes = context;
    memcpy(bytes->to + begin, bytes->from + begin, (size_t)(end - begin));
}

enum lq_code lq_cpu_copy(struct lq_device *device, void *to, const void *from, size_t bytes,
                         struct lq_error *err)
{
    (void)err;
    struct bytes range = {.to = to, .from = from};
    lq_parallel(device, (int64_t)bytes, BYTES_GRAIN, copy_range, &range);
    return LQ_OK;
}

static void zero_range(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    memset((char *)context + begin, 0, (size_t)(end - begin));
}

enum lq_code lq_cpu_zero(struct lq_device *device, void *memory, size_t bytes, struct lq_error *err)
{
    (void)err;
    lq_parallel(device, (int64_t)bytes, BYTES_GRAIN, zero_range, memory);
    lq_cpu_count(device, (struct lq_tally){.stream_bytes = (double)bytes});
    return LQ_OK;
}

struct noise {
    float *x;
    int64_t n;
    uint64_t seed;
    float scale;
};

/* splitmix64 (S. Vigna, prng.di.unimi.it/splitmix64.c, public domain) of a counter: what a pair
 * becomes does not depend on who computes it. */
static uint64_t hash(uint64_t seed, int64_t i)
{
    uint64_t z = seed + ((uint64_t)i + 1) * 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* Pairs of normal numbers from pairs of uniform ones (Box and Muller 1958). */
static void fill_pairs(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct noise *noise = context;
    for (int64_t i = begin; i < end; i++) {
        const uint64_t bits = hash(noise->seed, i);
        const float u = ((float)(bits >> 40) + 0.5F) * 0x1p-24F; /* in (0, 1] */
        const float turn = (float)((bits >> 8) & 0xffffff) * 0x1p-24F;
        const float radius = noise->scale * sqrtf(-2.0F * logf(u));
        float sine;
        float cosine;
        sincosf(6.28318531F * turn, &sine, &cosine);
        noise->x[2 * i] = radius * cosine;
        if (2 * i + 1 < noise->n) {
            noise->x[2 * i + 1] = radius * sine;
        }
    }
}

enum lq_code lq_cpu_randomize(struct lq_device *device, void *memory, int64_t n, uint64_t seed,
                              double scale, struct lq_error *err)
{
    (void)err;
    struct noise noise = {.x = memory, .n = n, .seed = seed, .scale = (float)scale};
    lq_parallel(device, (n + 1) / 2, 4096, fill_pairs, &noise);
    return LQ_OK;
}
