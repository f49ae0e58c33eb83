/* Transformers whose config.json differs from Llama's by a few traits: sizes, attention or MLA,
 * windows, norms, embeddings. Their feed-forward parts live in model_config_ffn.c. */
#include "server/json/model_config_family.h"

#include <string.h>

bool lq_read_switch(const struct lq_reader *reader, struct lq_switch which)
{
    return which.key != NULL ? lq_read_bool(reader, which.key, which.fallback) : which.fallback;
}

static int64_t or_required(int64_t fallback)
{
    return fallback > 0 ? fallback : LQ_REQUIRED;
}

void lq_decode_sizes(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    model->hidden_size = lq_read_count(reader, "hidden_size", 1, LQ_MODEL_HIDDEN_MAX, LQ_REQUIRED);
    model->vocab_size =
        lq_read_count(reader, "vocab_size", 1, LQ_MODEL_VOCAB_MAX, or_required(family->vocab_size));
    blueprint->layers =
        lq_read_count(reader, "num_hidden_layers", 1, LQ_MODEL_LAYERS_MAX, LQ_REQUIRED);
    model->context_tokens =
        lq_read_count(reader, "max_position_embeddings", 1, LQ_MODEL_CONTEXT_MAX, 0);
}

int64_t lq_head_size(const struct lq_reader *reader, const char *key, int64_t hidden, int64_t heads)
{
    if (hidden % heads != 0 && reader->faults->count == 0) {
        lq_read_fault(reader, key, "must divide the hidden size %lld, got %lld", (long long)hidden,
                      (long long)heads);
    }
    return hidden >= heads ? hidden / heads : 1;
}

struct lq_mixer lq_attention(const struct lq_reader *reader, const char *kv_key, int64_t heads,
                             int64_t kv_heads, int64_t head_size)
{
    if (heads % kv_heads != 0 && reader->faults->count == 0) {
        lq_read_fault(reader, kv_key, "must divide the %lld attention heads, got %lld",
                      (long long)heads, (long long)kv_heads);
    }
    return (struct lq_mixer){
        .kind = LQ_MIXER_ATTENTION, .heads = heads, .kv_heads = kv_heads, .head_size = head_size};
}

void lq_decode_heads(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint)
{
    int64_t heads = lq_read_count(reader, "num_attention_heads", 1, LQ_MODEL_HEADS_MAX,
                                  or_required(family->heads));
    int64_t kv_default = family->kv_heads > 0 ? family->kv_heads : heads;
    int64_t kv_heads =
        lq_read_count(reader, "num_key_value_heads", 1, LQ_MODEL_HEADS_MAX, kv_default);
    int64_t head_size =
        lq_read_count(reader, "head_dim", 1, LQ_MODEL_HEAD_SIZE_MAX, family->head_size);
    if (head_size == 0) {
        head_size =
            lq_head_size(reader, "num_attention_heads", blueprint->model->hidden_size, heads);
    }
    blueprint->mixer[0] = lq_attention(reader, "num_key_value_heads", heads, kv_heads, head_size);
}

int64_t lq_attention_biases(const struct lq_mixer *mixer, int64_t hidden, bool qkv, bool o)
{
    int64_t qkv_size = (mixer->heads + 2 * mixer->kv_heads) * mixer->head_size;
    return (qkv ? qkv_size : 0) + (o ? hidden : 0);
}

static int64_t qk_norm_parameters(const struct lq_family *family, const struct lq_reader *reader,
                                  const struct lq_mixer *mixer)
{
    bool on = family->qk_norm_on.key == NULL || lq_read_switch(reader, family->qk_norm_on);
    if (!on) {
        return 0;
    }
    switch (family->qk_norm) {
    case LQ_QK_NORM_NONE:
        return 0;
    case LQ_QK_NORM_HEAD:
        return 2 * mixer->head_size;
    case LQ_QK_NORM_HEAD_BIASED:
        return 4 * mixer->head_size;
    case LQ_QK_NORM_FULL:
        return (mixer->heads + mixer->kv_heads) * mixer->head_size;
    }
    return 0;
}

static void decode_attention(const struct lq_family *family, const struct lq_reader *reader,
                             struct lq_blueprint *blueprint)
{
    lq_decode_heads(family, reader, blueprint);
    struct lq_mixer *mixer = &blueprint->mixer[0];
    mixer->bias_parameters = lq_attention_biases(mixer, blueprint->model->hidden_size,
                                                 lq_read_switch(reader, family->qkv_bias),
                                                 lq_read_switch(reader, family->o_bias));
    blueprint->norm_parameters += qk_norm_parameters(family, reader, mixer);
}

/* Multi-head latent attention (arXiv 2405.04434 section 2.1); the two compressed vectors have norms
 * of their own, and biases, where there are any, sit on the first projections and the last. */
static void decode_mla(const struct lq_family *family, const struct lq_reader *reader,
                       struct lq_blueprint *blueprint)
{
    struct lq_mixer mla = {.kind = LQ_MIXER_MLA};
    mla.heads = lq_read_count(reader, "num_attention_heads", 1, LQ_MODEL_HEADS_MAX, LQ_REQUIRED);
    mla.kv_heads = mla.heads;
    mla.q_rank = lq_read_count(reader, "q_lora_rank", 1, LQ_MODEL_HIDDEN_MAX,
                               lq_read_has(reader, "q_lora_rank") ? 0 : family->q_rank);
    mla.kv_rank = lq_read_count(reader, "kv_lora_rank", 1, LQ_MODEL_HIDDEN_MAX, 512);
    mla.nope_size = lq_read_count(reader, "qk_nope_head_dim", 1, LQ_MODEL_HEAD_SIZE_MAX, 128);
    mla.rope_size = lq_read_count(reader, "qk_rope_head_dim", 1, LQ_MODEL_HEAD_SIZE_MAX, 64);
    mla.value_size = lq_read_count(reader, "v_head_dim", 1, LQ_MODEL_HEAD_SIZE_MAX, 128);
    mla.head_size = mla.nope_size + mla.rope_size;
    if (lq_read_bool(reader, "attention_bias", false)) {
        mla.bias_parameters =
            mla.q_rank + mla.kv_rank + mla.rope_size + blueprint->model->hidden_size;
    }
    blueprint->mixer[0] = mla;
    blueprint->norm_parameters += mla.q_rank + mla.kv_rank;
}

/* Layers that `layer_types` names anything but full attention get mixer 1. */
static void read_layer_types(const struct lq_reader *reader, const json_t *types,
                             struct lq_blueprint *blueprint)
{
    if ((int64_t)json_array_size(types) != blueprint->layers) {
        lq_read_fault(reader, "layer_types", "must name all %lld layers, got %zu",
                      (long long)blueprint->layers, json_array_size(types));
        return;
    }
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type == NULL) {
            lq_read_fault(reader, "layer_types", "item %zu must be a string", i);
            return;
        }
        blueprint->mixer_of[i] = strcmp(type, "full_attention") != 0;
    }
}

/* Llama 4 spells the layers out as flags: those without rotary positions attend to everything. */
static bool read_no_rope_layers(const struct lq_reader *reader, struct lq_blueprint *blueprint)
{
    const json_t *flags = lq_read_array(reader, "no_rope_layers");
    if (json_array_size(flags) == 0) {
        return false;
    }
    if ((int64_t)json_array_size(flags) != blueprint->layers) {
        lq_read_fault(reader, "no_rope_layers",
                      "must have one flag for each of %lld layers, got %zu",
                      (long long)blueprint->layers, json_array_size(flags));
        return true;
    }
    for (size_t i = 0; i < json_array_size(flags); i++) {
        blueprint->mixer_of[i] = json_integer_value(json_array_get(flags, i)) != 0;
    }
    return true;
}

static void mark_windows(const struct lq_window_rule *rule, const struct lq_reader *reader,
                         struct lq_blueprint *blueprint)
{
    int64_t first = rule->full_first_key != NULL
                        ? lq_read_count(reader, rule->full_first_key, 0, LQ_MODEL_LAYERS_MAX, 0)
                        : 0;
    int64_t period = rule->full_period_key != NULL
                         ? lq_read_count(reader, rule->full_period_key, 1, LQ_MODEL_LAYERS_MAX,
                                         rule->full_period)
                         : rule->full_period;
    for (int64_t i = 0; i < blueprint->layers; i++) {
        bool full = i < first || (period > 0 && (i + 1) % period == 0);
        blueprint->mixer_of[i] = !full;
    }
}

/* mixer[0] attends to everything, mixer[1] is its copy with the window. A window that is no
 * narrower than the context is none. */
static void decode_windows(const struct lq_window_rule *rule, const struct lq_reader *reader,
                           struct lq_blueprint *blueprint)
{
    if (rule->key == NULL) {
        return;
    }
    int64_t fallback = lq_read_has(reader, rule->key) ? 0 : rule->tokens;
    int64_t window = lq_read_count(reader, rule->key, 1, LQ_MODEL_CONTEXT_MAX, fallback);
    bool on = rule->on.key == NULL || lq_read_switch(reader, rule->on);
    int64_t context = blueprint->model->context_tokens;
    const json_t *types = lq_read_array(reader, "layer_types");
    if (!on || window == 0 || (context > 0 && window >= context)) {
        return;
    }
    blueprint->mixer[1] = blueprint->mixer[0];
    blueprint->mixer[1].window_tokens = window;
    if (types != NULL) {
        read_layer_types(reader, types, blueprint);
    } else if (!read_no_rope_layers(reader, blueprint)) {
        mark_windows(rule, reader, blueprint);
    }
}

void lq_decode_embeddings(const struct lq_family *family, const struct lq_reader *reader,
                          struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    int64_t weights = model->vocab_size * model->hidden_size;
    model->tied_embeddings = lq_read_bool(reader, "tie_word_embeddings", family->tied);
    model->embedding_parameters = weights;
    model->head_parameters = model->tied_embeddings ? 0 : weights;
    if (lq_read_switch(reader, family->head_bias)) {
        model->head_parameters += model->vocab_size;
    }
}

void lq_decode_transformer(const struct lq_family *family, const struct lq_reader *reader,
                           struct lq_blueprint *blueprint)
{
    lq_decode_sizes(family, reader, blueprint);
    int64_t norm = blueprint->model->hidden_size * (family->norm_biased ? 2 : 1);
    blueprint->norm_parameters = family->norms * norm;
    blueprint->model->final_norm_parameters = family->norms > 0 ? norm : 0;
    if (family->mla) {
        decode_mla(family, reader, blueprint);
    } else {
        decode_attention(family, reader, blueprint);
    }
    decode_windows(&family->window, reader, blueprint);
    lq_decode_embeddings(family, reader, blueprint);
    family->ffn(family, reader, blueprint);
}
