/* Counts over a whole model: parameters by role, trainable parameters of LoRA, layers and experts.
 * The matrices of one layer come from model.c. */
#include "core/arch/model.h"

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Adds the matrices of `layer.count` layers; what a token does not visit is returned. */
static int64_t count_matrices(const struct lq_model *model, const struct lq_layer *layer,
                              int64_t active_experts, struct lq_parameters *sum)
{
    struct lq_matrix matrices[LQ_MATRICES_MAX];
    int n = lq_layer_matrices(model, layer, matrices);
    int64_t idle = 0;
    for (int i = 0; i < n; i++) {
        const struct lq_matrix *m = &matrices[i];
        int64_t one = layer->count * m->rows * m->cols;
        sum->linear += one * m->count;
        if (m->routed) {
            sum->experts += one * m->count;
            idle += one * (m->count - active_experts);
        }
        if (m->target == LQ_TARGET_ROUTER) {
            sum->router += one;
        }
    }
    return idle;
}

/* Everything of one layer that is not a matrix. */
static int64_t count_small(const struct lq_layer *layer)
{
    const struct lq_ffn *ffn = &layer->ffn;
    int64_t mlps = ffn->kind == LQ_FFN_MOE ? ffn->experts : 1;
    return layer->norm_parameters + layer->mixer.bias_parameters + layer->mixer.small_parameters +
           ffn->router_parameters + ffn->shared_bias_parameters + mlps * ffn->bias_parameters;
}

struct lq_parameters lq_model_parameters(const struct lq_model *model, int64_t active_experts)
{
    struct lq_parameters sum = {.embedding = model->embedding_parameters,
                                .head = model->head_parameters,
                                .rest = model->final_norm_parameters + model->other_parameters};
    int64_t idle = 0;
    for (int i = 0; i < model->layer_kinds; i++) {
        const struct lq_layer *layer = &model->layers[i];
        const struct lq_ffn *ffn = &layer->ffn;
        int64_t visited =
            active_experts > 0 ? smaller(active_experts, ffn->experts) : ffn->active_experts;
        idle += count_matrices(model, layer, visited, &sum);
        idle += layer->count * (ffn->experts - visited) * ffn->bias_parameters;
        sum.rest += layer->count * count_small(layer);
    }
    sum.total = sum.linear + sum.embedding + sum.head + sum.rest;
    sum.active = sum.total - idle;
    return sum;
}

int64_t lq_lora_parameters(const struct lq_model *model, const struct lq_method *method)
{
    int64_t features = 0;
    for (int i = 0; i < model->layer_kinds; i++) {
        struct lq_matrix matrices[LQ_MATRICES_MAX];
        int n = lq_layer_matrices(model, &model->layers[i], matrices);
        for (int j = 0; j < n; j++) {
            const struct lq_matrix *m = &matrices[j];
            if ((method->targets & LQ_TARGET_BIT(m->target)) != 0) {
                features += model->layers[i].count * m->count * (m->rows + m->cols);
            }
        }
    }
    const enum lq_target ends[] = {LQ_TARGET_EMBEDDING, LQ_TARGET_HEAD};
    for (int i = 0; i < 2; i++) {
        if ((method->targets & LQ_TARGET_BIT(ends[i])) != 0) {
            features += model->vocab_size + model->hidden_size;
        }
    }
    return method->rank * features;
}

int64_t lq_model_experts(const struct lq_model *model)
{
    int64_t most = 0;
    for (int i = 0; i < model->layer_kinds; i++) {
        int64_t experts = model->layers[i].ffn.experts;
        most = experts > most ? experts : most;
    }
    return most;
}

int64_t lq_model_active_experts(const struct lq_model *model)
{
    int64_t most = 0;
    for (int i = 0; i < model->layer_kinds; i++) {
        int64_t active = model->layers[i].ffn.active_experts;
        most = active > most ? active : most;
    }
    return most;
}

int64_t lq_model_layers(const struct lq_model *model)
{
    int64_t layers = 0;
    for (int i = 0; i < model->layer_kinds; i++) {
        layers += model->layers[i].count;
    }
    return layers;
}

unsigned lq_model_class(const struct lq_model *model)
{
    unsigned bits = 0;
    for (int i = 0; i < model->layer_kinds; i++) {
        bits |= model->layers[i].ffn.kind == LQ_FFN_MOE ? 1U : 0U;
        bits |= model->layers[i].mixer.kind == LQ_MIXER_MAMBA ? 2U : 0U;
    }
    return bits;
}
