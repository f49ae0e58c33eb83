/* A bump arena per thread: a list of chunks, newest first, each twice the one before, so that even
 * the largest request has few. The oldest stays with the thread between requests, the others are
 * returned at the end of each. */
#include "server/json/arena.h"

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define LQ_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LQ_ASAN 1
#endif
#endif
#ifdef LQ_ASAN
#include <sanitizer/asan_interface.h>
enum { REDZONE = 16 };
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
enum { REDZONE = 0 };
#endif

enum { ALIGNMENT = 16, FIRST_CHUNK_BYTES = LQ_ARENA_KEPT_BYTES / 2 };

struct chunk {
    struct chunk *older;
    size_t capacity; /* of data */
    size_t used;
    _Alignas(ALIGNMENT) unsigned char data[];
};

static _Thread_local struct chunk *newest;
static _Thread_local bool active;
static _Thread_local bool failed;

static pthread_key_t thread_end; /* its destructor gives back what an ending thread keeps */
static bool installed;

static void chunk_free(struct chunk *chunk)
{
    ASAN_UNPOISON_MEMORY_REGION(chunk->data, chunk->capacity);
    free(chunk);
}

static struct chunk *chunk_new(size_t least)
{
    size_t capacity = newest == NULL ? FIRST_CHUNK_BYTES : newest->capacity * 2;
    if (capacity < least) {
        capacity = least;
    }
    struct chunk *chunk = malloc(sizeof *chunk + capacity);
    if (chunk == NULL) {
        return NULL;
    }
    *chunk = (struct chunk){.older = newest, .capacity = capacity};
    if (newest == NULL && installed) {
        pthread_setspecific(thread_end, chunk);
    }
    ASAN_POISON_MEMORY_REGION(chunk->data, capacity);
    newest = chunk;
    return chunk;
}

static bool owned(const void *memory)
{
    uintptr_t address = (uintptr_t)memory;
    for (const struct chunk *chunk = newest; chunk != NULL; chunk = chunk->older) {
        uintptr_t start = (uintptr_t)chunk->data;
        if (address >= start && address - start < chunk->capacity) {
            return true;
        }
    }
    return false;
}

static void *take(size_t size)
{
    if (!active) {
        return malloc(size);
    }
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size_t rounded = ((size > 0 ? size : 1) + REDZONE + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct chunk *chunk = newest;
    if (chunk == NULL || chunk->capacity - chunk->used < rounded) {
        chunk = chunk_new(rounded);
        if (chunk == NULL) {
            return NULL;
        }
    }
    void *memory = chunk->data + chunk->used;
    chunk->used += rounded;
    ASAN_UNPOISON_MEMORY_REGION(memory, size);
    return memory;
}

bool lq_arena_is_active(void)
{
    return active;
}

/* 24: "1," takes two bytes as text; 32 as a value and 8 to 16 in its list. Large documents are
 * tables of longer numbers and names. */
bool lq_arena_reserve(size_t document_bytes)
{
    enum { DENSE = 24, SPARSE = 4, DENSE_BYTES_MAX = 1024 * 1024 };
    const size_t times = document_bytes <= DENSE_BYTES_MAX ? DENSE : SPARSE;
    const size_t least = document_bytes * times + FIRST_CHUNK_BYTES / 4;
    return !active || !installed || (newest != NULL && newest->capacity - newest->used >= least) ||
           chunk_new(least) != NULL;
}

void *lq_arena_malloc(size_t size)
{
    void *memory = take(size);
    failed = failed || memory == NULL;
    return memory;
}

bool lq_arena_failed(void)
{
    const bool had = failed;
    failed = false;
    return had;
}

void lq_arena_free(void *memory)
{
    if (memory != NULL && !owned(memory)) {
        free(memory);
    }
}

static void on_thread_end(void *first_chunk)
{
    (void)first_chunk;
    lq_arena_release();
}

void lq_arena_install(void)
{
    installed = pthread_key_create(&thread_end, on_thread_end) == 0;
    json_set_alloc_funcs(lq_arena_malloc, lq_arena_free);
}

void lq_arena_begin(void)
{
    active = true;
    failed = false;
}

void lq_arena_end(void)
{
    active = false;
    while (newest != NULL && (newest->older != NULL || newest->capacity > LQ_ARENA_KEPT_BYTES)) {
        struct chunk *chunk = newest;
        newest = chunk->older;
        chunk_free(chunk);
    }
    if (newest != NULL) {
        newest->used = 0;
        ASAN_POISON_MEMORY_REGION(newest->data, newest->capacity);
    }
}

struct lq_arena_mark lq_arena_mark(void)
{
    return (struct lq_arena_mark){newest, newest != NULL ? newest->used : 0};
}

void lq_arena_rewind(struct lq_arena_mark mark)
{
    if (!active || mark.chunk == NULL) {
        return;
    }
    while (newest != mark.chunk) {
        struct chunk *chunk = newest;
        newest = chunk->older;
        chunk_free(chunk);
    }
    ASAN_POISON_MEMORY_REGION(newest->data + mark.used, newest->used - mark.used);
    newest->used = mark.used;
}

void lq_arena_release(void)
{
    lq_arena_end();
    if (newest != NULL) {
        chunk_free(newest);
        newest = NULL;
    }
}

size_t lq_arena_held(void)
{
    size_t bytes = 0;
    for (const struct chunk *chunk = newest; chunk != NULL; chunk = chunk->older) {
        bytes += chunk->capacity;
    }
    return bytes;
}
