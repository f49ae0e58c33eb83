/* Finds points whose work is the same, before it is counted: that takes longer than to look. */
#include "server/jobs/step_sample.h"

#include "core/base/hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* All that lq_step_observe makes of a point's work, its identity aside. */
struct lq_work_key {
    size_t generation; /* 0: a free place */
    size_t parts;
    int64_t active_experts;
    int64_t accumulation_steps;
    int64_t batch_size;
    double row_tokens;
};

static uint64_t hash_of(const struct lq_work_key *key)
{
    uint64_t hash = lq_hash_bytes(LQ_HASH_START, &key->generation, sizeof key->generation);
    hash = lq_hash_bytes(hash, &key->active_experts, sizeof key->active_experts);
    hash = lq_hash_bytes(hash, &key->accumulation_steps, sizeof key->accumulation_steps);
    hash = lq_hash_bytes(hash, &key->batch_size, sizeof key->batch_size);
    return lq_hash_bytes(hash, &key->row_tokens, sizeof key->row_tokens);
}

static bool same_work(const struct lq_work_key *a, const struct lq_work_key *b)
{
    return a->generation == b->generation && a->active_experts == b->active_experts &&
           a->accumulation_steps == b->accumulation_steps && a->batch_size == b->batch_size &&
           a->row_tokens == b->row_tokens;
}

/* The place of the key, or the free one where it belongs. */
static struct lq_work_key *place_of(const struct lq_sampling *sampling,
                                    const struct lq_work_key *key)
{
    size_t at = hash_of(key) & sampling->mask;
    while (sampling->keys[at].generation != 0 && !same_work(&sampling->keys[at], key)) {
        at = (at + 1) & sampling->mask;
    }
    return &sampling->keys[at];
}

static enum lq_code out_of_memory(struct lq_error *err)
{
    return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
}

enum lq_code lq_sampling_begin(struct lq_sampling *sampling, const struct lq_catalog *catalog,
                               size_t most, struct lq_error *err)
{
    size_t places = 16;
    while (places < 2 * most) {
        places *= 2;
    }
    *sampling = (struct lq_sampling){.catalog = catalog, .mask = places - 1};
    sampling->steps = calloc(most + 1, sizeof *sampling->steps);
    sampling->keys = calloc(places, sizeof *sampling->keys);
    return sampling->steps != NULL && sampling->keys != NULL ? LQ_OK : out_of_memory(err);
}

static bool make_room(struct lq_sampling *sampling)
{
    if (sampling->parts_count < sampling->parts_room) {
        return true;
    }
    const size_t room = 2 * sampling->parts_room + 8;
    struct lq_step_parts *grown = realloc(sampling->parts, room * sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    sampling->parts = grown;
    sampling->parts_room = room;
    return true;
}

enum lq_code lq_sampling_add(struct lq_sampling *sampling, const struct lq_point *point,
                             double siblings, struct lq_error *err)
{
    const struct lq_conditions *run = &point->conditions;
    struct lq_timed_step *timed = &sampling->steps[sampling->count];
    if (!lq_step_time_seen(point, &timed->step_s, &timed->queries)) {
        return LQ_OK;
    }
    if (sampling->identity == NULL || !lq_identity_equal(sampling->identity, &point->identity)) {
        sampling->generation++;
    }
    sampling->identity = &point->identity;
    const struct lq_work_key key = {.generation = sampling->generation,
                                    .parts = sampling->parts_count,
                                    .active_experts = run->active_experts,
                                    .accumulation_steps = run->accumulation_steps,
                                    .batch_size = run->batch_size,
                                    .row_tokens = run->row_tokens};
    struct lq_work_key *place = place_of(sampling, &key);
    if (place->generation == 0) {
        struct lq_step_observation counted;
        if (!lq_step_observe(sampling->catalog, point, &counted)) {
            return LQ_OK;
        }
        if (!make_room(sampling)) {
            return out_of_memory(err);
        }
        sampling->parts[sampling->parts_count++] = counted.parts;
        *place = key;
    }
    timed->parts = place->parts;
    timed->siblings = siblings;
    sampling->count++;
    return LQ_OK;
}

struct lq_step_sample lq_sampling_sample(const struct lq_sampling *sampling)
{
    return (struct lq_step_sample){.parts = sampling->parts,
                                   .parts_count = sampling->parts_count,
                                   .steps = sampling->steps,
                                   .count = sampling->count};
}

void lq_sampling_end(struct lq_sampling *sampling)
{
    free(sampling->parts);
    free(sampling->steps);
    free(sampling->keys);
    *sampling = (struct lq_sampling){.count = 0};
}
