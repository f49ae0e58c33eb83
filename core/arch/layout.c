/* Sizes of parallel groups and their consistency. What they cost stands in core/finetune. */
#include "core/arch/layout.h"

#include <stddef.h>

const struct lq_layout LQ_LAYOUT_SINGLE = {
    .data = 1, .tensor = 1, .pipeline = 1, .expert = 1, .context = 1, .nodes = 1};

struct lq_layout lq_layout_replicas(int64_t gpu_count, int64_t node_gpu_count)
{
    struct lq_layout layout = LQ_LAYOUT_SINGLE;
    layout.data = gpu_count;
    layout.nodes = (gpu_count - 1) / node_gpu_count + 1;
    return layout;
}

int64_t lq_layout_gpus(const struct lq_layout *layout)
{
    return layout->data * layout->tensor * layout->pipeline * layout->context;
}

int64_t lq_layout_shards(const struct lq_layout *layout)
{
    return layout->zero_group > 0 ? layout->zero_group : layout->data * layout->context;
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

int lq_layout_compare(const struct lq_layout *a, const struct lq_layout *b)
{
    const int orders[] = {
        compare(a->data, b->data),         compare(a->tensor, b->tensor),
        compare(a->pipeline, b->pipeline), compare(a->expert, b->expert),
        compare(a->context, b->context),   compare(a->zero_stage, b->zero_stage),
        compare(a->nodes, b->nodes),       compare(lq_layout_shards(a), lq_layout_shards(b))};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (orders[i] != 0) {
            return orders[i];
        }
    }
    return 0;
}

/* The largest size up to `most` that divides both. */
static int64_t divisor_below(int64_t most, int64_t a, int64_t b)
{
    int64_t size = most < a ? most : a;
    while (size > 1 && (a % size != 0 || b % size != 0)) {
        size--;
    }
    return size;
}

/* Every size on its own. None exceeds the devices, so that no product of two leaves int64_t. */
static enum lq_code check_sizes(const struct lq_layout *layout, int64_t gpu_count,
                                struct lq_error *err)
{
    const struct {
        const char *pointer;
        int64_t value;
        int64_t min;
        int64_t max;
    } sizes[] = {
        {"/layout/data", layout->data, 1, gpu_count},
        {"/layout/tensor", layout->tensor, 1, gpu_count},
        {"/layout/pipeline", layout->pipeline, 1, gpu_count},
        {"/layout/expert", layout->expert, 1, gpu_count},
        {"/layout/context", layout->context, 1, gpu_count},
        {"/layout/zero_stage", layout->zero_stage, 0, 3},
        {"/layout/zero_group", layout->zero_group, 0, gpu_count},
        {"/layout/nodes", layout->nodes, 1, gpu_count},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i].value < sizes[i].min || sizes[i].value > sizes[i].max) {
            return lq_fail(err, LQ_EFIELD, sizes[i].pointer, "must be %lld..%lld, got %lld",
                           (long long)sizes[i].min, (long long)sizes[i].max,
                           (long long)sizes[i].value);
        }
    }
    return LQ_OK;
}

/* data * tensor * pipeline * context = gpu_count, by divisions, which cannot overflow. */
static enum lq_code check_product(const struct lq_layout *layout, int64_t gpu_count,
                                  struct lq_error *err)
{
    const int64_t sizes[] = {layout->tensor, layout->pipeline, layout->context};
    int64_t left = gpu_count;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (left % sizes[i] != 0) {
            return lq_fail(
                err, LQ_EFIELD, "/layout",
                "tensor %lld * pipeline %lld * context %lld must divide the %lld devices",
                (long long)layout->tensor, (long long)layout->pipeline, (long long)layout->context,
                (long long)gpu_count);
        }
        left /= sizes[i];
    }
    if (left != layout->data) {
        return lq_fail(err, LQ_EFIELD, "/layout/data",
                       "must be %lld: %lld devices / (tensor %lld * pipeline %lld * context %lld), "
                       "got %lld",
                       (long long)left, (long long)gpu_count, (long long)layout->tensor,
                       (long long)layout->pipeline, (long long)layout->context,
                       (long long)layout->data);
    }
    return LQ_OK;
}

/* Tensor parallelism cuts whole heads and equal slices of every network's width. */
static enum lq_code check_tensor(int64_t tensor, const struct lq_layer *layer, struct lq_error *err)
{
    const struct lq_mixer *mixer = &layer->mixer;
    const bool heads = mixer->kind == LQ_MIXER_ATTENTION || mixer->kind == LQ_MIXER_MLA;
    const struct {
        const char *what;
        int64_t size; /* 0: the layer has none */
    } cuts[] = {
        {"query heads", heads ? mixer->heads : 0},
        {"channels of the Mamba mixer", mixer->kind == LQ_MIXER_MAMBA ? mixer->inner_size : 0},
        {"channels of the feed-forward network",
         layer->ffn.kind == LQ_FFN_NONE ? 0 : layer->ffn.intermediate_size},
        {"channels of the shared experts", layer->ffn.shared_size},
    };
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        if (cuts[i].size % tensor != 0) {
            return lq_fail(err, LQ_EFIELD, "/layout/tensor",
                           "must divide the %lld %s, got %lld; %lld would", (long long)cuts[i].size,
                           cuts[i].what, (long long)tensor,
                           (long long)divisor_below(tensor, cuts[i].size, cuts[i].size));
        }
    }
    return LQ_OK;
}

static enum lq_code check_expert(const struct lq_layout *layout, const struct lq_model *model,
                                 struct lq_error *err)
{
    const int64_t expert = layout->expert;
    const int64_t experts = lq_model_experts(model);
    if (expert == 1) {
        return LQ_OK;
    }
    if (experts == 0) {
        return lq_fail(err, LQ_EFIELD, "/layout/expert",
                       "must be 1 for a model without routed experts, got %lld", (long long)expert);
    }
    if (layout->data % expert != 0) {
        return lq_fail(err, LQ_EFIELD, "/layout/expert",
                       "must divide data (%lld), got %lld; %lld would", (long long)layout->data,
                       (long long)expert, (long long)divisor_below(expert, layout->data, experts));
    }
    for (int i = 0; i < model->layer_kinds; i++) {
        const int64_t routed = model->layers[i].ffn.experts;
        if (routed % expert != 0) {
            return lq_fail(err, LQ_EFIELD, "/layout/expert",
                           "must divide the %lld routed experts, got %lld; %lld would",
                           (long long)routed, (long long)expert,
                           (long long)divisor_below(expert, layout->data, routed));
        }
    }
    return LQ_OK;
}

static enum lq_code check_zero(const struct lq_layout *layout, struct lq_error *err)
{
    const int64_t ranks = layout->data * layout->context;
    if (layout->zero_group == 0) {
        return LQ_OK;
    }
    if (layout->zero_stage == 0) {
        return lq_fail(err, LQ_EFIELD, "/layout/zero_group",
                       "must be left out at zero_stage 0, which shards nothing, got %lld",
                       (long long)layout->zero_group);
    }
    if (ranks % layout->zero_group != 0) {
        return lq_fail(err, LQ_EFIELD, "/layout/zero_group",
                       "must divide data * context (%lld * %lld), got %lld; %lld would",
                       (long long)layout->data, (long long)layout->context,
                       (long long)layout->zero_group,
                       (long long)divisor_below(layout->zero_group, ranks, ranks));
    }
    return LQ_OK;
}

static enum lq_code check_nodes(const struct lq_layout *layout, int64_t gpu_count,
                                const struct lq_network *network, struct lq_error *err)
{
    if (network->node_gpu_count < 1) {
        return lq_fail(err, LQ_EFIELD, "/node_gpu_count", "must be 1 or more, got %lld",
                       (long long)network->node_gpu_count);
    }
    const int64_t needed = (gpu_count - 1) / network->node_gpu_count + 1;
    if (layout->nodes < needed) {
        return lq_fail(err, LQ_EFIELD, "/layout/nodes",
                       "must be %lld or more: a node has %lld of the %lld devices, got %lld",
                       (long long)needed, (long long)network->node_gpu_count, (long long)gpu_count,
                       (long long)layout->nodes);
    }
    return LQ_OK;
}

enum lq_code lq_layout_check(const struct lq_layout *layout, const struct lq_model *model,
                             int64_t gpu_count, const struct lq_network *network,
                             struct lq_error *err)
{
    LQ_TRY(check_sizes(layout, gpu_count, err));
    LQ_TRY(check_product(layout, gpu_count, err));
    for (int i = 0; i < model->layer_kinds; i++) {
        LQ_TRY(check_tensor(layout->tensor, &model->layers[i], err));
    }
    const int64_t layers = lq_model_layers(model);
    if (layout->pipeline > layers) {
        return lq_fail(err, LQ_EFIELD, "/layout/pipeline",
                       "must be 1..%lld, the model's layers, got %lld", (long long)layers,
                       (long long)layout->pipeline);
    }
    LQ_TRY(check_expert(layout, model, err));
    LQ_TRY(check_zero(layout, err));
    return check_nodes(layout, gpu_count, network, err);
}
