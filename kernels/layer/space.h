/* Device memory of a measurement by what it is for, and a ledger of the work done by term and
 * stage. Whatever is taken is given back when the space closes. */
#pragma once

#include "core/finetune/work.h"
#include "kernels/backend.h"

#include <stdbool.h>
#include <stddef.h>

/* What memory is for. How it grows with layers and batch differs. */
enum lq_use {
    LQ_USE_WEIGHT,   /* weights and adapters */
    LQ_USE_GRADIENT, /* of what is trained */
    LQ_USE_STATE,    /* of the optimizer */
    LQ_USE_KEPT,     /* a layer's input: kept for every layer, checkpointed or not */
    LQ_USE_INNER,    /* activations inside a layer that its backward pass needs */
    LQ_USE_SCRATCH,  /* whatever lives within one operation or one layer's backward pass */
    LQ_USE_COUNT
};

struct lq_block; /* one allocation */

struct lq_space {
    const struct lq_backend *backend;
    struct lq_device *device;
    size_t element_bytes;
    enum lq_stage stage; /* that operations are counted under from now on */
    struct lq_tally work[LQ_TERM_COUNT][LQ_STAGE_COUNT];
    double seconds[LQ_TERM_COUNT][LQ_STAGE_COUNT]; /* where `timed` */
    bool timed;                                    /* wait for every operation and time it */
    bool uncounted; /* unless timed, the ledger is left alone: reading a tally may wait for the
                     * device
                     */
    double since_s;
    size_t bytes[LQ_USE_COUNT];
    void *dequantized; /* room for the largest quantised matrix */
    size_t dequantized_bytes;
    struct lq_block *blocks;
};

/* A space on an open device that computes with `element`; both stay the caller's. */
void lq_space_open(struct lq_space *space, const struct lq_backend *backend,
                   struct lq_device *device, enum lq_element element);
void lq_space_close(struct lq_space *space);

/* Takes room for `count` elements, or `bytes` bytes. Errors: LQ_ENOFIT, LQ_EDEVICE. */
LQ_MUST_USE enum lq_code lq_space_take(struct lq_space *space, enum lq_use use, int64_t count,
                                       void **out, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_space_take_bytes(struct lq_space *space, enum lq_use use, size_t bytes,
                                             void **out, struct lq_error *err);
/* The same, filled with normal numbers of standard deviation `scale`. */
LQ_MUST_USE enum lq_code lq_space_random(struct lq_space *space, enum lq_use use, int64_t count,
                                         uint64_t seed, double scale, void **out,
                                         struct lq_error *err);
/* Makes `dequantized` hold `count` elements at least. */
LQ_MUST_USE enum lq_code lq_space_widen(struct lq_space *space, int64_t count,
                                        struct lq_error *err);

/* Enters what the device did since the last call under `term` and the present stage. */
LQ_MUST_USE enum lq_code lq_space_count(struct lq_space *space, enum lq_term term,
                                        struct lq_error *err);
/* The same for a kernel whose FLOPs are a term of their own: its traffic is entered elsewhere, the
 * seconds with the FLOPs. */
LQ_MUST_USE enum lq_code lq_space_count_apart(struct lq_space *space, enum lq_term flop_term,
                                              enum lq_term traffic_term, struct lq_error *err);
/* Zeroes what is only added to, without entering it: vectors and scratch are as little in core's
 * count. Nothing may be left to enter before it. */
LQ_MUST_USE enum lq_code lq_space_clear(struct lq_space *space, void *memory, int64_t count,
                                        struct lq_error *err);
/* Forgets the work and seconds entered so far, not the memory. */
void lq_space_restart(struct lq_space *space);
