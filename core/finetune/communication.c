/* The flows of a training step under a layout. Bytes and calls are counted, never measured; the two
 * constants say what a stack does with them. */
#include "core/finetune/communication.h"

#include <math.h>

const char *const LQ_FLOW_NAMES[] = {
    "tensor",           "context",         "expert",        "pipeline", "weight_gather",
    "gradient_scatter", "gradient_reduce", "update_gather", "host",     NULL};
const char *const LQ_COLLECTIVE_NAMES[] = {
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "ring_shift", "host_copy", NULL};

/* 0.5: ASSUMED share of an overlappable flow that computing hides: its kernels take the device's
 * cores and bandwidth, and the first and the last bucket have nothing beside them. A profile of one
 * step tells. Where it can be seen: InternEvo's 7B loses 0.14..0.16 s a step from 8 to 16..256 A100
 * (internevo.csv rows 9-14, 2024), with it the flows give 0.08..0.16 s, without 0.16..0.32 s;
 * tensor parallelism made asynchronous hides 0.46..0.49 of its flows (torchtitan.csv rows 32-39,
 * 2025-06). */
#define OVERLAP 0.5

/* 25 MiB a bucket of gradients: torch DistributedDataParallel, bucket_cap_mb (2.x). */
#define DDP_BUCKET_BYTES (25.0 * 1024.0 * 1024.0)

/* 1e9 bytes a bucket of sharded states: DeepSpeed's reduce_bucket_size of 5e8 16-bit elements
 * (0.14). */
#define ZERO_BUCKET_BYTES 1e9

/* Sums over one pipeline stage's share of the layers; the fullest stage rounds up. */
struct layer_sums {
    double cuts;     /* mixers and feed-forward networks: sums of partial results in each pass */
    double routed;   /* layers with routed experts */
    double kv_sizes; /* elements of keys and values of one token */
    double layers;
};

struct count {
    const struct lq_communication_job *job;
    struct lq_communication *out;
    struct lq_network network; /* as far as the job uses it */
    struct layer_sums sums;
    double activation_bytes; /* of one element */
    double local_tokens;     /* of a micro-batch after context cut its rows */
    bool recomputes;         /* backward runs forward again, its traffic included */
};

static double kv_size(const struct lq_mixer *m)
{
    switch (m->kind) {
    case LQ_MIXER_ATTENTION:
        return 2.0 * (double)m->kv_heads * (double)m->head_size;
    case LQ_MIXER_MLA: /* expanded, as a ring exchanges them */
        return (double)m->heads * (double)(m->nope_size + m->rope_size + m->value_size);
    case LQ_MIXER_NONE:
    case LQ_MIXER_MAMBA:
        return 0.0;
    }
    return 0.0;
}

static struct layer_sums sum_layers(const struct lq_model *model, int64_t stages)
{
    struct layer_sums sums = {0};
    int64_t layers = 0;
    for (int i = 0; i < model->layer_kinds; i++) {
        const struct lq_layer *layer = &model->layers[i];
        const double n = (double)layer->count;
        sums.cuts += layer->mixer.kind != LQ_MIXER_NONE ? n : 0.0;
        sums.cuts += layer->ffn.kind != LQ_FFN_NONE ? n : 0.0;
        sums.routed += layer->ffn.kind == LQ_FFN_MOE ? n : 0.0;
        sums.kv_sizes += n * kv_size(&layer->mixer);
        layers += layer->count;
    }
    const int64_t fullest = (layers + stages - 1) / stages;
    const double share = (double)fullest / (double)layers;
    sums.cuts *= share;
    sums.routed *= share;
    sums.kv_sizes *= share;
    sums.layers = (double)fullest;
    return sums;
}

static double collective_s(enum lq_collective collective, const struct lq_link *link, double bytes,
                           double calls)
{
    switch (collective) {
    case LQ_COLLECTIVE_ALL_REDUCE:
        return lq_all_reduce_s(link, bytes, calls);
    case LQ_COLLECTIVE_ALL_GATHER:
        return lq_all_gather_s(link, bytes, calls);
    case LQ_COLLECTIVE_REDUCE_SCATTER:
        return lq_reduce_scatter_s(link, bytes, calls);
    case LQ_COLLECTIVE_ALL_TO_ALL:
        return lq_all_to_all_s(link, bytes, calls);
    case LQ_COLLECTIVE_RING_SHIFT:
        return lq_ring_shift_s(link, bytes, calls);
    case LQ_COLLECTIVE_HOST_COPY: /* not between members: add_copy */
        break;
    }
    return 0.0;
}

/* Adds a flow over `link`, unless it moves nothing. */
static void add(struct count *c, struct lq_flow flow, const struct lq_link *link)
{
    if (link->members < 2 || !(flow.bytes > 0.0)) {
        return;
    }
    flow.members = link->members;
    flow.time_s = collective_s(flow.collective, link, flow.bytes, flow.calls);
    c->out->flows[c->out->flow_count++] = flow;
}

/* Devices of each node that the job uses: all of it, or an even share of hosts it need not fill. */
static struct lq_network used_network(const struct lq_communication_job *job)
{
    const int64_t gpus = lq_layout_gpus(job->layout);
    const int64_t here = (gpus + job->layout->nodes - 1) / job->layout->nodes;
    struct lq_network network = *job->network;
    network.internode_bytes_per_s = lq_network_inter_bytes_per_s(job->gpu, job->network);
    network.node_gpu_count = here < network.node_gpu_count ? here : network.node_gpu_count;
    return network;
}

static struct lq_link link_of(const struct count *c, int64_t members, int64_t stride)
{
    return lq_network_link(c->job->gpu, &c->network, members, stride);
}

/* Adds a flow of forward, and the `backward_times` larger one of backward. */
static void add_both(struct count *c, struct lq_flow flow, double backward_times,
                     const struct lq_link *link)
{
    flow.stage = LQ_FLOW_FORWARD;
    add(c, flow, link);
    flow.stage = LQ_FLOW_BACKWARD;
    flow.bytes *= backward_times;
    flow.calls *= backward_times;
    add(c, flow, link);
}

/* Each cut sums its output in forward and its input's gradient in backward; embedding and head,
 * which are cut by vocabulary, do so once each. */
static void add_tensor(struct count *c)
{
    const struct lq_communication_job *job = c->job;
    const struct lq_link link = link_of(c, job->layout->tensor, 1);
    const double calls = c->sums.cuts + 1.0;
    const struct lq_flow flow = {.kind = LQ_FLOW_TENSOR,
                                 .collective = LQ_COLLECTIVE_ALL_REDUCE,
                                 .bytes = calls * c->local_tokens *
                                          (double)job->model->hidden_size * c->activation_bytes,
                                 .calls = calls};
    add_both(c, flow, c->recomputes ? 2.0 : 1.0, &link);
}

/* Keys and values of the own rows visit all others; in backward their gradients go with them. */
static void add_context(struct count *c)
{
    const struct lq_layout *layout = c->job->layout;
    const struct lq_link link = link_of(c, layout->context, layout->tensor);
    const double hops = (double)layout->context - 1.0;
    const struct lq_flow flow = {.kind = LQ_FLOW_CONTEXT,
                                 .collective = LQ_COLLECTIVE_RING_SHIFT,
                                 .bytes = hops * c->local_tokens * c->sums.kv_sizes *
                                          c->activation_bytes / (double)layout->tensor,
                                 .calls = hops * c->sums.layers,
                                 .overlap = OVERLAP};
    add_both(c, flow, c->recomputes ? 3.0 : 2.0, &link);
}

/* To the experts and back, in each direction; the busiest device sets the pace. Tensor ranks send
 * a part of the tokens each (2205.05198). */
static void add_expert(struct count *c)
{
    const struct lq_communication_job *job = c->job;
    const struct lq_layout *layout = job->layout;
    const struct lq_link link = link_of(c, layout->expert, layout->tensor * layout->context);
    const double peak =
        lq_expert_load_peak(job->expert_load, lq_model_experts(job->model), layout->expert);
    const double routed = c->local_tokens * (double)job->active_experts * peak;
    const double calls = 2.0 * c->sums.routed;
    const struct lq_flow flow = {.kind = LQ_FLOW_EXPERT,
                                 .collective = LQ_COLLECTIVE_ALL_TO_ALL,
                                 .bytes = calls * routed * (double)job->model->hidden_size *
                                          c->activation_bytes / (double)layout->tensor,
                                 .calls = calls};
    add_both(c, flow, c->recomputes ? 2.0 : 1.0, &link);
}

/* A stage sends its output on and its input's gradient back; tensor ranks a part each (2104.04473
 * section 4.1). Stages are the outermost ranks. */
static void add_pipeline(struct count *c)
{
    const struct lq_layout *layout = c->job->layout;
    const int64_t stride = layout->tensor * layout->context * layout->data;
    const struct lq_link link = link_of(c, layout->pipeline, stride);
    const struct lq_flow flow = {.kind = LQ_FLOW_PIPELINE,
                                 .collective = LQ_COLLECTIVE_RING_SHIFT,
                                 .bytes = c->local_tokens * (double)c->job->model->hidden_size *
                                          c->activation_bytes / (double)layout->tensor,
                                 .calls = 1.0};
    add_both(c, flow, 1.0, &link);
}

/* A part of the weights with replicas of its own: those outside experts, or those of experts. */
struct part {
    double weights_bytes; /* of one device's tensor and pipeline share */
    double gradient_bytes;
    double updated_bytes;
    struct lq_link shards;   /* ranks among which its states are divided */
    struct lq_link replicas; /* the same shard in other shard groups */
};

/* `ranks` hold copies of the part, `stride` apart; a shard group takes `shards` of them. */
static struct part part_of(const struct count *c, bool experts, int64_t ranks, int64_t stride)
{
    const struct lq_communication_job *job = c->job;
    const struct lq_layout *layout = job->layout;
    const int64_t fewer = experts ? layout->expert : 1;
    const double rest = layout->expert > 1 ? 1.0 : 0.0; /* else experts are like everything else */
    int64_t shards = layout->zero_stage > 0 ? lq_layout_shards(layout) / fewer : 1;
    shards = shards < 1 ? 1 : shards;
    const double cut = (double)(layout->tensor * layout->pipeline * fewer);
    const double w =
        experts ? job->expert_weights_bytes : job->weights_bytes - rest * job->expert_weights_bytes;
    const double g = experts ? job->expert_gradient_bytes
                             : job->gradient_bytes - rest * job->expert_gradient_bytes;
    const double u =
        experts ? job->expert_updated_bytes : job->updated_bytes - rest * job->expert_updated_bytes;
    return (struct part){.weights_bytes = w / cut,
                         .gradient_bytes = g / cut,
                         .updated_bytes = u / cut,
                         .shards = link_of(c, shards, stride),
                         .replicas = link_of(c, ranks / shards, stride * shards)};
}

static double bucket_calls(const struct count *c, double bytes)
{
    const double standard = c->job->layout->zero_stage == 0 ? DDP_BUCKET_BYTES : ZERO_BUCKET_BYTES;
    const double bucket = c->job->bucket_bytes > 0.0 ? c->job->bucket_bytes : standard;
    return ceil(bytes / bucket);
}

/* Sums of gradients: scattered within shard groups, then each shard summed over the groups. Stages
 * 2 and 3 keep no whole gradient, so that every micro-batch is summed. */
static void add_gradients(struct count *c, const struct part *part)
{
    const int stage = c->job->layout->zero_stage;
    const double calls = stage == 3 ? c->sums.layers + 1.0 : bucket_calls(c, part->gradient_bytes);
    const struct lq_flow scatter = {.kind = LQ_FLOW_GRADIENT_SCATTER,
                                    .collective = LQ_COLLECTIVE_REDUCE_SCATTER,
                                    .stage = LQ_FLOW_BACKWARD,
                                    .per_step = stage < 2,
                                    .bytes = part->gradient_bytes,
                                    .calls = calls,
                                    .overlap = OVERLAP};
    add(c, scatter, &part->shards);
    struct lq_flow reduce = scatter;
    reduce.kind = LQ_FLOW_GRADIENT_REDUCE;
    reduce.collective = LQ_COLLECTIVE_ALL_REDUCE;
    reduce.bytes = part->gradient_bytes / (double)part->shards.members;
    add(c, reduce, &part->replicas);
}

/* Weights that shard groups divide: gathered by layer before each use (stage 3), or after the step
 * that changed them (stages 1 and 2). A recomputed layer is gathered with its backward. */
static void add_weights(struct count *c, const struct part *part)
{
    const int stage = c->job->layout->zero_stage;
    if (stage == 3) {
        const struct lq_flow gather = {.kind = LQ_FLOW_WEIGHT_GATHER,
                                       .collective = LQ_COLLECTIVE_ALL_GATHER,
                                       .bytes = part->weights_bytes,
                                       .calls = c->sums.layers + 1.0,
                                       .overlap = OVERLAP};
        add_both(c, gather, 1.0, &part->shards);
        return;
    }
    const int before = c->out->flow_count;
    const struct lq_flow update = {.kind = LQ_FLOW_UPDATE_GATHER,
                                   .collective = LQ_COLLECTIVE_ALL_GATHER,
                                   .stage = LQ_FLOW_UPDATE,
                                   .per_step = true,
                                   .bytes = part->updated_bytes,
                                   .calls = bucket_calls(c, part->updated_bytes)};
    add(c, update, &part->shards);
    if (c->out->flow_count > before) {
        c->out->flows[before].time_s += c->job->owner_broadcast_s * (double)part->shards.members;
    }
}

static void add_copy(struct count *c, struct lq_flow flow)
{
    flow.kind = LQ_FLOW_HOST;
    flow.collective = LQ_COLLECTIVE_HOST_COPY;
    flow.members = 1;
    flow.time_s = flow.bytes / lq_network_host_bytes_per_s(c->job->gpu);
    c->out->flows[c->out->flow_count++] = flow;
}

/* With states in host memory each device sends its gradients there and fetches what the step made
 * of them (arXiv 2101.06840); shards of weights come from there for each use (FSDP's
 * CPUOffload). */
static void add_host(struct count *c, const struct part *part)
{
    if ((c->job->training->options & LQ_OPTION_BIT(LQ_OPTION_OFFLOAD_OPTIMIZER)) == 0) {
        return;
    }
    const double shards = (double)part->shards.members;
    const double step_bytes = part->gradient_bytes + part->updated_bytes;
    add_copy(c, (struct lq_flow){.stage = LQ_FLOW_UPDATE,
                                 .per_step = true,
                                 .bytes = step_bytes / shards,
                                 .calls = 2.0});
    if (c->job->layout->zero_stage < 3) {
        return;
    }
    struct lq_flow fetch = {.stage = LQ_FLOW_FORWARD,
                            .bytes = part->weights_bytes / shards,
                            .calls = c->sums.layers + 1.0,
                            .overlap = OVERLAP};
    add_copy(c, fetch);
    fetch.stage = LQ_FLOW_BACKWARD;
    add_copy(c, fetch);
}

static void add_part(struct count *c, const struct part *part)
{
    add_weights(c, part);
    add_gradients(c, part);
    add_host(c, part);
}

double lq_pipeline_stretch(int64_t stages, int64_t micro_batches, int64_t layers)
{
    const double p = (double)stages;
    const double m = (double)micro_batches;
    const int64_t fullest = (layers + stages - 1) / stages;
    return (m + p - 1.0) / m * (double)fullest * p / (double)layers;
}

struct lq_communication lq_communication_count(const struct lq_communication_job *job)
{
    const struct lq_layout *layout = job->layout;
    const struct lq_training *training = job->training;
    struct lq_communication out = {.stretch = lq_pipeline_stretch(layout->pipeline,
                                                                  training->accumulation_steps,
                                                                  lq_model_layers(job->model))};
    struct count c = {.job = job,
                      .out = &out,
                      .network = used_network(job),
                      .sums = sum_layers(job->model, layout->pipeline),
                      .activation_bytes = training->precision == LQ_PRECISION_FP32 ? 4.0 : 2.0,
                      .local_tokens = job->micro_batch_tokens / (double)layout->context,
                      .recomputes = training->checkpointing == LQ_CHECKPOINTING_FULL};
    add_tensor(&c);
    add_context(&c);
    add_expert(&c);
    add_pipeline(&c);
    const int64_t ranks = layout->data * layout->context;
    const struct part rest = part_of(&c, false, ranks, layout->tensor);
    add_part(&c, &rest);
    if (layout->expert > 1) {
        const struct part experts = part_of(&c, true, ranks / layout->expert,
                                            layout->tensor * layout->context * layout->expert);
        add_part(&c, &experts);
    }
    return out;
}

void lq_communication_expose(const struct lq_communication *c, double forward_s, double backward_s,
                             double exposed_s[LQ_FLOWS_MAX])
{
    double left_s[] = {
        [LQ_FLOW_FORWARD] = forward_s, [LQ_FLOW_BACKWARD] = backward_s, [LQ_FLOW_UPDATE] = 0.0};
    for (int i = 0; i < c->flow_count; i++) {
        const struct lq_flow *flow = &c->flows[i];
        const double hidden_s = fmin(flow->overlap * flow->time_s, left_s[flow->stage]);
        left_s[flow->stage] -= hidden_s;
        exposed_s[i] = flow->time_s - hidden_s;
    }
}
