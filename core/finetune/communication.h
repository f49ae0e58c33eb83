/* What the devices of a job send each other in one training step, as named flows with their times.
 * How long a collective takes stands in network.h; what a device computes elsewhere. */
#pragma once

#include "core/arch/expert_load.h"
#include "core/arch/layout.h"
#include "core/arch/model.h"
#include "core/finetune/network.h"

#include <stdbool.h>
#include <stdint.h>

/* Why devices talk. */
enum lq_flow_kind {
    LQ_FLOW_TENSOR,           /* sums of partial activations */
    LQ_FLOW_CONTEXT,          /* keys and values going around */
    LQ_FLOW_EXPERT,           /* tokens to the experts' devices and back */
    LQ_FLOW_PIPELINE,         /* activations to the next stage, their gradients back */
    LQ_FLOW_WEIGHT_GATHER,    /* sharded weights before they are used */
    LQ_FLOW_GRADIENT_SCATTER, /* sums of gradients, each rank keeping its shard */
    LQ_FLOW_GRADIENT_REDUCE,  /* sums of gradients over replicas */
    LQ_FLOW_UPDATE_GATHER,    /* updated weights after the optimizer step */
    LQ_FLOW_HOST,             /* weights and gradients between device and host memory */
    LQ_FLOW_KIND_COUNT
};
extern const char *const LQ_FLOW_NAMES[];

enum lq_collective {
    LQ_COLLECTIVE_ALL_REDUCE,
    LQ_COLLECTIVE_ALL_GATHER,
    LQ_COLLECTIVE_REDUCE_SCATTER,
    LQ_COLLECTIVE_ALL_TO_ALL,
    LQ_COLLECTIVE_RING_SHIFT, /* each member to the next */
    LQ_COLLECTIVE_HOST_COPY
};
extern const char *const LQ_COLLECTIVE_NAMES[];

/* When devices talk. Update flows follow the optimizer step. */
enum lq_flow_stage { LQ_FLOW_FORWARD, LQ_FLOW_BACKWARD, LQ_FLOW_UPDATE };

/* One kind of traffic in one stage, of the fullest device. */
struct lq_flow {
    enum lq_flow_kind kind;
    enum lq_collective collective;
    enum lq_flow_stage stage;
    bool per_step;   /* once per optimizer step; else once per micro-batch */
    int64_t members; /* devices of the group */
    double bytes;    /* as the collective of network.h counts them, all calls together */
    double calls;
    double time_s;  /* of the operations alone */
    double overlap; /* share of time_s that computing may hide */
};

/* Two each of tensor, context, expert and pipeline; up to seven of each part of the weights. */
enum { LQ_FLOWS_MAX = 22 };

struct lq_communication {
    int flow_count;
    struct lq_flow flows[LQ_FLOWS_MAX];
    double stretch; /* of everything in a micro-batch, forward and backward: a pipeline's bubble and
                       its uneven stages; 1 without a pipeline */
};

/* Sizes are of the whole model, before any cut. Pointers are borrowed. */
struct lq_communication_job {
    const struct lq_model *model;
    const struct lq_gpu *gpu;
    const struct lq_layout *layout;
    const struct lq_network *network;
    const struct lq_training *training;       /* checkpointing, precision, options, accumulation */
    const struct lq_expert_load *expert_load; /* NULL = even */
    int64_t active_experts;
    double micro_batch_tokens;    /* padded, of one data rank, before context cuts rows */
    double weights_bytes;         /* as held, adapters included */
    double expert_weights_bytes;  /* of them in routed experts */
    double gradient_bytes;        /* of the trained weights, in the type they are reduced in */
    double expert_gradient_bytes; /* of them in routed experts, whose replicas are fewer */
    double updated_bytes;         /* of the trained weights as computed with */
    double expert_updated_bytes;  /* of them in routed experts */
    double bucket_bytes;          /* gradients reduced in one call; 0 = the default */
    double
        owner_broadcast_s; /* for stacks in which each rank of a shard group broadcasts its updated
                              weights in turn: time of one beyond its bytes; 0 = all-gather */
};

/* Counts the traffic of a step. Never fails: the layout was checked. Times are infinite where the
 * device's links are not known.
 * Sources: data parallelism arXiv 2006.15704; ZeRO 1910.02054 (stages 2 and 3 reduce with every
 * micro-batch); FSDP 2304.11277; tensor 1909.08053 section 3 (two all-reduces a layer and
 * direction) and 2205.05198 (as all-gathers and reduce-scatters of the same size); pipeline
 * 2104.04473 sections 2.2 and 4.1; expert 2006.16668 section 3.2; context (rings) 2310.01889. */
struct lq_communication lq_communication_count(const struct lq_communication_job *job);

/* Seconds of each flow that add to the step, in the order of `c`: its time less what hides behind
 * the `forward_s` and `backward_s` that one micro-batch computes. Flows of one stage share what
 * there is to hide behind, those of a whole step that of the last micro-batch. */
void lq_communication_expose(const struct lq_communication *c, double forward_s, double backward_s,
                             double exposed_s[LQ_FLOWS_MAX]);

/* What a pipeline of `stages` makes of a step of `micro_batches` over `layers` equal layers, as a
 * factor >= 1: (m + p - 1) / m for the bubble of one-forward-one-backward, times what the fullest
 * stage has over an even share. */
double lq_pipeline_stretch(int64_t stages, int64_t micro_batches, int64_t layers);
