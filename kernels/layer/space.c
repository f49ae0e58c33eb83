/* Keeps the list of allocations and the ledger. What is computed stands in the other files here. */
#include "kernels/layer/space.h"

#include "kernels/base/clock.h"

#include <stdlib.h>
#include <string.h>

struct lq_block {
    struct lq_block *next;
    void *memory;
};

void lq_space_open(struct lq_space *space, const struct lq_backend *backend,
                   struct lq_device *device, enum lq_element element)
{
    *space = (struct lq_space){
        .backend = backend, .device = device, .element_bytes = element == LQ_ELEMENT_F32 ? 4 : 2};
    (void)backend->tally(device);
}

void lq_space_close(struct lq_space *space)
{
    while (space->blocks != NULL) {
        struct lq_block *block = space->blocks;
        space->blocks = block->next;
        space->backend->release(space->device, block->memory);
        free(block);
    }
    if (space->backend != NULL) {
        space->backend->release(space->device, space->dequantized);
    }
    *space = (struct lq_space){.backend = NULL};
}

enum lq_code lq_space_take_bytes(struct lq_space *space, enum lq_use use, size_t bytes, void **out,
                                 struct lq_error *err)
{
    struct lq_block *block = malloc(sizeof *block);
    if (block == NULL) {
        return lq_fail(err, LQ_EDEVICE, NULL, "out of host memory");
    }
    const size_t asked = bytes > 0 ? bytes : 1;
    const enum lq_code code = space->backend->allocate(space->device, asked, &block->memory, err);
    if (code != LQ_OK) {
        free(block);
        return code;
    }
    block->next = space->blocks;
    space->blocks = block;
    space->bytes[use] += bytes;
    *out = block->memory;
    return LQ_OK;
}

enum lq_code lq_space_take(struct lq_space *space, enum lq_use use, int64_t count, void **out,
                           struct lq_error *err)
{
    if (count < 0 || (uint64_t)count > SIZE_MAX / 2 / space->element_bytes) {
        return lq_fail(err, LQ_ENOFIT, NULL, "more elements are needed than can be addressed");
    }
    return lq_space_take_bytes(space, use, (size_t)count * space->element_bytes, out, err);
}

enum lq_code lq_space_random(struct lq_space *space, enum lq_use use, int64_t count, uint64_t seed,
                             double scale, void **out, struct lq_error *err)
{
    LQ_TRY(lq_space_take(space, use, count, out, err));
    return space->backend->randomize(space->device, *out, count, seed, scale, err);
}

enum lq_code lq_space_widen(struct lq_space *space, int64_t count, struct lq_error *err)
{
    const size_t bytes = (size_t)count * space->element_bytes;
    if (bytes <= space->dequantized_bytes) {
        return LQ_OK;
    }
    void *wider = NULL;
    LQ_TRY(space->backend->allocate(space->device, bytes, &wider, err));
    space->backend->release(space->device, space->dequantized);
    space->bytes[LQ_USE_SCRATCH] += bytes - space->dequantized_bytes;
    space->dequantized = wider;
    space->dequantized_bytes = bytes;
    return LQ_OK;
}

/* All but the FLOPs. */
static void add(struct lq_tally *sum, const struct lq_tally *more)
{
    sum->weight_bytes += more->weight_bytes;
    sum->stream_bytes += more->stream_bytes;
    sum->traffic_bytes += more->traffic_bytes;
    sum->calls += more->calls;
}

enum lq_code lq_space_count(struct lq_space *space, enum lq_term term, struct lq_error *err)
{
    return lq_space_count_apart(space, term, term, err);
}

enum lq_code lq_space_count_apart(struct lq_space *space, enum lq_term flop_term,
                                  enum lq_term traffic_term, struct lq_error *err)
{
    if (space->uncounted && !space->timed) {
        return LQ_OK;
    }
    if (space->timed) {
        LQ_TRY(space->backend->synchronize(space->device, err));
        const double now_s = lq_clock_s();
        space->seconds[flop_term][space->stage] += now_s - space->since_s;
        space->since_s = now_s;
    }
    const struct lq_tally work = space->backend->tally(space->device);
    space->work[flop_term][space->stage].flop += work.flop;
    add(&space->work[traffic_term][space->stage], &work);
    return LQ_OK;
}

enum lq_code lq_space_clear(struct lq_space *space, void *memory, int64_t count,
                            struct lq_error *err)
{
    LQ_TRY(space->backend->zero(space->device, memory, (size_t)count * space->element_bytes, err));
    if (!space->uncounted || space->timed) {
        (void)space->backend->tally(space->device);
    }
    return LQ_OK;
}

void lq_space_restart(struct lq_space *space)
{
    memset(space->work, 0, sizeof space->work);
    memset(space->seconds, 0, sizeof space->seconds);
    (void)space->backend->tally(space->device);
    space->since_s = lq_clock_s();
}
