/* Counts what serving a concrete model moves and computes. How long that takes is serving.c's
 * business. */
#include "core/planning/serving.h"
#include "core/planning/serving_traffic.h"

#include <string.h>

/* Convolution inputs and state of a Mamba layer: 16 bit, as the reference keeps them (mamba_ssm's
 * allocate_inference_cache takes the weights' type; arXiv 2312.00752). */
#define MAMBA_STATE_BYTES 2.0

/* What counting a layer needs. */
struct counting {
    const struct lq_model *model;
    const struct lq_traffic *traffic;
    double matrix_bytes; /* of one weight of the layers' matrices */
    double plain_bytes;  /* of one weight at full precision */
    double kv_bytes;     /* of one element of the cache */
};

/* Weights and FLOPs of the matrices of one kind of layer. */
static void count_matrices(const struct counting *c, const struct lq_layer *layer,
                           struct lq_serving_load *out)
{
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    const int n = lq_layer_matrices(c->model, layer, matrices);
    const double layers = (double)layer->count;
    double expert = 0.0;
    double active = 0.0;
    for (int i = 0; i < n; i++) {
        const struct lq_matrix *m = &matrices[i];
        const double weights = layers * (double)m->rows * (double)m->cols;
        if (m->routed) {
            expert += weights;
            active += weights * (double)layer->ffn.active_experts;
        } else {
            out->matrix_bytes += weights * (double)m->count * c->matrix_bytes;
            active += weights * (double)m->count;
        }
    }
    out->prompt_flop += 2.0 * active;
    out->answer_flop += 2.0 * active;
    if (expert > 0.0) {
        out->experts[out->expert_kinds++] =
            (struct lq_serving_experts){.layers = layers,
                                        .experts = (double)layer->ffn.experts,
                                        .active = (double)layer->ffn.active_experts,
                                        .bytes = expert * c->matrix_bytes};
    }
}

/* FLOPs of one layer for one token and one token that it attends to. */
struct scores {
    double prompt;
    double answer;
};

/* Elements that one token leaves in the cache of one layer, and its scores: 2 FLOPs for each
 * multiply-add with a key and with a value. */
static double attention_elements(const struct lq_mixer *m, struct scores *scores,
                                 struct lq_serving_cache *cache)
{
    const double heads = (double)m->heads;
    if (m->kind == LQ_MIXER_MLA) {
        const double latent = (double)(m->kv_rank + m->rope_size);
        cache->shards = 1.0; /* every head reads the one latent */
        scores->prompt = 2.0 * heads * (double)(m->nope_size + m->rope_size + m->value_size);
        scores->answer = 2.0 * heads * (latent + (double)m->kv_rank); /* in the latent's space */
        return latent;
    }
    cache->shards = (double)m->kv_heads;
    scores->prompt = 4.0 * heads * (double)m->head_size;
    scores->answer = scores->prompt;
    return 2.0 * (double)(m->kv_heads * m->head_size);
}

static void count_cache(const struct counting *c, const struct lq_layer *layer,
                        struct lq_serving_load *out)
{
    const struct lq_mixer *m = &layer->mixer;
    const double layers = (double)layer->count;
    struct lq_serving_cache *cache = &out->cache[out->cache_kinds];
    if (m->kind == LQ_MIXER_NONE) {
        return;
    }
    out->cache_kinds++;
    *cache = (struct lq_serving_cache){.shards = 1.0};
    if (m->kind == LQ_MIXER_MAMBA) {
        const double elements = (double)m->inner_size * (double)(m->conv_size + m->state_size);
        cache->shards = (double)m->inner_size;
        cache->state_bytes = layers * elements * MAMBA_STATE_BYTES;
        /* update and read-out of the state, a multiply-add each */
        out->prompt_flop += layers * 4.0 * elements;
        out->answer_flop += layers * 4.0 * elements;
        return;
    }
    const double window = (double)m->window_tokens;
    struct scores scores;
    cache->token_bytes = layers * attention_elements(m, &scores, cache) * c->kv_bytes;
    cache->mean_tokens = lq_traffic_held_tokens(c->traffic, window);
    cache->longest_tokens = lq_traffic_longest_tokens(c->traffic, window);
    out->prompt_flop += layers * scores.prompt * lq_traffic_prompt_keys(c->traffic, window);
    out->answer_flop += layers * scores.answer * cache->mean_tokens;
}

/* Embedding, head and norms. A tied head reads the embedding; looking a token up reads one row. */
static void count_ends(const struct counting *c, bool head_is_matrix, struct lq_serving_load *out)
{
    const struct lq_model *model = c->model;
    const struct lq_parameters parameters = lq_model_parameters(model, 0);
    const double head = parameters.head > 0 ? (double)parameters.head
                                            : (double)(model->vocab_size * model->hidden_size);
    const double rest = (double)parameters.rest;
    out->plain_bytes = rest * c->plain_bytes;
    out->stored_bytes = (double)parameters.linear * c->matrix_bytes +
                        (double)parameters.embedding * c->plain_bytes + out->plain_bytes;
    if (parameters.head > 0 && head_is_matrix) {
        out->matrix_bytes += head * c->matrix_bytes;
        out->stored_bytes += head * c->matrix_bytes;
    } else {
        out->plain_bytes += head * c->plain_bytes;
        out->stored_bytes += (double)parameters.head * c->plain_bytes;
    }
    out->head_flop = 2.0 * head;
    out->answer_flop += out->head_flop;
}

void lq_serving_count(const struct lq_model *model, const struct lq_serving_format *format,
                      const struct lq_serving_stack *stack, const struct lq_traffic *traffic,
                      struct lq_serving_load *out)
{
    const struct counting c = {.model = model,
                               .traffic = traffic,
                               .matrix_bytes = lq_serving_weight_bytes(format, stack),
                               .plain_bytes = lq_precision_bytes(format->precision),
                               .kv_bytes = lq_kv_precision_bytes(format->kv_precision)};
    memset(out, 0, sizeof *out);
    for (int i = 0; i < model->layer_kinds; i++) {
        count_matrices(&c, &model->layers[i], out);
        count_cache(&c, &model->layers[i], out);
    }
    count_ends(&c, stack->quantizes_head, out);
    out->prompt_tokens = lq_traffic_prompt_tokens(traffic);
    out->output_tokens = lq_traffic_output_tokens(traffic);
    out->layers = (double)lq_model_layers(model);
    out->hidden_bytes = (double)model->hidden_size * c.plain_bytes;
    out->weight_class = lq_weight_class_of(format->precision, format->quantization);
    out->rate = lq_serving_rate(format);
}
