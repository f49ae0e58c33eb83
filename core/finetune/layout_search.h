/* The layouts worth trying for a job that leaves the choice to us. Which of them fits and is
 * fastest is for the caller to find out. */
#pragma once

#include "core/arch/layout.h"
#include "core/arch/model.h"
#include "core/arch/parallelism.h"

#include <stdbool.h>
#include <stdint.h>

/* A walk through the layouts of one job. Its members are the walk's own. */
struct lq_layout_space {
    int64_t gpu_count;
    int64_t node_gpu_count;
    int64_t layers;
    int64_t tensor_cuts; /* tensor sizes divide it */
    int64_t experts;     /* expert sizes divide it; 1 without experts */
    int64_t context_max;
    uint32_t kinds; /* bit mask of lq_parallelism: no layout uses another */
    int shards;     /* which way of sharding comes next */
    bool done;
    struct lq_layout layout; /* the one that comes next, but for its sharding */
};

/* Begins a walk over `gpu_count` devices (>= 1) for rows of `row_tokens` at the longest, by the
 * `kinds` of parallelism (bit mask of lq_parallelism) that the job's stack offers.
 *
 * What it leaves out beside other kinds, and why:
 * - tensor groups over nodes: two all-reduces a layer and direction, none of which computing hides,
 *   over a network that is an order slower (arXiv 2104.04473 section 3.2, takeaway 1);
 * - pipelines whose fullest stage has over 10 % more than an even share of the layers: a smaller or
 *   larger pipeline nearby wastes less;
 * - ZeRO stages 2 and 3 with a pipeline: each micro-batch would be reduced or gathered anew, with
 *   stage 1 and more pipeline or tensor slicing saving the same memory (2104.04473 section 5.2);
 *   not so where the stack has no stage 1;
 * - context parallelism below 4096 tokens a device, where passing keys and values on takes longer
 *   than the scores (2310.01889 table 2: 1,000 tokens with NVLink, 24,500 by InfiniBand; recalled);
 * - context parallelism for models with Mamba layers, whose scan runs through the whole row;
 * - with expert parallelism: stages 0 and 2 and groups within a node, which differ from stages 1
 * and 3 by memory that experts dominate;
 * - shard groups other than all ranks and those of one node.
 * Jobs may still ask for any of these by name. */
struct lq_layout_space lq_layout_space(const struct lq_model *model, int64_t gpu_count,
                                       const struct lq_network *network, int64_t row_tokens,
                                       uint32_t kinds);

/* Writes the next layout and returns true, or false at the end: at once where several devices have
 * no kind that would do. The order is fixed, from the
 * simplest on: of equals the first is the one to keep. Every layout passes lq_layout_check. */
bool lq_layout_next(struct lq_layout_space *space, struct lq_layout *layout);
