/* The kinds of parallelism that a layout uses and a software stack may offer. Sizes of the groups
 * are the layout's. */
#pragma once

#include "core/arch/layout.h"

#include <stdint.h>

/* A set of kinds is a bit mask of (1u << kind). */
enum lq_parallelism {
    LQ_PARALLELISM_DATA,          /* a whole replica on every device (DDP) */
    LQ_PARALLELISM_DATA_COMBINED, /* replicas that tensor, pipeline or context ranks make up */
    LQ_PARALLELISM_ZERO_1,        /* states sharded over all data ranks, by stage of ZeRO */
    LQ_PARALLELISM_ZERO_2,
    LQ_PARALLELISM_ZERO_3,   /* also FSDP */
    LQ_PARALLELISM_HYBRID_1, /* the same in groups of ranks, replicated over the groups */
    LQ_PARALLELISM_HYBRID_2,
    LQ_PARALLELISM_HYBRID_3, /* also HSDP */
    LQ_PARALLELISM_TENSOR,
    LQ_PARALLELISM_PIPELINE,
    LQ_PARALLELISM_EXPERT,
    LQ_PARALLELISM_CONTEXT, /* also sequence parallelism over whole layers */
    LQ_PARALLELISM_COUNT
};

#define LQ_PARALLELISM_BIT(kind) (1u << (kind))
#define LQ_PARALLELISM_ALL (LQ_PARALLELISM_BIT(LQ_PARALLELISM_COUNT) - 1u)

/* Names as the API spells them, indexed by the enum, NULL at the end. */
extern const char *const LQ_PARALLELISM_NAMES[];

/* The kinds that a layout uses, as a mask; 0 for one device. Its sizes must be >= 1. */
uint32_t lq_layout_parallelism(const struct lq_layout *layout);

enum { LQ_PARALLELISM_TEXT_MAX = 160 };

/* Writes the kinds' names, ", " between them: all of them fit. */
void lq_parallelism_text(uint32_t kinds, char text[LQ_PARALLELISM_TEXT_MAX]);
