/* State-space models: Mamba, Jamba (Mamba, attention and experts in turns) and BlackMamba, whose
 * published file has Zyphra's own keys and no model_type. */
#include "server/json/model_config_family.h"

#include <stdlib.h>
#include <string.h>

/* Rank of the step-size projection: a number, or "auto" for ceil(hidden / 16). */
static int64_t read_dt_rank(const struct lq_reader *reader, const char *key, int64_t hidden)
{
    const char *text = json_string_value(json_object_get(reader->object, key));
    int64_t automatic = (hidden + 15) / 16;
    if (text != NULL && strcmp(text, "auto") == 0) {
        return automatic;
    }
    return lq_read_count(reader, key, 1, LQ_MODEL_HIDDEN_MAX, automatic);
}

/* Which of a Mamba block's parts have biases. */
struct mamba_biases {
    bool conv;
    bool projections; /* in_proj and out_proj */
    bool inner_norms; /* Jamba: norms of dt, B and C */
};

/* Convolution, A, D, biases and inner norms beside the four projections (arXiv 2312.00752). */
static void fill_small(struct lq_mixer *mamba, int64_t hidden, struct mamba_biases biases)
{
    int64_t inner = mamba->inner_size;
    mamba->small_parameters = inner * mamba->conv_size    /* depth-wise convolution */
                              + inner * mamba->state_size /* A */
                              + inner                     /* D */
                              + inner;                    /* bias of dt_proj */
    mamba->small_parameters += biases.conv ? inner : 0;
    mamba->small_parameters += biases.projections ? 2 * inner + hidden : 0;
    mamba->small_parameters += biases.inner_norms ? mamba->dt_rank + 2 * mamba->state_size : 0;
}

void lq_decode_mamba(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint)
{
    lq_decode_sizes(family, reader, blueprint);
    int64_t hidden = blueprint->model->hidden_size;
    int64_t expand = lq_read_count(reader, "expand", 1, 64, 2);
    struct lq_mixer mamba = {.kind = LQ_MIXER_MAMBA};
    mamba.inner_size =
        lq_read_count(reader, "intermediate_size", 1, LQ_MODEL_INTERMEDIATE_MAX, expand * hidden);
    mamba.state_size = lq_read_count(reader, "state_size", 1, LQ_MODEL_STATE_MAX, 16);
    mamba.conv_size = lq_read_count(reader, "conv_kernel", 1, LQ_MODEL_STATE_MAX, 4);
    mamba.dt_rank = read_dt_rank(reader, "time_step_rank", hidden);
    fill_small(&mamba, hidden,
               (struct mamba_biases){.conv = lq_read_bool(reader, "use_conv_bias", true),
                                     .projections = lq_read_bool(reader, "use_bias", false)});
    blueprint->mixer[0] = mamba;
    blueprint->norm_parameters = hidden;
    blueprint->model->final_norm_parameters = hidden;
    lq_decode_embeddings(family, reader, blueprint);
}

static struct lq_mixer jamba_mamba(const struct lq_reader *reader, int64_t hidden)
{
    int64_t expand = lq_read_count(reader, "mamba_expand", 1, 64, 2);
    struct lq_mixer mamba = {.kind = LQ_MIXER_MAMBA, .inner_size = expand * hidden};
    mamba.state_size = lq_read_count(reader, "mamba_d_state", 1, LQ_MODEL_STATE_MAX, 16);
    mamba.conv_size = lq_read_count(reader, "mamba_d_conv", 1, LQ_MODEL_STATE_MAX, 4);
    mamba.dt_rank = read_dt_rank(reader, "mamba_dt_rank", hidden);
    struct mamba_biases biases = {.conv = lq_read_bool(reader, "mamba_conv_bias", true),
                                  .projections = lq_read_bool(reader, "mamba_proj_bias", false),
                                  .inner_norms = true};
    fill_small(&mamba, hidden, biases);
    return mamba;
}

/* Marks every layer i with i % period == offset. */
static void mark_period(const struct lq_reader *reader, const char *const keys[2],
                        const int64_t defaults[2], int64_t layers, unsigned char *marks)
{
    int64_t period = lq_read_count(reader, keys[0], 1, LQ_MODEL_LAYERS_MAX, defaults[0]);
    int64_t offset = lq_read_count(reader, keys[1], 0, LQ_MODEL_LAYERS_MAX, defaults[1]);
    for (int64_t i = 0; i < layers; i++) {
        marks[i] = i % period == offset;
    }
}

void lq_decode_jamba(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint)
{
    static const char *const ATTENTION[2] = {"attn_layer_period", "attn_layer_offset"};
    static const char *const EXPERTS[2] = {"expert_layer_period", "expert_layer_offset"};
    lq_decode_sizes(family, reader, blueprint);
    int64_t hidden = blueprint->model->hidden_size;
    lq_decode_heads(family, reader, blueprint);
    blueprint->mixer[1] = blueprint->mixer[0];
    blueprint->mixer[0] = jamba_mamba(reader, hidden);
    blueprint->ffn[1] = lq_read_experts(family, reader);
    blueprint->ffn[0] = lq_dense_ffn(blueprint->ffn[1].intermediate_size, hidden, true, false);
    mark_period(reader, ATTENTION, (const int64_t[2]){8, 4}, blueprint->layers,
                blueprint->mixer_of);
    mark_period(reader, EXPERTS, (const int64_t[2]){2, 1}, blueprint->layers, blueprint->ffn_of);
    blueprint->norm_parameters = 2 * hidden;
    blueprint->model->final_norm_parameters = hidden;
    lq_decode_embeddings(family, reader, blueprint);
}

/* One entry of mamba_moe_layers: 0 for "r", else the number of experts; -1 for anything else. */
static int64_t experts_of(const json_t *item)
{
    const char *text = json_string_value(item);
    if (text == NULL || *text == '\0') {
        return -1;
    }
    if (strcmp(text, "r") == 0) {
        return 0;
    }
    char *end = NULL;
    long experts = strtol(text, &end, 10);
    return *end == '\0' && experts >= 1 && experts <= LQ_MODEL_EXPERTS_MAX ? experts : -1;
}

/* Marks the MoE layers and returns how many experts they have; 0 where there is none. */
static int64_t mark_moe_layers(const struct lq_reader *reader, const json_t *list,
                               struct lq_blueprint *blueprint)
{
    int64_t experts = 0;
    for (int64_t i = 0; i < blueprint->layers; i++) {
        int64_t here = experts_of(json_array_get(list, (size_t)i));
        if (here < 0 || (here > 0 && experts > 0 && here != experts)) {
            lq_read_fault(reader, "mamba_moe_layers",
                          "item %lld must be \"r\" or the number of experts, the same in all",
                          (long long)i);
            return experts;
        }
        experts = here > 0 ? here : experts;
        blueprint->mixer_of[i] = here > 0;
        blueprint->ffn_of[i] = here > 0;
    }
    return experts;
}

static void read_moe_layers(const struct lq_reader *reader, struct lq_blueprint *blueprint)
{
    const json_t *list = lq_read_array(reader, "mamba_moe_layers");
    blueprint->layers = (int64_t)json_array_size(list);
    if (blueprint->layers < 1 || blueprint->layers > LQ_MODEL_LAYERS_MAX) {
        lq_read_fault(reader, "mamba_moe_layers", "must name 1..%d layers, got %lld",
                      LQ_MODEL_LAYERS_MAX, (long long)blueprint->layers);
        blueprint->layers = 1;
        return;
    }
    int64_t told = lq_read_count(reader, "num_layers", 1, LQ_MODEL_LAYERS_MAX, blueprint->layers);
    if (told != blueprint->layers) {
        lq_read_fault(reader, "num_layers", "must be the %lld of mamba_moe_layers, got %lld",
                      (long long)blueprint->layers, (long long)told);
    }
    blueprint->ffn[1].experts = mark_moe_layers(reader, list, blueprint);
}

static struct lq_mixer blackmamba_mamba(const struct lq_reader *reader, int64_t hidden)
{
    int64_t expand = lq_read_count(reader, "expansion_factor", 1, 64, 2);
    struct lq_mixer mamba = {.kind = LQ_MIXER_MAMBA, .inner_size = expand * hidden};
    mamba.state_size = lq_read_count(reader, "state_size", 1, LQ_MODEL_STATE_MAX, 16);
    mamba.conv_size = lq_read_count(reader, "conv_dimension", 1, LQ_MODEL_STATE_MAX, 4);
    mamba.dt_rank = (hidden + 15) / 16;
    fill_small(
        &mamba, hidden,
        (struct mamba_biases){.conv = true, .projections = lq_read_bool(reader, "bias", false)});
    return mamba;
}

/* Completes ffn[1], whose number of experts is known. `topk` is the key of the fine-tuning code of
 * arXiv 2408.04693; the released models route to one expert. */
static void blackmamba_experts(const struct lq_reader *reader, struct lq_blueprint *blueprint)
{
    int64_t experts = blueprint->ffn[1].experts;
    int64_t size =
        lq_read_count(reader, "ffn_hidden_size", 1, LQ_MODEL_INTERMEDIATE_MAX, LQ_REQUIRED);
    bool biased = lq_read_bool(reader, "add_bias_linear", false);
    const char *key = lq_read_has(reader, "topk") ? "topk" : "num_experts_per_tok";
    int64_t top_k = lq_read_count(reader, key, 1, LQ_MODEL_EXPERTS_MAX, 1);
    struct lq_ffn moe = lq_dense_ffn(size, blueprint->model->hidden_size,
                                     lq_read_bool(reader, "swiglu", true), biased);
    if (experts > 0 && top_k > experts) {
        lq_read_fault(reader, key, "must be at most the %lld experts, got %lld", (long long)experts,
                      (long long)top_k);
    }
    if (experts > 1) {
        moe.kind = LQ_FFN_MOE;
        moe.experts = experts;
        moe.active_experts = top_k;
        moe.router_parameters = experts; /* its bias */
    }
    blueprint->ffn[1] = moe;
}

void lq_decode_blackmamba(const struct lq_family *family, const struct lq_reader *reader,
                          struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    model->hidden_size = lq_read_count(reader, "hidden_size", 1, LQ_MODEL_HIDDEN_MAX, LQ_REQUIRED);
    model->vocab_size = lq_read_count(reader, "vocab_size", 1, LQ_MODEL_VOCAB_MAX, LQ_REQUIRED);
    model->context_tokens =
        lq_read_count(reader, "max_sequence_length", 1, LQ_MODEL_CONTEXT_MAX, 0);
    read_moe_layers(reader, blueprint);
    blueprint->mixer[0] = blackmamba_mamba(reader, model->hidden_size);
    blackmamba_experts(reader, blueprint); /* mixer[1] and ffn[0] are none */
    blueprint->norm_parameters = model->hidden_size;
    model->final_norm_parameters = model->hidden_size;
    lq_decode_embeddings(family, reader, blueprint);
}
