/* Feed-forward parts of transformers: dense MLPs, experts in every layer, and the rules by which
 * families mix the two. */
#include "server/json/model_config_family.h"

#include <string.h>

struct lq_ffn lq_dense_ffn(int64_t size, int64_t hidden, bool gated, bool biased)
{
    int64_t bias = (gated ? 2 : 1) * size + hidden;
    return (struct lq_ffn){.kind = LQ_FFN_DENSE,
                           .gated = gated,
                           .intermediate_size = size,
                           .bias_parameters = biased ? bias : 0};
}

/* One dense MLP of the size at `key`, for ffn[0]. */
static struct lq_ffn read_dense(const struct lq_family *family, const struct lq_reader *reader,
                                const char *key, const struct lq_blueprint *blueprint)
{
    int64_t size = lq_read_count(reader, key, 1, LQ_MODEL_INTERMEDIATE_MAX, LQ_REQUIRED);
    return lq_dense_ffn(size, blueprint->model->hidden_size, family->gated,
                        lq_read_switch(reader, family->mlp_bias));
}

void lq_decode_dense(const struct lq_family *family, const struct lq_reader *reader,
                     struct lq_blueprint *blueprint)
{
    blueprint->ffn[0] = read_dense(family, reader, "intermediate_size", blueprint);
}

struct lq_ffn lq_read_experts(const struct lq_family *family, const struct lq_reader *reader)
{
    struct lq_ffn moe = {.kind = LQ_FFN_MOE, .gated = family->gated};
    moe.experts = lq_read_count(reader, family->experts_key, 1, LQ_MODEL_EXPERTS_MAX, LQ_REQUIRED);
    moe.active_experts =
        lq_read_count(reader, "num_experts_per_tok", 1, LQ_MODEL_EXPERTS_MAX, LQ_REQUIRED);
    moe.intermediate_size =
        lq_read_count(reader, family->expert_size_key, 1, LQ_MODEL_INTERMEDIATE_MAX, LQ_REQUIRED);
    if (moe.active_experts > moe.experts && reader->faults->count == 0) {
        lq_read_fault(reader, "num_experts_per_tok", "must be at most the %lld experts, got %lld",
                      (long long)moe.experts, (long long)moe.active_experts);
    }
    return moe;
}

void lq_decode_experts(const struct lq_family *family, const struct lq_reader *reader,
                       struct lq_blueprint *blueprint)
{
    blueprint->ffn[1] = lq_read_experts(family, reader);
    memset(blueprint->ffn_of, 1, (size_t)blueprint->layers);
}

/* Every expert and the router have biases; each attention head has a learned sink. */
void lq_decode_gpt_oss_experts(const struct lq_family *family, const struct lq_reader *reader,
                               struct lq_blueprint *blueprint)
{
    lq_decode_experts(family, reader, blueprint);
    struct lq_ffn *moe = &blueprint->ffn[1];
    moe->bias_parameters = 2 * moe->intermediate_size + blueprint->model->hidden_size;
    moe->router_parameters = moe->experts;
    for (int i = 0; i < 2; i++) {
        blueprint->mixer[i].bias_parameters += blueprint->mixer[i].heads;
    }
}

/* Reads the dense MLP only where some layer has one, since files without such a layer may lack it.
 */
static void read_dense_if_used(const struct lq_family *family, const struct lq_reader *reader,
                               const char *key, struct lq_blueprint *blueprint)
{
    if (memchr(blueprint->ffn_of, 0, (size_t)blueprint->layers) != NULL) {
        blueprint->ffn[0] = read_dense(family, reader, key, blueprint);
    }
}

static void read_mlp_only_layers(const struct lq_reader *reader, struct lq_blueprint *blueprint)
{
    const json_t *list = lq_read_array(reader, "mlp_only_layers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        json_int_t layer = json_integer_value(item);
        if (!json_is_integer(item) || layer < 0 || layer >= LQ_MODEL_LAYERS_MAX) {
            lq_read_fault(reader, "mlp_only_layers", "item %zu must be the number of a layer", i);
            return;
        }
        blueprint->ffn_of[layer] = 0;
    }
}

/* Qwen 2 has a gated shared expert beside the routed ones, Qwen 3 has none. */
static void read_qwen_shared(const struct lq_family *family, const struct lq_reader *reader,
                             struct lq_blueprint *blueprint)
{
    if (family->shared_experts == 0) {
        return;
    }
    struct lq_ffn *moe = &blueprint->ffn[1];
    moe->shared_size = lq_read_count(reader, "shared_expert_intermediate_size", 1,
                                     LQ_MODEL_INTERMEDIATE_MAX, LQ_REQUIRED);
    moe->router_parameters = blueprint->model->hidden_size; /* the shared expert's gate */
}

void lq_decode_qwen_experts(const struct lq_family *family, const struct lq_reader *reader,
                            struct lq_blueprint *blueprint)
{
    blueprint->ffn[1] = lq_read_experts(family, reader);
    read_qwen_shared(family, reader, blueprint);
    int64_t step = lq_read_count(reader, "decoder_sparse_step", 1, LQ_MODEL_LAYERS_MAX, 1);
    for (int64_t i = 0; i < blueprint->layers; i++) {
        blueprint->ffn_of[i] = (i + 1) % step == 0;
    }
    read_mlp_only_layers(reader, blueprint);
    read_dense_if_used(family, reader, "intermediate_size", blueprint);
}

/* DeepSeek, Kimi K2 and GLM 4.5: the first layers are dense; shared experts are as wide as routed
 * ones; where scores are sigmoids every expert has a correction bias (arXiv 2412.19437
 * section 2.1). */
void lq_decode_deepseek_experts(const struct lq_family *family, const struct lq_reader *reader,
                                struct lq_blueprint *blueprint)
{
    blueprint->ffn[1] = lq_read_experts(family, reader);
    struct lq_ffn *moe = &blueprint->ffn[1];
    int64_t shared =
        lq_read_count(reader, "n_shared_experts", 0, LQ_MODEL_EXPERTS_MAX,
                      lq_read_has(reader, "n_shared_experts") ? 0 : family->shared_experts);
    moe->shared_size = shared * moe->intermediate_size;
    moe->router_parameters = family->corrected_router ? moe->experts : 0;
    int64_t first =
        lq_read_count(reader, "first_k_dense_replace", 0, LQ_MODEL_LAYERS_MAX, family->dense_first);
    int64_t step = lq_read_count(reader, "moe_layer_freq", 1, LQ_MODEL_LAYERS_MAX, 1);
    for (int64_t i = 0; i < blueprint->layers; i++) {
        blueprint->ffn_of[i] = i >= first && i % step == 0;
    }
    read_dense_if_used(family, reader, "intermediate_size", blueprint);
}

/* Every n-th layer has experts and one shared expert of their size; the others a wider dense MLP.
 */
void lq_decode_llama4_experts(const struct lq_family *family, const struct lq_reader *reader,
                              struct lq_blueprint *blueprint)
{
    blueprint->ffn[1] = lq_read_experts(family, reader);
    blueprint->ffn[1].shared_size = blueprint->ffn[1].intermediate_size;
    int64_t step = lq_read_count(reader, "interleave_moe_layer_step", 1, LQ_MODEL_LAYERS_MAX, 1);
    for (int64_t i = 0; i < blueprint->layers; i++) {
        blueprint->ffn_of[i] = (i + 1) % step == 0;
    }
    read_dense_if_used(family, reader, "intermediate_size_mlp", blueprint);
}
