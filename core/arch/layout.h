/* How a job is spread over devices: the sizes of the parallel groups, and the network they talk
 * over. */
#pragma once

#include "core/arch/model.h"
#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Sizes of the parallel groups. data * tensor * pipeline * context = devices; expert parallel
 * groups are made of data ranks, so that `expert` divides `data`. Every size is >= 1. */
struct lq_layout {
    int64_t data;
    int64_t tensor;
    int64_t pipeline;
    int64_t expert;
    int64_t context;
    int zero_stage;     /* 0 replicas; 1 optimizer states sharded; 2 and gradients; 3 and weights
                           (FSDP). Source: arXiv 1910.02054 */
    int64_t zero_group; /* data * context ranks a shard group spans; 0 = all of them */
    int64_t nodes;      /* hosts the devices are spread over */
};

/* What the devices of a job talk over, beside the device's own interconnect. */
struct lq_network {
    int64_t node_gpu_count;       /* devices of one host; >= 1 */
    double internode_bytes_per_s; /* of one host, one direction; 0 = not known */
};

/* One device alone. */
extern const struct lq_layout LQ_LAYOUT_SINGLE;

/* data * tensor * pipeline * context. */
int64_t lq_layout_gpus(const struct lq_layout *layout);

/* Ranks that share what ZeRO shards: zero_group, or all data * context ranks. */
int64_t lq_layout_shards(const struct lq_layout *layout);

/* Negative, zero or positive; zero means the same layout. */
int lq_layout_compare(const struct lq_layout *a, const struct lq_layout *b);

/* Checks a layout against model and devices: sizes >= 1 whose product is `gpu_count`; tensor
 * divides the query heads and the widths of the feed-forward networks; pipeline <= layers; expert
 * divides data and the number of routed experts; zero_stage 0..3; zero_group divides data *
 * context; nodes * node_gpu_count holds the devices.
 * Errors: LQ_EFIELD with a pointer below "/layout". */
LQ_MUST_USE enum lq_code lq_layout_check(const struct lq_layout *layout,
                                         const struct lq_model *model, int64_t gpu_count,
                                         const struct lq_network *network, struct lq_error *err);
