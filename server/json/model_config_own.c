/* Transformers whose config.json has keys of its own: DBRX, MPT, Falcon, OPT, GPT-2. */
#include "server/json/model_config_family.h"

#include <string.h>

void lq_decode_dbrx(const struct lq_family *family, const struct lq_reader *reader,
                    struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    model->hidden_size = lq_read_count(reader, "d_model", 1, LQ_MODEL_HIDDEN_MAX, LQ_REQUIRED);
    model->vocab_size = lq_read_count(reader, "vocab_size", 1, LQ_MODEL_VOCAB_MAX, LQ_REQUIRED);
    model->context_tokens = lq_read_count(reader, "max_seq_len", 1, LQ_MODEL_CONTEXT_MAX, 2048);
    blueprint->layers = lq_read_count(reader, "n_layers", 1, LQ_MODEL_LAYERS_MAX, LQ_REQUIRED);
    int64_t heads = lq_read_count(reader, "n_heads", 1, LQ_MODEL_HEADS_MAX, LQ_REQUIRED);
    struct lq_reader attention = lq_read_object(reader, "attn_config", false);
    int64_t kv_heads = lq_read_count(&attention, "kv_n_heads", 1, LQ_MODEL_HEADS_MAX, 1);
    int64_t head_size = lq_head_size(reader, "n_heads", model->hidden_size, heads);
    blueprint->mixer[0] = lq_attention(&attention, "kv_n_heads", heads, kv_heads, head_size);

    struct lq_reader ffn = lq_read_object(reader, "ffn_config", true);
    struct lq_ffn moe = {.kind = LQ_FFN_MOE, .gated = true};
    if (ffn.object != NULL) {
        moe.experts = lq_read_count(&ffn, "moe_num_experts", 1, LQ_MODEL_EXPERTS_MAX, LQ_REQUIRED);
        moe.active_experts = lq_read_count(&ffn, "moe_top_k", 1, LQ_MODEL_EXPERTS_MAX, LQ_REQUIRED);
        moe.intermediate_size =
            lq_read_count(&ffn, "ffn_hidden_size", 1, LQ_MODEL_INTERMEDIATE_MAX, LQ_REQUIRED);
    }
    if (moe.active_experts > moe.experts && reader->faults->count == 0) {
        lq_read_fault(&ffn, "moe_top_k", "must be at most the %lld experts, got %lld",
                      (long long)moe.experts, (long long)moe.active_experts);
    }
    blueprint->ffn[0] = moe;
    blueprint->norm_parameters = 2 * model->hidden_size; /* LayerNorm without bias */
    model->final_norm_parameters = model->hidden_size;
    lq_decode_embeddings(family, reader, blueprint);
}

/* Key-value heads by the name of the attention: all, one, or as many as the file says. */
static int64_t mpt_kv_heads(const struct lq_reader *attention, int64_t heads)
{
    const char *type = json_string_value(json_object_get(attention->object, "attn_type"));
    if (type != NULL && strcmp(type, "multiquery_attention") == 0) {
        return 1;
    }
    return lq_read_count(attention, "kv_n_heads", 1, LQ_MODEL_HEADS_MAX, heads);
}

static void mpt_attention(const struct lq_reader *reader, bool biased,
                          struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    int64_t hidden = model->hidden_size;
    int64_t heads = lq_read_count(reader, "n_heads", 1, LQ_MODEL_HEADS_MAX, LQ_REQUIRED);
    struct lq_reader attention = lq_read_object(reader, "attn_config", false);
    int64_t kv_heads = mpt_kv_heads(&attention, heads);
    int64_t head_size = lq_head_size(reader, "n_heads", hidden, heads);
    struct lq_mixer mixer = lq_attention(&attention, "kv_n_heads", heads, kv_heads, head_size);
    mixer.bias_parameters = lq_attention_biases(&mixer, hidden, biased, biased);
    blueprint->mixer[0] = mixer;
    if (lq_read_bool(&attention, "qk_ln", false)) {
        blueprint->norm_parameters += (heads + kv_heads) * head_size;
    }
    bool alibi = lq_read_bool(&attention, "alibi", true);
    if (!alibi && !lq_read_bool(&attention, "rope", false)) {
        model->embedding_parameters += model->context_tokens * hidden;
    }
}

void lq_decode_mpt(const struct lq_family *family, const struct lq_reader *reader,
                   struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    model->hidden_size = lq_read_count(reader, "d_model", 1, LQ_MODEL_HIDDEN_MAX, LQ_REQUIRED);
    model->vocab_size = lq_read_count(reader, "vocab_size", 1, LQ_MODEL_VOCAB_MAX, LQ_REQUIRED);
    model->context_tokens = lq_read_count(reader, "max_seq_len", 1, LQ_MODEL_CONTEXT_MAX, 2048);
    blueprint->layers = lq_read_count(reader, "n_layers", 1, LQ_MODEL_LAYERS_MAX, LQ_REQUIRED);
    int64_t ratio = lq_read_count(reader, "expansion_ratio", 1, 64, 4);
    bool biased = !lq_read_bool(reader, "no_bias", true);
    int64_t norm = model->hidden_size * (biased ? 2 : 1);
    blueprint->norm_parameters = 2 * norm;
    model->final_norm_parameters = norm;
    lq_decode_embeddings(family, reader, blueprint);
    mpt_attention(reader, biased, blueprint);
    blueprint->ffn[0] = lq_dense_ffn(ratio * model->hidden_size, model->hidden_size, false, biased);
}

/* Falcon's 7B kind has one norm and one key-value head; the newer architecture two of the former
 * and a number of the latter. */
static int64_t falcon_norms(const struct lq_reader *reader, bool newer)
{
    bool parallel = lq_read_bool(reader, "parallel_attn", true);
    if (newer) {
        return lq_read_count(reader, "num_ln_in_parallel_attn", 1, 2, 2);
    }
    return parallel ? 1 : 2;
}

void lq_decode_falcon(const struct lq_family *family, const struct lq_reader *reader,
                      struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    lq_decode_sizes(family, reader, blueprint);
    if (model->context_tokens == 0) {
        model->context_tokens = 2048; /* published files lack the key */
    }
    int64_t hidden = model->hidden_size;
    bool newer = lq_read_bool(reader, "new_decoder_architecture", false);
    bool single = lq_read_bool(reader, "multi_query", true) && !newer;
    bool biased = lq_read_bool(reader, "bias", false);
    int64_t heads =
        lq_read_count(reader, "num_attention_heads", 1, LQ_MODEL_HEADS_MAX, LQ_REQUIRED);
    int64_t listed = lq_read_count(reader, "num_kv_heads", 1, LQ_MODEL_HEADS_MAX, heads);
    int64_t kv_heads = single ? 1 : (newer ? listed : heads);
    int64_t head_size = lq_head_size(reader, "num_attention_heads", hidden, heads);
    struct lq_mixer mixer = lq_attention(reader, "num_kv_heads", heads, kv_heads, head_size);
    mixer.bias_parameters = lq_attention_biases(&mixer, hidden, biased, biased);
    blueprint->mixer[0] = mixer;
    int64_t size =
        lq_read_count(reader, "ffn_hidden_size", 1, LQ_MODEL_INTERMEDIATE_MAX, 4 * hidden);
    blueprint->ffn[0] = lq_dense_ffn(size, hidden, false, biased);
    blueprint->norm_parameters = falcon_norms(reader, newer) * 2 * hidden;
    model->final_norm_parameters = 2 * hidden;
    lq_decode_embeddings(family, reader, blueprint);
}

/* The embedding may be narrower than the layers, with a projection on either side of them. */
static void opt_embeddings(const struct lq_family *family, const struct lq_reader *reader,
                           struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    int64_t hidden = model->hidden_size;
    int64_t width = lq_read_count(reader, "word_embed_proj_dim", 1, LQ_MODEL_HIDDEN_MAX, hidden);
    int64_t weights = model->vocab_size * width;
    model->tied_embeddings = lq_read_bool(reader, "tie_word_embeddings", family->tied);
    /* Positions start at 2. */
    model->embedding_parameters = weights + (model->context_tokens + 2) * hidden;
    model->head_parameters = model->tied_embeddings ? 0 : weights;
    model->other_parameters = width != hidden ? 2 * width * hidden : 0;
}

void lq_decode_opt(const struct lq_family *family, const struct lq_reader *reader,
                   struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    lq_decode_sizes(family, reader, blueprint);
    if (model->context_tokens == 0) {
        model->context_tokens = 2048;
    }
    lq_decode_heads(family, reader, blueprint);
    int64_t hidden = model->hidden_size;
    bool biased = lq_read_bool(reader, "enable_bias", true);
    blueprint->mixer[0].bias_parameters =
        lq_attention_biases(&blueprint->mixer[0], hidden, biased, biased);
    int64_t size = lq_read_count(reader, "ffn_dim", 1, LQ_MODEL_INTERMEDIATE_MAX, LQ_REQUIRED);
    blueprint->ffn[0] = lq_dense_ffn(size, hidden, false, biased);
    bool affine = lq_read_bool(reader, "layer_norm_elementwise_affine", true);
    bool final = lq_read_bool(reader, "do_layer_norm_before", true) &&
                 !lq_read_bool(reader, "_remove_final_layer_norm", false);
    blueprint->norm_parameters = affine ? 4 * hidden : 0;
    model->final_norm_parameters = affine && final ? 2 * hidden : 0;
    opt_embeddings(family, reader, blueprint);
}

void lq_decode_gpt2(const struct lq_family *family, const struct lq_reader *reader,
                    struct lq_blueprint *blueprint)
{
    struct lq_model *model = blueprint->model;
    model->hidden_size = lq_read_count(reader, "n_embd", 1, LQ_MODEL_HIDDEN_MAX, LQ_REQUIRED);
    model->vocab_size = lq_read_count(reader, "vocab_size", 1, LQ_MODEL_VOCAB_MAX, LQ_REQUIRED);
    model->context_tokens = lq_read_count(reader, "n_positions", 1, LQ_MODEL_CONTEXT_MAX, 1024);
    blueprint->layers = lq_read_count(reader, "n_layer", 1, LQ_MODEL_LAYERS_MAX, LQ_REQUIRED);
    int64_t hidden = model->hidden_size;
    int64_t heads = lq_read_count(reader, "n_head", 1, LQ_MODEL_HEADS_MAX, LQ_REQUIRED);
    int64_t head_size = lq_head_size(reader, "n_head", hidden, heads);
    blueprint->mixer[0] = lq_attention(reader, "n_head", heads, heads, head_size);
    blueprint->mixer[0].bias_parameters =
        lq_attention_biases(&blueprint->mixer[0], hidden, true, true);
    int64_t size = lq_read_count(reader, "n_inner", 1, LQ_MODEL_INTERMEDIATE_MAX, 4 * hidden);
    blueprint->ffn[0] = lq_dense_ffn(size, hidden, false, true);
    blueprint->norm_parameters = 4 * hidden;
    model->final_norm_parameters = 2 * hidden;
    lq_decode_embeddings(family, reader, blueprint);
    model->embedding_parameters += model->context_tokens * hidden;
}
