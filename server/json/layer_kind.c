/* Encodes the layers of a model as its config.json was read: one object a kind. The calibration
 * worker builds the layer that it measures from them. */
#include "server/json/layer_kind.h"

#include <stddef.h>

static const char *const MIXERS[] = {[LQ_MIXER_NONE] = "none",
                                     [LQ_MIXER_ATTENTION] = "attention",
                                     [LQ_MIXER_MLA] = "mla",
                                     [LQ_MIXER_MAMBA] = "mamba"};
static const char *const FFNS[] = {
    [LQ_FFN_NONE] = "none", [LQ_FFN_DENSE] = "dense", [LQ_FFN_MOE] = "moe"};

/* One size and the kinds that have it. */
struct size {
    const char *name;
    unsigned kinds; /* bit mask of the mixer's or feed-forward part's kinds */
    size_t offset;
};

#define BIT(kind) (1U << (kind))
enum {
    ATTENTION = BIT(LQ_MIXER_ATTENTION),
    MLA = BIT(LQ_MIXER_MLA),
    MAMBA = BIT(LQ_MIXER_MAMBA),
    DENSE = BIT(LQ_FFN_DENSE),
    MOE = BIT(LQ_FFN_MOE)
};

static const struct size MIXER_SIZES[] = {
    {"heads", ATTENTION | MLA, offsetof(struct lq_mixer, heads)},
    {"kv_heads", ATTENTION, offsetof(struct lq_mixer, kv_heads)},
    {"head_size", ATTENTION, offsetof(struct lq_mixer, head_size)},
    {"window_tokens", ATTENTION | MLA, offsetof(struct lq_mixer, window_tokens)},
    {"q_rank", MLA, offsetof(struct lq_mixer, q_rank)},
    {"kv_rank", MLA, offsetof(struct lq_mixer, kv_rank)},
    {"nope_size", MLA, offsetof(struct lq_mixer, nope_size)},
    {"rope_size", MLA, offsetof(struct lq_mixer, rope_size)},
    {"value_size", MLA, offsetof(struct lq_mixer, value_size)},
    {"inner_size", MAMBA, offsetof(struct lq_mixer, inner_size)},
    {"state_size", MAMBA, offsetof(struct lq_mixer, state_size)},
    {"conv_size", MAMBA, offsetof(struct lq_mixer, conv_size)},
    {"dt_rank", MAMBA, offsetof(struct lq_mixer, dt_rank)},
    {"bias_parameters", ATTENTION | MLA, offsetof(struct lq_mixer, bias_parameters)},
    {"small_parameters", MAMBA, offsetof(struct lq_mixer, small_parameters)},
};
static const struct size FFN_SIZES[] = {
    {"intermediate_size", DENSE | MOE, offsetof(struct lq_ffn, intermediate_size)},
    {"experts", MOE, offsetof(struct lq_ffn, experts)},
    {"active_experts", MOE, offsetof(struct lq_ffn, active_experts)},
    {"shared_size", MOE, offsetof(struct lq_ffn, shared_size)},
    {"bias_parameters", DENSE | MOE, offsetof(struct lq_ffn, bias_parameters)},
    {"router_parameters", MOE, offsetof(struct lq_ffn, router_parameters)},
    {"shared_bias_parameters", MOE, offsetof(struct lq_ffn, shared_bias_parameters)},
};

static void add_sizes(json_t *object, const void *part, unsigned kind, const struct size *sizes,
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((sizes[i].kinds & kind) != 0) {
            const int64_t *value = (const void *)((const char *)part + sizes[i].offset);
            json_object_set_new(object, sizes[i].name, json_integer(*value));
        }
    }
}

static json_t *kind_encode(const struct lq_layer *layer)
{
    json_t *mixer = json_object();
    json_object_set_new(mixer, "kind", json_string(MIXERS[layer->mixer.kind]));
    add_sizes(mixer, &layer->mixer, BIT(layer->mixer.kind), MIXER_SIZES,
              sizeof MIXER_SIZES / sizeof *MIXER_SIZES);
    json_t *ffn = json_object();
    json_object_set_new(ffn, "kind", json_string(FFNS[layer->ffn.kind]));
    if (layer->ffn.kind != LQ_FFN_NONE) {
        json_object_set_new(ffn, "gated", json_boolean(layer->ffn.gated));
    }
    add_sizes(ffn, &layer->ffn, BIT(layer->ffn.kind), FFN_SIZES,
              sizeof FFN_SIZES / sizeof *FFN_SIZES);
    json_t *object = json_object();
    json_object_set_new(object, "count", json_integer(layer->count));
    json_object_set_new(object, "mixer", mixer);
    json_object_set_new(object, "ffn", ffn);
    json_object_set_new(object, "norm_parameters", json_integer(layer->norm_parameters));
    return object;
}

json_t *lq_layer_kinds_encode(const struct lq_model *model)
{
    json_t *kinds = json_array();
    for (int i = 0; i < model->layer_kinds; i++) {
        json_array_append_new(kinds, kind_encode(&model->layers[i]));
    }
    return kinds;
}
