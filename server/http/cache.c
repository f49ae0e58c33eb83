/* A hash table in shards, each with its own lock and list of use. An entry is counted, so that one
 * that is being sent may be dropped meanwhile. */
#include "server/http/cache.h"

#include "core/base/hash.h"
#include "server/store/catalog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = 16, BUCKETS = 1024, VERSIONS_MAX = 64, LARGEST_PART = 64 };

struct entry {
    struct entry *next;  /* in its bucket */
    struct entry *newer; /* in the order of use */
    struct entry *older;
    atomic_size_t references; /* the table's, and one for each answer being sent */
    uint64_t hash;
    size_t route;
    size_t body_size;
    size_t answer_size;
    char versions[VERSIONS_MAX];
    char bytes[]; /* answer, then the request's body */
};

struct shard {
    pthread_mutex_t mutex;
    struct entry *buckets[BUCKETS];
    struct entry *newest;
    struct entry *oldest;
    size_t bytes;
};

struct lq_cache {
    size_t shard_bytes_max;
    struct shard shards[SHARDS];
};

struct lq_cache *lq_cache_new(size_t bytes_max)
{
    struct lq_cache *cache = bytes_max > 0 ? calloc(1, sizeof *cache) : NULL;
    if (cache == NULL) {
        return NULL;
    }
    cache->shard_bytes_max = bytes_max / SHARDS;
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&cache->shards[i].mutex, NULL);
    }
    return cache;
}

static void release(struct entry *entry)
{
    if (atomic_fetch_sub(&entry->references, 1) == 1) {
        free(entry);
    }
}

/* An answer that has been sent: its entry begins before it. */
static void release_body(void *body)
{
    release((struct entry *)(void *)((char *)body - offsetof(struct entry, bytes)));
}

void lq_cache_free(struct lq_cache *cache)
{
    for (int i = 0; cache != NULL && i < SHARDS; i++) {
        struct entry *entry = cache->shards[i].newest;
        while (entry != NULL) {
            struct entry *older = entry->older;
            release(entry);
            entry = older;
        }
        pthread_mutex_destroy(&cache->shards[i].mutex);
    }
    free(cache);
}

static void write_versions(const struct lq_catalog *catalog, char versions[VERSIONS_MAX])
{
    memset(versions, 0, VERSIONS_MAX);
    memcpy(versions, catalog->data_version, sizeof catalog->data_version);
    memcpy(versions + 20, catalog->prices_version, sizeof catalog->prices_version);
    memcpy(versions + 40, catalog->laws_version, sizeof catalog->laws_version);
}

static uint64_t hash_of(const struct lq_cache_key *key, const char versions[VERSIONS_MAX])
{
    uint64_t hash = lq_hash_bytes(LQ_HASH_START, &key->route, sizeof key->route);
    hash = lq_hash_bytes(hash, versions, VERSIONS_MAX);
    return lq_hash_bytes(hash, key->body, key->body_size);
}

static struct shard *shard_of(struct lq_cache *cache, uint64_t hash)
{
    return &cache->shards[(hash >> 56) % SHARDS];
}

static struct entry **bucket_of(struct shard *shard, uint64_t hash)
{
    return &shard->buckets[(hash >> 32) % BUCKETS];
}

static bool is_same(const struct entry *entry, uint64_t hash, const struct lq_cache_key *key,
                    const char versions[VERSIONS_MAX])
{
    return entry->hash == hash && entry->route == key->route &&
           entry->body_size == key->body_size &&
           memcmp(entry->versions, versions, VERSIONS_MAX) == 0 &&
           memcmp(entry->bytes + entry->answer_size, key->body, key->body_size) == 0;
}

static struct entry *find(struct shard *shard, uint64_t hash, const struct lq_cache_key *key,
                          const char versions[VERSIONS_MAX])
{
    struct entry *entry = *bucket_of(shard, hash);
    while (entry != NULL && !is_same(entry, hash, key, versions)) {
        entry = entry->next;
    }
    return entry;
}

static size_t bytes_of(const struct entry *entry)
{
    return sizeof *entry + entry->answer_size + entry->body_size;
}

static void unlink_use(struct shard *shard, struct entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &shard->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &shard->oldest) = entry->newer;
}

static void link_newest(struct shard *shard, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = shard->newest;
    *(shard->newest != NULL ? &shard->newest->newer : &shard->oldest) = entry;
    shard->newest = entry;
}

static void drop(struct shard *shard, struct entry *entry)
{
    struct entry **link = bucket_of(shard, entry->hash);
    while (*link != entry) {
        link = &(*link)->next;
    }
    *link = entry->next;
    unlink_use(shard, entry);
    shard->bytes -= bytes_of(entry);
    release(entry);
}

bool lq_cache_get(struct lq_cache *cache, const struct lq_cache_key *key, struct lq_reply *reply)
{
    char versions[VERSIONS_MAX];
    if (cache == NULL) {
        return false;
    }
    write_versions(key->catalog, versions);
    const uint64_t hash = hash_of(key, versions);
    struct shard *shard = shard_of(cache, hash);
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = find(shard, hash, key, versions);
    if (entry != NULL) {
        atomic_fetch_add(&entry->references, 1);
        unlink_use(shard, entry);
        link_newest(shard, entry);
    }
    pthread_mutex_unlock(&shard->mutex);
    if (entry == NULL) {
        return false;
    }
    reply->body = entry->bytes;
    reply->body_size = entry->answer_size;
    reply->free_body = release_body;
    reply->body_lasts = true;
    return true;
}

/* A new entry with the table's reference; NULL where memory runs out. */
static struct entry *make(const struct lq_cache_key *key, const struct lq_reply *reply,
                          const char versions[VERSIONS_MAX], uint64_t hash)
{
    struct entry *entry = malloc(sizeof *entry + reply->body_size + key->body_size);
    if (entry == NULL) {
        return NULL;
    }
    *entry = (struct entry){.hash = hash,
                            .route = key->route,
                            .body_size = key->body_size,
                            .answer_size = reply->body_size};
    atomic_init(&entry->references, 1);
    memcpy(entry->versions, versions, VERSIONS_MAX);
    memcpy(entry->bytes, reply->body, reply->body_size);
    memcpy(entry->bytes + reply->body_size, key->body, key->body_size);
    return entry;
}

void lq_cache_put(struct lq_cache *cache, const struct lq_cache_key *key,
                  const struct lq_reply *reply)
{
    char versions[VERSIONS_MAX];
    if (cache == NULL ||
        reply->body_size + key->body_size > cache->shard_bytes_max / (LARGEST_PART / SHARDS)) {
        return;
    }
    write_versions(key->catalog, versions);
    const uint64_t hash = hash_of(key, versions);
    struct entry *entry = make(key, reply, versions, hash);
    if (entry == NULL) {
        return;
    }
    struct shard *shard = shard_of(cache, hash);
    pthread_mutex_lock(&shard->mutex);
    struct entry *last = find(shard, hash, key, versions);
    if (last != NULL) { /* another thread was first */
        drop(shard, last);
    }
    entry->next = *bucket_of(shard, hash);
    *bucket_of(shard, hash) = entry;
    link_newest(shard, entry);
    shard->bytes += bytes_of(entry);
    while (shard->bytes > cache->shard_bytes_max && shard->oldest != entry) {
        drop(shard, shard->oldest);
    }
    pthread_mutex_unlock(&shard->mutex);
}
