/* Enumeration of layouts as an odometer: sharding turns fastest, then expert, context, tensor and
 * pipeline sizes; data follows from them. */
#include "core/finetune/layout_search.h"

/* 4096 tokens a device: ASSUMED least that context parallelism pays for; see the header. */
#define CONTEXT_TOKENS_MIN 4096

/* 10 %: a restriction of the search, no law. */
#define UNEVEN_MAX 1.1

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* What tensor sizes must divide in one layer, together with `cuts` so far; 0 adds nothing. */
static int64_t add_cuts(int64_t cuts, const struct lq_layer *layer)
{
    switch (layer->mixer.kind) {
    case LQ_MIXER_ATTENTION:
    case LQ_MIXER_MLA:
        cuts = common_divisor(cuts, layer->mixer.heads);
        break;
    case LQ_MIXER_MAMBA:
        cuts = common_divisor(cuts, layer->mixer.inner_size);
        break;
    case LQ_MIXER_NONE:
        break;
    }
    if (layer->ffn.kind != LQ_FFN_NONE) {
        cuts = common_divisor(cuts, layer->ffn.intermediate_size);
    }
    return common_divisor(cuts, layer->ffn.shared_size);
}

struct lq_layout_space lq_layout_space(const struct lq_model *model, int64_t gpu_count,
                                       const struct lq_network *network, int64_t row_tokens,
                                       uint32_t kinds)
{
    const int64_t node = network->node_gpu_count;
    struct lq_layout_space space = {.gpu_count = gpu_count,
                                    .node_gpu_count = node,
                                    .layers = lq_model_layers(model),
                                    .context_max = row_tokens / CONTEXT_TOKENS_MIN,
                                    .kinds = kinds,
                                    .layout = LQ_LAYOUT_SINGLE};
    for (int i = 0; i < model->layer_kinds; i++) {
        const struct lq_layer *layer = &model->layers[i];
        space.tensor_cuts = add_cuts(space.tensor_cuts, layer);
        space.experts = common_divisor(space.experts, layer->ffn.experts);
        if (layer->mixer.kind == LQ_MIXER_MAMBA) {
            space.context_max = 1;
        }
    }
    space.experts = space.experts > 0 ? space.experts : 1;
    space.layout.data = gpu_count;
    space.layout.nodes = (gpu_count + node - 1) / node;
    return space;
}

/* A way of sharding states over the data ranks. */
struct sharding {
    int stage;
    bool node;      /* within each node, replicated over nodes */
    bool pipelined; /* also where there is a pipeline */
    bool expert;    /* also where experts are spread */
};

static const struct sharding SHARDINGS[] = {
    {0, false, true, false},  {1, false, true, true},  {1, true, true, false},
    {2, false, false, false}, {3, false, false, true}, {3, true, false, false},
};
enum { SHARDING_COUNT = sizeof SHARDINGS / sizeof SHARDINGS[0] };

/* Ranks of one replica's shards within a node, where they are fewer than all of them. */
static int64_t node_shards(const struct lq_layout_space *space)
{
    const struct lq_layout *layout = &space->layout;
    const int64_t here = space->node_gpu_count / layout->tensor;
    const int64_t ranks = layout->data * layout->context;
    return here < ranks && ranks % here == 0 ? here : 1;
}

static bool shard(const struct lq_layout_space *space, const struct sharding *how,
                  struct lq_layout *layout)
{
    *layout = space->layout;
    layout->zero_stage = how->stage;
    layout->zero_group = how->node ? node_shards(space) : 0;
    if (layout->data * layout->context == 1) {
        return how->stage == 0; /* nobody to share with */
    }
    const bool staged = (space->kinds & LQ_PARALLELISM_BIT(LQ_PARALLELISM_ZERO_1)) != 0;
    return (how->pipelined || layout->pipeline == 1 || !staged) &&
           (how->expert || layout->expert == 1) && layout->zero_group != 1;
}

static bool is_offered(const struct lq_layout_space *space, const struct lq_layout *layout)
{
    return (lq_layout_parallelism(layout) & ~space->kinds) == 0;
}

/* The next larger size up to `most` that divides `of`; 1 and false where there is none. */
static bool advance(int64_t *size, int64_t most, int64_t of)
{
    while (*size < most) {
        *size += 1;
        if (of % *size == 0) {
            return true;
        }
    }
    *size = 1;
    return false;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool is_even(const struct lq_layout_space *space)
{
    const int64_t stages = space->layout.pipeline;
    const int64_t fullest = (space->layers + stages - 1) / stages;
    return (double)(fullest * stages) <= UNEVEN_MAX * (double)space->layers;
}

static bool advance_pipeline(struct lq_layout_space *space)
{
    const int64_t most = smaller(space->layers, space->gpu_count);
    while (advance(&space->layout.pipeline, most, space->gpu_count)) {
        if (is_even(space)) {
            return true;
        }
    }
    return false;
}

/* Turns the sizes one step on. */
static void turn(struct lq_layout_space *space)
{
    struct lq_layout *l = &space->layout;
    const int64_t expert_of = common_divisor(l->data, space->experts);
    if (advance(&l->expert, expert_of, expert_of)) {
        return;
    }
    const int64_t staged = space->gpu_count / l->pipeline;
    const int64_t context_of = staged / l->tensor;
    const int64_t tensor_of = common_divisor(staged, space->tensor_cuts);
    const bool turned = advance(&l->context, smaller(space->context_max, context_of), context_of) ||
                        advance(&l->tensor, smaller(space->node_gpu_count, tensor_of), tensor_of) ||
                        advance_pipeline(space);
    space->done = !turned;
    l->data = space->gpu_count / (l->pipeline * l->tensor * l->context);
}

bool lq_layout_next(struct lq_layout_space *space, struct lq_layout *layout)
{
    while (!space->done) {
        while (space->shards < SHARDING_COUNT) {
            if (shard(space, &SHARDINGS[space->shards++], layout) && is_offered(space, layout)) {
                return true;
            }
        }
        space->shards = 0;
        turn(space);
    }
    return false;
}
